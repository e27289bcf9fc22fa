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

/// A client that polls, and is about to go over to a WebSocket.
struct Goer {
    over: Raw,
    last: String,
}

impl Goer {
    async fn come(address: SocketAddr, eio: Eio) -> Self {
        let mut polling = Polling::open(address, eio, "").await.unwrap();
        if eio == Eio::V4 {
            polling.send("40").await.unwrap();
        }
        let joined = async { while !polling.next().await.unwrap().starts_with("40") {} };
        soon("the namespace", joined).await;
        let mut over = Raw::upgrade(address, &polling.upgrade_path())
            .await
            .unwrap();
        over.text("2probe").await.unwrap();
        assert_eq!(soon("an answer", over.read()).await.unwrap().1, b"3probe");
        let last = format!(r#"42["message","{eio:?} on its way"]"#);
        Self { over, last }
    }

    /// Goes over, says its last words, and is told why it must go; false where nobody was there any more.
    async fn go_over(mut self) -> bool {
        for packet in ["5", &self.last] {
            if self.over.text(packet).await.is_err() {
                return false;
            }
        }
        let mut told = None;
        let end = async {
            while let Ok((kind, content)) = self.over.read().await {
                if kind == CLOSE {
                    told = Some(content);
                    return;
                }
            }
        };
        soon("a close frame", end).await;
        told.is_some_and(|content| content.starts_with(&1001_u16.to_be_bytes()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_on_its_way_to_a_websocket_finds_the_end_there() {
    let round = async || {
        let server = Server::start(&["--drain-timeout", "60s"]);
        let old = Goer::come(server.address(), Eio::V3).await;
        let new = Goer::come(server.address(), Eio::V4).await;
        let told = Instant::now();
        server.terminate();
        server.logged(&["going down"]).await;
        let went = tokio::join!(old.go_over(), new.go_over());
        // A machine that is too slow for them says nothing of the server.
        if told.elapsed() > IN_TIME {
            return false;
        }
        assert_eq!(went, (true, true));
        let server = server.exit().await.1.start_again();
        let mut reader = Client::native(server.address(), "reader").await;
        reader.join("lobby", None).await;
        let mut kept = [reader.said().await.text, reader.said().await.text];
        kept.sort();
        assert_eq!(kept, ["V3 on its way", "V4 on its way"]);
        true
    };
    soon("a round in time", async { while !round().await {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_polls_is_told_what_waits_and_then_that_its_session_is_gone() {
    for eio in [Eio::V3, Eio::V4] {
        let round = async || {
            let server = Server::start(&["--drain-timeout", "60s"]);
            let mut reader = Polling::open(server.address(), eio, "").await.unwrap();
            reader.send("40").await.unwrap();
            while !reader.next().await.unwrap().starts_with("40") {}
            let mut other = Client::websocket(server.address(), "/").await;
            other.ask("message", &"told".into()).await;
            let told = Instant::now();
            server.terminate();
            other.rest().await;
            let answer = ask(server.address(), "GET", &reader.path(), "", b"").await;
            // Asked too late, or before it was sent away or told, it says nothing of the server.
            let answer = answer.ok().filter(|_| told.elapsed() < IN_TIME);
            let is_told = answer.is_some_and(|it| it.body.contains("told"));
            // No close packet: libraries take one for the server's wish that they stay away.
            let next = ask(server.address(), "GET", &reader.path(), "", b"").await;
            let next = next.ok().filter(|_| told.elapsed() < IN_TIME);
            is_told && next.is_some_and(|it| it.status == 400 && it.body.contains("unknown"))
        };
        soon("the end", async { while !round().await {} }).await;
    }
}
