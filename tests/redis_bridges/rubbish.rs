//! What no server in Node would publish: it is refused with a word in the store, and what follows it is told all the same.

use redis::Commands;
use rmpv::{Value, encode::write_value};
use serde_json::json;

use crate::{
    harness::{client::Client, redis::RedisServer, server::Server},
    node::{hear, ours, worker},
    page::Page,
};

const FLAGS: [&str; 4] = [
    "--new-msg-channel",
    "newMsg",
    "--socketio-redis-key",
    "socket.io",
];

const NEW_MSG: &str = "newMsg";
const ADAPTERS: &str = "socket.io#/#";

/// A server, a page at it, and somebody who publishes.
async fn meeting() -> (RedisServer, Server, Page, redis::Connection) {
    let redis = RedisServer::start();
    let server = ours(&redis, &FLAGS);
    hear(&redis, NEW_MSG, 1).await;
    hear(&redis, ADAPTERS, 1).await;
    worker(std::slice::from_ref(&server)).await;
    let page = Page::talk(server.address()).await;
    let publisher = redis::Client::open(redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    (redis, server, page, publisher)
}

fn new_msg(msg: &str) -> Vec<u8> {
    let body =
        json!({ "username": "ann", "msg": msg, "date": "July 4, 2022 3:30 PM", "socketId": "x" });
    body.to_string().into_bytes()
}

fn broadcast(uid: &str, payload: Value) -> Vec<u8> {
    let map = |fields: Vec<(&str, Value)>| {
        Value::Map(
            fields
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    };
    let data = Value::Array(vec!["message".into(), payload]);
    let packet = map(vec![
        ("type", 2.into()),
        ("data", data),
        ("nsp", "/".into()),
    ]);
    let options = map(vec![
        ("rooms", Value::Array(vec![])),
        ("flags", map(vec![])),
    ]);
    let mut bytes = Vec::new();
    write_value(&mut bytes, &Value::Array(vec![uid.into(), packet, options])).unwrap();
    bytes
}

fn publish(publisher: &mut redis::Connection, channel: &str, body: &[u8]) {
    let heard: usize = publisher.publish(channel, body).unwrap();
    assert_eq!(heard, 1, "who hears {channel}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_and_what_follows_is_told() {
    let (_redis, server, page, mut publisher) = meeting().await;
    let memory = server.memory();
    let large = "x".repeat(10_000_000);
    let too_long = "x".repeat(200_000);
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"hello".to_vec(),
        b"{".to_vec(),
        b"[\"ann\",\"hi\",null]".to_vec(),
        b"{\"username\":{},\"msg\":\"hi\"}".to_vec(),
        b"{\"username\":\"ann\",\"msg\":\"\xff\"}".to_vec(),
        "[".repeat(900_000).into_bytes(),
        new_msg(""),
        new_msg(" \n "),
        new_msg(&large),
        new_msg(&too_long),
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0x91; 900_000],
        vec![0xc0; 900_000],
        broadcast("mhPqYr", Value::Nil),
        broadcast("mhPqYr", Value::from("")),
        broadcast("mhPqYr", Value::from(&*large)),
        broadcast("mhPqYr", Value::from(&*too_long)),
        broadcast("mhPqYr", Value::Binary(vec![1, 2])),
        large.clone().into_bytes(),
    ];
    for (n, body) in bodies.iter().enumerate() {
        for channel in [NEW_MSG, ADAPTERS] {
            publish(&mut publisher, channel, body);
        }
        publish(&mut publisher, NEW_MSG, &new_msg(&format!("n{n}")));
        publish(
            &mut publisher,
            ADAPTERS,
            &broadcast("mhPqYr", format!("a{n}").into()),
        );
    }
    for n in 0..bodies.len() {
        page.texts_with(&format!("n{n}")).await;
        page.texts_with(&format!("a{n}")).await;
    }
    assert_eq!(page.texts().len(), 2 * bodies.len(), "{:?}", page.texts());
    let refused = |bus: &str| {
        let store = server.log();
        let lines = store
            .iter()
            .filter(|line| line.contains("refused what a bridge sent"));
        lines.filter(|line| line.contains(bus)).count()
    };
    // Said, and not once for each.
    for bus in [NEW_MSG, ADAPTERS] {
        assert!((1..10).contains(&refused(bus)), "{:#?}", server.log());
    }
    assert!(
        server.memory() < memory + 200 * 1024,
        "{} after {memory} KiB",
        server.memory()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bears_our_mark_is_not_taken_in() {
    let (redis, _server, page, mut publisher) = meeting().await;
    let mut channel = redis::Client::open(redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let mut channel = channel.as_pubsub();
    channel.subscribe(&[NEW_MSG, ADAPTERS]).unwrap();
    page.say("ours").await;
    let mut bodies = [
        channel.get_message().unwrap(),
        channel.get_message().unwrap(),
    ];
    bodies.sort_by_key(|body| body.get_channel_name().to_owned());
    let [new, triple] = bodies.map(|body| body.get_payload_bytes().to_vec());
    let new: serde_json::Value = serde_json::from_slice(&new).unwrap();
    let triple = rmpv::decode::read_value(&mut &triple[..]).unwrap();
    let uid = triple[0].as_str().unwrap();
    assert_eq!(uid.len(), 6);

    let mut publish = |channel: &str, body: Vec<u8>| {
        let heard: usize = publisher.publish(channel, body).unwrap();
        assert_eq!(heard, 2);
    };
    let forged = json!({ "username": "eve", "msg": "forged", "socketId": new["socketId"] });
    publish(NEW_MSG, forged.to_string().into_bytes());
    publish(ADAPTERS, broadcast(uid, "forged".into()));
    publish(NEW_MSG, new_msg("not forged"));
    publish(ADAPTERS, broadcast("mhPqYr", "nor this".into()));
    page.texts_with("not forged").await;
    page.texts_with("nor this").await;
    let mut told = page.texts();
    told.sort();
    assert_eq!(told, ["nor this", "not forged", "ours"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_texts_are_what_they_could_be_here() {
    let (_redis, server, page, mut publisher) = meeting().await;
    let mut native = Client::native(server.address(), "reader").await;
    native.join("lobby", None).await;
    let said = json!({ "username": format!("\u{202e}{}", "x".repeat(100)), "msg": "<i>one" });
    publish(&mut publisher, NEW_MSG, said.to_string().as_bytes());
    let payload = Value::Map(vec![
        ("text".into(), "two".into()),
        ("author".into(), "\n".into()),
        ("ip".into(), "a\u{7}<b>".into()),
    ]);
    let name = |told: serde_json::Value| told["author"].clone();
    page.texts_with("&lt;i>one").await;
    publish(&mut publisher, ADAPTERS, &broadcast("mhPqYr", payload));
    page.texts_with("two").await;
    let told = page.told();
    assert_eq!(name(told[0].clone()), "x".repeat(40));
    assert_eq!(
        (name(told[1].clone()), &told[1]["ip"]),
        (json!(null), &json!("a&lt;b>"))
    );
    assert_eq!(native.said().await.text, "<i>one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_told_in_order_and_disturbs_nobody() {
    const COUNT: usize = 3000;
    let (_redis, server, page, mut publisher) = meeting().await;
    let start = std::time::Instant::now();
    tokio::task::spawn_blocking(move || {
        for n in 0..COUNT {
            publish(&mut publisher, NEW_MSG, &new_msg(&format!("flood {n}")));
        }
    })
    .await
    .unwrap();
    let published = start.elapsed();
    let other = Page::talk(server.address()).await;
    other.say("meanwhile").await;
    page.texts_with("meanwhile").await;
    page.texts_with(&format!("flood {}", COUNT - 1)).await;
    println!(
        "{COUNT} published in {published:?}, told after {:?}",
        start.elapsed()
    );
    let told: Vec<_> = page
        .texts()
        .into_iter()
        .filter(|text| text != "meanwhile")
        .collect();
    let expected: Vec<_> = (0..COUNT).map(|n| format!("flood {n}")).collect();
    assert_eq!(told, expected);
}
