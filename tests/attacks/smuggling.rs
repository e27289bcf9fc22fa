//! Requests that two programs could take for different ones: with a second request hidden in them. Whoever reads them must see one,
//! refuse it, and close the connection; or see what the standard says (RFC 9112, 6.1 and 6.3).

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    harness::{eventually, server::Server},
    wire::{send, statuses},
};

/// What is hidden. It would be answered with 404, and end the connection.
const HIDDEN: &str =
    "GET /hidden-request HTTP/1.1\r\nHost: hidden.example\r\nConnection: close\r\n\r\n";

/// Its bytes.
const LENGTH: usize = 73;

/// Heads of a POST, without the line and the Host, with the body that follows.
fn malformed() -> Vec<(&'static str, String)> {
    assert_eq!(HIDDEN.len(), LENGTH, "as the heads say");
    let chunk = format!("0\r\n\r\n{HIDDEN}");
    let body = |text: &str| text.to_owned();
    vec![
        // Two lengths.
        ("Content-Length: 0\r\nContent-Length: 73\r\n", body(HIDDEN)),
        ("Content-Length: 73\r\nContent-Length: 0\r\n", body(HIDDEN)),
        ("Content-Length: 0, 73\r\n", body(HIDDEN)),
        ("Content-Length: 73, 0\r\n", body(HIDDEN)),
        // Lengths that are no numbers.
        ("Content-Length: +0\r\n", body(HIDDEN)),
        ("Content-Length: -1\r\n", body(HIDDEN)),
        ("Content-Length: 0x49\r\n", body(HIDDEN)),
        ("Content-Length: 7 3\r\n", body(HIDDEN)),
        ("Content-Length: \r\n", body(HIDDEN)),
        ("Content-Length: a\r\n", body(HIDDEN)),
        ("Content-Length: 0.0\r\n", body(HIDDEN)),
        ("Content-Length: 18446744073709551616\r\n", body(HIDDEN)),
        ("Content-Length: 99999999999999999999999\r\n", body(HIDDEN)),
        // Encodings that are unknown, or not the last.
        ("Transfer-Encoding: identity\r\n", chunk.clone()),
        ("Transfer-Encoding: xchunked\r\n", chunk.clone()),
        ("Transfer-Encoding: chunked, identity\r\n", chunk.clone()),
        ("Transfer-Encoding: gzip\r\n", chunk.clone()),
        ("Transfer-Encoding: chunkedx\r\n", chunk.clone()),
        ("Transfer-Encoding: \"chunked\"\r\n", chunk.clone()),
        ("Transfer-Encoding: \r\n", chunk.clone()),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            chunk.clone(),
        ),
        // Names and lines that are none.
        ("Content-Length : 73\r\n", body(HIDDEN)),
        ("Transfer-Encoding : chunked\r\n", chunk.clone()),
        (" Content-Length: 73\r\n", body(HIDDEN)),
        ("X: y\r\n Content-Length: 73\r\n", body(HIDDEN)),
        ("X: y\r\n\tTransfer-Encoding: chunked\r\n", chunk.clone()),
        ("Transfer-Encoding\r\n: chunked\r\n", chunk.clone()),
        ("Transfer\u{0}-Encoding: chunked\r\n", chunk.clone()),
        ("X: a\u{0}b\r\n", body(HIDDEN)),
        ("X: a\rTransfer-Encoding: chunked\r\n", chunk.clone()),
        ("Transfer-Encoding: \u{b}chunked\r\n", chunk.clone()),
        ("Transfer-Encoding: chun\rked\r\n", chunk.clone()),
        // Chunks whose lengths are none.
        ("Transfer-Encoding: chunked\r\n", format!("-1\r\n{HIDDEN}")),
        (
            "Transfer-Encoding: chunked\r\n",
            format!("0x49\r\n{HIDDEN}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            format!("fffffffffffffffff\r\n{HIDDEN}"),
        ),
        ("Transfer-Encoding: chunked\r\n", format!("g\r\n{HIDDEN}")),
        (
            "Transfer-Encoding: chunked\r\n",
            format!("1\r\nxx\r\n0\r\n\r\n{HIDDEN}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            format!("1;\nx\r\n0\r\n\r\n{HIDDEN}"),
        ),
        // Both.
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            chunk.clone(),
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            chunk.clone(),
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n",
            chunk,
        ),
    ]
}

fn post(head: &str, body: &str) -> Vec<u8> {
    format!("POST /nowhere HTTP/1.1\r\nHost: chat.example\r\n{head}\r\n{body}").into_bytes()
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_answered_once_and_the_connection_ends() {
    let server = Server::start(&[]);
    for (head, body) in malformed() {
        let answers = send(server.address(), &post(head, &body)).await;
        let statuses = statuses(&answers);
        // A body that cannot be read is found out when the request has been answered already: nobody wants this one.
        assert!(
            statuses.is_empty() || matches!(statuses[..], ["400"] | ["405"] | ["501"]),
            "{head:?} {body:?}: {answers}"
        );
    }
    // The same, as it should be: two requests.
    let right = post("Content-Length: 0\r\n", HIDDEN);
    let answers = send(server.address(), &right).await;
    assert_eq!(statuses(&answers), ["405", "404"], "{answers}");
    let right = post(
        "Transfer-Encoding: chunked\r\n",
        &format!("1\r\nx\r\n0\r\n\r\n{HIDDEN}"),
    );
    let answers = send(server.address(), &right).await;
    assert_eq!(statuses(&answers), ["405", "404"], "{answers}");
}

#[tokio::test]
async fn lines_and_versions_that_are_none_are_refused() {
    let server = Server::start(&[]);
    for first in [
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 x",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / http/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.1\u{b}",
        "G\u{0}T / HTTP/1.1",
        "GET /\u{0} HTTP/1.1",
        "{} / HTTP/1.1",
    ] {
        let request = format!("{first}\r\nHost: chat.example\r\n\r\n{HIDDEN}");
        let answers = send(server.address(), request.as_bytes()).await;
        let statuses = statuses(&answers);
        assert!(
            statuses.is_empty() || statuses == ["400"],
            "{first:?}: {answers}"
        );
    }
}

/// nginx in front of a server, keeping its connections to it for the next client; ended when dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    async fn before(server: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let dir = folder.path().display();
        let config = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;\n\
             events {{}}\n\
             http {{ access_log off;\n\
             client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;\n\
             uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
             upstream chat {{ server {server}; keepalive 1; }}\n\
             server {{ listen {address}; location / {{ proxy_pass http://chat; proxy_http_version 1.1;\n\
             proxy_set_header Connection ''; proxy_set_header Host $http_host; proxy_request_buffering off; }} }} }}\n"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let child = Command::new("nginx")
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx cannot be run: install it with .ci/packages");
        let nginx = Self {
            child,
            address,
            _folder: folder,
        };
        eventually("nginx listens", async || {
            TcpStream::connect(address)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn behind_nginx_no_request_is_smuggled_into_the_one_of_somebody_else() {
    let server = Server::start(&[]);
    let nginx = Nginx::before(server.address()).await;
    let honest = b"GET /health HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n";
    for (head, body) in malformed() {
        let answers = send(nginx.address, &post(head, &body)).await;
        // nginx itself may see two requests, and so does the server then: both are the attacker's.
        assert!(
            statuses(&answers).len() <= 2,
            "{head:?} {body:?}: {answers}"
        );
        let answers = send(nginx.address, honest).await;
        assert_eq!(
            statuses(&answers),
            ["200"],
            "after {head:?} {body:?}: {answers}"
        );
    }
}
