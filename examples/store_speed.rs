//! Measures a store: posts a second from so many appenders, and reads from a large room. The store is the
//! one in a folder, or in a Redis (which is not emptied).
//! `cargo run --release --example log_speed -- DIR|URL append APPENDERS SECONDS [ROOMS]`
//! `cargo run --release --example log_speed -- DIR|URL read MESSAGES`

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use handshaken::{
    chat::{
        message::{MessageId, Post, RoomName},
        store::{After, Limit, Store},
    },
    redis::Redis,
    store::{
        redis::RedisStore,
        sqlite::{Retain, SqliteStore},
    },
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [dir, "append", appenders, seconds] => {
            append(dir, appenders.parse()?, seconds.parse()?, 1).await
        }
        [dir, "append", appenders, seconds, rooms] => {
            append(dir, appenders.parse()?, seconds.parse()?, rooms.parse()?).await
        }
        [dir, "read", messages] => read(dir, messages.parse()?).await,
        _ => bail!("expected DIR append APPENDERS SECONDS [ROOMS], or DIR read MESSAGES"),
    }
}

async fn append(dir: &str, appenders: usize, seconds: u64, rooms: usize) -> anyhow::Result<()> {
    let store = open(dir)?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut running = Vec::new();
    for appender in 0..appenders {
        let store = Arc::clone(&store);
        let room: RoomName = format!("room {}", appender % rooms).parse()?;
        running.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                let asked = Instant::now();
                store.append(post(&room)).await?;
                took.push(asked.elapsed());
            }
            anyhow::Ok(took)
        }));
    }
    let mut took = Vec::new();
    for appender in running {
        took.extend(appender.await??);
    }
    let rate = took.len() as f64 / start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!(
        "{appenders} appenders, {rooms} rooms: {rate:.0} posts/s, p50 {:?}, p99 {:?}, max {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    store.close().await;
    Ok(())
}

async fn read(dir: &str, messages: u64) -> anyhow::Result<()> {
    let store = open(dir)?;
    let room: RoomName = "large".parse()?;
    let kept = store
        .last(&room, Limit::ONE)
        .await?
        .first()
        .map_or(0, |m| m.id.seq);
    let mut running = Vec::new();
    for _ in 0..1000 {
        let (store, room) = (Arc::clone(&store), room.clone());
        let part = messages.saturating_sub(kept) / 1000;
        running.push(tokio::spawn(async move {
            for _ in 0..part {
                store.append(post(&room)).await?;
            }
            anyhow::Ok(())
        }));
    }
    for appender in running {
        appender.await??;
    }
    let newest = store
        .last(&room, Limit::ONE)
        .await?
        .pop()
        .context("room is empty")?
        .id;
    println!("{} messages in the room", newest.seq);
    let id = |seq| MessageId { seq, ..newest };
    time("last(25)", async || {
        Ok(store.last(&room, Limit::messages(25)).await?.len())
    })
    .await?;
    for seq in [newest.seq - 200, newest.seq / 2, 0] {
        time(&format!("after({seq}, 200)"), async || {
            match store.after(&room, id(seq), Limit::messages(200)).await? {
                After::Complete(messages) => Ok(messages.len()),
                After::Gap => bail!("messages are missing"),
            }
        })
        .await?;
    }
    time(&format!("before({}, 50)", newest.seq / 3), async || {
        Ok(store
            .before(&room, id(newest.seq / 3), Limit::messages(50))
            .await?
            .len())
    })
    .await?;
    time("rooms(200)", async || Ok(store.rooms(200).await?.len())).await?;
    store.close().await;
    Ok(())
}

/// Prints the first time and the median of a hundred more.
async fn time(what: &str, read: impl AsyncFn() -> anyhow::Result<usize>) -> anyhow::Result<()> {
    let mut took = Vec::new();
    let mut found = 0;
    for _ in 0..101 {
        let start = Instant::now();
        found = read().await?;
        took.push(start.elapsed());
    }
    let first = took.remove(0);
    took.sort_unstable();
    println!(
        "{what}: {found} found, first {first:?}, then {:?}",
        took[50]
    );
    Ok(())
}

/// Opens the store and reads its tail as the chat would.
fn open(place: &str) -> anyhow::Result<Arc<dyn Store>> {
    let start = Instant::now();
    let (store, mut tail): (Arc<dyn Store>, _) = match place.parse() {
        Ok(address) => {
            let redis = Redis::new(address, "log-speed");
            let (store, tail) = RedisStore::open(redis, Retain::default())?;
            (Arc::new(store), tail)
        }
        Err(_) => {
            let (store, tail) = SqliteStore::open(Path::new(place), Retain::default())?;
            (Arc::new(store), tail)
        }
    };
    println!("opened in {:?}", start.elapsed());
    tokio::spawn(async move { while tail.recv().await.is_some() {} });
    Ok(store)
}

fn post(room: &RoomName) -> Post {
    Post {
        room: room.clone(),
        author: "ann".parse().ok(),
        text: "x".repeat(120).into(),
        key: None,
        replica: "replica".into(),
        bridge: None,
        direct: None,
    }
}
