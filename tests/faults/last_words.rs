//! What clients say while they are sent away, before they know: it is kept as if they had been told later.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use crate::harness::{
    client::{Client, Eio},
    http::{Polling, ask},
    raw::{Raw, frame},
    server::Server,
    soon,
};

const CLOSE: u8 = 8;

/// Half of the time that the server gives them.
const IN_TIME: Duration = Duration::from_millis(500);

/// A client of any transport.
struct Speaker {
    line: Line,
    /// What it says last, as its transport has it.
    last: String,
}

enum Line {
    Frames(Raw),
    Polls(Polling),
    OldPolls { address: SocketAddr, sid: String },
}

impl Speaker {
    async fn all(address: SocketAddr) -> Vec<Self> {
        let event = |text: &str| format!(r#"42["message","{text}"]"#);
        let old = |text: &str| format!(r#"5:::{{"name":"message","args":["{text}"]}}"#);
        let sid = async || {
            let answer = ask(address, "GET", "/socket.io/1/", "", b"").await;
            answer.unwrap().body.split(':').next().unwrap().to_owned()
        };
        let upgrade = async |path: &str| Line::Frames(Raw::upgrade(address, path).await.unwrap());
        let mut all = Vec::new();
        let mut add = |line, last| all.push(Self { line, last });
        for (name, eio) in [("EIO3", Eio::V3), ("EIO4", Eio::V4)] {
            let path = format!("{}&transport=websocket", eio.path());
            add(upgrade(&path).await, event(&format!("{name} in frames")));
            let polling = Polling::open(address, eio, "").await.unwrap();
            add(Line::Polls(polling), event(&format!("{name} by polling")));
        }
        let path = format!("/socket.io/1/websocket/{}", sid().await);
        add(upgrade(&path).await, old("0.9 in frames"));
        let sid = sid().await;
        add(Line::OldPolls { address, sid }, old("0.9 by polling"));
        let bare = r#"{"username":"Bea","msg":"bare"}"#;
        add(upgrade("/").await, bare.to_owned());
        for speaker in &mut all {
            if speaker.last.contains("EIO4") {
                speaker.say("40").await.unwrap();
            }
        }
        all
    }

    /// What came, in its transport's form; `None` once it is sent away.
    async fn hear(&mut self) -> Option<String> {
        match &mut self.line {
            Line::Frames(raw) => match raw.read().await {
                Ok((CLOSE, _)) | Err(_) => None,
                Ok((_, content)) => Some(String::from_utf8(content).unwrap()),
            },
            Line::Polls(polling) => polling.next_with_noop().await,
            Line::OldPolls { address, sid } => {
                let path = format!("/socket.io/1/xhr-polling/{sid}");
                let answer = ask(*address, "GET", &path, "", b"").await.ok()?;
                (!answer.body.starts_with("7:::")).then_some(answer.body)
            }
        }
    }

    async fn await_text(&mut self, text: &str) {
        let heard = async { while !self.hear().await.expect("it may stay").contains(text) {} };
        soon(text, heard).await;
    }

    /// An error where nobody is there.
    async fn say(&mut self, packet: &str) -> io::Result<()> {
        let answer = match &mut self.line {
            Line::Frames(raw) => return raw.text(packet).await,
            Line::Polls(polling) => polling.send(packet).await?,
            Line::OldPolls { address, sid } => {
                let path = format!("/socket.io/1/xhr-polling/{sid}");
                ask(*address, "POST", &path, "", packet.as_bytes()).await?
            }
        };
        match answer.status {
            200 => Ok(()),
            _ => Err(io::Error::other(answer.body)),
        }
    }

    /// Says its last words, and goes as a client does. When it had said them; `None` where nobody was there any more.
    async fn leave(mut self) -> Option<Instant> {
        soon("a goodbye", async { while self.hear().await.is_some() {} }).await;
        let last = self.last.clone();
        self.say(&last).await.ok()?;
        let spoken = Instant::now();
        if let Line::Frames(raw) = &mut self.line {
            // The server may have hung up by then.
            let _ = raw
                .write(&frame(true, CLOSE, &1000_u16.to_be_bytes()))
                .await;
        }
        Some(spoken)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_say_before_they_know_that_the_server_goes_down_is_kept() {
    // A machine that is too slow for them says nothing of the server.
    soon("a round in which all spoke in time", async {
        while !speak_and_look().await {}
    })
    .await;
}

/// False where somebody was late.
async fn speak_and_look() -> bool {
    let server = Server::start(&["--drain-timeout", "60s"]);
    let mut all = Speaker::all(server.address()).await;
    let mut texts = Vec::new();
    for speaker in &mut all {
        let text = (speaker.last.split('"'))
            .rfind(|part| part.len() > 3)
            .unwrap();
        texts.push(text.to_owned());
    }
    let mut first = Client::websocket(server.address(), "/").await;
    let here = "everybody is here";
    first.emit("message", &here.into()).await.unwrap();
    join_all(all.iter_mut().map(|it| it.await_text(here))).await;
    let told = Instant::now();
    server.terminate();
    let spoken = join_all(all.into_iter().map(Speaker::leave)).await;
    if spoken.contains(&None) || spoken.into_iter().flatten().any(|at| at > told + IN_TIME) {
        return false;
    }
    let (status, server) = server.exit().await;
    assert!(status.success(), "{status}");

    let server = server.start_again();
    let mut reader = Client::native(server.address(), "reader").await;
    reader.join("lobby", None).await;
    let mut kept = Vec::new();
    while kept.len() < 1 + texts.len() {
        kept.push(reader.said().await.text);
    }
    kept.remove(0);
    kept.sort();
    texts.sort();
    assert_eq!(kept, texts);
    true
}
