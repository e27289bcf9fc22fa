//! The store of one replica, and all that passed its tail.

use std::{net::SocketAddr, sync::Arc};

use handshaken::{
    chat::{
        message::{Message, Post, RoomName},
        store::{Limit, Store, StoreError, TailItem},
    },
    redis::Redis,
    store::{redis::RedisStore, sqlite::Retain},
};
use parking_lot::Mutex;

use crate::harness::eventually;

/// More than any test has.
pub const ALL: Limit = Limit {
    messages: usize::MAX,
    bytes: usize::MAX,
};

/// A replica's log. Its tail is read as it comes.
pub struct Replica {
    pub store: Arc<RedisStore>,
    told: Arc<Mutex<Vec<TailItem>>>,
}

impl Replica {
    /// One that tells all that is kept from now on.
    pub async fn on(redis: SocketAddr) -> Self {
        Self::keeping(redis, Retain::default()).await
    }

    pub async fn keeping(redis: SocketAddr, retain: Retain) -> Self {
        let replica = Self::with(&format!("redis://{redis}"), retain);
        replica.begun().await;
        replica
    }

    /// So many of them.
    pub async fn several(count: usize, redis: SocketAddr) -> Vec<Self> {
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(Self::on(redis).await);
        }
        replicas
    }

    /// Waits until its tail has begun; reads do, too.
    pub async fn begun(&self) {
        self.all("nowhere").await;
    }

    /// One that need not find a Redis yet.
    pub fn with(url: &str, retain: Retain) -> Self {
        let redis = Redis::new(url.parse().unwrap(), "test");
        let (store, mut tail) = RedisStore::open(redis, retain).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        tokio::spawn(async move {
            while let Some(each) = tail.recv().await {
                telling.lock().push(each);
            }
        });
        Self {
            store: Arc::new(store),
            told,
        }
    }

    pub async fn say(&self, room: &str, text: &str) -> Result<Arc<Message>, StoreError> {
        self.store.append(post(room, text)).await
    }

    /// Says it until it is kept.
    pub async fn say_at_last(&self, room: &str, text: &str) -> Arc<Message> {
        let key = format!("key-of-{}", text.replace(' ', "-"));
        eventually("it is kept", async || {
            let post = Post {
                key: key.parse().ok(),
                ..post(room, text)
            };
            self.store.append(post).await.map_err(|e| e.to_string())
        })
        .await
    }

    /// All that a room holds.
    pub async fn all(&self, room: &str) -> Vec<Arc<Message>> {
        let room: RoomName = room.parse().unwrap();
        eventually("the room can be read", async || {
            let all = self.store.last(&room, ALL).await;
            all.map_err(|error| error.to_string())
        })
        .await
    }

    /// All messages that passed the tail, and how often it had a gap.
    pub fn told(&self) -> (Vec<Arc<Message>>, usize) {
        let (mut messages, mut gaps) = (Vec::new(), 0);
        for told in &*self.told.lock() {
            match told {
                TailItem::Kept(kept) => messages.extend(kept.clone()),
                TailItem::Gap => gaps += 1,
            }
        }
        (messages, gaps)
    }

    /// Waits until so many messages have passed the tail; there must not have been a gap.
    pub async fn told_all(&self, count: usize) -> Vec<Arc<Message>> {
        eventually("the tail tells all", async || {
            let (messages, gaps) = self.told();
            assert_eq!(gaps, 0, "a gap");
            let came = messages.len();
            (came >= count)
                .then_some(messages)
                .ok_or_else(|| format!("{came} of {count}"))
        })
        .await
    }

    /// Waits for a gap.
    pub async fn told_a_gap(&self) {
        eventually("a gap is told", async || {
            let (messages, gaps) = self.told();
            (gaps > 0)
                .then_some(())
                .ok_or_else(|| format!("{} messages and no gap", messages.len()))
        })
        .await
    }
}

pub fn post(room: &str, text: &str) -> Post {
    Post {
        room: room.parse().unwrap(),
        author: "ann".parse().ok(),
        text: text.into(),
        key: None,
        replica: "replica".into(),
        bridge: None,
        direct: None,
    }
}

pub fn seqs(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.id.seq).collect()
}

pub fn texts(messages: &[Arc<Message>]) -> Vec<&str> {
    messages.iter().map(|message| &*message.text).collect()
}
