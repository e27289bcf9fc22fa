//! Direct messages over several replicas: one inbox for each person, and receipts that all of them hear.

use std::time::Duration;

use handshaken::chat::{
    message::{Envelope, Post, RoomName, UserId},
    store::{Limit, Receipt, ReceiptKind, Receipts, Store, StoreError},
};
use tokio::task::JoinSet;

use crate::{
    harness::{eventually, redis::RedisServer, soon},
    replica::{ALL, Replica, post, texts},
};

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn letter(from: &str, to: &str, text: &str) -> Post {
    Post {
        room: RoomName::direct(&user(from), &user(to)),
        direct: Some(Envelope {
            from: user(from),
            to: user(to),
            box_size: 1000,
        }),
        ..post("lobby", text)
    }
}

/// The next mark, once receipts are heard at all.
async fn heard(receipts: &mut Receipts, mut cause: impl AsyncFnMut(usize)) -> Receipt {
    let mut n = 0;
    eventually("a mark is heard", async || {
        n += 1;
        cause(n).await;
        let mark = tokio::time::timeout(Duration::from_millis(200), receipts.recv()).await;
        assert!(!matches!(mark, Ok(Err(_))), "{mark:?}");
        mark.map(Result::unwrap).map_err(|_| "silence".to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_has_one_order_whoever_writes_on_whichever_replica() {
    let redis = RedisServer::start();
    let replicas = [
        Replica::on(redis.address()).await,
        Replica::on(redis.address()).await,
    ];
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = replicas[writer % 2].store.clone();
        writers.spawn(async move {
            for n in 0..25 {
                let from = format!("writer {writer}");
                let kept = store.append(letter(&from, "bob", &n.to_string())).await;
                assert_eq!(kept.unwrap().id.seq, n + 1);
            }
        });
    }
    writers.join_all().await;
    let bob = user("bob");
    let waiting = replicas[0]
        .store
        .pending(&bob, 0, ALL)
        .await
        .unwrap()
        .messages;
    let places = waiting
        .iter()
        .map(|message| message.direct.as_ref().unwrap().place);
    assert_eq!(Vec::from_iter(places), Vec::from_iter(1..=200));
    assert_eq!(
        replicas[1]
            .store
            .pending(&bob, 0, ALL)
            .await
            .unwrap()
            .messages,
        waiting
    );
    let told = replicas[1].told_all(200).await;
    assert_eq!(told, waiting, "the tail tells another order than the box");
    assert!(replicas[0].store.rooms(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_message_is_heard_on_all_replicas_and_once_where_it_was_done() {
    let redis = RedisServer::start();
    let [here, there] = [
        Replica::on(redis.address()).await,
        Replica::on(redis.address()).await,
    ];
    let (mut at_home, mut abroad) = (here.store.receipts(), there.store.receipts());
    let (ann, bob) = (user("ann"), user("bob"));
    let delivered = heard(&mut abroad, async |n| {
        let letter = letter("ann", "bob", &n.to_string());
        let place = here
            .store
            .append(letter)
            .await
            .unwrap()
            .direct
            .clone()
            .unwrap()
            .place;
        here.store.acknowledge(&bob, vec![place]).await.unwrap();
    })
    .await;
    assert_eq!((&delivered.from, &delivered.to), (&ann, &bob));
    assert!(matches!(delivered.what, ReceiptKind::Delivered { .. }));
    let mine = loop {
        let mark = soon("a mark here", at_home.recv()).await.unwrap();
        if mark.id == delivered.id {
            break mark;
        }
    };
    assert_eq!(mine, delivered);

    let last = here
        .store
        .append(letter("ann", "bob", "last"))
        .await
        .unwrap();
    while at_home.try_recv().is_ok() {}
    assert_eq!(here.store.read(&bob, &ann, last.id).await.unwrap(), Some(0));
    let read = loop {
        let mark = soon("a mark there", abroad.recv()).await.unwrap();
        if mark.what == ReceiptKind::Read {
            break mark;
        }
    };
    assert_eq!(
        (&read.from, &read.to, read.id, read.time),
        (&ann, &bob, last.id, last.time)
    );
    assert_eq!(at_home.try_recv().unwrap(), read);
    // What was heard abroad came here too, and would be told by now.
    assert!(at_home.try_recv().is_err(), "told twice where it was done");
    let thread_state = there.store.thread_state(&ann, &bob).await.unwrap();
    assert_eq!(thread_state.read, Some(last.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_are_heard_again_after_redis_was_killed_and_boxes_hold_what_they_held() {
    let mut redis = RedisServer::start();
    let [here, there] = [
        Replica::on(redis.address()).await,
        Replica::on(redis.address()).await,
    ];
    let bob = user("bob");
    here.store
        .append(letter("ann", "bob", "one"))
        .await
        .unwrap();
    here.store
        .append(letter("ann", "bob", "two"))
        .await
        .unwrap();
    here.store.acknowledge(&bob, vec![1]).await.unwrap();
    redis.kill();
    let failed = here.store.acknowledge(&bob, vec![2]).await;
    assert!(matches!(failed, Err(StoreError::Busy)), "{failed:?}");
    redis.start_again();
    let waiting = eventually("the box can be read", async || {
        let waiting = there.store.pending(&bob, 0, Limit::messages(9)).await;
        (waiting.map(|waiting| waiting.messages)).map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(texts(&waiting), ["two"]);
    let mut abroad = there.store.receipts();
    heard(&mut abroad, async |n| {
        let key = format!("k{n}");
        let again = Post {
            key: key.parse().ok(),
            ..letter("ann", "bob", &key)
        };
        if let Ok(kept) = here.store.append(again).await {
            let place = kept.direct.as_ref().unwrap().place;
            let _ = here.store.acknowledge(&bob, vec![place]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_box_is_full_for_all_replicas() {
    let redis = RedisServer::start();
    let [here, there] = [
        Replica::on(redis.address()).await,
        Replica::on(redis.address()).await,
    ];
    let small = |text| {
        let mut post = letter("ann", "bob", text);
        post.direct.as_mut().unwrap().box_size = 1;
        post
    };
    here.store.append(small("one")).await.unwrap();
    let refused = there.store.append(small("two")).await;
    assert!(
        matches!(refused, Err(StoreError::InboxFull(1))),
        "{refused:?}"
    );
    there
        .store
        .acknowledge(&user("bob"), vec![1])
        .await
        .unwrap();
    here.store.append(small("three")).await.unwrap();
    here.told_all(2).await;
}
