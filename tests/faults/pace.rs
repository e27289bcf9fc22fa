//! Clients that send too much of what is no event: everything that costs work counts, on all of a
//! connection, whatever it leaves and joins meanwhile.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    client::{Client, Eio, Packet},
    eventually,
    http::Polling,
    raw::{PING, Raw, TEXT, frame},
    server::Server,
    soon,
};

/// What is sent again and again.
const FLOODS: [(&str, u8, &str); 4] = [
    ("CONNECT", TEXT, "40/chat,"),
    ("answers nobody asked for", TEXT, "43/chat,1[]"),
    ("heartbeats", TEXT, "3"),
    ("pings", PING, "x"),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_client_floods_with_it_is_sent_away() {
    for (what, kind, packet) in FLOODS {
        let server = Server::start(&["--event-rate", "20", "--flood-timeout", "1s"]);
        let path = format!("{}&transport=websocket", Eio::V4.path());
        let mut raw = Raw::upgrade(server.address(), &path).await.unwrap();
        raw.text("40/chat,").await.unwrap();
        assert!(!raw.ends_before("40/chat,").await, "it is not let in");
        let (mut read, mut write) = raw.stream.into_split();
        let frames = frame(true, kind, packet.as_bytes()).repeat(10);
        let flood = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            while write.write_all(&frames).await.is_ok() {}
        });
        soon(what, tokio::io::copy(&mut read, &mut tokio::io::sink()))
            .await
            .ok();
        flood.abort();
        server.logged(&["ending a session", "\"flooding\""]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_by_polling_is_sent_away() {
    for eio in [Eio::V3, Eio::V4] {
        let server = Server::start(&["--event-rate", "20", "--flood-timeout", "1s"]);
        let mut polling = Polling::open(server.address(), eio, "").await.unwrap();
        let body = match eio {
            Eio::V3 => "1:2".repeat(100),
            Eio::V4 => ["3"; 100].join("\u{1e}"),
        };
        eventually("the end of the session", async || {
            match polling.post(body.as_bytes()).await {
                Ok(answer) if answer.status == 200 => Err("it is taken".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        server.logged(&["ending a session", "\"flooding\""]).await;
    }
}

#[tokio::test]
async fn who_leaves_a_namespace_and_comes_back_has_no_more_than_its_pace() {
    const ROUNDS: u32 = 20;
    const RATE: u32 = 20;
    let server = Server::start(&["--event-rate", &RATE.to_string()]);
    let mut restless = Client::websocket(server.address(), "/chat").await;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        restless.send("41/chat,").await.unwrap();
        restless.join_namespace().await;
        restless.hello("restless").await;
        restless.forget();
    }
    // Some of the packets may come at once, and the last is answered before its time is over.
    let least = Duration::from_secs(1) * (3 * ROUNDS - 5) / RATE;
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_in_a_row_are_heard_in_order_however_slowly() {
    const EVENTS: usize = 300;
    let server = Server::start(&["--event-rate", "100"]);
    let mut hasty = Client::websocket(server.address(), "/").await;
    let mut polling = Client::polling(server.address(), "/").await;
    for client in [&mut hasty, &mut polling] {
        for n in 0..EVENTS {
            client.emit("message", &json!(n.to_string())).await.unwrap();
        }
        for n in 0..EVENTS {
            let text = client.expect("its message", |packet| match packet {
                Packet::Event(name, payload) if name == "message" => Some(payload["text"].clone()),
                _ => None,
            });
            assert_eq!(text.await, n.to_string());
        }
        client.forget();
    }
    assert!(
        !server
            .log()
            .iter()
            .any(|line| line.contains("ending a session"))
    );
}
