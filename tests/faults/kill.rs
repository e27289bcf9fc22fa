//! `kill -9` while a thousand messages a second are posted.

use std::{collections::HashMap, net::SocketAddr};

use tokio::sync::mpsc::Sender;

use crate::harness::{
    client::{Client, Pace, Packet},
    server::Server,
    soon,
    words::{Said, assert_dense, post, said},
};

const ROOM: &str = "killed";
const POSTERS: usize = 50;
/// Bursts of one poster in a second, and posts in each: a thousand posts a second altogether.
const BURSTS_PER_SECOND: u32 = 2;
const BURST: usize = 10;
/// Acknowledged posts after which it is killed.
const ENOUGH: usize = 2000;

/// What one poster knows when the connection ends.
#[derive(Default)]
struct Posted {
    /// Id by text.
    acknowledged: HashMap<String, String>,
    unanswered: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_or_shown_before_a_kill_is_there_after_it_in_order_and_once() {
    let server = Server::start(&[]);
    let address = server.address();
    let mut reader = Client::native(address, "reader").await;
    reader.join(ROOM, None).await;
    let first = reader.post(ROOM, "first", None).await;
    let reader = tokio::spawn(async move {
        let (packets, _) = reader.rest().await;
        packets.iter().filter_map(said).collect::<Vec<_>>()
    });

    let (tell, mut told) = tokio::sync::mpsc::channel(2 * ENOUGH);
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| tokio::spawn(post_until_the_end(address, poster, tell.clone())))
        .collect();
    let mut acknowledged = 0;
    while acknowledged < ENOUGH {
        match soon("progress", told.recv()).await.unwrap() {
            Progress::Acknowledged => acknowledged += 1,
            Progress::Sent => {}
        }
    }
    // Right behind a burst, so that something is under way.
    while told.try_recv().is_ok() {}
    while !matches!(soon("a burst", told.recv()).await, Some(Progress::Sent)) {}
    let server = server.kill().start_again();
    let mut posted = Vec::new();
    for poster in posters {
        posted.push(poster.await.unwrap());
    }
    let shown = reader.await.unwrap();
    let unanswered: usize = posted.iter().map(|posted| posted.unanswered.len()).sum();
    println!("{} shown, {unanswered} unanswered", shown.len());
    assert_dense(&shown, 1);

    let mut repeated = Vec::new();
    for (poster, posted) in posted.iter().enumerate() {
        let unanswered = posted.unanswered.clone();
        repeated.push(tokio::spawn(repeat(address, poster, unanswered)));
    }
    let mut kept = HashMap::new();
    for (posted, repeated) in posted.into_iter().zip(repeated) {
        kept.extend(posted.acknowledged);
        kept.extend(repeated.await.unwrap());
    }
    let mut back = Client::native(server.address(), "reader").await;
    back.post_last().await;
    let last_shown = shown.last().unwrap();
    let answer = back.join(ROOM, Some(&last_shown.id)).await;
    assert_eq!(answer["reset"], false);
    let missed = back.said_until("last").await;
    assert_dense(&missed, last_shown.seq + 1);

    let mut whole = Client::native(server.address(), "another").await;
    whole.join(ROOM, Some(&first)).await;
    let all = whole.said_until("last").await;
    let read: Vec<Said> = shown[1..].iter().chain(&missed).cloned().collect();
    assert_eq!(read, all, "the reader who came back read something else");

    assert_eq!(all.len(), kept.len() + 1, "something was kept twice");
    let mut next = [0; POSTERS];
    for said in &all[..all.len() - 1] {
        assert_eq!(kept.get(&said.text), Some(&said.id), "{said:?}");
        let (poster, n) = said.text.split_once(' ').unwrap();
        let next = &mut next[poster.parse::<usize>().unwrap()];
        assert_eq!(
            n.parse(),
            Ok(*next),
            "poster {poster} was not kept in order"
        );
        *next += 1;
    }
}

impl Client {
    async fn post_last(&mut self) {
        self.join(ROOM, None).await;
        self.post(ROOM, "last", None).await;
        self.ask("leave", &serde_json::json!({ "room": ROOM }))
            .await;
        // What came up to the answer is not of interest.
        self.forget();
    }
}

enum Progress {
    Acknowledged,
    Sent,
}

/// Posts at its rate and does not wait for answers, until the connection ends.
async fn post_until_the_end(address: SocketAddr, poster: usize, tell: Sender<Progress>) -> Posted {
    let mut client = Client::native(address, &format!("poster {poster}")).await;
    client.join(ROOM, None).await;
    let mut pace = Pace::per_second(BURSTS_PER_SECOND);
    let mut under_way = HashMap::new();
    let mut posted = Posted::default();
    for n in 0.. {
        let text = format!("{poster} {n}");
        let request = post(ROOM, &text, Some(&text.replace(' ', "-")));
        posted.unanswered.push(text.clone());
        match client.start("post", &request).await {
            Ok(number) => drop(under_way.insert(number, text)),
            Err(_) => break,
        }
        if (n + 1) % BURST != 0 {
            continue;
        }
        let _ = tell.try_send(Progress::Sent);
        let ended = loop {
            tokio::select! {
                () = pace.moment() => break false,
                packet = client.next() => match packet {
                    Packet::Ack(number, answer) => {
                        assert_eq!(answer["ok"], true, "{answer}");
                        let text = under_way.remove(&number).unwrap();
                        posted.unanswered.retain(|other| *other != text);
                        let id = answer["id"].as_str().unwrap().to_owned();
                        posted.acknowledged.insert(text, id);
                        let _ = tell.try_send(Progress::Acknowledged);
                    }
                    Packet::End(_) => break true,
                    _ => {}
                },
            }
        };
        if ended {
            break;
        }
    }
    posted
}

/// Sends posts again with their keys, and returns their ids by text.
async fn repeat(
    address: SocketAddr,
    poster: usize,
    unanswered: Vec<String>,
) -> HashMap<String, String> {
    let mut client = Client::native(address, &format!("poster {poster}")).await;
    client.join(ROOM, None).await;
    let mut kept = HashMap::new();
    for text in unanswered {
        let key = text.replace(' ', "-");
        let id = client.post(ROOM, &text, Some(&key)).await;
        let again = client.post(ROOM, &text, Some(&key)).await;
        assert_eq!(again, id, "the same key was kept twice");
        kept.insert(text, id);
    }
    kept
}
