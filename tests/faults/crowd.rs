//! Two clients that misbehave in a crowd of a hundred.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::time::Instant;

use crate::harness::{
    client::{Client, Pace, Packet},
    eventually,
    server::Server,
    soon,
    words::{Said, assert_dense, goodbye, post},
};

const ROOM: &str = "crowd";
const HEALTHY: usize = 100;
const PER_SECOND: u32 = 25;
const TEXT: usize = 4000;

/// KiB that an allocator may keep of what a crowd needed for a while.
const KEPT_BY_ALLOCATOR: usize = 40 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_and_a_flooding_client_end_with_a_reason_and_nobody_else_notices() {
    let server = Server::start(&["--stall-timeout", "2s", "--flood-timeout", "2s"]);
    let address = server.address();
    let mut sender = Client::native(address, "sender").await;
    sender.join(ROOM, None).await;
    let mut healthy = Vec::new();
    for n in 0..HEALTHY {
        healthy.push(tokio::spawn(read_to_the_last(address, n)));
    }
    eventually("everybody is there", async || {
        let answer = sender.join(ROOM, None).await;
        (answer["total"] == HEALTHY + 1)
            .then_some(())
            .ok_or_else(|| answer["total"].to_string())
    })
    .await;
    let before = server.memory();

    let mut stalled = Client::small(address, "/chat").await;
    stalled.hello("stalled").await;
    stalled.join(ROOM, None).await;
    let flooding = tokio::spawn(flood(address));

    let (start, mut pace, mut number) = (Instant::now(), Pace::per_second(PER_SECOND), 0);
    let both_ended = |log: Vec<String>| {
        let ended = |reasons: &[&str]| {
            log.iter()
                .any(|line| reasons.iter().any(|reason| line.contains(reason)))
        };
        ended(&["\"flooding\""]) && ended(&["\"stalled\"", "\"slow_peer\""])
    };
    while !both_ended(server.log()) {
        assert!(
            start.elapsed() < crate::harness::DEADLINE,
            "{:#?}",
            server.log()
        );
        pace.moment().await;
        number += 1;
        let text = format!("{number} {:TEXT$}", millis());
        sender
            .start("post", &post(ROOM, &text, None))
            .await
            .unwrap();
        drain(&mut sender).await;
    }
    sender
        .start("post", &post(ROOM, "last", None))
        .await
        .unwrap();

    let (mut delays, mut all): (Vec<u64>, Vec<Said>) = Default::default();
    for reader in healthy {
        let (read, delayed) = reader.await.unwrap();
        assert_dense(&read, 1);
        assert_eq!(read.last().unwrap().text, "last");
        delays.extend(delayed);
        all = read;
    }
    let of_sender = all.iter().filter(|said| said.text.len() > TEXT).count();
    assert_eq!(of_sender, number, "a post of the steady sender is missing");
    let (told, disconnected, end) = flooding.await.unwrap();
    assert_eq!(told.as_deref(), Some("flooding"));
    assert!(disconnected, "it would connect again by itself");
    assert_eq!(end.map(|(code, _)| code), Some(1008));

    delays.sort_unstable();
    println!(
        "{} messages of {TEXT} bytes to {HEALTHY} in {:?}: p50 {} ms, p99 {} ms",
        number,
        start.elapsed(),
        delays[delays.len() / 2],
        delays[delays.len() * 99 / 100],
    );
    eventually("memory returns to its level", async || {
        let after = server.memory();
        println!("memory: {before} KiB before, {after} KiB after");
        (after < before + KEPT_BY_ALLOCATOR)
            .then_some(())
            .ok_or_else(|| format!("{before} KiB before, {after} KiB after"))
    })
    .await;
}

async fn read_to_the_last(address: SocketAddr, n: usize) -> (Vec<Said>, Vec<u64>) {
    let mut client = Client::native(address, &format!("healthy {n}")).await;
    client.join(ROOM, None).await;
    let (mut read, mut delays) = (Vec::<Said>::new(), Vec::new());
    while read.last().is_none_or(|said| said.text != "last") {
        let said = client.said().await;
        if let Some(sent) = said.text.split_whitespace().nth(1) {
            delays.extend(sent.parse::<u64>().map(|sent| millis() - sent));
        }
        read.push(said);
        client.forget();
    }
    (read, delays)
}

/// Posts as fast as the connection takes it; tells the code of the goodbye, whether it was
/// disconnected in words, and how the connection ended.
async fn flood(address: SocketAddr) -> (Option<String>, bool, Option<(u16, String)>) {
    let mut client = Client::native(address, "flooding").await;
    client.join(ROOM, None).await;
    let (mut write, mut read) = client.into_websocket().split();
    let flood = tokio::spawn(async move {
        let packet = format!("42/chat,[\"post\",{}]", post(ROOM, "flood", None));
        while write.send(packet.as_str().into()).await.is_ok() {}
    });
    let (mut told, mut disconnected, mut end) = (None, false, None);
    soon("the end of the flood", async {
        while let Some(Ok(message)) = read.next().await {
            match message {
                tokio_tungstenite::tungstenite::Message::Text(text) => {
                    disconnected |= text.starts_with("41/chat");
                    if let Some(packet) = text.strip_prefix('4') {
                        if let Some(code) = goodbye(&Packet::parse(packet)) {
                            told = Some(code.to_owned());
                        }
                    }
                }
                tokio_tungstenite::tungstenite::Message::Close(frame) => {
                    end = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                }
                _ => {}
            }
        }
    })
    .await;
    flood.abort();
    (told, disconnected, end)
}

/// Reads what has come, and does not wait for more.
async fn drain(client: &mut Client) {
    while tokio::time::timeout(Duration::from_millis(1), client.next())
        .await
        .is_ok()
    {}
}

fn millis() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as u64
}
