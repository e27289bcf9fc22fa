//! A client goes over from polling to its WebSocket, or joins a namespace again, while others talk: what
//! it is told goes the way through the engine before that and past it afterwards, and keeps its place.

use std::net::SocketAddr;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{
    client::{Client, Eio, Pace, Packet},
    http::Polling,
    raw::{Raw, TEXT},
    server::Server,
    soon,
    words::seq,
};

/// Messages a second that others say meanwhile.
const RATE: u32 = 1_000;

/// Messages that a client is told before and after it goes over.
const ENOUGH: usize = 30;

const ROUNDS: usize = 10;

/// Talks until it is aborted.
fn talk(address: SocketAddr) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut client = Client::websocket(address, "/").await;
        let mut pace = Pace::per_second(RATE);
        loop {
            tokio::select! {
                () = pace.moment() => client.emit("message", &json!("talk")).await.unwrap(),
                packet = client.next() => assert!(!matches!(packet, Packet::End(_)), "{packet:?}"),
            }
        }
    })
}

/// The place of a message in its room; `None` for any other packet.
fn place(packet: &str) -> Option<u64> {
    match Packet::parse(packet.strip_prefix('4')?) {
        Packet::Event(name, payload) if name == "message" => payload["id"].as_str().map(seq),
        _ => None,
    }
}

fn assert_in_place(places: &[u64], what: &str) {
    let holes = places.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    assert_eq!(holes.count(), 0, "{what}: {places:?}");
}

/// The next text on a WebSocket, pings answered and left out.
async fn text(raw: &mut Raw) -> String {
    loop {
        let (kind, content) = soon("a frame", raw.read()).await.unwrap();
        assert_eq!(kind, TEXT, "{:?}", String::from_utf8_lossy(&content));
        let text = String::from_utf8(content).unwrap();
        if text != "2" {
            return text;
        }
        raw.text("3").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_a_client_goes_over_comes_once_and_in_its_place() {
    let server = Server::start(&["--event-rate", "0"]);
    let talking = talk(server.address());
    for round in 0..ROUNDS {
        for eio in [Eio::V3, Eio::V4] {
            let mut polling = Polling::open(server.address(), eio, "").await.unwrap();
            polling.send("40").await.unwrap();
            let mut places = Vec::new();
            while places.len() < ENOUGH {
                let packet = soon("a packet", polling.next()).await.unwrap();
                places.extend(place(&packet));
            }
            let mut raw = Raw::upgrade(server.address(), &polling.upgrade_path())
                .await
                .unwrap();
            raw.text("2probe").await.unwrap();
            assert_eq!(raw.read().await.unwrap().1, b"3probe");
            // Its last poll, of which all is read.
            while let Some(packet) = polling.came() {
                places.extend(place(&packet));
            }
            let polled = places.len();
            raw.text("5").await.unwrap();
            while places.len() < polled + ENOUGH {
                places.extend(place(&text(&mut raw).await));
            }
            assert_in_place(&places, &format!("round {round}, {eio:?}"));
        }
    }
    talking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_joins_again_is_told_nothing_before_its_connect() {
    let server = Server::start(&["--event-rate", "0", "--history", "5"]);
    let talking = talk(server.address());
    let mut raw = Raw::upgrade(server.address(), "/socket.io/?EIO=4&transport=websocket")
        .await
        .unwrap();
    raw.text("40/chat,").await.unwrap();
    while !text(&mut raw).await.starts_with("40/chat,") {}
    let (mut places, mut asked) = (Vec::new(), 0);
    for round in 0..3 * ROUNDS {
        let mut is_in = false;
        let mut answered = true;
        while !(is_in && answered && places.len() >= ENOUGH) {
            if answered {
                // The engine lets nobody in who has not left altogether, and says nothing to that.
                if !is_in {
                    raw.text("40").await.unwrap();
                }
                asked += 1;
                let rooms = format!(r#"42/chat,{asked}["rooms",{{}}]"#);
                raw.text(&rooms).await.unwrap();
                answered = false;
            }
            let packet = text(&mut raw).await;
            if packet.starts_with("40{") {
                // Those of the stay before, the last of which may have come after the client had left.
                assert_in_place(&places, &format!("round {round}"));
                places.clear();
                is_in = true;
            }
            answered |= packet.starts_with(&format!("43/chat,{asked}["));
            places.extend(place(&packet));
        }
        raw.text("41").await.unwrap();
    }
    talking.abort();
}
