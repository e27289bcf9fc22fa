//! One order and no loss, over several replicas and through what becomes of Redis and of the network.

use std::sync::Arc;

use handshaken::chat::{
    message::{Post, RoomName},
    store::{Limit, Store},
};
use tokio::task::JoinSet;

use crate::{
    crowd::Crowd,
    harness::{
        eventually,
        proxy::{Proxy, Weather},
        redis::RedisServer,
    },
    replica::{Replica, post, seqs},
};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_tell_one_order() {
    let redis = RedisServer::start();
    let replicas = Replica::several(3, redis.address()).await;
    let crowd = Crowd::on(replicas);
    crowd.keeps(2000).await;
    crowd.account().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_once_whichever_replica_takes_it() {
    let redis = RedisServer::start();
    let replicas = Arc::new(Replica::several(3, redis.address()).await);
    let mut appenders = JoinSet::new();
    for n in 0..300 {
        let replicas = replicas.clone();
        appenders.spawn(async move {
            let keyed = Post {
                key: format!("k{}", n % 10).parse().ok(),
                ..post("lobby", &n.to_string())
            };
            let kept = replicas[n % 3].store.append(keyed).await.unwrap();
            (n % 10, kept.id.seq)
        });
    }
    let mut places: Vec<_> = appenders.join_all().await;
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 10, "{places:?}");
    assert_eq!(
        seqs(&replicas[0].all("lobby").await),
        Vec::from_iter(1..=10)
    );
    replicas[1].told_all(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_loses_and_doubles_nothing() {
    let mut redis = RedisServer::start();
    let replicas = Replica::several(2, redis.address()).await;
    let crowd = Crowd::on(replicas);
    for _ in 0..3 {
        crowd.keeps(300).await;
        redis.kill();
        redis.start_again();
    }
    crowd.keeps(300).await;
    crowd.account().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_again_and_again_loses_and_doubles_nothing() {
    let redis = RedisServer::start();
    let (mut proxies, mut replicas) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let proxy = Proxy::to(redis.address()).await;
        replicas.push(Replica::on(proxy.address()).await);
        proxies.push(proxy);
    }
    let crowd = Crowd::on(replicas);
    for n in 0..20 {
        crowd.keeps(50).await;
        let proxy = &proxies[n % 2];
        proxy.set(Weather::Cut);
        proxy.set(Weather::Fair);
    }
    crowd.keeps(100).await;
    crowd.account().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_redis_has_forgotten_are_loaded_again() {
    let redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    for n in 1..=5 {
        let kept = replica.say("lobby", "hello").await.unwrap();
        assert_eq!(kept.id.seq, n);
        assert_eq!(replica.all("lobby").await.len() as u64, n);
        assert_eq!(redis.cli(&["script", "flush"]), "OK");
    }
    replica.told_all(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_cut_off_for_long_tells_a_gap_and_goes_on() {
    let redis = RedisServer::start_with(&[]);
    let proxy = Proxy::to(redis.address()).await;
    let (there, cut_off) = (
        Replica::on(redis.address()).await,
        Replica::on(proxy.address()).await,
    );
    cut_off.say_at_last("lobby", "first").await;
    cut_off.told_all(1).await;
    proxy.set(Weather::Cut);
    // More than the tail holds.
    let mut appenders = JoinSet::new();
    for _ in 0..700 {
        let store = there.store.clone();
        appenders.spawn(async move {
            for _ in 0..100 {
                store.append(post("lobby", "hello")).await.unwrap();
            }
        });
    }
    appenders.join_all().await;
    let tail: usize = redis.cli(&["xlen", "test:tail"]).parse().unwrap();
    assert!(tail <= 65_536, "{tail} messages in the tail");
    proxy.set(Weather::Fair);
    cut_off.told_a_gap().await;
    let last = there.say("lobby", "last").await.unwrap();
    assert_eq!(last.id.seq, 70_002);
    eventually("it is told what comes after", async || {
        let (told, gaps) = cut_off.told();
        assert_eq!(gaps, 1);
        let newest = told.last().map(|message| message.id);
        (newest == Some(last.id))
            .then_some(())
            .ok_or_else(|| format!("{newest:?}"))
    })
    .await;
    let lobby = RoomName::lobby();
    let found = cut_off
        .store
        .last(&lobby, Limit::messages(3))
        .await
        .unwrap();
    assert_eq!(seqs(&found), [70_000, 70_001, 70_002]);
}
