//! A server that has as many connections as it may have: it is full, and well.

use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::harness::{
    client::{Client, Eio},
    eventually,
    http::{Polling, ask},
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
async fn sessions_that_end_without_joining_leave_their_places() {
    let server = Server::start(&["--max-connections", "20"]);
    let address = server.address();
    let path = format!("{}&transport=polling", Eio::V4.path());
    let mut sessions = Vec::new();
    for _ in 0..20 {
        sessions.push(Polling::open(address, Eio::V4, "").await.unwrap());
    }
    let answer = ask(address, "GET", &path, "", b"").await.unwrap();
    assert_eq!(
        (answer.status, &*answer.body),
        (403, r#"{"code":4,"message":"Forbidden"}"#)
    );
    for mut session in sessions {
        assert_eq!(session.send("1").await.unwrap().body, "ok");
    }
    let answer = ask(address, "GET", &path, "", b"").await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn sessions_that_joined_leave_their_places_when_they_end() {
    let server = Server::start(&["--max-connections", "20"]);
    for _ in 0..100 {
        eventually("there is room", async || {
            let session = Polling::open(server.address(), Eio::V4, "").await;
            let mut session = session.map_err(|error| error.to_string())?;
            session
                .send("40")
                .await
                .map_err(|error| error.to_string())?;
            let joined = session.next().await.unwrap_or_default();
            assert!(joined.starts_with("40"), "{joined}");
            assert_eq!(session.send("1").await.unwrap().body, "ok");
            Ok::<_, String>(())
        })
        .await;
    }
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
