//! Where a store is kept: a folder, or a Redis. What every log promises is tried with both.

use std::sync::Arc;

use handshaken::{
    chat::store::{Store, Tail},
    redis::Redis,
    store::{
        redis::RedisStore,
        sqlite::{Retain, SqliteStore},
    },
};
use tempfile::TempDir;

use super::redis::RedisServer;

/// Where a store is kept, to be opened again and again.
pub enum Home {
    Folder(TempDir),
    Redis(RedisServer),
}

impl Home {
    pub fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    pub fn redis() -> Self {
        Self::Redis(RedisServer::start())
    }

    /// One with a history of its own.
    pub fn another(&self) -> Self {
        match self {
            Self::Folder(_) => Self::folder(),
            Self::Redis(_) => Self::redis(),
        }
    }

    pub fn open(&self) -> (Arc<dyn Store>, Tail) {
        self.open_keeping(Retain::default())
    }

    pub fn open_keeping(&self, retain: Retain) -> (Arc<dyn Store>, Tail) {
        match self {
            Self::Folder(folder) => {
                let (store, tail) = SqliteStore::open(folder.path(), retain).unwrap();
                (Arc::new(store), tail)
            }
            Self::Redis(server) => {
                let redis = Redis::new(server.url().parse().unwrap(), "test");
                let (store, tail) = RedisStore::open(redis, retain).unwrap();
                (Arc::new(store), tail)
            }
        }
    }
}

/// Tries each promise with each log.
#[macro_export]
macro_rules! promises {
    ($($promise:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::harness::home::Home::folder()).await
            })*
        }

        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::harness::home::Home::redis()).await
            })*
        }
    };
}
