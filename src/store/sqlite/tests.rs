//! What needs narrow bounds, or a look at the statements; the rest is in `tests/store.rs`.

use futures_util::FutureExt;
use rusqlite::{Connection, ToSql};
use tempfile::TempDir;

use super::*;
use crate::chat::store::{Limit, TailItem};

const DEADLINE: Duration = Duration::from_secs(20);

fn open(dir: &TempDir, bounds: Bounds) -> (Arc<SqliteStore>, Tail) {
    let (store, tail) = SqliteStore::open_within(bounds, dir.path(), Retain::default()).unwrap();
    (Arc::new(store), tail)
}

fn post(text: impl Into<Box<str>>) -> Post {
    Post {
        room: RoomName::lobby(),
        author: None,
        text: text.into(),
        key: None,
        replica: "replica".into(),
        bridge: None,
        direct: None,
    }
}

fn messages(told: TailItem) -> Vec<Arc<Message>> {
    match told {
        TailItem::Kept(messages) => messages,
        TailItem::Gap => panic!("a gap"),
    }
}

/// How SQLite means to find the rows.
fn plan(conn: &Connection, sql: &str, params: &[&dyn ToSql]) -> String {
    let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = plan.query_map(params, |row| row.get(3)).unwrap();
    steps
        .collect::<Result<Vec<String>, _>>()
        .unwrap()
        .join("; ")
}

#[tokio::test]
async fn every_read_is_a_search_in_an_index_and_sorts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _tail) = open(&dir, BOUNDS);
    store.close().await;
    let conn = Connection::open(dir.path().join("log.db")).unwrap();
    assert_eq!(
        plan(&conn, reader::AFTER, &[&1, &2, &3]),
        "SEARCH messages USING PRIMARY KEY (room=? AND seq>?)"
    );
    assert_eq!(
        plan(&conn, reader::BEFORE, &[&1, &2, &3]),
        "SEARCH messages USING PRIMARY KEY (room=? AND seq<?)"
    );
    assert_eq!(
        plan(&conn, prune::LARGEST, &[]),
        "SCAN rooms USING INDEX rooms_by_bytes"
    );
    assert_eq!(
        plan(&conn, reader::ROOMS, &[&1]),
        "SCAN rooms USING INDEX rooms_by_time"
    );
    assert_eq!(
        plan(&conn, batch::SAME_KEY, &[&1, &"key"]),
        "SEARCH messages USING INDEX messages_by_key (room=? AND key=?)"
    );
    let the_box =
        "SCALAR SUBQUERY 1; SEARCH boxes USING COVERING INDEX sqlite_autoindex_boxes_1 (user=?)";
    assert_eq!(
        plan(&conn, threads::PENDING, &[&"user", &1, &2]),
        format!(
            "SEARCH pending USING PRIMARY KEY (box=? AND place>?); {the_box}; SEARCH m USING PRIMARY KEY (room=? AND seq=?)"
        )
    );
    assert_eq!(
        plan(&conn, threads::CONVERSATIONS, &[&"user", &1]),
        format!(
            "SEARCH c USING INDEX conversations_by_time (box=?); {the_box}; SEARCH rooms USING INTEGER PRIMARY KEY (rowid=?); SEARCH m USING PRIMARY KEY (room=? AND seq=?) LEFT-JOIN"
        )
    );
}

#[tokio::test]
async fn a_tail_that_is_not_read_makes_posts_wait_then_fail_and_holds_nothing_back_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        queue: 4,
        tail: 1,
        patience: Duration::from_millis(500),
        ..BOUNDS
    };
    let (store, mut tail) = open(&dir, bounds);
    store.append(post("fills the tail")).await.unwrap();
    let mut waiting = Vec::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        waiting.push(tokio::spawn(async move {
            store.append(post(number.to_string())).await
        }));
    }
    // The writer holds one post, the queue four.
    let refused = async {
        while waiting.iter().filter(|post| post.is_finished()).count() < 15 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, refused)
        .await
        .expect("no post is refused");

    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        while let Some(batch) = tail.recv().await {
            read.extend(messages(batch));
        }
        read
    });
    let mut kept = 1;
    for waiting in waiting {
        match waiting.await.unwrap() {
            Ok(_) => kept += 1,
            Err(error) => assert!(matches!(error, StoreError::Busy), "{error}"),
        }
    }
    assert_eq!(kept, 6);
    store.append(post("after all")).await.unwrap();
    let logged = store
        .last(&RoomName::lobby(), Limit::messages(100))
        .await
        .unwrap();
    store.close().await;
    assert_eq!(logged.len(), 7);
    assert_eq!(reading.await.unwrap(), logged);
}

#[tokio::test]
async fn closing_keeps_what_was_accepted_though_the_tail_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut tail) = open(&dir, Bounds { tail: 1, ..BOUNDS });
    store.append(post("fills the tail")).await.unwrap();
    let mut accepted = std::pin::pin!(store.append(post("accepted")));
    assert!((&mut accepted).now_or_never().is_none());
    timeout(DEADLINE, store.close()).await.expect("close hangs");
    assert_eq!(accepted.await.unwrap().id.seq, 2);
    assert_eq!(messages(tail.recv().await.unwrap()).len(), 1);
    assert_eq!(tail.recv().await, None);
}

#[tokio::test]
async fn a_tail_that_missed_a_batch_ends_rather_than_go_on_after_the_hole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut tail) = open(&dir, Bounds { tail: 1, ..BOUNDS });
    store.append(post("fills the tail")).await.unwrap();
    store.tail_abandoned.cancel();
    store.append(post("missed")).await.unwrap();
    assert_eq!(messages(tail.recv().await.unwrap()).len(), 1);
    store.append(post("after the hole")).await.unwrap();
    assert_eq!(tail.recv().await, None);
}

#[tokio::test]
async fn posts_wait_for_bytes_as_well_as_for_places() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        queue_bytes: 64 << 10,
        tail: 1,
        patience: Duration::from_millis(500),
        ..BOUNDS
    };
    let (store, mut tail) = open(&dir, bounds);
    store.append(post("fills the tail")).await.unwrap();
    let large = "x".repeat(1 << 20);
    let mut first = std::pin::pin!(store.append(post(large.clone())));
    assert!((&mut first).now_or_never().is_none());
    let refused = store.append(post(large)).await;
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    tail.recv().await.unwrap();
    assert_eq!(first.await.unwrap().id.seq, 2);
}

#[tokio::test]
async fn a_post_that_does_not_fit_on_the_disk_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        pages: Some(40),
        ..BOUNDS
    };
    let (store, mut tail) = open(&dir, bounds);
    assert_eq!(store.append(post("before")).await.unwrap().id.seq, 1);
    for _ in 0..3 {
        let error = store.append(post("x".repeat(1 << 20))).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
    }
    assert_eq!(store.append(post("after")).await.unwrap().id.seq, 2);
    let kept = store
        .last(&RoomName::lobby(), Limit::messages(10))
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
    store.close().await;
    let mut told = Vec::new();
    while let Some(batch) = tail.recv().await {
        told.extend(messages(batch));
    }
    assert_eq!(told, kept);
}
