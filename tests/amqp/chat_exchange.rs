//! Exchange `chatExchange`, of AMQPChat and rabbitpubsub: gone with its last queue, bodies of two shapes.

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::{
    everything,
    harness::{client::Packet, http, redis::RedisServer, soon},
    node::{CHAT_EXCHANGE, MESSAGES, Node},
    one_is_connected, place, replica, replicas, server,
};

/// What an AMQPChat server has published.
async fn amqpchat(node: &Node, name: &str, text: &str) {
    let marked = text.replace(name, &format!("<b class=\"you\">{name}</b>"));
    let body = json!({ "action": "message", "name": name, "message": marked });
    let json = BasicProperties::default().with_content_type("application/json".into());
    node.publish_with(json, body.to_string()).await;
}

/// What a rabbitpubsub server has published.
async fn rabbitpubsub(node: &Node, name: &str, text: &str) {
    let body = json!({ "action": "message", "user": name, "msg": text });
    let json = BasicProperties::default().with_content_type("application/json".into());
    node.publish_with(json, body.to_string()).await;
}

fn author_and_text(packet: &Packet) -> Option<(String, String)> {
    match packet {
        Packet::Event(name, said) if name == "message" => {
            let field = |field: &str| said[field].as_str().map(str::to_owned);
            Some((field("author")?, field("text")?))
        }
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_on_either_side_is_seen_once_with_its_author() {
    let (place, redis) = (place(), RedisServer::start());
    let servers = replicas(&redis, &place.url(), "chatExchange", 2);
    one_is_connected(&servers).await;
    let mut node = Node::on(&place.url(), &CHAT_EXCHANGE).await;
    let mut replicas = Vec::new();
    for server in &servers {
        replicas.push(replica(server.address(), "ann").await);
    }
    amqpchat(&node, "bob", "I am bob").await;
    rabbitpubsub(&node, "cid", "/me waves").await;
    for news in [
        json!({ "action": "system", "name": "bob", "message": " left the chat!" }),
        json!({ "action": "control", "user": "cid", "msg": " joined the channel" }),
    ] {
        node.publish(news.to_string()).await;
    }
    amqpchat(&node, &"long ".repeat(50), "a name that is cut").await;
    replicas[0].post("lobby", "ann <3 you", None).await;
    for replica in &mut replicas {
        let mut said = Vec::new();
        while said.len() < 4 {
            said.push(replica.expect("a message", author_and_text).await);
        }
        said.sort();
        let expected = [
            ("ann", "ann <3 you"),
            ("bob", "I am bob"),
            ("cid", "/me waves"),
            (
                "long long long long long long long long",
                "a name that is cut",
            ),
        ];
        assert_eq!(
            said,
            expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }
    let ours = loop {
        let delivery = node.next().await;
        let body: Value = serde_json::from_slice(&delivery.data).unwrap();
        if body["name"] == "ann" {
            break (body, delivery.properties);
        }
    };
    let expected = json!({
        "action": "message",
        "name": "ann", "message": "<b class=\"you\">ann</b> &lt;3 you",
        "user": "ann", "msg": "ann <3 you",
    });
    assert_eq!(ours.0, expected);
    assert_eq!(
        ours.1.content_type().as_ref().unwrap().as_str(),
        "application/json"
    );
    assert_eq!(everything(servers[1].address()).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchange_lives_on_with_our_queue_and_is_there_when_old_servers_come_back() {
    let place = place();
    let server = server(&place.url(), "chatExchange");
    server.logged(&["bridge is connected"]).await;
    let mut ann = replica(server.address(), "ann").await;
    for round in 0..3 {
        let mut node = Node::on(&place.url(), &CHAT_EXCHANGE).await;
        amqpchat(&node, "bob", &format!("{round}")).await;
        ann.said_until(&format!("{round}")).await;
        node.next().await;
        ann.post("lobby", "hi", None).await;
        assert_eq!(node.body().await["msg"], "hi");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_one_bridge_goes_out_to_the_others_and_not_back() {
    let place = place();
    let server = server(&place.url(), "messages,chatExchange");
    server.logged(&["bridge is connected", "messages"]).await;
    server
        .logged(&["bridge is connected", "chatExchange"])
        .await;
    let mut talk = Node::on(&place.url(), &MESSAGES).await;
    let mut amqp = Node::on(&place.url(), &CHAT_EXCHANGE).await;
    amqpchat(&amqp, "bob", "from bob").await;
    assert_eq!(amqp.body().await["name"], "bob");
    assert_eq!(talk.body().await["text"], "from bob");
    talk.say("from somebody").await;
    assert_eq!(talk.body().await["text"], "from somebody");
    let body = amqp.body().await;
    assert_eq!(
        (&body["user"], &body["msg"]),
        (&json!("Guest"), &json!("from somebody"))
    );
    // What came back would come before what is said last.
    let mut ann = replica(server.address(), "ann").await;
    ann.post("lobby", "last", None).await;
    assert_eq!(talk.body().await["text"], "last");
    assert_eq!(amqp.body().await["msg"], "last");
    assert_eq!(
        everything(server.address()).await,
        ["from bob", "from somebody", "last"]
    );
    let answer = soon(
        "/ready",
        http::ask(server.address(), "GET", "/ready", "", b""),
    )
    .await;
    let ready: Value = serde_json::from_str(&answer.unwrap().body).unwrap();
    let connected = json!({ "state": "connected" });
    let expected = json!({ "messages": connected, "chatExchange": connected });
    assert_eq!(
        (&ready["ready"], &ready["neighbours"]),
        (&json!(true), &expected)
    );
}
