//! Clients that read too slowly, stall, or say too much, and a server that goes down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::{
    chatter::Chatter,
    harness::{
        eventually,
        http::ask,
        raw::{Raw, TEXT, frame},
        server::Server,
        soon,
    },
};

const CLOSE: u8 = 8;

/// Whoever is not heard for so long is not heard.
const QUIET: Duration = Duration::from_secs(1);

/// Bytes of pings that are heard in any case: their answers are half of what may wait.
const HEARD: usize = 512 * 1024;

/// The close frame of a connection, past all that comes before it.
async fn close_of(raw: &mut Raw) -> (u16, String) {
    soon("a close frame", async {
        loop {
            if let (CLOSE, content) = raw.read().await.expect("a close frame") {
                let (status, reason) = content.split_at(2);
                let status = u16::from_be_bytes(status.try_into().unwrap());
                return (status, String::from_utf8(reason.to_vec()).unwrap());
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_is_slowed_down_told_and_cut_off() {
    let server = Server::start(&["--event-rate", "20", "--flood-timeout", "1s"]);
    let mut watching = Chatter::open(server.address()).await;
    let mut flooding = Chatter::open(server.address()).await;
    let message = frame(true, TEXT, br#"{"username":"Eve","msg":"flood"}"#);
    let raw = Raw::upgrade(server.address(), "/").await.unwrap();
    let (mut reading, mut writing) = raw.stream.into_split();
    // Far more than 10,000 a second would be, as fast as it is taken.
    let sending = tokio::spawn(async move {
        let many = message.repeat(1000);
        while writing.write_all(&many).await.is_ok() {}
    });
    let mut came = Vec::new();
    let _ = soon(
        "the end",
        tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut came),
    )
    .await;
    sending.await.unwrap();
    let told = String::from_utf8_lossy(&came);
    assert!(
        told.contains("Disconnected: too many events over a long time"),
        "{told}"
    );
    let close = [
        &[0x88, 32][..],
        &1008u16.to_be_bytes(),
        b"too many events over a long time",
    ]
    .concat();
    let close = &close[..];
    assert!(
        came.windows(close.len() - 2)
            .any(|part| part == &close[2..]),
        "no close frame in {told}"
    );
    server.logged(&["ending a WebSocket", "\"flooding\""]).await;
    // What was heard of it is bounded by the rate, whatever the machine.
    flooding.say("Ann", "still here").await;
    let mut lines = 0;
    while watching.line().await.unwrap().msg != "still here" {
        lines += 1;
    }
    assert!((20..400).contains(&lines), "{lines} messages were heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_cut_off_and_harms_nobody() {
    let server = Server::start(&["--max-backlog", "100000", "--event-rate", "0"]);
    let mut slow = Chatter::small(server.address()).await;
    let mut sender = Chatter::open(server.address()).await;
    sender.line().await;
    let text = "x".repeat(20_000);
    let mut posted = 0;
    while !server
        .log()
        .iter()
        .any(|line| line.contains("\"slow_peer\""))
    {
        sender.say("Ann", &format!("{posted} {text}")).await;
        assert!(sender.line().await.is_some());
        posted += 1;
        assert!(posted < 5000, "{posted} messages, and it is not cut off");
    }
    let had = slow.rest().await;
    assert!(
        had.len() > 1 && had.len() < posted,
        "{} of {posted}",
        had.len()
    );
    for (n, line) in had.iter().skip(1).enumerate() {
        assert!(line.msg.starts_with(&format!("{n} ")), "a hole before {n}");
    }
    let mut back = Chatter::open(server.address()).await;
    assert!(back.line().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_gone_after_the_stall_timeout() {
    let server = Server::start(&["--stall-timeout", "1s", "--event-rate", "0"]);
    let mut stalled = Raw::upgrade(server.address(), "/").await.unwrap();
    let mut sender = Chatter::open(server.address()).await;
    sender.line().await;
    let text = "x".repeat(90_000);
    // Enough to fill what the kernels on both sides take, not what waits in the server.
    eventually("it is cut off", async || {
        let store = server.log();
        if store
            .iter()
            .any(|line| line.contains("\"stalled\"") || line.contains("\"slow_peer\""))
        {
            return Ok(());
        }
        if store.len() < 1000 {
            sender.say("Ann", &text).await;
            sender.line().await;
        }
        Err(format!("{store:#?}"))
    })
    .await;
    assert!(!stalled.ends_before("never").await || stalled.read().await.is_err());
}

#[tokio::test]
async fn whoever_asks_for_more_than_it_reads_is_not_heard_further() {
    let server = Server::start(&["--event-rate", "0"]);
    let raw = Raw::upgrade(server.address(), "/").await.unwrap();
    let (_unread, mut writing) = raw.stream.into_split();
    let before = server.memory();
    // Each ping of 125 bytes wants a pong; nothing is read.
    let pings = frame(true, 9, &[b'x'; 125]).repeat(1000);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let asking = tokio::spawn(async move {
        loop {
            let at = counted.load(Ordering::Relaxed) % pings.len();
            let taken = writing.write(&pings[at..]).await.unwrap();
            counted.fetch_add(taken, Ordering::Relaxed);
        }
    });
    let mut heard = 0;
    eventually("it is not heard", async || {
        let earlier = std::mem::replace(&mut heard, sent.load(Ordering::Relaxed));
        assert!(heard < 100 << 20, "it reads on for ever");
        tokio::time::sleep(QUIET).await;
        let stands = heard == earlier && heard > HEARD;
        stands.then_some(()).ok_or(format!("{heard} bytes"))
    })
    .await;
    let held = server.memory().saturating_sub(before);
    assert!(held < 20 * 1024, "{held} KiB are held");
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_tells_everybody_why_and_keeps_what_was_said() {
    let server = Server::patient(&["--event-rate", "0"]);
    let address = server.address();
    let mut readers = join_all((0..50).map(|_| Chatter::open(address))).await;
    let mut silent = Raw::upgrade(address, "/").await.unwrap();
    readers[0].line().await;
    for n in 0..20 {
        readers[0].say("Ann", &n.to_string()).await;
    }
    readers[0].texts(20).await;
    server.terminate();
    for reader in &mut readers {
        let rest = reader.rest().await;
        let last = rest.last().unwrap();
        assert_eq!(
            (&*last.username, &*last.msg),
            ("System", "Disconnected: the server is being restarted")
        );
        let end = reader.end.clone().expect("a close frame");
        assert_eq!(
            (u16::from(end.code), end.reason.as_str()),
            (1001, "the server is being restarted")
        );
    }
    assert_eq!(close_of(&mut silent).await.0, 1001);
    let (status, ended) = server.exit().await;
    assert!(status.success(), "{status}");
    let server = ended.start_again();
    let mut newcomer = Chatter::open(server.address()).await;
    assert_eq!(newcomer.texts(21).await.last().unwrap(), "19");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_whoever_takes_nothing() {
    let server = Server::patient(&["--event-rate", "0", "--max-backlog", "100000000"]);
    let stalled = Chatter::small(server.address()).await;
    // Frames of Socket.IO 0.9 go the same way.
    let handshake = ask(server.address(), "GET", "/socket.io/1/", "", b"").await;
    let (sid, _) = handshake.as_ref().unwrap().body.split_once(':').unwrap();
    let path = format!("/socket.io/1/websocket/{sid}");
    let old = Raw::upgrade(server.address(), &path).await.unwrap();
    let mut sender = Chatter::open(server.address()).await;
    sender.line().await;
    // More than the kernels on both sides take.
    let text = "x".repeat(95_000);
    for _ in 0..120 {
        sender.say("Ann", &text).await;
        sender.line().await;
    }
    server.terminate();
    sender.rest().await;
    let (status, _) = server.exit().await;
    assert!(status.success(), "{status}");
    drop((stalled, old));
}

#[tokio::test]
async fn what_a_connection_says_just_before_it_closes_is_said() {
    let server = Server::start(&[]);
    let mut watching = Chatter::open(server.address()).await;
    watching.line().await;
    for n in 0..20 {
        let mut raw = Raw::upgrade(server.address(), "/").await.unwrap();
        let text = format!(r#"{{"username":"Ann","msg":"{n}"}}"#);
        let both = [frame(true, TEXT, text.as_bytes()), frame(true, CLOSE, b"")].concat();
        raw.write(&both).await.unwrap();
        drop(raw);
        assert_eq!(watching.texts(1).await, [n.to_string()]);
    }
}
