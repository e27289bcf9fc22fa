//! Readers that enter a room while two thousand messages a second are posted to it.

use std::net::SocketAddr;

use crate::harness::{
    client::{Client, Pace, Packet},
    server::Server,
    soon,
    words::{Said, assert_dense, post},
};

const ROOM: &str = "seam";
const POSTERS: usize = 10;
const POSTS: usize = 400;
const BURSTS_PER_SECOND: u32 = 20;
const BURST: usize = 10;
const READERS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_enters_in_the_middle_misses_nothing_and_sees_nothing_twice() {
    let server = Server::start(&["--event-rate", "0"]);
    let address = server.address();
    let mut first = Client::native(address, "first").await;
    first.join(ROOM, None).await;
    let after = first.post(ROOM, "first", None).await;
    let posters: Vec<_> = (0..POSTERS)
        .map(|n| tokio::spawn(post_all(address, n)))
        .collect();
    let mut readers = Vec::new();
    for n in 0..READERS {
        // Spread over the time in which messages are posted.
        for _ in 0..POSTERS * POSTS / READERS / 2 {
            first.said().await;
        }
        let after = (n % 2 == 0).then(|| after.clone());
        readers.push(tokio::spawn(read_to_the_last(address, after)));
    }
    for poster in posters {
        poster.await.unwrap();
    }
    first.post(ROOM, "last", None).await;
    for (n, reader) in readers.into_iter().enumerate() {
        let read = reader.await.unwrap();
        let start = if n % 2 == 0 { 2 } else { read[0].seq };
        assert_dense(&read, start);
        assert_eq!(read.last().unwrap().seq as usize, POSTERS * POSTS + 2);
        assert!(read.len() > 25, "a newcomer's history is missing");
    }
}

async fn read_to_the_last(address: SocketAddr, after: Option<String>) -> Vec<Said> {
    let mut client = Client::native(address, "reader").await;
    let answer = client.join(ROOM, after.as_deref()).await;
    assert_eq!(answer["reset"], false);
    client.said_until("last").await
}

async fn post_all(address: SocketAddr, poster: usize) {
    let mut client = Client::native(address, "poster").await;
    client.join(ROOM, None).await;
    let mut pace = Pace::per_second(BURSTS_PER_SECOND);
    let mut kept = 0;
    for burst in 0..POSTS / BURST {
        for n in 0..BURST {
            let text = format!("{poster} {}", burst * BURST + n);
            client
                .start("post", &post(ROOM, &text, None))
                .await
                .unwrap();
        }
        while kept < (burst + 1) * BURST {
            if let Packet::Ack(_, answer) = soon("an answer", client.next()).await {
                assert_eq!(answer["ok"], true, "{answer}");
                kept += 1;
            }
        }
        pace.moment().await;
    }
}
