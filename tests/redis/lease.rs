//! The lease: one holder at a time, another when that is gone, nobody who believes in vain that it holds it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use handshaken::{
    cluster::lease::Lease,
    redis::{Link, Redis},
};
use tokio::{sync::Notify, task::JoinHandle};

use crate::harness::{
    eventually,
    proxy::{Proxy, Weather},
    redis::RedisServer,
    soon,
};

fn lease(redis: impl std::fmt::Display) -> Lease {
    let redis = Redis::new(format!("redis://{redis}").parse().unwrap(), "test");
    Lease::shared(Arc::new(Link::new(redis, "lease")), "bus").unwrap()
}

/// How many hold it at this moment.
#[derive(Default)]
struct Holders(AtomicUsize);

/// One of them, until it is dropped.
struct Holding(Arc<Holders>);

impl Holding {
    fn new(holders: &Arc<Holders>) -> Self {
        let others = holders.0.fetch_add(1, Ordering::SeqCst);
        assert_eq!(others, 0, "somebody holds it already");
        Self(holders.clone())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_holds_a_lease_and_each_has_its_turn() {
    let redis = RedisServer::start();
    let holders = Arc::new(Holders::default());
    let turns: Vec<JoinHandle<Option<()>>> = (0..4)
        .map(|_| {
            let (lease, holders) = (lease(redis.address()), holders.clone());
            tokio::spawn(async move {
                let turn = async {
                    let _holding = Holding::new(&holders);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                };
                lease.while_held(turn).await
            })
        })
        .collect();
    for turn in turns {
        let done = soon("its turn", turn).await.unwrap();
        assert_eq!(done, Some(()));
    }
    assert_eq!(redis.cli(&["exists", "test:lease:bus"]), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_renew_a_lease_stops_before_another_begins() {
    let redis = RedisServer::start();
    let proxy = Proxy::to(redis.address()).await;
    let holders = Arc::new(Holders::default());
    let began = Arc::new(Notify::new());
    let first = {
        let (lease, holders, began) = (lease(proxy.address()), holders.clone(), began.clone());
        tokio::spawn(async move {
            let work = async {
                let _holding = Holding::new(&holders);
                began.notify_one();
                std::future::pending::<()>().await
            };
            lease.while_held(work).await
        })
    };
    soon("the first begins", began.notified()).await;
    proxy.set(Weather::Silent);
    let second = lease(redis.address());
    let work = async {
        let _holding = Holding::new(&holders);
    };
    assert_eq!(
        soon("the second begins", second.while_held(work)).await,
        Some(())
    );
    assert_eq!(soon("the first ends", first).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_taken_away_is_given_up() {
    let redis = RedisServer::start();
    let lease = lease(redis.address());
    let work = async {
        assert_eq!(redis.cli(&["set", "test:lease:bus", "another"]), "OK");
        std::future::pending::<()>().await
    };
    assert_eq!(soon("it is given up", lease.while_held(work)).await, None);
    eventually("what another holds stays", async || {
        let holder = redis.cli(&["get", "test:lease:bus"]);
        (holder == "another").then_some(()).ok_or(holder)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_for_a_lease_is_told_that_another_has_it() {
    let redis = RedisServer::start();
    let (one, other) = (lease(redis.address()), lease(redis.address()));
    let work = async { other.while_held_now(async { 2 }).await };
    assert_eq!(
        soon("the work", one.while_held_now(work)).await,
        Some(Some(None))
    );
    let freed = soon("the lease", other.while_held_now(async { 2 })).await;
    assert_eq!(freed, Some(Some(2)));
}
