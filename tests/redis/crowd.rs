//! Appenders on several replicas that go on whatever happens, and the account of what became of each post.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use handshaken::chat::{
    message::Message,
    store::{Store, StoreError},
};
use tokio::task::JoinSet;

use crate::{
    harness::eventually,
    replica::{Replica, post, seqs},
};

const ROOMS: usize = 3;
const APPENDERS: usize = 12;

/// Appenders at work, each saying something new as soon as it knows what became of the last.
pub struct Crowd {
    replicas: Arc<Vec<Replica>>,
    stop: Arc<AtomicBool>,
    kept: Arc<AtomicUsize>,
    appenders: JoinSet<Vec<Fate>>,
}

/// What one post was answered.
enum Fate {
    Kept(Arc<Message>),
    /// It may be there or not.
    Unknown,
    /// It must not be there.
    Refused(String),
}

impl Crowd {
    /// Appenders spread over these replicas.
    pub fn on(replicas: Vec<Replica>) -> Self {
        let replicas = Arc::new(replicas);
        let stop = Arc::new(AtomicBool::new(false));
        let kept = Arc::new(AtomicUsize::new(0));
        let mut appenders = JoinSet::new();
        for appender in 0..APPENDERS {
            let (replicas, stop, kept) = (replicas.clone(), stop.clone(), kept.clone());
            appenders.spawn(async move {
                let store = &replicas[appender % replicas.len()].store;
                let mut fates = Vec::new();
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let room = format!("room {}", (appender + n) % ROOMS);
                    let text = format!("{appender} {n}");
                    fates.push(match store.append(post(&room, &text)).await {
                        Ok(message) => {
                            kept.fetch_add(1, Ordering::Relaxed);
                            Fate::Kept(message)
                        }
                        Err(StoreError::Unknown) => Fate::Unknown,
                        Err(_) => Fate::Refused(text),
                    });
                }
                fates
            });
        }
        Self {
            replicas,
            stop,
            kept,
            appenders,
        }
    }

    /// Waits until so many more posts are kept.
    pub async fn keeps(&self, more: usize) {
        let goal = self.kept.load(Ordering::Relaxed) + more;
        eventually("posts are kept", async || {
            let kept = self.kept.load(Ordering::Relaxed);
            (kept >= goal)
                .then_some(())
                .ok_or_else(|| format!("{kept} of {goal}"))
        })
        .await
    }

    /// Stops, and checks that what was kept is there: once, in one order, in each appender's own order, and told
    /// to all replicas without a gap. Returns how many are.
    pub async fn account(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (mut acknowledged, mut refused) = (HashMap::new(), HashSet::new());
        let mut unknown = 0;
        while let Some(fates) = self.appenders.join_next().await {
            for fate in fates.unwrap() {
                match fate {
                    Fate::Kept(message) => {
                        let twice = acknowledged.insert(message.text.clone(), message);
                        assert!(twice.is_none());
                    }
                    Fate::Unknown => unknown += 1,
                    Fate::Refused(text) => drop(refused.insert(text)),
                }
            }
        }
        let mut texts = HashSet::new();
        let mut logged = HashMap::new();
        for room in (0..ROOMS).map(|n| format!("room {n}")) {
            let all = self.replicas[0].all(&room).await;
            assert_eq!(seqs(&all), Vec::from_iter(1..=all.len() as u64), "a hole");
            let mut next = [0; APPENDERS];
            for message in &all {
                let text = &*message.text;
                assert!(texts.insert(message.text.clone()), "twice: {text}");
                assert!(!refused.contains(text), "kept though refused: {text}");
                if let Some(acknowledged) = acknowledged.remove(text) {
                    assert_eq!(acknowledged, *message);
                }
                let (appender, n) = text.split_once(' ').unwrap();
                let (appender, n): (usize, usize) = (appender.parse().unwrap(), n.parse().unwrap());
                assert!(next[appender] <= n, "{text} is out of order");
                next[appender] = n;
            }
            logged.insert(room, all);
        }
        assert!(acknowledged.is_empty(), "lost: {acknowledged:#?}");
        println!(
            "{} kept, {unknown} unknown, {} refused",
            texts.len(),
            refused.len()
        );
        let mut one_order = None;
        for replica in &*self.replicas {
            let told = replica.told_all(texts.len()).await;
            assert_eq!(told.len(), texts.len(), "told twice");
            for (room, logged) in &logged {
                let told = told.iter().filter(|message| message.room.as_str() == room);
                assert!(told.eq(logged), "the tail tells something else of {room}");
            }
            let order = one_order.get_or_insert_with(|| told.clone());
            assert_eq!(*order, told, "replicas tell different orders");
        }
        texts.len()
    }
}
