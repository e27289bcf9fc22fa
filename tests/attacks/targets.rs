//! Whom a request is for, and where it is from: what the request line and headers say of it, and what is not believed.

use std::fs;

use serde_json::Value;

use crate::{
    harness::{http::ask, server::Server},
    wire::{head, send, statuses},
};

#[tokio::test]
async fn a_request_names_one_host() {
    let server = Server::start(&[]);
    for (first, headers, status) in [
        ("GET /health HTTP/1.1", "Host: chat.example\r\n", "200"),
        ("GET /health HTTP/1.1", "Host: [::1]:3000\r\n", "200"),
        ("GET /health HTTP/1.1", "Host:\r\n", "200"),
        ("GET /health HTTP/1.0", "", "200"),
        ("GET /health HTTP/1.1", "", "400"),
        ("GET /health HTTP/1.1", "Host: a\r\nHost: a\r\n", "400"),
        ("GET /health HTTP/1.1", "Host: a\r\nhost: b\r\n", "400"),
        ("GET /health HTTP/1.0", "Host: a\r\nHost: b\r\n", "400"),
        ("GET /health HTTP/1.1", "Host: a b\r\n", "400"),
        ("GET /health HTTP/1.1", "Host: a/b\r\n", "400"),
        ("GET /health HTTP/1.1", "Host: ann@a\r\n", "400"),
        ("GET /health HTTP/1.1", "Host: http://a\r\n", "400"),
        ("GET /health HTTP/1.1", "Host: a:b\r\n", "400"),
        // Wherever a request goes.
        (
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1",
            "",
            "400",
        ),
        (
            "GET /socket.io/1/ HTTP/1.1",
            "Host: a\r\nHost: b\r\n",
            "400",
        ),
        ("GET /nowhere HTTP/1.1", "", "400"),
    ] {
        let version = first.rsplit(' ').next().unwrap();
        let next = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let request = format!("{first}\r\n{headers}\r\n{next}");
        let answers = send(server.address(), request.as_bytes()).await;
        let answers = answers.replace("HTTP/1.0 ", "HTTP/1.1 ");
        let statuses = statuses(&answers);
        assert_eq!(statuses[0], status, "{first} {headers:?}: {answers}");
        // What follows on the connection may be somebody else's.
        let goes_on = status == "200" && version == "HTTP/1.1";
        assert_eq!(
            statuses.len() == 2,
            goes_on,
            "{first} {headers:?}: {answers}"
        );
    }
}

#[tokio::test]
async fn no_request_makes_a_redirect_to_another_host() {
    let pages = tempfile::tempdir().unwrap();
    for name in ["folder", "evil.example"] {
        fs::create_dir(pages.path().join(name)).unwrap();
        fs::write(pages.path().join(name).join("index.html"), "a page").unwrap();
    }
    let folder = pages.path().to_str().unwrap();
    let mut redirects = 0;
    for flags in [&["--public", folder][..], &[]] {
        let server = Server::start(flags);
        for target in [
            "http://evil.example/folder",
            "http://evil.example/css",
            "http://evil.example/public/folder",
            "http://evil.example",
            "//evil.example",
            "//evil.example/",
            "/\\evil.example",
            "/folder?next=//evil.example",
            "/folder//evil.example",
            "/evil.example",
            "/public//evil.example",
            "/%2f%2fevil.example",
            "http://evil.example//evil.example",
            "/logout",
            "http://evil.example/logout",
        ] {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
            let answers = send(server.address(), request.as_bytes()).await;
            let lines = answers.lines().filter_map(|line| line.split_once(": "));
            for (_, place) in lines.filter(|(name, _)| *name == "location") {
                redirects += 1;
                let is_path = place.starts_with('/') && !place.starts_with("//");
                let is_path = is_path && !place.starts_with("/\\");
                assert!(is_path, "{flags:?} {target}: {answers}");
            }
        }
    }
    assert!(redirects > 4, "{redirects}");
}

#[tokio::test]
async fn an_address_in_the_request_line_counts_as_its_path() {
    let server = Server::start(&[]);
    for (target, status) in [
        ("http://chat.example/health", "200"),
        ("HTTP://chat.example:80/health", "200"),
        (
            "http://chat.example/socket.io/?EIO=4&transport=polling",
            "200",
        ),
        ("http://chat.example/socket.io/1/", "200"),
        ("ftp://chat.example/health", "400"),
        ("http://ann@chat.example/health", "400"),
        ("chat.example:80", "400"),
        ("*", "400"),
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n");
        let answers = send(server.address(), request.as_bytes()).await;
        assert_eq!(statuses(&answers), [status], "{target}: {answers}");
    }
    // Its host is the one that counts, whatever Host says: a page of that host is ours.
    for (target, origin, status) in [
        ("http://chat.example/ws", "http://chat.example", "101"),
        ("http://chat.example/ws", "http://other.example", "403"),
    ] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: other.example\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let answers = head(server.address(), request.as_bytes()).await;
        assert_eq!(statuses(&answers), [status], "{target} {origin}: {answers}");
    }
    let connect = b"CONNECT chat.example:80 HTTP/1.1\r\nHost: chat.example:80\r\n\r\n";
    let answers = head(server.address(), connect).await;
    assert_eq!(statuses(&answers), ["405"], "{answers}");
}

#[tokio::test]
async fn what_a_client_writes_into_forwarded_headers_changes_nothing() {
    let server = Server::start(&["--trusted-proxy", "10.0.0.0/8"]);
    let lies = [
        "X-Forwarded-For: 10.1.1.1\r\n",
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
        "X-Real-IP: 203.0.113.7\r\n",
        "Forwarded: for=203.0.113.7;proto=https;host=evil.example\r\n",
        "X-Forwarded-Host: evil.example\r\nX-Forwarded-Server: evil.example\r\n",
        "X-Original-URL: /ready\r\nX-Rewrite-URL: /ready\r\n",
        "X-HTTP-Method-Override: DELETE\r\n",
        // Of the listener for other replicas.
        "handshaken-client: 203.0.113.7:80\r\nhandshaken-secret: none\r\n",
    ];
    for lie in lies {
        let path = "/socket.io/?EIO=4&transport=polling";
        let opened = ask(server.address(), "GET", path, lie, b"").await.unwrap();
        assert_eq!(opened.status, 200, "{lie} {opened:?}");
        let cookies = opened.head.to_ascii_lowercase();
        assert!(!cookies.contains("secure"), "{lie} {opened:?}");
        let open: Value = serde_json::from_str(&opened.body[1..]).unwrap();
        let path = format!("{path}&sid={}", open["sid"].as_str().unwrap());
        // No packet of Engine.IO begins so; the log tells whose it was.
        ask(server.address(), "POST", &path, lie, b"?")
            .await
            .unwrap();
    }
    server.logged(&["bad_packet"]).await;
    let log = server.log().join("\n");
    assert!(log.contains("127.0.0.1"), "{log}");
    assert!(
        !log.contains("203.0.113.7") && !log.contains("10.1.1.1"),
        "{log}"
    );
}
