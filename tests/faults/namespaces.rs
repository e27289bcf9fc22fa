//! Several namespaces on one connection, CONNECT at the wrong time, and events for nobody.

use serde_json::json;

use crate::harness::{
    client::{Client, Eio, Packet},
    raw::{Raw, TEXT, frame},
    server::Server,
    soon,
    words::close_reason,
};

const ROOM: &str = "namespaces";

#[tokio::test]
async fn leaving_one_of_two_namespaces_keeps_the_other_and_frees_the_place() {
    let server = Server::start(&[]);
    let mut watching = Client::native(server.address(), "watching").await;
    watching.join(ROOM, None).await;
    let mut both = Client::native(server.address(), "both").await;
    both.join(ROOM, None).await;
    both.send("40").await.unwrap();
    both.expect("the other CONNECT", |packet| {
        (*packet == Packet::Connect(String::new())).then_some(())
    })
    .await;
    both.send("41/chat,").await.unwrap();
    people(&mut watching, 1).await;
    watching.post(ROOM, "not for those who left", None).await;

    both.send(r#"42["message","to the lobby"]"#).await.unwrap();
    let heard = both
        .expect("its own message", |packet| match packet {
            Packet::Event(name, payload) if name == "message" => Some(payload.clone()),
            _ => None,
        })
        .await;
    assert_eq!(heard["text"], "to the lobby");

    // Back again, on the same connection.
    both.join_namespace().await;
    both.hello("both").await;
    both.join(ROOM, None).await;
    people(&mut watching, 2).await;
    both.send("41").await.unwrap();
    both.post(ROOM, "still here", None).await;
}

async fn people(client: &mut Client, total: usize) {
    client
        .expect(&format!("{total} are there"), |packet| match packet {
            Packet::Event(name, payload) if name == "people" => {
                (payload["total"] == total).then_some(())
            }
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn a_client_that_connects_again_is_there_once_and_leaves_nobody_behind() {
    let server = Server::start(&[]);
    let mut watching = Client::native(server.address(), "watching").await;
    watching.join(ROOM, None).await;
    let mut twice = Client::native(server.address(), "twice").await;
    twice.join(ROOM, None).await;
    for _ in 0..10 {
        twice.send("40/chat,").await.unwrap();
    }
    let answer = twice.ask("rooms", &json!({})).await;
    assert_eq!(answer["rooms"][0]["people"], 2, "{answer}");
    twice.post(ROOM, "once", None).await;
    assert_eq!(twice.said().await.text, "once");
    drop(twice);
    people(&mut watching, 1).await;
}

#[tokio::test]
async fn events_in_one_burst_with_connect_are_heard_or_the_connection_ends() {
    let server = Server::start(&[]);
    for round in 0..50 {
        let mut raw = Raw::upgrade(server.address(), "/socket.io/?EIO=4&transport=websocket")
            .await
            .unwrap();
        let burst: Vec<u8> = ["40/chat,", r#"42/chat,1["hello",{"name":"hasty"}]"#]
            .iter()
            .flat_map(|packet| frame(true, TEXT, packet.as_bytes()))
            .collect();
        raw.write(&burst).await.unwrap();
        // A client that sends before it is connected is answered, or it learns that it was not heard.
        let ended = raw.ends_before(r#"43/chat,1[{"#).await;
        if round == 0 {
            println!("a burst with CONNECT: ended {ended}");
        }
    }
}

#[tokio::test]
async fn namespaces_that_do_not_exist_or_were_not_joined_harm_nobody() {
    let server = Server::start(&[]);
    let mut client = Client::native(server.address(), "lost").await;
    client.send("40/nowhere,").await.unwrap();
    client
        .expect("a connect error", |packet| match packet {
            Packet::ConnectError(text) => {
                assert!(text.contains("Invalid namespace"), "{text}");
                Some(())
            }
            _ => None,
        })
        .await;
    client.join(ROOM, None).await;
    client.post(ROOM, "still here", None).await;
    // As on Node.
    client.send(r#"42/nowhere,["message","x"]"#).await.unwrap();
    soon("the end", async {
        while !matches!(client.next().await, Packet::End(_)) {}
    })
    .await;
    let mut client = Client::native(server.address(), "found").await;
    client.join(ROOM, None).await;

    let mut unjoined = Client::unjoined(server.address(), "/chat", Eio::V4).await;
    unjoined.send("40").await.unwrap();
    unjoined.send(r#"42/chat,1["rooms",{}]"#).await.unwrap();
    let end = soon("it is not answered", async {
        loop {
            match unjoined.next().await {
                Packet::End(end) => return end,
                Packet::Ack(_, answer) => panic!("{answer}"),
                packet => assert_eq!(close_reason(&packet), None),
            }
        }
    });
    println!(
        "an event for a namespace that was not joined: {:?}",
        end.await
    );
    client.post(ROOM, "and still", None).await;
}

#[tokio::test]
async fn an_event_is_heard_by_its_name_however_that_is_written() {
    let server = Server::start(&[]);
    let message = r#"42["\u006dess\u0061ge","by its name"]"#;
    for mut client in [
        Client::websocket(server.address(), "/").await,
        Client::polling(server.address(), "/").await,
    ] {
        client.send(message).await.unwrap();
        let heard = client
            .expect("its own message", |packet| match packet {
                Packet::Event(name, payload) if name == "message" => Some(payload.clone()),
                _ => None,
            })
            .await;
        assert_eq!(heard["text"], "by its name");
        // Of another name, whatever comes behind it.
        client.send(r#"42["a\"b","nor this"]"#).await.unwrap();
        client.send(r#"42["","message","not this"]"#).await.unwrap();
        client.send(r#"42["message","the end"]"#).await.unwrap();
        let next = client
            .expect("the last", |packet| match packet {
                Packet::Event(name, payload) if name == "message" => Some(payload.clone()),
                _ => None,
            })
            .await;
        assert_eq!(next["text"], "the end");
    }
    server
        .logged(&["refused an event", r#""event":"\"a\\\"b\"""#])
        .await;
}
