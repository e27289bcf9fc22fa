//! The store's inboxes: direct messages wait in them until they are acknowledged, over all threads, in
//! one order; how threads stand; files of the version before.

#[path = "harness/mod.rs"]
mod harness;

use std::{path::Path, sync::Arc, time::Duration};

use handshaken::{
    chat::{
        message::{Envelope, Message, MessageId, Post, RoomName, UserId},
        store::{
            DirectMessages, Limit, Receipt, ReceiptKind, Store, StoreError, Tail, TailItem,
            ThreadState,
        },
    },
    store::sqlite::{Retain, SqliteStore},
};
use harness::home::Home;
use rusqlite::Connection;

const DEADLINE: Duration = Duration::from_secs(20);

/// More than any test has.
const ALL: Limit = Limit {
    messages: usize::MAX,
    bytes: usize::MAX,
};

crate::promises! {
    direct_messages_of_all_people_are_listed_in_the_order_in_which_they_were_kept,
    what_is_written_to_one_person_waits_in_one_order_over_all_conversations,
    what_was_acknowledged_does_not_wait_any_more_nor_after_opening_again,
    a_full_box_refuses_and_keeps_nothing_until_there_is_room,
    ids_are_kept_in_the_form_in_which_they_came,
    how_a_conversation_stands_follows_what_was_acknowledged_and_read,
    conversations_are_listed_by_their_newest_message,
    one_may_write_to_oneself,
    what_retention_lets_go_does_not_wait_any_more_and_makes_room,
}

/// Opens the store and lets its tail go.
fn open(home: &Home) -> Arc<dyn Store> {
    home.open().0
}

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn letter(from: &str, to: &str, text: &str) -> Post {
    Post {
        room: RoomName::direct(&user(from), &user(to)),
        author: None,
        text: text.into(),
        key: None,
        replica: "replica".into(),
        bridge: None,
        direct: Some(Envelope {
            from: user(from),
            to: user(to),
            box_size: 10_000,
        }),
    }
}

fn into_box_of(size: usize, mut post: Post) -> Post {
    if let Some(envelope) = &mut post.direct {
        envelope.box_size = size;
    }
    post
}

fn keyed(key: &str, post: Post) -> Post {
    Post {
        key: key.parse().ok(),
        ..post
    }
}

async fn write(store: &Arc<dyn Store>, from: &str, to: &str, text: &str) -> Arc<Message> {
    store.append(letter(from, to, text)).await.unwrap()
}

async fn waiting(store: &Arc<dyn Store>, to: &str) -> Vec<Arc<Message>> {
    store.pending(&user(to), 0, ALL).await.unwrap().messages
}

async fn told(mut tail: Tail) -> Vec<Arc<Message>> {
    let mut told = Vec::new();
    while let Some(TailItem::Kept(batch)) = tail.recv().await {
        told.extend(batch);
    }
    told
}

fn texts(messages: &[Arc<Message>]) -> Vec<&str> {
    messages.iter().map(|message| &*message.text).collect()
}

/// What is said after it is later by the store's clock.
async fn next_millisecond() {
    let now = jiff::Timestamp::now().as_millisecond();
    while jiff::Timestamp::now().as_millisecond() <= now {
        tokio::task::yield_now().await;
    }
}

fn place(message: &Message) -> u64 {
    message.direct.as_ref().unwrap().place
}

fn places(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| place(message)).collect()
}

fn id(seq: u64, of: &Message) -> MessageId {
    MessageId { seq, ..of.id }
}

async fn direct_messages_of_all_people_are_listed_in_the_order_in_which_they_were_kept(home: Home) {
    let store = open(&home);
    assert_eq!(
        store.direct_messages(0, ALL).await.unwrap(),
        DirectMessages::default()
    );
    let mut kept = Vec::new();
    for (from, to) in [
        ("ann", "bob"),
        ("cid", "bob"),
        ("bob", "ann"),
        ("ann", "ann"),
    ] {
        kept.push(write(&store, from, to, "hello").await);
        store
            .append(Post {
                room: RoomName::lobby(),
                direct: None,
                ..letter(from, to, "to everybody")
            })
            .await
            .unwrap();
    }
    let again = keyed("k", letter("ann", "bob", "once"));
    kept.push(store.append(again.clone()).await.unwrap());
    store.append(again).await.unwrap();
    let full = store.append(into_box_of(1, letter("ann", "bob", "refused")));
    assert!(full.await.is_err());
    store.acknowledge(&user("bob"), vec![1]).await.unwrap();
    store.close().await;
    let store = open(&home);
    let listed = |from: usize, to: usize| {
        let messages = (from..to).map(|n| (n as u64 + 1, kept[n].clone()));
        DirectMessages {
            newest: 5,
            messages: messages.collect(),
        }
    };
    assert_eq!(store.direct_messages(0, ALL).await.unwrap(), listed(0, 5));
    assert_eq!(
        store.direct_messages(1, Limit::messages(2)).await.unwrap(),
        listed(1, 3)
    );
    assert_eq!(store.direct_messages(5, ALL).await.unwrap(), listed(5, 5));
    assert_eq!(store.direct_messages(9, ALL).await.unwrap(), listed(5, 5));
    assert_eq!(
        store
            .direct_messages(u64::MAX, Limit::NOTHING)
            .await
            .unwrap(),
        listed(5, 5)
    );
}

async fn what_is_written_to_one_person_waits_in_one_order_over_all_conversations(home: Home) {
    let (store, tail) = home.open();
    let telling = tokio::spawn(told(tail));
    write(&store, "ann", "bob", "one").await;
    write(&store, "cid", "bob", "two").await;
    write(&store, "bob", "ann", "mine").await;
    let last = write(&store, "ann", "bob", "three").await;
    let pending = waiting(&store, "bob").await;
    assert_eq!(texts(&pending), ["one", "two", "three"]);
    assert_eq!(places(&pending), [1, 2, 3]);
    assert_eq!(pending[2], last);
    assert_eq!(last.id.seq, 3, "a conversation is one room for both");
    let after = store
        .pending(&user("bob"), 1, Limit::ONE)
        .await
        .unwrap()
        .messages;
    assert_eq!(texts(&after), ["two"]);
    assert_eq!(texts(&waiting(&store, "ann").await), ["mine"]);
    assert!(waiting(&store, "cid").await.is_empty());
    let room = RoomName::direct(&user("bob"), &user("ann"));
    let said = store.last(&room, ALL).await.unwrap();
    assert_eq!(texts(&said), ["one", "mine", "three"]);
    assert!(
        store.rooms(10_000).await.unwrap().is_empty(),
        "a room of two is listed"
    );
    store.close().await;
    let told = telling.await.unwrap();
    assert_eq!(texts(&told), ["one", "two", "mine", "three"]);
    assert!(told.contains(&last));
}

async fn what_was_acknowledged_does_not_wait_any_more_nor_after_opening_again(home: Home) {
    let store = open(&home);
    for text in ["one", "two", "three"] {
        write(&store, "ann", "bob", text).await;
    }
    let mut receipts = store.receipts();
    // Twice, and what never was.
    store
        .acknowledge(&user("bob"), vec![2, 2, 0, 99, u64::MAX])
        .await
        .unwrap();
    store.acknowledge(&user("bob"), vec![2]).await.unwrap();
    store.acknowledge(&user("nobody"), vec![1]).await.unwrap();
    let Receipt {
        from, to, id, what, ..
    } = receipts.try_recv().unwrap();
    assert_eq!((from, to, id.seq), (user("ann"), user("bob"), 2));
    assert_eq!(what, ReceiptKind::Delivered { place: 2 });
    assert!(receipts.try_recv().is_err(), "marked twice");
    assert_eq!(texts(&waiting(&store, "bob").await), ["one", "three"]);
    store.close().await;
    let store = open(&home);
    assert_eq!(texts(&waiting(&store, "bob").await), ["one", "three"]);
    let next = write(&store, "ann", "bob", "four").await;
    assert_eq!(place(&next), 4, "a place is given out twice");
}

async fn a_full_box_refuses_and_keeps_nothing_until_there_is_room(home: Home) {
    let store = open(&home);
    let small = |key: &str, post| keyed(key, into_box_of(2, post));
    store
        .append(small("a", letter("ann", "bob", "one")))
        .await
        .unwrap();
    store
        .append(small("b", letter("cid", "bob", "two")))
        .await
        .unwrap();
    let refused = store
        .append(small("c", letter("ann", "bob", "three")))
        .await;
    assert!(
        matches!(refused, Err(StoreError::InboxFull(2))),
        "{refused:?}"
    );
    // Neither its answer that was lost, nor other people, nor rooms are concerned.
    let again = store
        .append(small("a", letter("ann", "bob", "one")))
        .await
        .unwrap();
    assert_eq!(again.id.seq, 1);
    store
        .append(small("d", letter("bob", "ann", "mine")))
        .await
        .unwrap();
    store.acknowledge(&user("bob"), vec![1]).await.unwrap();
    let kept = store
        .append(small("c", letter("ann", "bob", "three")))
        .await
        .unwrap();
    assert_eq!((kept.id.seq, place(&kept)), (3, 3));
    assert_eq!(texts(&waiting(&store, "bob").await), ["two", "three"]);
    assert_eq!(kept.direct.as_ref().unwrap().key, "c".parse().ok());
}

async fn ids_are_kept_in_the_form_in_which_they_came(home: Home) {
    let store = open(&home);
    let number: UserId = serde_json::from_str("7").unwrap();
    let mut post = letter("ann", "7", "to a number");
    post.direct.as_mut().unwrap().to = number;
    store.append(post).await.unwrap();
    write(&store, "ann", "7", "to a string").await;
    let forms: Vec<_> = (waiting(&store, "7").await.iter())
        .map(|message| serde_json::to_string(&message.direct.as_ref().unwrap().to).unwrap())
        .collect();
    assert_eq!(forms, ["7", "\"7\""]);
}

async fn how_a_conversation_stands_follows_what_was_acknowledged_and_read(home: Home) {
    let store = open(&home);
    let (ann, bob) = (user("ann"), user("bob"));
    assert_eq!(
        store.thread_state(&ann, &bob).await.unwrap(),
        ThreadState::default()
    );
    let first = write(&store, "ann", "bob", "one").await;
    write(&store, "bob", "ann", "two").await;
    write(&store, "ann", "bob", "three").await;
    let thread_state = |of, with| store.thread_state(of, with);
    let ids = |delivered: Option<u64>, read: Option<u64>, unread| ThreadState {
        delivered: delivered.map(|seq| id(seq, &first)),
        read: read.map(|seq| id(seq, &first)),
        unread,
    };
    assert_eq!(thread_state(&ann, &bob).await.unwrap(), ids(None, None, 1));
    store.acknowledge(&bob, vec![1]).await.unwrap();
    assert_eq!(
        thread_state(&ann, &bob).await.unwrap(),
        ids(Some(2), None, 1)
    );
    store.acknowledge(&bob, vec![2]).await.unwrap();
    let mut receipts = store.receipts();
    assert_eq!(store.read(&bob, &ann, first.id).await.unwrap(), Some(1));
    let mark = receipts.try_recv().unwrap();
    assert_eq!(
        (mark.from, mark.to, mark.id),
        (ann.clone(), bob.clone(), first.id)
    );
    assert_eq!((mark.what, mark.time), (ReceiptKind::Read, first.time));
    assert_eq!(
        thread_state(&ann, &bob).await.unwrap(),
        ids(Some(3), Some(1), 1)
    );
    // One's own message in between counts for nothing.
    assert_eq!(
        store.read(&bob, &ann, id(2, &first)).await.unwrap(),
        Some(1)
    );
    assert_eq!(
        store.read(&bob, &ann, id(3, &first)).await.unwrap(),
        Some(0)
    );
    receipts.try_recv().unwrap();
    receipts.try_recv().unwrap();
    assert_eq!(
        store.read(&bob, &ann, first.id).await.unwrap(),
        Some(0),
        "a mark goes back"
    );
    assert!(receipts.try_recv().is_err(), "told though nothing moved");
    assert_eq!(
        thread_state(&bob, &ann).await.unwrap(),
        ids(Some(1), None, 0)
    );
    for (reader, other, never) in [
        (&bob, &ann, id(4, &first)),
        (&bob, &ann, id(0, &first)),
        (&bob, &ann, id(u64::MAX, &first)),
        (&bob, &user("cid"), first.id),
        (&user("cid"), &bob, first.id),
        (&bob, &ann, "1-0".parse().unwrap()),
    ] {
        assert_eq!(
            store.read(reader, other, never).await.unwrap(),
            None,
            "{never}"
        );
    }
}

async fn conversations_are_listed_by_their_newest_message(home: Home) {
    let store = open(&home);
    write(&store, "ann", "bob", "old").await;
    next_millisecond().await;
    write(&store, "cid", "bob", "one").await;
    write(&store, "cid", "bob", "two").await;
    let listed = |limit| {
        let store = &store;
        async move {
            let listed = store.threads(&user("bob"), limit).await.unwrap();
            let rows = listed.into_iter().map(|of| {
                let last = of.last.unwrap().text.clone().into_string();
                (of.with.to_string(), of.unread, last)
            });
            rows.collect::<Vec<_>>()
        }
    };
    let row = |with: &str, unread, last: &str| (with.to_owned(), unread, last.to_owned());
    assert_eq!(
        listed(9).await,
        [row("cid", 2, "two"), row("ann", 1, "old")]
    );
    next_millisecond().await;
    write(&store, "bob", "ann", "answer").await;
    assert_eq!(
        listed(9).await,
        [row("ann", 1, "answer"), row("cid", 2, "two")]
    );
    assert_eq!(listed(1).await, [row("ann", 1, "answer")]);
    assert!(store.threads(&user("dan"), 9).await.unwrap().is_empty());
}

async fn one_may_write_to_oneself(home: Home) {
    let store = open(&home);
    let note = write(&store, "ann", "ann", "note").await;
    assert_eq!(texts(&waiting(&store, "ann").await), ["note"]);
    let ann = user("ann");
    assert_eq!(store.threads(&ann, 9).await.unwrap()[0].unread, 1);
    assert_eq!(store.read(&ann, &ann, note.id).await.unwrap(), Some(0));
    store.acknowledge(&ann, vec![1]).await.unwrap();
    let thread_state = store.thread_state(&ann, &ann).await.unwrap();
    assert_eq!(
        (thread_state.delivered, thread_state.read),
        (Some(note.id), Some(note.id))
    );
}

async fn what_retention_lets_go_does_not_wait_any_more_and_makes_room(home: Home) {
    let retain = Retain {
        messages_per_room: Some(2),
        ..Retain::default()
    };
    let (store, tail) = home.open_keeping(retain);
    drop(tail);
    for n in 0..5 {
        let post = into_box_of(5, letter("ann", "bob", &n.to_string()));
        store.append(post).await.unwrap();
    }
    store.close().await;
    let (store, tail) = home.open_keeping(retain);
    drop(tail);
    let pruned = async {
        while waiting(&store, "bob").await.len() > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, pruned)
        .await
        .expect("all of them wait");
    assert_eq!(texts(&waiting(&store, "bob").await), ["3", "4"]);
    assert_eq!(store.threads(&user("bob"), 9).await.unwrap()[0].unread, 2);
    for n in 5..8 {
        let post = into_box_of(5, letter("ann", "bob", &n.to_string()));
        store.append(post).await.unwrap();
    }
    let full = store
        .append(into_box_of(5, letter("ann", "bob", "8")))
        .await;
    assert!(matches!(full, Err(StoreError::InboxFull(5))), "{full:?}");
}

fn open_folder(dir: &Path) -> Arc<dyn Store> {
    let (store, tail) = SqliteStore::open(dir, Retain::default()).unwrap();
    drop(tail);
    Arc::new(store)
}

/// What the version before direct messages wrote.
const VERSION_1: &str = "
    PRAGMA application_id = 0x48534c47;
    PRAGMA user_version = 1;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('epoch', 171), ('closed', 1);
    CREATE TABLE rooms (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
        first INTEGER NOT NULL, next INTEGER NOT NULL, time INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX rooms_by_time ON rooms (time) WHERE first < next;
    CREATE TABLE messages (
        room INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL,
        author TEXT, text TEXT NOT NULL, replica TEXT NOT NULL, key TEXT,
        PRIMARY KEY (room, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX messages_by_key ON messages (room, key) WHERE key IS NOT NULL;
    INSERT INTO rooms VALUES (1, 'lobby', 2, 4, 1700000000001), (2, 'gone', 9, 9, 1600000000000);
    INSERT INTO messages VALUES
        (1, 2, 1700000000000, 'ann', 'hello', 'old', 'k'),
        (1, 3, 1700000000001, NULL, 'bye', 'old', NULL);
";

#[tokio::test]
async fn a_file_of_the_version_before_is_taken_over_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let old = Connection::open(dir.path().join("log.db")).unwrap();
    old.execute_batch(VERSION_1).unwrap();
    drop(old);
    for _ in 0..2 {
        let store = open_folder(dir.path());
        let kept = store.last(&RoomName::lobby(), ALL).await.unwrap();
        let seen: Vec<_> = (kept.iter())
            .map(|message| {
                (
                    message.id.to_string(),
                    &*message.text,
                    message.direct.is_none(),
                )
            })
            .collect();
        assert_eq!(seen[0], ("2-000000ab".into(), "hello", true));
        assert_eq!(seen[1], ("3-000000ab".into(), "bye", true));
        assert_eq!(kept[0].author, "ann".parse().ok());
        let rooms = store.rooms(10_000).await.unwrap();
        assert_eq!(rooms.len(), 1);
        let same_key = keyed(
            "k",
            Post {
                room: RoomName::lobby(),
                direct: None,
                ..letter("ann", "bob", "again")
            },
        );
        assert_eq!(store.append(same_key).await.unwrap().id.seq, 2);
        let placed = write(&store, "ann", "bob", "new").await;
        assert_eq!(waiting(&store, "bob").await.last(), Some(&placed));
        store.close().await;
    }
    let store = open_folder(dir.path());
    assert_eq!(texts(&waiting(&store, "bob").await), ["new", "new"]);
}
