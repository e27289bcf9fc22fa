//! Exchange `messages`: both ways, in order, once, whoever is killed.

use serde_json::json;

use crate::{
    LOBBY, everything,
    harness::{client::Client, redis::RedisServer, server::Server, words::Said},
    node::{MESSAGES, Node},
    one_is_connected, place, replica, replicas, server, shown,
};

fn texts(said: &[Said]) -> Vec<&str> {
    said.iter().map(|said| &*said.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_on_either_side_is_seen_once_by_all_in_one_order() {
    let (place, redis) = (place(), RedisServer::start());
    let servers = replicas(&redis, &place.url(), "messages", 2);
    let mut nodes = [
        Node::on(&place.url(), &MESSAGES).await,
        Node::on(&place.url(), &MESSAGES).await,
    ];
    let mut replicas = Vec::new();
    for server in &servers {
        replicas.push(replica(server.address(), "ann").await);
    }
    servers[0].logged(&["has a bridge", "messages"]).await;
    one_is_connected(&servers).await;
    let mut expected = Vec::new();
    for round in 0..10 {
        for replica in &mut replicas {
            let text = format!("ours {round} {}", expected.len());
            replica.post(LOBBY, &text, None).await;
            expected.push(text);
        }
        for node in &nodes {
            let text = format!("theirs {round} {}", expected.len());
            node.say(&text).await;
            expected.push(text);
        }
    }
    nodes[0].say("the end").await;
    let mut orders = Vec::new();
    for replica in &mut replicas {
        let said = replica.said_until("the end").await;
        orders.push(
            texts(&said)
                .iter()
                .map(|text| text.to_string())
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(orders[0], orders[1], "replicas show different orders");
    let mut seen = orders[0].clone();
    seen.sort();
    expected.push("the end".into());
    expected.sort();
    assert_eq!(seen, expected);
    // What is ours comes to them by another way, and in our order.
    replicas[0].post(LOBBY, "our end", None).await;
    let ours: Vec<_> = orders[0]
        .iter()
        .filter(|text| text.starts_with("ours"))
        .collect();
    for node in &mut nodes {
        let mut heard = node.texts_until("our end").await;
        heard.retain(|text| text.starts_with("ours"));
        assert_eq!(Vec::from_iter(&heard), ours);
    }
    // Nothing came back: it would be here by now, for what came after it is.
    nodes[0].say("the very end").await;
    replicas[0].said_until("the very end").await;
    assert_eq!(
        everything(servers[1].address()).await.len(),
        expected.len() + 2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_bears_what_both_sides_know_of_it() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    let mut talk = Client::websocket(server.address(), "/").await;
    let mut ann = replica(server.address(), "ann").await;
    node.publish(r#"{"text":"<i>hi</i>","date":"2026-01-02T03:04:05.678Z","ip":"node-7"}"#)
        .await;
    let said = shown(&mut talk, "message").await;
    assert_eq!(
        (&said["text"], &said["ip"]),
        (&json!("&lt;i>hi&lt;/i>"), &json!("node-7"))
    );
    assert_eq!(said.get("author"), None);
    node.body().await;
    ann.post(LOBBY, "a < b", None).await;
    let delivery = node.next().await;
    let body: serde_json::Value = serde_json::from_slice(&delivery.data).unwrap();
    let said = shown(&mut talk, "message").await;
    for field in ["text", "date", "ip", "author"] {
        assert_eq!(body[field], said[field], "{field}");
    }
    let properties = delivery.properties;
    assert!(
        properties
            .app_id()
            .as_ref()
            .unwrap()
            .as_str()
            .starts_with("handshaken/")
    );
    assert_eq!(
        properties.message_id().as_ref().unwrap().as_str(),
        said["id"]
    );
    assert_eq!(properties.content_type(), &None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_one_side_is_away_is_told_when_it_is_back() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    ann.post(LOBBY, "before", None).await;
    assert_eq!(node.texts_until("before").await, ["before"]);
    let ended = server.kill();
    for n in 0..50 {
        node.say(&format!("theirs {n}")).await;
    }
    let server = ended.start_again();
    let mut ann = replica(server.address(), "ann").await;
    node.say("theirs last").await;
    ann.said_until("theirs last").await;
    let expected: Vec<_> = (0..50).map(|n| format!("theirs {n}")).collect();
    let all = everything(server.address()).await;
    assert_eq!(all[1..51], expected);
    assert_eq!(
        (&*all[0], &*all[51], all.len()),
        ("before", "theirs last", 52)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_time_a_bridge_sends_what_is_posted_from_then_on() {
    let place = place();
    let server = Server::start(&[]);
    let mut ann = replica(server.address(), "ann").await;
    ann.post(LOBBY, "long ago", None).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    let url = place.url();
    let server = server
        .kill()
        .with_flags(&["--amqp", &url, "--amqp-exchange", "messages"])
        .start_again();
    server.logged(&["bridge is connected"]).await;
    let mut ann = replica(server.address(), "ann").await;
    ann.post(LOBBY, "now", None).await;
    assert_eq!(node.texts_until("now").await, ["now"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bodies_that_are_the_same_are_two_messages() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    for _ in 0..40 {
        node.say("ping").await;
    }
    node.say("last").await;
    let said = ann.said_until("last").await;
    assert_eq!(said.len(), 41, "{:?}", texts(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_killed_one_after_the_other_take_everything_in_once() {
    let (place, redis) = (place(), RedisServer::start());
    let mut servers = replicas(&redis, &place.url(), "messages", 3);
    one_is_connected(&servers).await;
    let node = Node::on(&place.url(), &MESSAGES).await;
    let total = 1500;
    let flood = tokio::spawn(async move {
        for n in 0..total {
            node.say(&format!("theirs {n}")).await;
        }
        node
    });
    for round in 1..=2 {
        // Whoever works on the bus is killed in the middle of it.
        let worker = one_is_connected(&servers).await;
        let beside = servers[(worker + 1) % servers.len()].address();
        let mut reader = replica(beside, "reader").await;
        let comes_far = async |reader: &mut Client| loop {
            let said = reader.said().await.text;
            let number = said.strip_prefix("theirs ").unwrap();
            if number.parse::<usize>().unwrap() >= round * 400 {
                break;
            }
        };
        comes_far(&mut reader).await;
        let again = servers.remove(worker).kill().start_again();
        servers.push(again);
    }
    let node = flood.await.unwrap();
    node.say("the end").await;
    let mut reader = replica(servers[0].address(), "reader").await;
    reader.said_until("the end").await;
    let mut expected: Vec<_> = (0..total).map(|n| format!("theirs {n}")).collect();
    expected.push("the end".into());
    assert_same(&everything(servers[0].address()).await, &expected);
}

/// Says where they part, and not all of both.
fn assert_same(found: &[String], expected: &[String]) {
    let part = found
        .iter()
        .zip(expected)
        .position(|(one, other)| one != other);
    let at = part.unwrap_or(found.len().min(expected.len()));
    let around =
        |texts: &[String]| texts[at.saturating_sub(3)..(at + 20).min(texts.len())].to_vec();
    assert!(
        found == expected,
        "{} of {}, not the same from {at} on: {:?} instead of {:?}",
        found.len(),
        expected.len(),
        around(found),
        around(expected),
    );
}
