//! What Redis will not take, and what is let go: a named outcome each, and nobody else is concerned.

use std::time::Duration;

use handshaken::{
    chat::{
        message::{MessageId, Post, RoomName},
        store::{After, Limit, Store, StoreError},
    },
    store::sqlite::Retain,
};

use crate::{
    harness::{eventually, redis::RedisServer},
    replica::{Replica, post, seqs, texts},
};

fn storage(failed: Result<impl Sized, StoreError>) -> String {
    match failed.map(drop) {
        Err(StoreError::Storage(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_refuses_posts_and_goes_on_giving_out_what_it_has() {
    let redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    replica.say("lobby", "before").await.unwrap();
    assert_eq!(redis.cli(&["config", "set", "maxmemory", "1"]), "OK");
    for _ in 0..3 {
        let refused = storage(replica.say("lobby", "too much").await);
        assert!(refused.contains("OOM"), "{refused}");
    }
    assert_eq!(texts(&replica.all("lobby").await), ["before"]);
    assert_eq!(redis.cli(&["config", "set", "maxmemory", "0"]), "OK");
    let after = replica.say("lobby", "after").await.unwrap();
    assert_eq!(after.id.seq, 2);
    replica.told_all(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_key_is_something_else_fails_alone() {
    let redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    assert_eq!(redis.cli(&["set", "test:room:taken", "mine"]), "OK");
    assert_eq!(redis.cli(&["set", "test:keys:half", "mine"]), "OK");
    let half = Post {
        key: "k".parse().ok(),
        ..post("half", "hello")
    };
    // Queued at once, so that they are of one batch.
    let (first, refused, half, last) = tokio::join!(
        replica.say("lobby", "first"),
        replica.say("taken", "hello"),
        replica.store.append(half),
        replica.say("lobby", "last"),
    );
    assert!(storage(refused).contains("WRONGTYPE"));
    assert!(storage(half).contains("WRONGTYPE"));
    assert_eq!((first.unwrap().id.seq, last.unwrap().id.seq), (1, 2));
    let taken: RoomName = "taken".parse().unwrap();
    assert!(storage(replica.store.last(&taken, Limit::ONE).await).contains("WRONGTYPE"));
    assert_eq!(replica.all("half").await, []);
    replica.told_all(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_being_something_else_refuses_posts_before_anything_is_written() {
    let redis = RedisServer::start();
    let replica = Replica::on(redis.address()).await;
    replica.say("lobby", "before").await.unwrap();
    for key in ["test:tail", "test:rooms", "test:places"] {
        assert_eq!(redis.cli(&["rename", key, "aside"]), "OK");
        assert_eq!(redis.cli(&["set", key, "mine"]), "OK");
        let refused = storage(replica.say("lobby", "refused").await);
        assert!(refused.contains("WRONGTYPE"), "{refused}");
        assert_eq!(redis.cli(&["rename", "aside", key]), "OK");
    }
    assert_eq!(replica.say("lobby", "after").await.unwrap().id.seq, 2);
    assert_eq!(texts(&replica.all("lobby").await), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_holds_too_much_loses_the_oldest_messages_of_its_largest_rooms() {
    const MOST: u64 = 4 << 20;
    let redis = RedisServer::start();
    let retain = Retain {
        bytes: Some(MOST),
        ..Retain::default()
    };
    let replica = Replica::keeping(redis.address(), retain).await;
    let (small, large) = ("x".repeat(1000), "x".repeat(50_000));
    for _ in 0..200 {
        replica.say("quiet", &small).await.unwrap();
    }
    let count = 4 * MOST / 50_000;
    for _ in 0..count {
        replica.say("loud", &large).await.unwrap();
    }
    let kept = eventually("old messages are let go", async || {
        let kept = replica.all("loud").await;
        let bytes: usize = kept.iter().map(|message| message.text.len()).sum();
        ((bytes as u64) < MOST)
            .then_some(kept)
            .ok_or_else(|| format!("{bytes} bytes are left"))
    })
    .await;
    assert!(kept.len() > 20, "only {} messages are left", kept.len());
    assert_eq!(kept.last().unwrap().id.seq, count, "the newest stays");
    assert_eq!(replica.all("quiet").await.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_messages_of_a_room_are_kept_and_their_keys_with_them() {
    let redis = RedisServer::start();
    let retain = Retain {
        messages_per_room: Some(5),
        ..Retain::default()
    };
    let replicas = [
        Replica::keeping(redis.address(), retain).await,
        Replica::keeping(redis.address(), retain).await,
    ];
    let keyed = |n: usize| Post {
        key: format!("k{n}").parse().ok(),
        ..post("lobby", &n.to_string())
    };
    let mut first = None;
    for n in 1..=1200 {
        let kept = replicas[0].store.append(keyed(n)).await.unwrap();
        first.get_or_insert(kept.id);
    }
    eventually("old messages are let go", async || {
        let left = replicas[0].all("lobby").await.len();
        let keys = redis.cli(&["hlen", "test:keys:lobby"]);
        (left < 200 && keys == left.to_string())
            .then_some(())
            .ok_or_else(|| format!("{left} left, {keys} keys"))
    })
    .await;
    let lobby = RoomName::lobby();
    let first = first.unwrap();
    let after = async |id| {
        replicas[1]
            .store
            .after(&lobby, id, Limit::messages(5))
            .await
            .unwrap()
    };
    assert_eq!(after(first).await, After::Gap);
    let left = replicas[1].all("lobby").await;
    let oldest = left[0].id;
    let before = MessageId {
        seq: oldest.seq - 1,
        ..oldest
    };
    assert_eq!(after(before).await, After::Complete(left[..5].to_vec()));
    // The key of a message that is gone is a new one; that of one that is there is not.
    let again = replicas[0].store.append(keyed(1)).await.unwrap();
    assert_eq!(again.id.seq, 1201);
    let known = replicas[0].store.append(keyed(1200)).await.unwrap();
    assert_eq!(known.id.seq, 1200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_goes_and_a_room_without_messages_gives_no_id_twice() {
    let redis = RedisServer::start();
    let retain = Retain {
        age: Some(Duration::from_secs(1)),
        ..Retain::default()
    };
    let replica = Replica::keeping(redis.address(), retain).await;
    for n in 1..=3 {
        replica.say("lobby", &n.to_string()).await.unwrap();
    }
    eventually("they are too old", async || {
        let rooms = replica.store.rooms(9).await.map_err(|e| e.to_string())?;
        rooms
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("{rooms:?}"))
    })
    .await;
    assert_eq!(redis.cli(&["exists", "test:room:lobby"]), "0");
    let next = replica.say("lobby", "next").await.unwrap();
    assert_eq!(next.id.seq, 4);
    assert_eq!(seqs(&replica.all("lobby").await), [4]);
}
