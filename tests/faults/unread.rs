//! Sessions that are told much and never read: what waits for them stays in the store.

use std::io;

use handshaken::chat::message::MessageId;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::harness::{
    client::{Client, Eio, Packet},
    http::Polling,
    raw::Raw,
    server::Server,
    soon,
};

/// Messages in the lobby, and their size in bytes.
const MESSAGES: u64 = 105;
const SIZE: usize = 99_000;

/// Sessions that poll, and of WebSockets: the kernel holds some megabytes for each of those.
const POLLING: usize = 300;
const WEBSOCKETS: usize = 50;

/// What the server may take, in bytes; a third of what these sessions would cost if each had its own 3 MB.
const MEMORY: u64 = 400 << 20;

/// What all of these sessions may cost, in KiB.
const COST: usize = 64 * 1024;

/// Returns the id of the first message.
async fn fill(server: &Server) -> io::Result<MessageId> {
    let mut author = Client::websocket(server.address(), "/").await;
    let text = json!("x".repeat(SIZE));
    let mut first = None;
    for _ in 0..MESSAGES {
        author.emit("message", &text).await?;
        let id = author.expect("its own message", id).await;
        first.get_or_insert(id);
        author.forget();
    }
    Ok(first.unwrap())
}

fn id(packet: &Packet) -> Option<MessageId> {
    match packet {
        Packet::Event(name, said) if name == "message" => said["id"].as_str()?.parse().ok(),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_never_read_cost_little_and_miss_nothing() {
    let server = Server::start(&[
        "--event-rate",
        "0",
        "--ping-timeout",
        "5m",
        "--stall-timeout",
        "5m",
    ]);
    let first = fill(&server).await.unwrap();
    let limit = Rlimit {
        current: Some(MEMORY),
        maximum: Some(MEMORY),
    };
    let pid = Pid::from_raw(server.id() as i32);
    prlimit(pid, Resource::Data, limit).unwrap();
    let before = server.memory();

    let join = format!("40{}", json!({ "after": first.to_string() }));
    let mut polling = Vec::new();
    for _ in 0..POLLING {
        let mut session = Polling::open(server.address(), Eio::V4, "").await.unwrap();
        session.send(&join).await.unwrap();
        polling.push(session);
    }
    let mut websockets = Vec::new();
    for _ in 0..WEBSOCKETS {
        let path = "/socket.io/?EIO=4&transport=websocket";
        let mut session = Raw::upgrade(server.address(), path).await.unwrap();
        session.text(&join).await.unwrap();
        websockets.push(session);
    }
    // Whoever comes last has been dealt with when it is served.
    let mut newcomer = Client::polling(server.address(), "/").await;
    for _ in 0..25 {
        newcomer.expect("the history", id).await;
    }
    let cost = server.memory().saturating_sub(before);
    println!("the sessions cost {cost} KiB");
    assert!(cost < COST, "the sessions cost {cost} KiB");

    let mut reader = polling.pop().unwrap();
    let mut had = Vec::new();
    while had.len() + 1 < MESSAGES as usize {
        let packet = soon("a packet", reader.next()).await.unwrap();
        if let Some(event) = packet.strip_prefix('4') {
            had.extend(id(&Packet::parse(event)).map(|id| id.seq));
        }
    }
    assert_eq!(had, Vec::from_iter(2..=MESSAGES));
}
