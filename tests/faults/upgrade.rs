//! Upgrades from polling to WebSocket that fail half-way.

use serde_json::json;

use crate::harness::{
    client::Eio,
    http::Polling,
    raw::{BINARY, PING, PONG, Raw, TEXT, frame, header},
    server::Server,
    soon,
};

/// What a client sends on the new connection, packet by packet, before it leaves or is left.
const HALF_WAYS: [(&str, &[&[u8]]); 8] = [
    ("nothing", &[]),
    ("a message", &[br#"42["message","x"]"#]),
    ("garbage", &[b"\xff\xfe"]),
    ("another probe", &[b"2prob"]),
    ("an upgrade without a probe", &[b"5"]),
    ("a probe", &[b"2probe"]),
    (
        "a probe and a message",
        &[b"2probe", br#"42["message","x"]"#],
    ),
    ("a probe twice", &[b"2probe", b"2probe"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_upgrade_fails_goes_on_polling() {
    let server = Server::patient(&["--ping-interval", "2s", "--ping-timeout", "2s"]);
    let address = server.address();
    for eio in [Eio::V3, Eio::V4] {
        for hangs_up in [true, false] {
            for (what, packets) in HALF_WAYS {
                for kind in [TEXT, BINARY] {
                    if !hangs_up && packets.is_empty() {
                        continue;
                    }
                    let mut polling = Polling::open(address, eio, "").await.unwrap();
                    let mut raw = Raw::upgrade(address, &polling.upgrade_path())
                        .await
                        .unwrap();
                    for packet in packets {
                        let _ = raw.write(&frame(true, kind, packet)).await;
                    }
                    let kept = (!hangs_up).then_some(raw);
                    assert_eq!(
                        soon(what, polls_or_ends(&mut polling)).await,
                        "polls on",
                        "{eio:?}, {what}"
                    );
                    drop(kept);
                }
            }
        }
    }
    let mut polling = Polling::open(address, Eio::V4, "").await.unwrap();
    assert_eq!(polls_or_ends(&mut polling).await, "polls on");
    // Cut off inside a frame.
    let mut polling = Polling::open(address, Eio::V4, "").await.unwrap();
    let mut raw = Raw::upgrade(address, &polling.upgrade_path())
        .await
        .unwrap();
    raw.write(&header(true, TEXT, 6)).await.unwrap();
    drop(raw);
    let cut_short = soon("a frame cut short", polls_or_ends(&mut polling)).await;
    assert_eq!(cut_short, "polls on");

    server.terminate();
    let (status, _) = server.exit().await;
    assert!(status.success(), "{status}");
}

/// Asks until the session answers an event, or is over.
async fn polls_or_ends(polling: &mut Polling) -> &'static str {
    let mark = json!(["message", "still here"]);
    if !connects(polling).await {
        return "ends";
    }
    let _ = polling.send(&format!("421{mark}")).await;
    loop {
        match polling.next().await {
            Some(packet) if packet.starts_with("431") => return "polls on",
            Some(packet) if packet == "2" => drop(polling.send("3").await),
            Some(_) => {}
            None => return "ends",
        }
    }
}

/// Joins `/`, and waits until it is let in: what is said before that ends a session.
async fn connects(polling: &mut Polling) -> bool {
    let _ = polling.send("40").await;
    loop {
        match polling.next().await {
            Some(packet) if packet.starts_with("40") => return true,
            Some(packet) if packet == "2" => drop(polling.send("3").await),
            Some(_) => {}
            None => return false,
        }
    }
}

#[tokio::test]
async fn what_is_said_right_behind_an_upgrade_is_heard_and_the_poll_that_waits_is_answered() {
    let server = Server::start(&[]);
    for eio in [Eio::V3, Eio::V4] {
        let mut polling = Polling::open(server.address(), eio, "").await.unwrap();
        assert!(connects(&mut polling).await);
        let mut raw = Raw::upgrade(server.address(), &polling.upgrade_path())
            .await
            .unwrap();
        // As proxies that watch over their connections send them.
        raw.write(&frame(true, PING, b"here?")).await.unwrap();
        raw.text("2probe").await.unwrap();
        assert_eq!(raw.read().await.unwrap(), (PONG, b"here?".to_vec()));
        assert_eq!(raw.read().await.unwrap(), (TEXT, b"3probe".to_vec()));
        soon("a noop", async {
            while polling.next_with_noop().await.unwrap() != "6" {}
        })
        .await;
        let behind = [
            frame(true, TEXT, b"5"),
            frame(true, TEXT, br#"421["message","on the new one"]"#),
        ];
        raw.write(&behind.concat()).await.unwrap();
        assert!(!raw.ends_before("on the new one").await);
    }
}

#[tokio::test]
async fn a_session_is_not_upgraded_twice() {
    let server = Server::start(&[]);
    let mut polling = Polling::open(server.address(), Eio::V4, "").await.unwrap();
    assert!(connects(&mut polling).await);
    let path = polling.upgrade_path();
    let mut first = Raw::upgrade(server.address(), &path).await.unwrap();
    first.text("2probe").await.unwrap();
    assert_eq!(first.read().await.unwrap().1, b"3probe");
    let mut second = Raw::upgrade(server.address(), &path).await.unwrap();
    assert!(second.ends_before("3probe").await);
    first.text("5").await.unwrap();
    first.text(r#"421["message","moved"]"#).await.unwrap();
    assert!(!first.ends_before("moved").await);
    let mut third = Raw::upgrade(server.address(), &path).await.unwrap();
    assert!(third.ends_before("3probe").await);
    first.text(r#"422["message","still here"]"#).await.unwrap();
    assert!(!first.ends_before("still here").await);
}

#[tokio::test]
async fn a_session_that_is_not_known_is_not_upgraded() {
    let server = Server::start(&[]);
    let path = "/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA";
    let refused = Raw::upgrade(server.address(), path).await.err().unwrap();
    assert!(refused.to_string().starts_with("HTTP/1.1 400"), "{refused}");
}
