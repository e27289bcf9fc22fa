//! What can become of a broker: killed, stopped, out of memory; one that refuses us, or has another exchange of the
//! name. The chat goes on meanwhile, and nothing that waits for the broker is lost.

use std::collections::HashMap;

use lapin::ExchangeKind;
use serde_json::{Value, json};

use crate::{
    everything,
    harness::{
        eventually, http,
        proxy::{Proxy, Weather},
        rabbit::RabbitServer,
        redis::RedisServer,
        server::Server,
    },
    node::{self, Declared, MESSAGES, Node},
    one_is_connected, place, replica, replicas, server,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_the_broker_is_dead_goes_out_in_order_when_it_is_back() {
    let mut broker = RabbitServer::start();
    let place = broker.place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    node.say("before").await;
    assert_eq!(ann.said().await.text, "before");
    for how in ["killed", "stopped"] {
        if how == "killed" {
            broker.kill();
        } else {
            broker.stop();
        }
        server.logged(&["bridge is away"]).await;
        let texts: Vec<_> = (0..100).map(|n| format!("{how} {n}")).collect();
        for text in &texts {
            ann.post("lobby", text, None).await;
        }
        broker.start_again();
        let mut node = Node::on(&place.url(), &MESSAGES).await;
        assert_eq!(node.texts_until(texts.last().unwrap()).await, texts);
        node.say(&format!("after it was {how}")).await;
        ann.said_until(&format!("after it was {how}")).await;
    }
    server.logged(&["bridge is back"]).await;
    let lines = server.log();
    let away = lines
        .iter()
        .filter(|line| line.contains("is away; trying again"));
    assert!(away.count() <= 2, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_that_a_broker_is_away_and_the_log_alone_why() {
    let server = server("amqp://127.0.0.1:1", "messages");
    let line = server.logged(&["bridge is away"]).await;
    assert!(line.contains("127.0.0.1:1"), "{line}");
    let answer = http::ask(server.address(), "GET", "/ready", "", b"").await;
    let ready: Value = serde_json::from_str(&answer.unwrap().body).unwrap();
    let bus = ready["neighbours"]["messages"].as_object().unwrap();
    assert_eq!(bus["state"], "away");
    assert_eq!(
        bus.keys().collect::<Vec<_>>(),
        ["since", "state"],
        "{bus:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_and_a_replica_that_is_killed_cost_nothing_that_was_said() {
    let (mut broker, redis) = (RabbitServer::start(), RedisServer::start());
    let place = broker.place();
    let mut servers = replicas(&redis, &place.url(), "messages", 2);
    one_is_connected(&servers).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    let mut said = Vec::new();
    let mut heard: HashMap<String, u32> = HashMap::new();
    for round in 0..3 {
        let mut ann = replica(servers[0].address(), "ann").await;
        for n in 0..100 {
            let text = format!("{round} {n}");
            ann.post("lobby", &text, None).await;
            said.push(text);
        }
        match round {
            0 => {
                // In the middle of telling it.
                let worker = one_is_connected(&servers).await;
                let again = servers.remove(worker).kill().start_again();
                servers.push(again);
            }
            1 => {
                let last = said.last().unwrap().clone();
                for text in node.texts_until(&last).await {
                    *heard.entry(text).or_default() += 1;
                }
                broker.kill();
                broker.start_again();
                node = Node::on(&place.url(), &MESSAGES).await;
            }
            _ => {}
        }
    }
    let last = said.last().unwrap().clone();
    for text in node.texts_until(&last).await {
        *heard.entry(text).or_default() += 1;
    }
    let missed: Vec<_> = said
        .iter()
        .filter(|text| !heard.contains_key(*text))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    let twice: Vec<_> = heard.iter().filter(|(_, times)| **times > 1).collect();
    // What was under way when the replica was killed; never what it was not.
    assert!(twice.len() <= 32, "{twice:?}");
    assert_eq!(everything(servers[0].address()).await, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_short_of_memory_is_waited_for_while_the_chat_goes_on() {
    let broker = RabbitServer::start();
    let place = broker.place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
    eventually("the broker is short of memory", async || {
        let alarms = broker.ctl(&["eval", "rabbit_alarm:get_alarms()."]);
        alarms.contains("memory").then_some(()).ok_or(alarms)
    })
    .await;
    for n in 0..300 {
        ann.post("lobby", &format!("meanwhile {n}"), None).await;
    }
    server
        .logged(&["bridge is away", "takes no messages now"])
        .await;
    broker.ctl(&["set_vm_memory_high_watermark", "0.9"]);
    let expected: Vec<_> = (0..300).map(|n| format!("meanwhile {n}")).collect();
    assert_eq!(node.texts_until("meanwhile 299").await, expected);
    server.logged(&["bridge is back"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_or_silent_is_noticed_and_made_up_for() {
    let place = place();
    let address = place.address();
    let proxy = Proxy::to(address).await;
    let url = format!("{}?heartbeat=2", place.url_through(proxy.address()));
    let server = server(&url, "messages");
    server.logged(&["bridge is connected"]).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    for weather in [Weather::Cut, Weather::Silent] {
        proxy.set(weather);
        ann.post("lobby", &format!("ours {weather:?}"), None).await;
        node.say(&format!("theirs {weather:?}")).await;
        server.logged(&["bridge is away"]).await;
        proxy.set(Weather::Fair);
        ann.said_until(&format!("theirs {weather:?}")).await;
        node.texts_until(&format!("ours {weather:?}")).await;
    }
    let all = everything(server.address()).await;
    assert_eq!(all.len(), 4, "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_said_once_without_the_password_and_tried_again() {
    let broker = RabbitServer::start();
    let place = broker.place();
    let address = place.address();
    let url = format!("amqp://moved:s3cret-w0rd@{address}/{}", place.vhost);
    let server = server(&url, "messages");
    let line = server
        .logged(&["bridge is away", "ACCESS_REFUSED", "check user, password"])
        .await;
    assert!(line.contains("WARN"), "{line}");
    let mut ann = replica(server.address(), "ann").await;
    ann.post("lobby", "hello", None).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    broker.ctl(&["add_user", "moved", "s3cret-w0rd"]);
    broker.ctl(&[
        "set_permissions",
        "-p",
        &place.vhost,
        "moved",
        ".*",
        ".*",
        ".*",
    ]);
    server.logged(&["bridge is back"]).await;
    ann.post("lobby", "let in", None).await;
    assert_eq!(node.texts_until("let in").await, ["hello", "let in"]);
    let store = server.log();
    let refused = store.iter().filter(|line| line.contains("ACCESS_REFUSED"));
    assert_eq!(refused.count(), 1, "{store:#?}");
    assert!(
        !store.iter().any(|line| line.contains("s3cret")),
        "{store:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_use_an_exchange_that_others_declared_does_so() {
    let broker = RabbitServer::start();
    let place = broker.place();
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    broker.ctl(&["add_user", "moved", "word"]);
    let ours = "^handshaken\\..*";
    let used = "^(messages|handshaken\\..*)$";
    broker.ctl(&[
        "set_permissions",
        "-p",
        &place.vhost,
        "moved",
        ours,
        used,
        used,
    ]);
    let server = server(
        &format!("amqp://moved:word@{}/{}", place.address(), place.vhost),
        "messages",
    );
    server.logged(&["bridge is connected"]).await;
    let mut ann = replica(server.address(), "ann").await;
    ann.post("lobby", "ours", None).await;
    node.texts_until("ours").await;
    node.say("theirs").await;
    ann.said_until("theirs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_of_another_kind_is_reported_in_words_and_taken_up_once_it_is_right() {
    for wrong in [
        Declared {
            kind: ExchangeKind::Direct,
            ..MESSAGES
        },
        Declared {
            durable: true,
            ..MESSAGES
        },
        Declared {
            auto_delete: true,
            ..MESSAGES
        },
    ] {
        let place = place();
        let (_connection, channel) = node::channel(&place.url()).await;
        node::declare(&channel, &wrong).await.unwrap();
        let server = server(&place.url(), "messages");
        let line = server
            .logged(&[
                "bridge has other properties than it should",
                "inequivalent arg",
                "has to be fanout",
            ])
            .await;
        assert!(
            line.contains("ERROR") && line.contains("delete it"),
            "{line}"
        );
        let mut ann = replica(server.address(), "ann").await;
        ann.post("lobby", "the chat goes on", None).await;
        node::delete(&channel, &wrong).await;
        let mut node = Node::on(&place.url(), &MESSAGES).await;
        server.logged(&["bridge is connected"]).await;
        ann.post("lobby", "now", None).await;
        assert_eq!(node.texts_until("now").await, ["the chat goes on", "now"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_is_declared_anew() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    let queues = place.broker_ctl(&["list_queues", "-p", &place.vhost, "name"]);
    let queue = queues
        .lines()
        .find(|name| name.starts_with("handshaken.messages."));
    let (_connection, channel) = node::channel(&place.url()).await;
    let options = lapin::options::QueueDeleteOptions::default();
    channel
        .queue_delete(queue.unwrap().into(), options)
        .await
        .unwrap();
    server
        .logged(&["bridge is away", "queue was deleted"])
        .await;
    server.logged(&["bridge is back"]).await;
    node.say("after it").await;
    ann.said_until("after it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_tells_what_was_said_before_and_leaves_nothing_of_its_connections() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    for n in 0..200 {
        ann.start("post", &json!({ "room": "lobby", "text": format!("{n}") }))
            .await
            .unwrap();
    }
    ann.post("lobby", "the end", None).await;
    server.terminate();
    assert_eq!(node.texts_until("the end").await.len(), 201);
    let (status, _) = server.exit().await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_yet_is_waited_for() {
    let mut broker = RabbitServer::start();
    let place = broker.place();
    broker.kill();
    let server = Server::start(&["--amqp", &place.url(), "--amqp-exchange", "messages"]);
    server.logged(&["bridge is away"]).await;
    let mut ann = replica(server.address(), "ann").await;
    ann.post("lobby", "before it is there", None).await;
    broker.start_again();
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    server.logged(&["bridge is back"]).await;
    ann.post("lobby", "now", None).await;
    assert_eq!(node.texts_until("now").await, ["before it is there", "now"]);
}
