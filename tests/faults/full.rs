//! A server that has as many connections as it may have: it is full, and well.

use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::harness::{
    client::{Client, Eio},
    eventually,
    http::ask,
    raw::Raw,
    server::Server,
    soon,
};

/// More than are set aside for health checks.
const SILENT: usize = 20;

#[tokio::test]
async fn a_full_server_is_well_and_says_that_it_is_full() {
    let server = Server::start(&["--max-connections", "2"]);
    let address = server.address();
    let mut first = Client::native(address, "first").await;
    let second = Client::native(address, "second").await;

    let health = ask(address, "GET", "/health", "", b"").await.unwrap();
    assert_eq!((health.status, &*health.body), (200, ""));
    for path in ["/", "/socket.io/?EIO=4&transport=polling"] {
        let answer = ask(address, "GET", path, "", b"").await.unwrap();
        assert_eq!(answer.status, 503, "{path}");
    }
    let path = format!("{}&transport=websocket", Eio::V4.path());
    let refused = Raw::upgrade(address, &path).await.err().unwrap();
    let refused = refused.to_string().to_lowercase();
    assert!(refused.starts_with("http/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");

    first.join("room", None).await;
    drop(second);
    // The one that is let in is the third: another that only asked might not have gone yet.
    eventually("there is room again", async || {
        let third = Raw::upgrade(address, &path).await;
        third.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn connections_that_ask_for_nothing_do_not_keep_a_full_server_from_being_checked() {
    let server = Server::start(&["--max-connections", "1"]);
    let address = server.address();
    let mut only = Client::native(address, "only").await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let health = soon("an answer", ask(address, "GET", "/health", "", b"")).await;
    assert_eq!(health.unwrap().status, 200);
    let mut rest = Vec::new();
    for mut connection in silent {
        // Closed, or reset: it said nothing and is told nothing.
        let _ = soon("the end", connection.read_to_end(&mut rest)).await;
    }
    assert!(rest.is_empty());
    only.join("room", None).await;
}
