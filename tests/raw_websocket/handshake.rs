//! Who is given a WebSocket, and in which words others are refused.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    echo::{self, PATIENT},
    harness::{eventually, raw::Raw, server::Server, soon},
};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";

/// Asks with these lines, and returns the head of the answer.
async fn ask(address: SocketAddr, first: &str, lines: &[&str]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{first}\r\nHost: chat.example:3000\r\n{}\r\n",
        lines.concat()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    soon("an answer", async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn only_what_is_a_handshake_becomes_a_websocket() {
    let server = echo::start(PATIENT).await;
    let right = "GET /any HTTP/1.1";
    for (first, lines, status) in [
        (right, &[UPGRADE, VERSION, KEY][..], "101"),
        ("GET / HTTP/1.1", &[UPGRADE, VERSION, KEY], "101"),
        ("GET /?a=b HTTP/1.1", &[UPGRADE, VERSION, KEY], "101"),
        (
            right,
            &[
                UPGRADE,
                VERSION,
                KEY,
                "Sec-WebSocket-Protocol: chat, other\r\n",
            ],
            "101",
        ),
        (
            right,
            &[
                UPGRADE,
                VERSION,
                KEY,
                "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            ],
            "101",
        ),
        (
            right,
            &[UPGRADE, VERSION, KEY, "Origin: http://chat.example\r\n"],
            "101",
        ),
        (
            right,
            &[
                UPGRADE,
                VERSION,
                KEY,
                "Origin: https://chat.example:8080\r\n",
            ],
            "101",
        ),
        (
            right,
            &[UPGRADE, VERSION, KEY, "Origin: http://friend.example\r\n"],
            "101",
        ),
        (
            right,
            &[UPGRADE, VERSION, KEY, "Origin: http://evil.example\r\n"],
            "403",
        ),
        (right, &[UPGRADE, VERSION, KEY, "Origin: null\r\n"], "403"),
        ("GET /?token=no HTTP/1.1", &[UPGRADE, VERSION, KEY], "403"),
        (
            "POST /any HTTP/1.1",
            &[UPGRADE, VERSION, KEY, "Content-Length: 0\r\n"],
            "400",
        ),
        ("GET /any HTTP/1.0", &[UPGRADE, VERSION, KEY], "400"),
        (right, &["Upgrade: websocket\r\n", VERSION, KEY], "400"),
        (right, &[UPGRADE, KEY], "426"),
        (
            right,
            &[UPGRADE, "Sec-WebSocket-Version: 8\r\n", KEY],
            "426",
        ),
        (
            right,
            &[UPGRADE, "Sec-WebSocket-Version: x\r\n", KEY],
            "426",
        ),
        (right, &[UPGRADE, VERSION, VERSION, KEY], "426"),
        (right, &[UPGRADE, VERSION], "400"),
        (
            right,
            &[UPGRADE, VERSION, "Sec-WebSocket-Key: short\r\n"],
            "400",
        ),
        (
            right,
            &[
                UPGRADE,
                VERSION,
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA\r\n",
            ],
            "400",
        ),
        (
            right,
            &[UPGRADE, VERSION, "Sec-WebSocket-Key: \u{fffd}\r\n"],
            "400",
        ),
    ] {
        let head = ask(server.address, first, lines).await;
        let answered = head.split(' ').nth(1).unwrap();
        assert_eq!(answered, status, "{first} {lines:?}: {head}");
        let lower = head.to_ascii_lowercase();
        assert_eq!(
            lower.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            status == "101",
            "{head}"
        );
        assert_eq!(
            lower.contains("sec-websocket-version: 13"),
            status == "426",
            "{head}"
        );
        assert!(!lower.contains("sec-websocket-extensions"), "{head}");
        // The first that is offered: browsers refuse an answer without one.
        assert_eq!(
            lower.contains("sec-websocket-protocol: chat\r\n"),
            lines
                .iter()
                .any(|line| line.starts_with("Sec-WebSocket-Protocol")),
            "{head}"
        );
    }
    let peers = server.websocket.peers().clone();
    eventually("those who hung up are gone", async || match peers.count() {
        0 => Ok(()),
        left => Err(format!("{left} are there")),
    })
    .await;
}

#[tokio::test]
async fn every_path_but_those_of_socket_io_takes_a_websocket() {
    let server = Server::start(&[]);
    let address = server.address();
    for path in [
        "/",
        "/any/path",
        "/?port=8080&socketUrl=localhost",
        "/health",
        "/index.html",
        "//x",
    ] {
        let mut raw = Raw::upgrade(address, path).await.unwrap();
        let (_, history) = soon("the history", raw.read()).await.unwrap();
        assert!(history.starts_with(b"[{"), "{path}");
    }
    for path in [
        "/socket.io/",
        "/socket.io/1/websocket/x",
        "/socket.io/socket.io.js",
        "/socket.io",
    ] {
        if let Ok(mut raw) = Raw::upgrade(address, path).await {
            assert!(raw.ends_before("Start Chatting!").await, "{path}");
        }
    }
    for path in ["/", "/health"] {
        let head = ask(address, &format!("GET {path} HTTP/1.1"), &[]).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}

#[tokio::test]
async fn a_page_of_another_host_is_let_in_where_the_setting_says_so() {
    let origin = "Origin: http://pages.example\r\n";
    let lines = [UPGRADE, VERSION, KEY, origin];
    let server = Server::start(&[]);
    let head = ask(server.address(), "GET / HTTP/1.1", &lines).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    server
        .logged(&["another origin", "pages.example", "--cors-origin"])
        .await;
    let server = Server::start(&["--cors-origin", "http://pages.example"]);
    let head = ask(server.address(), "GET / HTTP/1.1", &lines).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}

#[tokio::test]
async fn another_version_is_told_which_there_are_on_every_path() {
    let server = Server::start(&[]);
    for (path, spoken) in [
        ("/any", "13"),
        ("/socket.io/?EIO=4&transport=websocket", "13, 8"),
        ("/socket.io/?EIO=3&transport=websocket", "13, 8"),
        ("/socket.io/1/websocket/x", "13, 8, 7"),
    ] {
        for version in ["777", "0", "", "13, 8", "-13"] {
            let version = format!("Sec-WebSocket-Version: {version}\r\n");
            let first = format!("GET {path} HTTP/1.1");
            let head = ask(server.address(), &first, &[UPGRADE, &version, KEY]).await;
            assert!(
                head.starts_with("HTTP/1.1 426 "),
                "{path} {version}: {head}"
            );
            let told = format!("\r\nsec-websocket-version: {spoken}\r\n");
            assert!(head.contains(&told), "{path}: {head}");
        }
    }
}
