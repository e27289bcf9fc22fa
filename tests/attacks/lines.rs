//! Log lines that strangers cause: few, however often they try.

use serde_json::{Value, json};

use crate::{
    harness::{
        client::{Client, Packet},
        http::ask,
        server::Server,
    },
    wire::{head, send},
};

/// How often each thing is done. A line in ten seconds is written, so no more than a few even on a slow machine.
const OFTEN: usize = 40;

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// The lines with this in them, the details apart.
fn lines(server: &Server, text: &str) -> Vec<Value> {
    let log = server.log().into_iter();
    let lines = log.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines
        .filter(|line| line["level"] != "DEBUG")
        .filter(|line| line["fields"]["message"].as_str().unwrap().contains(text))
        .collect()
}

fn are_few(server: &Server, text: &str) {
    let lines = lines(server, text);
    assert!((1..OFTEN / 4).contains(&lines.len()), "{text}: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_do_again_and_again_is_logged_once_in_a_while_by_its_kind() {
    let secret = "0123456789abcdef0123456789abcdef";
    let server = Server::start(&["--jwt-secret", secret]);
    let address = server.address();

    // Events that no front end knows, and tokens that are none.
    let mut client = Client::websocket(address, "/").await;
    for n in 0..OFTEN {
        client.emit(&format!("x{n}"), &json!(1)).await.unwrap();
    }
    let mut native = Client::websocket(address, "/chat").await;
    for _ in 0..OFTEN {
        let hello = json!({ "name": "ann", "room": "lobby", "token": "a.b.c" });
        native.ask("hello", &hello).await;
    }
    for _ in 0..OFTEN {
        let mut stranger =
            Client::unjoined(address, "/kschat", crate::harness::client::Eio::V4).await;
        stranger.send("40/kschat,").await.unwrap();
        let refused = |packet: &Packet| matches!(packet, Packet::ConnectError(_)).then_some(());
        stranger.expect("a refusal", refused).await;
    }
    are_few(&server, "refused an event");
    are_few(&server, "refused a token");

    // Sessions that end for what their clients do, each kind for itself.
    for _ in 0..OFTEN {
        let opened = ask(address, "GET", POLLING, "", b"").await.unwrap().body;
        let open: Value = serde_json::from_str(&opened[1..]).unwrap();
        let session = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
        ask(address, "POST", &session, "", b"?").await.unwrap();
    }
    are_few(&server, "ending a session");
    let opened = ask(address, "GET", POLLING, "", b"").await.unwrap().body;
    let open: Value = serde_json::from_str(&opened[1..]).unwrap();
    let session = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
    let _ = ask(address, "POST", &session, "", &[b'4'; 200_000]).await;
    server.logged(&["ending a session", "too_large"]).await;

    // Pages of other sites.
    let page = "GET /any HTTP/1.1\r\nHost: chat.example\r\nOrigin: http://evil.example\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for _ in 0..OFTEN {
        head(address, page.as_bytes()).await;
    }
    are_few(&server, "another origin");

    // Requests that are none are nobody's business.
    let before = server.log().len();
    for _ in 0..OFTEN {
        send(address, b"GET / HTTP/1.1\r\n\r\n").await;
        send(address, b"\x16\x03\x01\r\n\r\n").await;
    }
    assert_eq!(server.log().len(), before, "{:#?}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_no_place_left_is_logged_once_in_a_while() {
    let server = Server::start(&["--max-connections", "2", "--handshake-rate", "0"]);
    let address = server.address();
    for _ in 0..2 {
        ask(address, "GET", POLLING, "", b"").await.unwrap();
    }
    for _ in 0..OFTEN {
        let refused = ask(address, "GET", POLLING, "", b"").await.unwrap();
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    are_few(&server, "refused a session");
    let line = server.logged(&["refused a session"]).await;
    assert!(
        line.contains("--max-connections") && line.contains("127.0.0.1"),
        "{line}"
    );
}
