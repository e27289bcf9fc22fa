//! Upgrades from polling to WebSocket that fail half-way.

use serde_json::json;

use crate::harness::{
    client::Eio,
    http::Polling,
    raw::{BINARY, Raw, TEXT, frame, header},
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
async fn a_session_whose_upgrade_fails_goes_on_or_ends_but_does_not_hang() {
    let server = Server::start(&["--ping-interval", "2s", "--ping-timeout", "2s"]);
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
                    soon(what, polls_or_ends(&mut polling)).await;
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
    soon("a frame cut short", polls_or_ends(&mut polling)).await;

    server.terminate();
    let (status, took, _) = server.exit().await;
    assert!(status.success(), "{status}");
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

/// Asks until the session answers an event, or is over.
async fn polls_or_ends(polling: &mut Polling) -> &'static str {
    let mark = json!(["message", "still here"]);
    let _ = polling.send("40").await;
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

#[tokio::test]
async fn a_session_that_is_not_known_is_not_upgraded() {
    let server = Server::start(&[]);
    let path = "/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA";
    let refused = Raw::upgrade(server.address(), path).await.err().unwrap();
    assert!(refused.to_string().starts_with("HTTP/1.1 400"), "{refused}");
}
