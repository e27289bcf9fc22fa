//! A store of one room that answers when the test lets it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::EPOCH;
use crate::chat::{
    message::{Message, MessageId, Post, RoomName, UserId},
    store::{
        After, Appended, DirectMessages, Receipts, RoomActivity, Store, StoreError, Thread,
        ThreadState,
    },
};

/// Holds what the test puts into it; an answer waits until the test lets it go.
pub(super) struct Scripted {
    pub kept: Mutex<Vec<Arc<Message>>>,
    pub asked: Notify,
    pub answers: Semaphore,
    pub pages: AtomicUsize,
}

impl Scripted {
    pub fn holding(kept: Vec<Arc<Message>>) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::new(kept),
            asked: Notify::new(),
            answers: Semaphore::new(Semaphore::MAX_PERMITS),
            pages: AtomicUsize::new(0),
        })
    }

    /// Reads now and answers when it may.
    async fn answer<T>(&self, read: impl FnOnce(&[Arc<Message>]) -> T) -> T {
        let found = read(&self.kept.lock());
        self.asked.notify_one();
        self.answers.acquire().await.unwrap().forget();
        found
    }

    pub fn hold_answers(&self) {
        self.answers.forget_permits(Semaphore::MAX_PERMITS);
    }
}

#[async_trait]
impl Store for Scripted {
    async fn accept(&self, _: Post) -> Result<Appended, StoreError> {
        Err(StoreError::Closed)
    }

    async fn last(&self, _: &RoomName, limit: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        Ok(self
            .answer(|kept| kept[kept.len().saturating_sub(limit)..].to_vec())
            .await)
    }

    async fn after(
        &self,
        _: &RoomName,
        after: MessageId,
        limit: usize,
    ) -> Result<After, StoreError> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        Ok(self
            .answer(|kept| {
                let (first, last) = (kept[0].id.seq, kept[kept.len() - 1].id.seq);
                if after.epoch != EPOCH || after.seq + 1 < first || after.seq > last {
                    return After::Gap;
                }
                let missed = kept.iter().filter(|message| message.id.seq > after.seq);
                After::Complete(missed.take(limit).cloned().collect())
            })
            .await)
    }

    async fn before(
        &self,
        _: &RoomName,
        _: MessageId,
        _: usize,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn rooms(&self, _: usize) -> Result<Vec<RoomActivity>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn pending(&self, _: &UserId, _: u64, _: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn acknowledge(&self, _: &UserId, _: Vec<u64>) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn read(&self, _: &UserId, _: &UserId, _: MessageId) -> Result<Option<u64>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn thread_state(&self, _: &UserId, _: &UserId) -> Result<ThreadState, StoreError> {
        Err(StoreError::Closed)
    }

    async fn threads(&self, _: &UserId, _: usize) -> Result<Vec<Thread>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn direct_messages(&self, _: u64, _: usize) -> Result<DirectMessages, StoreError> {
        Err(StoreError::Closed)
    }

    async fn bookmark(&self, _: &str) -> Result<Option<String>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn set_bookmark(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn first_bookmark(&self, _: &str, _: &str) -> Result<String, StoreError> {
        Err(StoreError::Closed)
    }

    async fn lately(&self, _: Duration) -> Result<Timestamp, StoreError> {
        Err(StoreError::Closed)
    }

    fn receipts(&self) -> Receipts {
        tokio::sync::broadcast::channel(1).1
    }

    async fn close(&self) {}
}
