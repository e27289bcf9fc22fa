//! The SQLite store is killed while it writes as fast as it can, again and again.
//! The process that is killed is this test's own program, started once more.

use std::{
    collections::{HashMap, HashSet},
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use handshaken::{
    chat::{
        message::{Post, RoomName},
        store::{Limit, Store},
    },
    store::sqlite::{Retain, SqliteStore},
};

/// More than any test has.
const ALL: Limit = Limit {
    messages: usize::MAX,
    bytes: usize::MAX,
};

/// Where the process that is to be killed writes; set in that one only.
const VICTIM_DIR: &str = "HANDSHAKEN_TEST_LOG_DIR";

const ROUNDS: usize = 3;

/// Acknowledgements after which it is killed.
const KILL_AFTER: usize = 5000;

const APPENDERS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_being_killed_in_order_and_once() {
    if let Some(dir) = env::var_os(VICTIM_DIR) {
        append_until_killed(Path::new(&dir)).await;
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = HashMap::new();
    for round in 0..ROUNDS {
        let new = acknowledged_until_killed(dir.path());
        assert!(
            new.len() >= KILL_AFTER,
            "only {} in round {round}",
            new.len()
        );
        for (place, text) in new {
            let earlier = acknowledged.insert(place, text);
            assert_eq!(earlier, None, "a place is given out twice");
        }
        check(dir.path(), &acknowledged).await;
    }
}

/// Room and seq of a message.
type Place = (String, u64);

fn acknowledged_until_killed(dir: &Path) -> Vec<(Place, String)> {
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--nocapture", "--test-threads", "1"])
        .env(VICTIM_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut killed = false;
    let mut line = String::new();
    // To the end of the pipe: what was told before the kill counts as well.
    while lines.read_line(&mut line).unwrap() > 0 {
        if line.ends_with('\n')
            && let Some(ack) = line.trim_end().strip_prefix("kept ")
        {
            let (room, ack) = ack.split_once(' ').unwrap();
            let (seq, text) = ack.split_once(' ').unwrap();
            acknowledged.push(((room.into(), seq.parse().unwrap()), text.into()));
        }
        line.clear();
        if acknowledged.len() >= KILL_AFTER && !killed {
            victim.kill().unwrap();
            killed = true;
        }
    }
    let status = victim.wait().unwrap();
    assert!(killed, "it ended by itself: {status}");
    acknowledged
}

async fn check(dir: &Path, acknowledged: &HashMap<Place, String>) {
    let (store, _) = SqliteStore::open(dir, Retain::default()).unwrap();
    let mut texts = HashSet::new();
    let mut found = 0;
    for room in store.rooms(usize::MAX).await.unwrap() {
        let messages = store.last(&room.room, ALL).await.unwrap();
        for (message, seq) in messages.iter().zip(1..) {
            assert_eq!(message.id.seq, seq, "a hole");
            assert!(texts.insert(message.text.clone()), "kept twice");
            if let Some(text) = acknowledged.get(&(room.room.to_string(), seq)) {
                assert_eq!(&*message.text, text);
                found += 1;
            }
        }
    }
    assert_eq!(found, acknowledged.len());
    store.close().await;
}

async fn append_until_killed(dir: &Path) {
    let (store, mut tail) = SqliteStore::open(dir, Retain::default()).unwrap();
    let store = Arc::new(store);
    for appender in 0..APPENDERS {
        let store = Arc::clone(&store);
        let room: RoomName = format!("room-{}", appender % 4).parse().unwrap();
        tokio::spawn(async move {
            for n in 0.. {
                let text = format!("{} {appender} {n}", std::process::id());
                let post = Post {
                    room: room.clone(),
                    author: None,
                    text: text.clone().into(),
                    key: None,
                    replica: "replica".into(),
                    bridge: None,
                    direct: None,
                };
                let seq = store.append(post).await.unwrap().id.seq;
                // One write for the line, so that the lines of two appenders do not mix.
                let line = format!("kept {room} {seq} {text}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    while tail.recv().await.is_some() {}
}
