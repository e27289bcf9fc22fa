//! Redis is not there, or does not answer: a post fails within a bounded time, and all heals by itself.

use std::time::{Duration, Instant};

use handshaken::{
    chat::{
        message::RoomName,
        store::{Limit, Store, StoreError},
    },
    store::sqlite::Retain,
};

use crate::{
    crowd::Crowd,
    harness::{
        eventually,
        proxy::{Proxy, Weather},
        redis::RedisServer,
    },
    replica::{Replica, texts},
};

/// More than a call may take, whatever becomes of Redis, on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

async fn fails_in_time(replica: &Replica, text: &str) -> StoreError {
    let start = Instant::now();
    let failed = replica.say("lobby", text).await.unwrap_err();
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_begins_without_redis_and_works_once_there_is_one() {
    let mut redis = RedisServer::start();
    redis.kill();
    let replica = Replica::with(&redis.url(), Retain::default());
    let failed = fails_in_time(&replica, "too soon").await;
    assert!(matches!(failed, StoreError::Busy), "{failed}");
    let read = replica.store.last(&RoomName::lobby(), Limit::ONE).await;
    assert!(matches!(read, Err(StoreError::Busy)), "{read:?}");
    redis.start_again();
    replica.say_at_last("lobby", "hello").await;
    assert_eq!(texts(&replica.told_all(1).await), ["hello"]);
    assert_eq!(texts(&replica.all("lobby").await), ["hello"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stops_is_given_up_and_found_again() {
    let redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    replica.say("lobby", "before").await.unwrap();
    redis.pause();
    let failed = fails_in_time(&replica, "meanwhile").await;
    assert!(matches!(failed, StoreError::Unknown), "{failed}");
    redis.resume();
    replica.say_at_last("lobby", "after").await;
    let all = replica.all("lobby").await;
    let mut found = texts(&all);
    // That one may be there or not, but neither twice nor behind what was said later.
    found.retain(|text| *text != "meanwhile");
    assert_eq!(found, ["before", "after"]);
    assert!(all.len() <= 3 && &*all[all.len() - 1].text == "after");
    assert_eq!(replica.told_all(all.len()).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stops_for_a_moment_costs_delay_and_nothing_else() {
    let redis = RedisServer::start();
    let crowd = Crowd::on(Replica::several(2, redis.address()).await);
    for _ in 0..3 {
        crowd.keeps(200).await;
        redis.pause();
        tokio::time::sleep(Duration::from_millis(700)).await;
        redis.resume();
    }
    crowd.keeps(200).await;
    crowd.account().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_accepts_and_never_answers_is_given_up() {
    let redis = RedisServer::start();
    let proxy = Proxy::to(redis.address()).await;
    let replica = Replica::on(proxy.address()).await;
    replica.say_at_last("lobby", "before").await;
    proxy.set(Weather::Silent);
    fails_in_time(&replica, "meanwhile").await;
    let start = Instant::now();
    let read = replica.store.last(&RoomName::lobby(), Limit::ONE).await;
    assert!(matches!(read, Err(StoreError::Busy)), "{read:?}");
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    proxy.set(Weather::Fair);
    replica.say_at_last("lobby", "after").await;
    assert_eq!(texts(&replica.told_all(2).await), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_closed_in_time_though_redis_is_away() {
    let mut redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    replica.say("lobby", "before").await.unwrap();
    redis.kill();
    let start = Instant::now();
    let (failed, ()) = tokio::join!(replica.say("lobby", "late"), replica.store.close());
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert!(failed.is_err());
    let closed = replica.say("lobby", "later").await;
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_becomes_a_replica_of_another_is_not_written_to_and_welcome_back() {
    let redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    let before = replica.say("lobby", "before").await.unwrap();
    assert_eq!(redis.cli(&["replicaof", "127.0.0.1", "1"]), "OK");
    let failed = fails_in_time(&replica, "meanwhile").await;
    assert!(matches!(failed, StoreError::Busy), "{failed}");
    assert_eq!(redis.cli(&["replicaof", "no", "one"]), "OK");
    let after = replica.say_at_last("lobby", "after").await;
    assert_eq!(after.id.epoch, before.id.epoch);
    assert_eq!(texts(&replica.told_all(2).await), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_passwords_open_the_door_and_wrong_ones_do_not() {
    let redis = RedisServer::start_with(&["--requirepass", "s3cret@1"]);
    let add = "acl setuser ann on >p%40ss ~test:* &test:* +@all -@dangerous +info";
    let words: Vec<_> = ["--no-auth-warning", "-a", "s3cret@1"]
        .into_iter()
        .chain(add.split(' '))
        .collect();
    assert_eq!(redis.cli(&words), "OK");
    let address = redis.address();
    for (credentials, opens) in [
        (":s3cret%401", true),
        ("ann:p%2540ss", true),
        ("ann:other", false),
        ("", false),
    ] {
        let url = format!("redis://{credentials}@{address}");
        let replica = Replica::with(&url, Retain::default());
        if opens {
            replica.say("lobby", "hello").await.unwrap();
        } else {
            fails_in_time(&replica, "hello").await;
        }
    }
    let replica = Replica::with(
        &format!("redis://ann:p%2540ss@{address}"),
        Retain::default(),
    );
    eventually("both are there", async || {
        let all = replica.all("lobby").await;
        (all.len() == 2)
            .then_some(())
            .ok_or_else(|| format!("{all:?}"))
    })
    .await;
}
