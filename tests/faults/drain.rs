//! SIGTERM, in the middle of everything.

use std::{collections::HashMap, net::TcpListener, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::harness::{
    client::{Client, Eio, Packet},
    http::{Polling, head},
    server::Server,
    soon,
    words::{close_reason, post},
};

const ROOM: &str = "drained";

/// A room in which nobody is told anything for so long is quiet.
const QUIET: Duration = Duration::from_millis(700);

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_are_told_and_nothing_accepted_is_lost_or_doubled() {
    let server = Server::patient(&["--host-name", "drained"]);
    let address = server.address();
    let mut native = Vec::new();
    for n in 0..180 {
        let mut client = match n % 3 {
            0 => Client::polling(address, "/chat").await,
            1 => Client::websocket(address, "/chat").await,
            _ => {
                native.push((
                    false,
                    tokio::spawn(Client::websocket(address, "/").await.rest()),
                ));
                continue;
            }
        };
        client.hello("reader").await;
        client.join(ROOM, None).await;
        native.push((true, tokio::spawn(client.rest())));
    }
    let mut stalled = Client::small(address, "/chat").await;
    stalled.hello("stalled").await;
    stalled.join(ROOM, None).await;
    let _unjoined = Client::unjoined(address, "/chat", Eio::V4).await;
    let polling = Polling::open(address, Eio::V4, "").await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    let request = head(address, "POST", &polling.path(), "", 1000) + "42[\"message\",\"half";
    half.write_all(request.as_bytes()).await.unwrap();

    let posters: Vec<_> = (0..20)
        .map(|poster| tokio::spawn(post_until_the_end(address, poster)))
        .collect();
    let mut watching = Client::native(address, "watching").await;
    watching.join(ROOM, None).await;
    for _ in 0..100 {
        watching.said().await;
    }
    server.terminate();
    let (status, server) = server.exit().await;
    assert!(status.success(), "{status}");
    drop(TcpListener::bind(address).expect("the port is free"));

    let (_, end) = watching.rest().await;
    assert_eq!(end.map(|(code, _)| code), Some(1001));
    for (n, (is_native, reader)) in native.into_iter().enumerate() {
        let (packets, end) = reader.await.unwrap();
        if is_native {
            let told = packets.iter().find_map(close_reason);
            // Whoever is between two polls finds nobody to tell it.
            if n % 3 == 0 && told.is_none() {
                continue;
            }
            assert_eq!(told, Some("shutdown"), "client {n}: {end:?}");
        }
        if n % 3 > 0 {
            assert_eq!(end.map(|(code, _)| code), Some(1001), "client {n}");
        }
        // Told in words to go, a client would not come back.
        let disconnected = packets.iter().any(|p| matches!(p, Packet::Disconnect(_)));
        assert!(!disconnected, "client {n}");
    }

    let server = server.start_again();
    let mut kept = HashMap::new();
    for poster in posters {
        let (acknowledged, unanswered) = poster.await.unwrap();
        kept.extend(acknowledged);
        let mut client = Client::native(address, "poster").await;
        client.join(ROOM, None).await;
        for text in unanswered {
            let id = client.post(ROOM, &text, Some(&text)).await;
            kept.insert(text, id);
        }
    }
    let mut reader = Client::native(server.address(), "reader").await;
    reader.join(ROOM, None).await;
    let newest = reader.post(ROOM, "last", None).await;
    let mut all = Vec::new();
    let mut before = newest;
    loop {
        let request = serde_json::json!({ "room": ROOM, "before": before });
        let answer = reader.ask("history", &request).await;
        let page = answer["messages"].as_array().unwrap();
        let said = |field: &str, at: usize| page[at][field].as_str().unwrap().to_owned();
        for at in (0..page.len()).rev() {
            all.push((said("text", at), said("id", at)));
        }
        if answer["more"] == false {
            break;
        }
        before = said("id", 0);
    }
    assert_eq!(all.len(), kept.len(), "something was kept twice, or lost");
    assert_eq!(all.into_iter().collect::<HashMap<_, _>>(), kept);
}

/// Posts with keys, several at once; returns ids by text, and what was not answered.
async fn post_until_the_end(
    address: std::net::SocketAddr,
    poster: usize,
) -> (HashMap<String, String>, Vec<String>) {
    let mut client = Client::native(address, "poster").await;
    client.join(ROOM, None).await;
    let (mut under_way, mut acknowledged) = (HashMap::new(), HashMap::new());
    let mut n = 0;
    loop {
        while under_way.len() < 5 {
            let text = format!("{poster}-{n}");
            n += 1;
            match client.start("post", &post(ROOM, &text, Some(&text))).await {
                Ok(number) => drop(under_way.insert(number, text)),
                // It may have arrived all the same.
                Err(_) => drop(under_way.insert(0, text)),
            }
            if under_way.contains_key(&0) {
                break;
            }
        }
        match soon("an answer or the end", client.next()).await {
            Packet::Ack(number, answer) if answer["ok"] == true => {
                let id = answer["id"].as_str().unwrap().to_owned();
                acknowledged.insert(under_way.remove(&number).unwrap(), id);
            }
            Packet::Ack(_, answer) => assert_eq!(answer["error"]["code"], "unavailable"),
            Packet::End(_) => return (acknowledged, under_way.into_values().collect()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn clients_that_wait_in_a_poll_are_told() {
    let server = Server::patient(&[]);
    let mut polling = Vec::new();
    for _ in 0..20 {
        let mut client = Client::polling(server.address(), "/chat").await;
        client.hello("polling").await;
        client.join(ROOM, None).await;
        polling.push(tokio::spawn(client.rest()));
    }
    let mut watching = Client::native(server.address(), "watching").await;
    watching.join(ROOM, None).await;
    // Once nothing is told any more, they wait.
    while tokio::time::timeout(QUIET, watching.next()).await.is_ok() {}
    server.terminate();
    let (status, _) = server.exit().await;
    assert!(status.success(), "{status}");
    for client in polling {
        let (packets, _) = client.await.unwrap();
        assert_eq!(packets.iter().find_map(close_reason), Some("shutdown"));
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let server = Server::patient(&[]);
    let mut client = Client::native(server.address(), "poster").await;
    client.join(ROOM, None).await;
    client.post(ROOM, "kept", None).await;
    // Somebody else holds the file, so that the store cannot finish.
    let file = server.data().join("data/log.db");
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("begin immediate").unwrap();
    client
        .start("post", &post(ROOM, "waits", None))
        .await
        .unwrap();
    client.ask("rooms", &serde_json::json!({})).await;
    server.terminate();
    server.logged(&["going down"]).await;
    server.terminate();
    let (status, _) = server.exit().await;
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn a_client_with_much_unheard_does_not_hold_up_a_drain() {
    let server = Server::patient(&["--event-rate", "1", "--flood-timeout", "1h"]);
    let mut busy = Client::native(server.address(), "busy").await;
    busy.join(ROOM, None).await;
    for n in 0..200 {
        let packet = post(ROOM, &n.to_string(), None);
        busy.start("post", &packet).await.unwrap();
    }
    busy.said().await;
    server.terminate();
    let (status, _) = server.exit().await;
    assert!(status.success());
}
