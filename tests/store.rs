//! Every log as the chat uses it: order, the tail, keys, reads. How the embedded one opens, and what
//! it lets go, is in `store_file.rs`; `store_crash.rs` kills it. What Redis can do to its store is in `redis`.

#[path = "harness/mod.rs"]
mod harness;

use std::{collections::HashMap, sync::Arc, time::Duration};

use handshaken::chat::{
    message::{BridgeName, Envelope, Epoch, Message, MessageId, Post, RoomName},
    store::{After, Limit, Store, StoreError, Tail, TailItem},
};
use harness::home::Home;
use tokio::task::JoinSet;

/// More than any test has.
const ALL: Limit = Limit {
    messages: usize::MAX,
    bytes: usize::MAX,
};

const FIVE: Limit = Limit::messages(5);

crate::promises! {
    many_appenders_get_one_dense_order_in_each_room_and_the_tail_tells_it,
    any_text_comes_back_as_it_was_said,
    a_key_is_kept_once_in_its_room,
    a_message_keeps_the_bridge_that_it_came_from,
    what_is_noted_under_a_name_is_there_when_the_log_is_opened_again,
    reads_find_what_lies_before_and_after_an_id,
    a_read_brings_no_more_text_than_was_asked_for_but_one_message,
    the_start_of_the_last_messages_is_found,
    an_id_that_this_history_does_not_have_is_a_gap,
    every_new_history_has_its_own_epoch_and_keeps_it,
    rooms_are_listed_by_their_newest_message,
    a_moment_ago_is_one_of_the_clock_that_dates_messages,
    closing_finishes_what_was_accepted_and_refuses_what_comes_later,
    posts_are_kept_when_nobody_reads_the_tail_any_more,
}

fn room(name: &str) -> RoomName {
    name.parse().unwrap()
}

fn post(room: &RoomName, text: &str) -> Post {
    Post {
        room: room.clone(),
        author: "ann".parse().ok(),
        text: text.into(),
        key: None,
        replica: "replica".into(),
        bridge: None,
        direct: None,
    }
}

fn keyed(room: &RoomName, text: &str, key: &str) -> Post {
    Post {
        key: Some(key.parse().unwrap()),
        ..post(room, text)
    }
}

async fn told(mut tail: Tail) -> Vec<Arc<Message>> {
    let mut told = Vec::new();
    while let Some(TailItem::Kept(batch)) = tail.recv().await {
        assert!(!batch.is_empty());
        told.extend(batch);
    }
    assert_eq!(tail.recv().await, None, "a gap");
    told
}

async fn everything(store: &Arc<dyn Store>, room: &RoomName) -> Vec<Arc<Message>> {
    store.last(room, ALL).await.unwrap()
}

fn seqs(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.id.seq).collect()
}

async fn many_appenders_get_one_dense_order_in_each_room_and_the_tail_tells_it(home: Home) {
    let (store, tail) = home.open();
    let telling = tokio::spawn(told(tail));
    let rooms: Vec<RoomName> = (0..5).map(|n| room(&format!("room {n}"))).collect();
    let mut appenders = JoinSet::new();
    for appender in 0..64 {
        let (store, rooms) = (Arc::clone(&store), rooms.clone());
        appenders.spawn(async move {
            let mut last = HashMap::new();
            for n in 0..50 {
                let room = &rooms[(appender + n) % rooms.len()];
                let text = format!("{appender}: {n}");
                let kept = store.append(post(room, &text)).await.unwrap();
                assert_eq!((&kept.room, &*kept.text), (room, &*text));
                let before = last.insert(room, kept.id.seq).unwrap_or(0);
                assert!(before < kept.id.seq, "an appender's own order is turned");
            }
        });
    }
    while let Some(done) = appenders.join_next().await {
        done.unwrap();
    }
    let mut logged = Vec::new();
    for room in &rooms {
        let messages = everything(&store, room).await;
        assert_eq!(seqs(&messages), Vec::from_iter(1..=640));
        assert!(messages.is_sorted_by_key(|message| message.time));
        logged.push(messages);
    }
    store.close().await;
    let told = telling.await.unwrap();
    assert_eq!(told.len(), 3200);
    for (room, logged) in rooms.iter().zip(logged) {
        let told: Vec<_> = told.iter().filter(|m| m.room == *room).cloned().collect();
        assert_eq!(told, logged);
    }
}

async fn any_text_comes_back_as_it_was_said(home: Home) {
    let (store, _) = home.open();
    let lobby = RoomName::lobby();
    let long = "✓😀\0".repeat(130_000);
    let texts = ["", "\0", "a\0b", "'); DROP TABLE messages; --", &long];
    let mut kept = Vec::new();
    for text in texts {
        let anonymous = Post {
            author: None,
            ..post(&lobby, text)
        };
        kept.push(store.append(anonymous).await.unwrap());
    }
    let read = everything(&store, &lobby).await;
    assert_eq!(read, kept);
    assert_eq!(Vec::from_iter(read.iter().map(|m| &*m.text)), texts);
}

async fn a_message_keeps_the_bridge_that_it_came_from(home: Home) {
    let (store, tail) = home.open();
    let telling = tokio::spawn(told(tail));
    let lobby = RoomName::lobby();
    let bridge = Some(BridgeName::new("messages"));
    let (ann, bob) = ("ann".parse().unwrap(), "bob".parse().unwrap());
    let foreign = Post {
        bridge: bridge.clone(),
        ..keyed(&lobby, "foreign", "k")
    };
    let letter = Post {
        bridge: bridge.clone(),
        direct: Some(Envelope {
            from: ann,
            to: bob,
            box_size: 10,
        }),
        ..post(
            &RoomName::direct(&"ann".parse().unwrap(), &"bob".parse().unwrap()),
            "letter",
        )
    };
    let kept = [
        store.append(foreign.clone()).await.unwrap(),
        store.append(post(&lobby, "ours")).await.unwrap(),
        store.append(letter).await.unwrap(),
    ];
    let bridges: Vec<_> = kept.iter().map(|kept| kept.bridge.clone()).collect();
    assert_eq!(bridges, [bridge.clone(), None, bridge]);
    assert_eq!(store.append(foreign).await.unwrap(), kept[0]);
    assert_eq!(everything(&store, &lobby).await, kept[..2]);
    let waiting = store
        .pending(&"bob".parse().unwrap(), 0, FIVE)
        .await
        .unwrap()
        .messages;
    assert_eq!(waiting, kept[2..]);
    store.close().await;
    assert_eq!(telling.await.unwrap(), kept);
}

async fn what_is_noted_under_a_name_is_there_when_the_log_is_opened_again(home: Home) {
    let (store, _) = home.open();
    assert_eq!(store.bookmark("place").await.unwrap(), None);
    store.set_bookmark("place", "1").await.unwrap();
    store.set_bookmark("place", "2").await.unwrap();
    assert_eq!(store.first_bookmark("place", "3").await.unwrap(), "2");
    assert_eq!(store.first_bookmark("mark", "a").await.unwrap(), "a");
    assert_eq!(store.first_bookmark("mark", "b").await.unwrap(), "a");
    store.close().await;
    drop(store);
    let (store, _) = home.open();
    let noted = (
        store.bookmark("place").await.unwrap(),
        store.bookmark("mark").await.unwrap(),
    );
    assert_eq!(noted, (Some("2".into()), Some("a".into())));
}

async fn a_key_is_kept_once_in_its_room(home: Home) {
    let (store, tail) = home.open();
    let telling = tokio::spawn(told(tail));
    let (here, there) = (room("here"), room("there"));
    let first = store.append(keyed(&here, "first", "k")).await.unwrap();
    let again = store.append(keyed(&here, "again", "k")).await.unwrap();
    assert_eq!(again, first);
    let elsewhere = store.append(keyed(&there, "elsewhere", "k")).await.unwrap();
    assert_eq!(elsewhere.id.seq, 1);

    let mut appenders = JoinSet::new();
    for n in 0..500 {
        let store = Arc::clone(&store);
        let post = keyed(&here, &n.to_string(), &format!("k{}", n % 5));
        appenders.spawn(async move { (n % 5, store.append(post).await.unwrap()) });
    }
    let mut by_key: HashMap<i32, Arc<Message>> = HashMap::new();
    while let Some(done) = appenders.join_next().await {
        let (key, kept) = done.unwrap();
        assert_eq!(by_key.entry(key).or_insert(Arc::clone(&kept)), &kept);
    }
    assert_eq!(seqs(&everything(&store, &here).await), [1, 2, 3, 4, 5, 6]);
    store.close().await;
    assert_eq!(telling.await.unwrap().len(), 7);

    let (store, tail) = home.open();
    let after_restart = store.append(keyed(&here, "again", "k")).await.unwrap();
    assert_eq!(after_restart, first);
    store.close().await;
    assert_eq!(told(tail).await, []);
}

async fn reads_find_what_lies_before_and_after_an_id(home: Home) {
    let (store, _) = home.open();
    let lobby = RoomName::lobby();
    for n in 1..=10 {
        store.append(post(&lobby, &n.to_string())).await.unwrap();
        store.append(post(&room("other"), "other")).await.unwrap();
    }
    let all = everything(&store, &lobby).await;
    let epoch = all[0].id.epoch;
    let id = |seq| MessageId { seq, epoch };

    for (limit, expected) in [(3, 7..10), (10, 0..10), (11, 0..10), (0, 10..10)] {
        assert_eq!(
            store.last(&lobby, Limit::messages(limit)).await.unwrap(),
            all[expected]
        );
    }
    for (seq, limit, expected) in [
        (0, 100, 0..10),
        (4, 3, 4..7),
        (9, 100, 9..10),
        (10, 100, 10..10),
        (4, 0, 4..4),
    ] {
        let after = store
            .after(&lobby, id(seq), Limit::messages(limit))
            .await
            .unwrap();
        assert_eq!(
            after,
            After::Complete(all[expected].to_vec()),
            "after {seq}"
        );
    }
    for (seq, limit, expected) in [
        (4, 2, 1..3),
        (4, 100, 0..3),
        (1, 100, 0..0),
        (0, 100, 0..0),
        (u64::MAX, 2, 8..10),
    ] {
        let before = store
            .before(&lobby, id(seq), Limit::messages(limit))
            .await
            .unwrap();
        assert_eq!(before, all[expected], "before {seq}");
    }
    let nowhere = room("nowhere");
    assert_eq!(everything(&store, &nowhere).await, []);
    assert_eq!(store.before(&nowhere, id(5), FIVE).await.unwrap(), []);
    assert_eq!(
        store.after(&nowhere, id(0), FIVE).await.unwrap(),
        After::Complete(Vec::new())
    );
}

async fn a_read_brings_no_more_text_than_was_asked_for_but_one_message(home: Home) {
    let (store, _) = home.open();
    let lobby = RoomName::lobby();
    let sizes = [10, 10, 5000, 10, 10, 10, 10, 10, 90_000, 10];
    for size in sizes {
        store.append(post(&lobby, &"x".repeat(size))).await.unwrap();
    }
    let all = everything(&store, &lobby).await;
    let epoch = all[0].id.epoch;
    let id = |seq| MessageId { seq, epoch };
    for (messages, bytes, after, before, last) in [
        (100, 0, 1..=1, 10..=10, 10..=10),
        (100, 20, 1..=2, 10..=10, 10..=10),
        (100, 5019, 1..=2, 10..=10, 10..=10),
        (100, 5020, 1..=3, 10..=10, 10..=10),
        (4, 5040, 1..=4, 10..=10, 10..=10),
        (100, 90_010, 1..=8, 9..=10, 9..=10),
        (100, 90_050, 1..=8, 5..=10, 5..=10),
        (3, 95_100, 1..=3, 8..=10, 8..=10),
        (100, 95_090, 1..=10, 1..=10, 1..=10),
    ] {
        let limit = Limit { messages, bytes };
        let After::Complete(following) = store.after(&lobby, id(0), limit).await.unwrap() else {
            panic!("a gap");
        };
        assert_eq!(seqs(&following), Vec::from_iter(after), "after, {limit:?}");
        let preceding = store.before(&lobby, id(11), limit).await.unwrap();
        assert_eq!(
            seqs(&preceding),
            Vec::from_iter(before),
            "before, {limit:?}"
        );
        let newest = store.last(&lobby, limit).await.unwrap();
        assert_eq!(seqs(&newest), Vec::from_iter(last), "last, {limit:?}");
    }
    let known = store.after(&lobby, id(3), Limit::NOTHING).await.unwrap();
    assert_eq!(known, After::Complete(Vec::new()));
    let unknown = store.after(&lobby, id(11), Limit::NOTHING).await.unwrap();
    assert_eq!(unknown, After::Gap);
}

async fn the_start_of_the_last_messages_is_found(home: Home) {
    let (store, _) = home.open();
    let lobby = RoomName::lobby();
    assert_eq!(store.start_of_last(&lobby, 5).await.unwrap(), 0);
    for n in 1..=10 {
        store.append(post(&lobby, &n.to_string())).await.unwrap();
    }
    for (count, start) in [(0, 10), (1, 9), (10, 0), (11, 0), (usize::MAX, 0)] {
        assert_eq!(store.start_of_last(&lobby, count).await.unwrap(), start);
    }
}

async fn an_id_that_this_history_does_not_have_is_a_gap(home: Home) {
    let (store, _) = home.open();
    let lobby = RoomName::lobby();
    let kept = store.append(post(&lobby, "kept")).await.unwrap().id;
    let foreign = Epoch(!kept.epoch.0);
    for (room, id) in [
        (&lobby, MessageId { seq: 2, ..kept }),
        (
            &lobby,
            MessageId {
                seq: u64::MAX,
                ..kept
            },
        ),
        (
            &lobby,
            MessageId {
                epoch: foreign,
                ..kept
            },
        ),
        (
            &lobby,
            MessageId {
                seq: 0,
                epoch: foreign,
            },
        ),
        (&room("nowhere"), kept),
    ] {
        assert_eq!(
            store.after(room, id, FIVE).await.unwrap(),
            After::Gap,
            "{id:?}"
        );
    }
    let before = MessageId {
        seq: 2,
        epoch: foreign,
    };
    assert_eq!(store.before(&lobby, before, FIVE).await.unwrap(), []);
}

async fn every_new_history_has_its_own_epoch_and_keeps_it(home: Home) {
    let mut epochs = Vec::new();
    for _ in 0..3 {
        let home = home.another();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (store, _) = home.open();
            let kept = store.append(post(&RoomName::lobby(), "hello")).await;
            seen.push(kept.unwrap().id.epoch);
            store.close().await;
        }
        assert_eq!(seen[0], seen[1]);
        assert!(!epochs.contains(&seen[0]));
        epochs.push(seen[0]);
    }
}

async fn rooms_are_listed_by_their_newest_message(home: Home) {
    let (store, _) = home.open();
    assert_eq!(store.rooms(10).await.unwrap(), []);
    let mut newest = HashMap::new();
    for name in ["a", "b", "c", "a"] {
        let kept = store.append(post(&room(name), "hello")).await.unwrap();
        newest.insert(name, kept.time);
        while jiff::Timestamp::now().as_millisecond() <= kept.time.as_millisecond() {
            tokio::task::yield_now().await;
        }
    }
    let listed = store.rooms(10).await.unwrap();
    let names: Vec<&str> = listed.iter().map(|listed| listed.room.as_str()).collect();
    assert_eq!(names, ["a", "c", "b"]);
    for listed in &listed {
        assert_eq!(listed.last, newest[listed.room.as_str()]);
    }
    assert_eq!(store.rooms(2).await.unwrap(), listed[..2]);
}

async fn a_moment_ago_is_one_of_the_clock_that_dates_messages(home: Home) {
    let (store, _tail) = home.open();
    let message = store.append(post(&room("a"), "now")).await.unwrap();
    let ago = async |seconds| store.lately(Duration::from_secs(seconds)).await.unwrap();
    assert!(ago(0).await >= message.time);
    for seconds in [60, 3600, u64::MAX] {
        assert!(ago(seconds).await <= message.time, "{seconds} s ago");
    }
}

async fn closing_finishes_what_was_accepted_and_refuses_what_comes_later(home: Home) {
    let (store, tail) = home.open();
    let lobby = RoomName::lobby();
    let telling = tokio::spawn(told(tail));
    let mut appenders = JoinSet::new();
    for n in 0..200 {
        let (store, lobby) = (Arc::clone(&store), lobby.clone());
        appenders.spawn(async move { store.append(post(&lobby, &n.to_string())).await });
    }
    let first = appenders.join_next().await.unwrap().unwrap().unwrap();
    tokio::join!(store.close(), store.close());
    store.close().await;
    let mut kept = 1;
    while let Some(done) = appenders.join_next().await {
        match done.unwrap() {
            Ok(_) => kept += 1,
            Err(error) => assert!(matches!(error, StoreError::Closed), "{error}"),
        }
    }
    assert_eq!(telling.await.unwrap().len(), kept);
    let closed = |error| matches!(error, StoreError::Closed);
    let late = store.append(post(&lobby, "late")).await;
    assert!(late.is_err_and(closed));
    assert!(store.last(&lobby, Limit::ONE).await.is_err_and(closed));
    assert!(
        store
            .before(&lobby, first.id, Limit::ONE)
            .await
            .is_err_and(closed)
    );
    assert!(
        store
            .after(&lobby, first.id, Limit::ONE)
            .await
            .is_err_and(closed)
    );
    assert!(store.rooms(1).await.is_err_and(closed));

    let (store, _) = home.open();
    assert_eq!(everything(&store, &lobby).await.len(), kept);
}

async fn posts_are_kept_when_nobody_reads_the_tail_any_more(home: Home) {
    let (store, tail) = home.open();
    drop(tail);
    for seq in 1..=200 {
        let kept = store
            .append(post(&RoomName::lobby(), "hello"))
            .await
            .unwrap();
        assert_eq!(kept.id.seq, seq);
    }
    store.close().await;
}
