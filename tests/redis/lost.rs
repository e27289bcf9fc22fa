//! Redis has lost what it had acknowledged: readers are told, whoever comes first and however much was said since.

use std::fs::OpenOptions;

use handshaken::chat::{
    message::{MessageId, RoomName},
    store::{After, Limit, Store},
};

use crate::{
    harness::{
        proxy::{Proxy, Weather},
        redis::RedisServer,
    },
    replica::{Replica, seqs, texts},
};

/// Takes the last so many bytes of what it kept.
fn lose(redis: &RedisServer, bytes: u64) {
    let file = OpenOptions::new()
        .write(true)
        .open(redis.kept_in())
        .unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - bytes).unwrap();
}

async fn follows(replica: &Replica, id: MessageId) -> After {
    replica
        .store
        .after(&RoomName::lobby(), id, Limit::messages(100))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_starts_a_new_history() {
    let redis = RedisServer::start();
    let replicas = [
        Replica::on(redis.address()).await,
        Replica::on(redis.address()).await,
    ];
    let before = replicas[0].say("lobby", "before").await.unwrap().id;
    replicas[1].told_all(1).await;
    assert_eq!(redis.cli(&["flushall"]), "OK");
    for replica in &replicas {
        replica.told_a_gap().await;
    }
    let after = replicas[0].say("lobby", "after").await.unwrap();
    assert_eq!(after.id.seq, 1);
    assert_ne!(after.id.epoch, before.epoch);
    assert_eq!(follows(&replicas[1], before).await, After::Gap);
    assert_eq!(texts(&replicas[1].all("lobby").await), ["after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_came_up_empty_starts_a_new_history() {
    // Keeps nothing on disk.
    let mut redis = RedisServer::start_with(&[]);
    let replica = Replica::on(redis.address()).await;
    let before = replica.say("lobby", "before").await.unwrap();
    redis.kill();
    redis.start_again();
    replica.told_a_gap().await;
    let after = replica.say_at_last("lobby", "after").await;
    assert_ne!(after.id.epoch, before.id.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_lost_what_was_seen_gives_ids_a_new_epoch_and_keeps_what_is_left() {
    let mut redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    for n in 0..10 {
        replica.say("lobby", &n.to_string()).await.unwrap();
    }
    let before = replica.told_all(10).await[0].id;
    redis.kill();
    lose(&redis, 700);
    redis.start_again();
    replica.told_a_gap().await;
    let after = replica.say_at_last("lobby", "after").await;
    assert_ne!(after.id.epoch, before.epoch);
    assert_eq!(follows(&replica, before).await, After::Gap);
    let left = replica.all("lobby").await;
    assert_eq!(seqs(&left), Vec::from_iter(1..=left.len() as u64));
    assert!((2..11).contains(&left.len()), "{}", left.len());
    assert!(
        left.iter()
            .all(|message| message.id.epoch == after.id.epoch)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_noticed_by_who_saw_it_though_others_have_long_gone_on() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::to(redis.address()).await;
    let saw = Replica::on(proxy.address()).await;
    for n in 0..10 {
        saw.say_at_last("lobby", &n.to_string()).await;
    }
    let before = saw.told_all(10).await[0].id;
    proxy.set(Weather::Cut);
    redis.kill();
    lose(&redis, 700);
    redis.start_again();
    let unaware = Replica::on(redis.address()).await;
    for n in 0..50 {
        let kept = unaware.say_at_last("lobby", &format!("new {n}")).await;
        assert_eq!(kept.id.epoch, before.epoch, "how can it know");
    }
    // And through one more life of Redis, that loses nothing.
    redis.kill();
    redis.start_again();
    unaware.say_at_last("lobby", "and on").await;
    proxy.set(Weather::Fair);
    saw.told_a_gap().await;
    unaware.told_a_gap().await;
    let after = saw.say_at_last("lobby", "after").await;
    assert_ne!(after.id.epoch, before.epoch);
    for replica in [&saw, &unaware] {
        assert_eq!(follows(replica, before).await, After::Gap);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_lost_nothing_keeps_its_epoch_through_many_lives() {
    let mut redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    let first = replica.say("lobby", "first").await.unwrap();
    for n in 0..4 {
        redis.kill();
        redis.start_again();
        let kept = replica.say_at_last("lobby", &n.to_string()).await;
        assert_eq!(kept.id.epoch, first.id.epoch);
    }
    replica.told_all(5).await;
    let After::Complete(rest) = follows(&replica, first.id).await else {
        panic!("a gap")
    };
    assert_eq!(seqs(&rest), [2, 3, 4, 5]);
}
