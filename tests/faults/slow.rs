//! Readers that take too little: they end in good time, leave nothing behind, and miss nothing when
//! they come back.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    client::{Client, Eio, Packet},
    server::Server,
    words::{Said, assert_dense, said},
};

const ROOM: &str = "slow";

/// Whoever is not heard for so long is not heard.
const QUIET: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_reader_that_stalls_while_nothing_is_said_is_gone_after_a_missed_ping() {
    let server = Server::start(&["--ping-interval", "1s", "--ping-timeout", "1s"]);
    let mut watching = Client::native(server.address(), "watching").await;
    watching.join(ROOM, None).await;
    let mut stalled = Client::small(server.address(), "/chat").await;
    let id = stalled.hello("stalled").await["id"].clone();
    stalled.join(ROOM, None).await;
    let left = watching.expect("somebody leaves", |packet| match packet {
        Packet::Event(name, payload) if name == "people" && payload["left"] != json!([]) => {
            Some(payload.clone())
        }
        _ => None,
    });
    let left = left.await;
    assert_eq!(left["left"], json!([id]));
    assert_eq!(left["total"], 1);
}

#[tokio::test]
async fn a_slow_reader_that_is_cut_off_comes_back_without_a_hole() {
    let server = Server::start(&["--max-backlog", "100000", "--event-rate", "0"]);
    let mut slow = Client::small(server.address(), "/chat").await;
    slow.hello("slow").await;
    slow.join(ROOM, None).await;
    let mut sender = Client::native(server.address(), "sender").await;
    sender.join(ROOM, None).await;
    let text = "x".repeat(20_000);
    let mut posted = 0;
    while !server
        .log()
        .iter()
        .any(|line| line.contains("\"slow_peer\""))
    {
        sender.post(ROOM, &text, None).await;
        sender.forget();
        posted += 1;
        assert!(posted < 5000, "{posted} messages, and it is not cut off");
    }
    let (packets, _) = slow.rest().await;
    let had: Vec<Said> = packets.iter().filter_map(said).collect();
    println!("{} of {posted} messages before it was cut off", had.len());
    assert_dense(&had, 1);
    sender.post(ROOM, "last", None).await;

    let mut back = Client::native(server.address(), "slow").await;
    let last = had.last().expect("it was told something before");
    let answer = back.join(ROOM, Some(&last.id)).await;
    assert_eq!(answer["reset"], false);
    let missed = back.said_until("last").await;
    assert_dense(&missed, last.seq + 1);
    assert_eq!(had.len() + missed.len(), posted + 1);
}

#[tokio::test]
async fn a_room_of_long_messages_can_be_joined() {
    let server = Server::start(&["--event-rate", "0"]);
    let mut author = Client::native(server.address(), "author").await;
    author.join(ROOM, None).await;
    let text = "x".repeat(95_000);
    for _ in 0..25 {
        author.post(ROOM, &text, None).await;
        author.forget();
    }
    let mut newcomer = Client::native(server.address(), "newcomer").await;
    newcomer.join(ROOM, None).await;
    let mut read = Vec::new();
    for _ in 0..25 {
        read.push(newcomer.said().await);
    }
    assert_dense(&read, 1);
}

#[tokio::test]
async fn a_message_that_is_longer_than_the_backlog_in_the_pages_words_reaches_everybody() {
    let server = Server::start(&["--max-message", "300000"]);
    // As HTML this is four times as long, in ASCII 2.x clients are told the latter three times.
    let text = "<".repeat(280_000) + &"é".repeat(5_000);
    let page_shows = text.replace('<', "&lt;");
    let is_it = |packet: &Packet| match packet {
        Packet::Event(name, payload) if name == "message" => {
            assert!(payload["text"] == page_shows, "another text");
            Some(())
        }
        _ => None,
    };
    let mut author = Client::websocket(server.address(), "/").await;
    author.emit("message", &json!(text)).await.unwrap();
    author.expect("its own message", is_it).await;
    author.emit("message", &json!(text)).await.unwrap();
    author.expect("its own message again", is_it).await;
    let mut newcomers = [
        Client::small(server.address(), "/").await,
        Client::polling(server.address(), "/").await,
        Client::unjoined(server.address(), "/", Eio::V3).await,
    ];
    newcomers[2].join_namespace().await;
    for newcomer in &mut newcomers {
        newcomer.expect("the first of them", is_it).await;
        newcomer.expect("the second", is_it).await;
    }
    // Whoever takes its time is told what is said meanwhile, too.
    author.emit("message", &json!(text)).await.unwrap();
    author.expect("its own message once more", is_it).await;
    for at in 0..3 {
        author
            .emit("message", &json!(at.to_string()))
            .await
            .unwrap();
    }
    for reader in newcomers.iter_mut().chain([&mut author]) {
        reader
            .expect("the last", |packet| {
                matches!(packet, Packet::Event(_, said) if said["text"] == "2").then_some(())
            })
            .await;
    }
    assert!(!server.log().iter().any(|line| line.contains("slow_peer")));
}

#[tokio::test]
async fn a_client_that_asks_more_than_it_reads_and_vanishes_is_forgotten() {
    let server = Server::patient(&["--event-rate", "0"]);
    let mut watching = Client::native(server.address(), "watching").await;
    watching.join(ROOM, None).await;
    let text = "x".repeat(50_000);
    let mut last = String::new();
    for _ in 0..10 {
        last = watching.post(ROOM, &text, None).await;
    }
    let mut greedy = Client::small(server.address(), "/chat").await;
    let id = greedy.hello("greedy").await["id"].clone();
    greedy.join(ROOM, None).await;
    // Each answer is half of what may wait for a connection: it is not heard further when one waits.
    let request = json!({ "room": ROOM, "before": last });
    let typing = json!({ "room": ROOM, "on": true });
    for _ in 0..40 {
        greedy.emit("typing", &typing).await.unwrap();
        greedy.start("history", &request).await.unwrap();
    }
    let mut heard = 0;
    while let Ok(packet) = tokio::time::timeout(QUIET, watching.next()).await {
        heard += usize::from(matches!(packet, Packet::Event(name, _) if name == "typing"));
    }
    assert!(
        (1..40).contains(&heard),
        "{heard} of its requests were heard"
    );
    drop(greedy);
    watching
        .expect("it leaves", |packet| match packet {
            Packet::Event(name, payload) if name == "people" => {
                (payload["left"] == json!([id])).then_some(())
            }
            _ => None,
        })
        .await;
    server.terminate();
    let (status, _) = server.exit().await;
    assert!(status.success());
}
