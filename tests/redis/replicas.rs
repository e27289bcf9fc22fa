//! Several real servers on one Redis, as their clients see it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    client::{Client, Packet},
    eventually,
    redis::RedisServer,
    server::Server,
    soon,
    words::{Said, assert_dense, close_reason, post},
};

const ROOM: &str = "shared";

fn servers(redis: &RedisServer, count: usize) -> Vec<Server> {
    let url = redis.url();
    (0..count)
        .map(|_| Server::start(&["--redis", &url, "--event-rate", "0"]))
        .collect()
}

/// A member of the room, once there is a Redis to read it from.
async fn replica(address: SocketAddr, name: &str) -> Client {
    let mut client = Client::native(address, name).await;
    let request = json!({ "room": ROOM });
    loop {
        let answer = client.ask("join", &request).await;
        if answer["ok"] == true {
            return client;
        }
        assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
    }
}

/// Posts with keys until it is told to stop, each until it is kept. Returns ids by text.
async fn keep_posting(
    address: SocketAddr,
    name: String,
    stop: Arc<AtomicBool>,
    kept: Arc<AtomicUsize>,
) -> HashMap<String, String> {
    let mut client = replica(address, &name).await;
    let mut ids = HashMap::new();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let text = format!("{name} {n}");
        let request = post(ROOM, &text, Some(&text.replace(' ', "-")));
        let answer = client.ask("post", &request).await;
        if answer["ok"] == true {
            ids.insert(text, answer["id"].as_str().unwrap().to_owned());
            kept.fetch_add(1, Ordering::Relaxed);
            n += 1;
        } else {
            let error = &answer["error"];
            assert_eq!(
                (&error["code"], &error["retry"]),
                (&json!("unavailable"), &json!(true))
            );
        }
        client.forget();
    }
    ids
}

async fn read_until(mut reader: Client, last: &str) -> Vec<Said> {
    soon("the last message", reader.said_until(last)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_all_replicas_are_shown_one_order_though_redis_is_killed() {
    let mut redis = RedisServer::start();
    let servers = servers(&redis, 3);
    let mut readers = Vec::new();
    for server in &servers {
        let reader = replica(server.address(), "reader").await;
        readers.push(tokio::spawn(read_until(reader, "the end")));
    }
    let (stop, kept) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let posters: Vec<_> = (0..9)
        .map(|n| {
            let address = servers[n % 3].address();
            let (stop, kept) = (stop.clone(), kept.clone());
            tokio::spawn(keep_posting(address, format!("poster{n}"), stop, kept))
        })
        .collect();
    let keeps = async |more: usize| {
        let goal = kept.load(Ordering::Relaxed) + more;
        eventually("posts are kept", async || {
            let kept = kept.load(Ordering::Relaxed);
            (kept >= goal)
                .then_some(())
                .ok_or_else(|| format!("{kept} of {goal}"))
        })
        .await
    };
    for _ in 0..2 {
        keeps(150).await;
        redis.kill();
        redis.start_again();
    }
    keeps(150).await;
    stop.store(true, Ordering::Relaxed);
    let mut ids = HashMap::new();
    for poster in posters {
        ids.extend(poster.await.unwrap());
    }
    replica(servers[0].address(), "last")
        .await
        .post(ROOM, "the end", None)
        .await;
    let mut one_order = None;
    for reader in readers {
        let said = reader.await.unwrap();
        assert_dense(&said, 1);
        assert_eq!(said.len(), ids.len() + 1, "something was kept twice");
        for said in &said[..ids.len()] {
            assert_eq!(ids.get(&said.text), Some(&said.id), "{said:?}");
        }
        assert_eq!(*one_order.get_or_insert_with(|| said.clone()), said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_sent_again_to_another_replica_is_one_message() {
    let redis = RedisServer::start();
    let servers = servers(&redis, 2);
    let mut first = replica(servers[0].address(), "ann").await;
    let id = first.post(ROOM, "hello", Some("k")).await;
    let mut second = replica(servers[1].address(), "ann").await;
    assert_eq!(second.post(ROOM, "hello", Some("k")).await, id);
    second.post(ROOM, "last", None).await;
    let texts: Vec<_> = (first.said_until("last").await.into_iter())
        .map(|said| said.text)
        .collect();
    assert_eq!(texts, ["hello", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_to_another_replica_gets_what_it_missed() {
    let redis = RedisServer::start();
    let servers = servers(&redis, 2);
    let mut ann = replica(servers[0].address(), "ann").await;
    let id = ann.post(ROOM, "one", None).await;
    ann.post(ROOM, "two", None).await;
    let mut back = Client::native(servers[1].address(), "bob").await;
    let answer = back.join(ROOM, Some(&id)).await;
    assert_eq!(answer["reset"], false, "{answer}");
    assert_eq!(back.said().await.text, "two");
    ann.post(ROOM, "three", None).await;
    assert_eq!(back.said().await.text, "three");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_redis_that_was_emptied_are_sent_away_and_start_anew() {
    let redis = RedisServer::start();
    let servers = servers(&redis, 2);
    let mut ann = replica(servers[0].address(), "ann").await;
    let mut bob = replica(servers[1].address(), "bob").await;
    let before = ann.post(ROOM, "before", None).await;
    assert_eq!(bob.said().await.id, before);
    assert_eq!(redis.cli(&["flushall"]), "OK");
    for client in [&mut ann, &mut bob] {
        let why = |packet: &Packet| close_reason(packet).map(str::to_owned);
        assert_eq!(client.expect("a goodbye", why).await, "fell_behind");
    }
    let mut ann = Client::native(servers[1].address(), "ann").await;
    let answer = ann.join(ROOM, Some(&before)).await;
    assert_eq!(answer["reset"], true, "{answer}");
    assert_ne!(ann.post(ROOM, "after", None).await, before);
}

/// Says that it is typing until somebody is told.
async fn is_seen_typing(typist: &mut Client, watcher: &mut Client) {
    let typing = json!({ "room": ROOM, "on": true });
    eventually("typing is told", async || {
        assert_eq!(typist.ask("typing", &typing).await["ok"], true);
        let told = tokio::time::timeout(Duration::from_millis(100), async {
            loop {
                if is_typing(&watcher.next().await) {
                    return;
                }
            }
        });
        told.await.map_err(|_| "nothing is told".to_owned())
    })
    .await
}

fn is_typing(packet: &Packet) -> bool {
    matches!(packet, Packet::Event(name, payload) if name == "typing" && payload["on"] == true)
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_is_told_on_all_replicas_and_here_at_once_though_redis_is_away() {
    let mut redis = RedisServer::start();
    let servers = servers(&redis, 2);
    let mut ann = replica(servers[0].address(), "ann").await;
    let mut beside = replica(servers[0].address(), "beside").await;
    let mut elsewhere = replica(servers[1].address(), "elsewhere").await;
    is_seen_typing(&mut ann, &mut elsewhere).await;
    is_seen_typing(&mut elsewhere, &mut ann).await;

    for how in ["stopped", "dead"] {
        if how == "stopped" {
            redis.pause();
        } else {
            redis.kill();
        }
        beside.forget();
        let start = Instant::now();
        let count = 3000;
        for n in 0..count {
            let typing = json!({ "room": ROOM, "on": n % 2 == 0 });
            ann.start("typing", &typing).await.unwrap();
        }
        let mut told = 0;
        while told < count {
            match soon("an event beside", beside.next()).await {
                Packet::Event(name, _) if name == "typing" => told += 1,
                Packet::End(why) => panic!("{why:?}"),
                _ => {}
            }
        }
        println!(
            "{count} events beside with a {how} redis: {:?}",
            start.elapsed()
        );
        if how == "stopped" {
            redis.resume();
        } else {
            redis.start_again();
        }
        is_seen_typing(&mut ann, &mut elsewhere).await;
        is_seen_typing(&mut elsewhere, &mut ann).await;
    }
    servers[0].logged(&["volatile events did not pass"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_while_redis_is_away_is_answered_in_time_and_may_be_sent_again() {
    let mut redis = RedisServer::start();
    let servers = servers(&redis, 1);
    let mut ann = replica(servers[0].address(), "ann").await;
    redis.kill();
    let start = Instant::now();
    let answer: Value = ann.ask("post", &post(ROOM, "hello", Some("k"))).await;
    assert!(start.elapsed() < Duration::from_secs(20));
    let error = &answer["error"];
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("unavailable"), &json!(true))
    );
    // Whoever comes meanwhile gets in, and is told that the room cannot be read now.
    let mut bob = Client::native(servers[0].address(), "bob").await;
    let answer = bob.ask("join", &json!({ "room": "another" })).await;
    assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
    redis.start_again();
    let id = eventually("it is kept", async || {
        let answer = ann.ask("post", &post(ROOM, "hello", Some("k"))).await;
        let id = answer["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| answer.to_string())
    })
    .await;
    assert_eq!(ann.said().await.id, id);
}
