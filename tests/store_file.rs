//! The SQLite store's file: what it survives, when it is refused and in which words, and what
//! retention takes out of it.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use handshaken::{
    chat::{
        message::{Message, MessageId, Post, RoomName},
        store::{After, Limit, Store, StoreError},
    },
    store::sqlite::{OpenError, Retain, SqliteStore},
};
use jiff::Timestamp;
use rusqlite::Connection;

/// More than any test has.
const ALL: Limit = Limit {
    messages: usize::MAX,
    bytes: usize::MAX,
};

const DEADLINE: Duration = Duration::from_secs(20);

fn open(dir: &Path) -> SqliteStore {
    retaining(dir, Retain::default())
}

/// Opens the store and lets its tail go.
fn retaining(dir: &Path, retain: Retain) -> SqliteStore {
    SqliteStore::open(dir, retain).unwrap().0
}

fn refused(dir: &Path) -> OpenError {
    match SqliteStore::open(dir, Retain::default()) {
        Ok(_) => panic!("the log opens"),
        Err(error) => error,
    }
}

/// That the refusal tells an operator each of these.
fn says(error: &OpenError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in {text:?}");
    }
}

async fn append(store: &SqliteStore, text: &str) -> Result<Arc<Message>, StoreError> {
    append_to(store, RoomName::lobby(), text).await
}

async fn append_to(
    store: &SqliteStore,
    room: RoomName,
    text: &str,
) -> Result<Arc<Message>, StoreError> {
    let post = Post {
        room,
        author: "ann".parse().ok(),
        text: text.into(),
        key: None,
        replica: "replica".into(),
        bridge: None,
        direct: None,
    };
    store.append(post).await
}

async fn fill(dir: &Path, messages: usize) -> Vec<Arc<Message>> {
    let store = open(dir);
    let texts: Vec<String> = (0..messages).map(|n| format!("{n} {:100}", "")).collect();
    let kept = texts.iter().map(|text| append(&store, text));
    let mut kept = futures_util::future::try_join_all(kept).await.unwrap();
    kept.sort_by_key(|message| message.id.seq);
    store.close().await;
    kept
}

async fn everything(store: &SqliteStore) -> Vec<Arc<Message>> {
    store.last(&RoomName::lobby(), ALL).await.unwrap()
}

/// Waits until so many messages are left, the newest of all.
async fn left(store: &SqliteStore, expected: usize) -> Vec<Arc<Message>> {
    let start = Instant::now();
    loop {
        let left = everything(store).await;
        if left.len() == expected {
            return left;
        }
        let found = left.len();
        assert!(start.elapsed() < DEADLINE, "{found} left, not {expected}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let kept = fill(dir.path(), 500).await;
    let store = open(dir.path());
    assert_eq!(everything(&store).await, kept);
    assert_eq!(append(&store, "next").await.unwrap().id.seq, 501);
}

#[tokio::test]
async fn a_log_that_is_dropped_lets_go_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, "kept").await.unwrap();
    drop(store);
    let start = Instant::now();
    let store = loop {
        match SqliteStore::open(dir.path(), Retain::default()) {
            Ok((store, _tail)) => break store,
            Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(everything(&store).await.len(), 1);
}

#[tokio::test]
async fn a_second_opener_is_told_who_has_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    let file = dir.path().join("log.db");
    let names = [file.to_str().unwrap(), dir.path().to_str().unwrap()];
    says(&error, &names);
    says(&error, &["in use by another process", "stop that one"]);
    append(&store, "undisturbed").await.unwrap();
    store.close().await;
    open(dir.path());
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let garbage = |file: &Path| fs::write(file, "garbage ".repeat(5000)).unwrap();
    let short = |file: &Path| fs::write(file, "x").unwrap();
    let cut_to = |part: fn(u64) -> u64| {
        move |path: &Path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(part(file.metadata().unwrap().len())).unwrap();
        }
    };
    let ways: [&dyn Fn(&Path); 5] = [
        &garbage,
        &short,
        &cut_to(|len| len / 2),
        &cut_to(|len| len - 4096),
        &cut_to(|_| 100),
    ];
    for (way, damage) in ways.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 500).await;
        let file = dir.path().join("log.db");
        damage(&file);
        let damaged = fs::read(&file).unwrap();
        let error = refused(dir.path());
        assert!(
            matches!(error, OpenError::Damaged { .. }),
            "{way}: {error:?}"
        );
        says(&error, &[file.to_str().unwrap(), "damaged", "backup"]);
        assert_eq!(fs::read(&file).unwrap(), damaged, "{way}: it is changed");
    }
}

#[tokio::test]
async fn damage_inside_is_found_after_an_unclean_end() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 2000).await;
    let file = dir.path().join("log.db");
    let conn = Connection::open(&file).unwrap();
    conn.execute("UPDATE meta SET value = 0 WHERE name = 'closed'", [])
        .unwrap();
    conn.close().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 4096].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn an_emptied_file_beside_what_was_written_ahead_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("log.db"), "").unwrap();
    fs::write(dir.path().join("log.db-wal"), "x".repeat(5000)).unwrap();
    says(&refused(dir.path()), &["damaged", "-wal"]);
}

#[tokio::test]
async fn files_of_others_and_of_later_versions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 1).await;
    let file = dir.path().join("log.db");
    let conn = Connection::open(&file).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    conn.close().unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Newer { found: 99, .. }));
    says(
        &error,
        &["format 99", "newer version", file.to_str().unwrap()],
    );

    let dir = tempfile::tempdir().unwrap();
    let conn = Connection::open(dir.path().join("log.db")).unwrap();
    conn.execute("CREATE TABLE users (name)", []).unwrap();
    conn.close().unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    says(&error, &["another program"]);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [&file, &file.join("data"), Path::new("/proc")] {
        let error = refused(dir);
        assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
        says(&error, &[dir.to_str().unwrap(), "check that"]);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_missing_directory_is_created_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/b");
    let store = open(&data);
    append(&store, "kept").await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["log.db", "log.db-wal"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_turn_the_times_of_a_room() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 1).await;
    let later = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + 3_600_000).unwrap();
    let conn = Connection::open(dir.path().join("log.db")).unwrap();
    for sql in [
        "UPDATE rooms SET time = ?1",
        "UPDATE messages SET time = ?1",
    ] {
        conn.execute(sql, [later.as_millisecond()]).unwrap();
    }
    conn.close().unwrap();
    let store = open(dir.path());
    assert_eq!(append(&store, "now").await.unwrap().time, later);
}

#[tokio::test]
async fn posts_that_the_file_refuses_fail_and_later_ones_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, "one").await.unwrap();
    let conn = Connection::open(dir.path().join("log.db")).unwrap();
    conn.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    .unwrap();
    for _ in 0..3 {
        let error = append(&store, "lost").await.unwrap_err();
        assert!(matches!(error, StoreError::Storage(_)), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
    }
    conn.execute("DROP TRIGGER refuse", []).unwrap();
    assert_eq!(append(&store, "two").await.unwrap().id.seq, 2);
    assert_eq!(everything(&store).await.len(), 2);
}

#[tokio::test]
async fn only_the_newest_messages_of_a_room_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let kept = fill(dir.path(), 5000).await;
    let newest = Retain {
        messages_per_room: Some(100),
        ..Retain::default()
    };
    let store = retaining(dir.path(), newest);
    let remaining = left(&store, 100).await;
    assert_eq!(remaining, kept[4900..]);

    let lobby = RoomName::lobby();
    let id = |seq| MessageId { seq, ..kept[0].id };
    for gap in [0, 1, 4899] {
        let after = store.after(&lobby, id(gap), ALL).await.unwrap();
        assert_eq!(after, After::Gap, "after {gap}");
    }
    let after = store.after(&lobby, id(4900), ALL).await.unwrap();
    assert_eq!(after, After::Complete(remaining));
    assert_eq!(
        store
            .before(&lobby, id(4901), Limit::messages(5))
            .await
            .unwrap(),
        []
    );

    let more = (0..1000).map(|_| append(&store, "more"));
    futures_util::future::try_join_all(more).await.unwrap();
    let remaining = left(&store, 100).await;
    assert_eq!(remaining[99].id.seq, 6000);
}

#[tokio::test]
async fn old_messages_go_and_their_ids_are_not_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let kept = fill(dir.path(), 3000).await;
    let young = Retain {
        age: Some(Duration::from_millis(10)),
        ..Retain::default()
    };
    let store = retaining(dir.path(), young);
    left(&store, 0).await;
    assert_eq!(store.rooms(10).await.unwrap(), []);
    let lobby = RoomName::lobby();
    let newest = kept[2999].id;
    assert_eq!(
        store
            .after(&lobby, newest, Limit::messages(5))
            .await
            .unwrap(),
        After::Complete(Vec::new())
    );
    store.close().await;
    let store = open(dir.path());
    assert_eq!(append(&store, "next").await.unwrap().id.seq, 3001);
    assert_eq!(store.rooms(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_full_loses_the_oldest_messages_of_its_largest_rooms() {
    const MOST: u64 = 8 << 20;
    let dir = tempfile::tempdir().unwrap();
    let store = retaining(
        dir.path(),
        Retain {
            bytes: Some(MOST),
            ..Retain::default()
        },
    );
    let quiet: RoomName = "quiet".parse().unwrap();
    let small = "x".repeat(1000);
    for _ in 0..500 {
        append_to(&store, quiet.clone(), &small).await.unwrap();
    }
    let large = "x".repeat(90_000);
    let count = 4 * MOST / 90_000;
    for _ in 0..count {
        append(&store, &large).await.unwrap();
    }
    // The last step comes behind the last post.
    append(&store, "last").await.unwrap();
    let kept = everything(&store).await;
    let bytes: usize = kept.iter().map(|message| message.text.len()).sum();
    assert!(
        (bytes as u64) < MOST,
        "{bytes} bytes in {} messages",
        kept.len()
    );
    assert_eq!(kept.last().unwrap().id.seq, count + 1, "the newest stays");
    let seqs = kept.iter().map(|message| message.id.seq);
    let first = kept[0].id.seq;
    assert!(seqs.eq(first..=count + 1), "what stays has no hole");
    let of_quiet = store.last(&quiet, ALL).await.unwrap();
    assert_eq!(of_quiet.len(), 500, "a small room pays for a large one");
    let file = fs::metadata(dir.path().join("log.db")).unwrap().len();
    assert!(file < 2 * MOST, "the file has {file} bytes");
}

#[tokio::test]
async fn a_room_of_which_nothing_is_kept_is_forgotten_but_not_its_ids() {
    let dir = tempfile::tempdir().unwrap();
    let room = |name: &str| -> RoomName { name.parse().unwrap() };
    let young = Retain {
        age: Some(Duration::from_millis(10)),
        ..Retain::default()
    };
    let store = retaining(dir.path(), young);
    let mut last = None;
    for _ in 0..5 {
        last = Some(append_to(&store, room("gone"), "old").await.unwrap().id);
    }
    let last = last.unwrap();
    let file = Connection::open(dir.path().join("log.db")).unwrap();
    let start = Instant::now();
    loop {
        let rooms = "SELECT count(*) FROM rooms";
        let rooms: i64 = file.query_row(rooms, [], |row| row.get(0)).unwrap();
        if rooms == 0 {
            break;
        }
        assert!(start.elapsed() < DEADLINE, "{rooms} rooms are left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(file);
    let unknown = store.after(&room("gone"), last, ALL).await.unwrap();
    assert_eq!(unknown, After::Complete(Vec::new()), "nothing was missed");
    store.close().await;
    let store = open(dir.path());
    for name in ["gone", "new"] {
        let next = append_to(&store, room(name), "next").await.unwrap();
        assert_eq!(next.id.seq, last.seq + 1, "in {name}");
    }
    let missed = store.after(&room("gone"), last, ALL).await.unwrap();
    assert!(matches!(missed, After::Complete(messages) if messages.len() == 1));
    let earlier = MessageId {
        seq: last.seq - 1,
        ..last
    };
    let missed = store.after(&room("gone"), earlier, ALL).await.unwrap();
    assert_eq!(missed, After::Gap, "what is not kept was missed");
}

#[tokio::test]
async fn messages_grow_old_while_the_log_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let young = Retain {
        messages_per_room: Some(1_000_000),
        age: Some(Duration::from_secs(1)),
        ..Retain::default()
    };
    let store = retaining(dir.path(), young);
    append(&store, "grows old").await.unwrap();
    assert_eq!(everything(&store).await.len(), 1);
    left(&store, 0).await;
}
