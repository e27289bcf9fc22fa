//! A store of one room that answers when the test lets it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::EPOCH;
use crate::chat::{
    message::{Message, MessageId, Post, RoomName, UserId},
    store::{
        After, Appended, DirectMessages, Limit, Receipts, RoomActivity, Store, StoreError, Thread,
        ThreadState, Waiting,
    },
};

/// Holds what the test puts into it; an answer waits until the test lets it go.
pub(super) struct Scripted {
    pub kept: Mutex<Vec<Arc<Message>>>,
    pub asked: Notify,
    pub answers: Semaphore,
    /// What was asked for of what follows an id.
    pub pages: Mutex<Vec<Limit>>,
}

impl Scripted {
    pub fn holding(kept: Vec<Arc<Message>>) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::new(kept),
            asked: Notify::new(),
            answers: Semaphore::new(Semaphore::MAX_PERMITS),
            pages: Mutex::default(),
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

fn within<'a>(limit: Limit, found: impl Iterator<Item = &'a Arc<Message>>) -> Vec<Arc<Message>> {
    let mut bytes = 0;
    let mut taken: Vec<Arc<Message>> = Vec::new();
    for message in found.take(limit.messages) {
        bytes += message.text.len();
        if bytes > limit.bytes && !taken.is_empty() {
            break;
        }
        taken.push(message.clone());
    }
    taken
}

#[async_trait]
impl Store for Scripted {
    async fn accept(&self, _: Post) -> Result<Appended, StoreError> {
        Err(StoreError::Closed)
    }

    async fn last(&self, _: &RoomName, limit: Limit) -> Result<Vec<Arc<Message>>, StoreError> {
        let newest = |kept: &[Arc<Message>]| {
            let mut found = within(limit, kept.iter().rev());
            found.reverse();
            found
        };
        Ok(self.answer(newest).await)
    }

    async fn after(
        &self,
        _: &RoomName,
        after: MessageId,
        limit: Limit,
    ) -> Result<After, StoreError> {
        self.pages.lock().push(limit);
        Ok(self
            .answer(|kept| {
                let (first, last) = (kept[0].id.seq, kept[kept.len() - 1].id.seq);
                if after.epoch != EPOCH || after.seq + 1 < first || after.seq > last {
                    return After::Gap;
                }
                let missed = kept.iter().filter(|message| message.id.seq > after.seq);
                After::Complete(within(limit, missed))
            })
            .await)
    }

    async fn before(
        &self,
        _: &RoomName,
        _: MessageId,
        _: Limit,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn start_of_last(&self, _: &RoomName, count: usize) -> Result<u64, StoreError> {
        let start = |kept: &[Arc<Message>]| {
            let newest = &kept[kept.len().saturating_sub(count)..];
            newest.first().map_or(0, |first| first.id.seq - 1)
        };
        Ok(self.answer(start).await)
    }

    async fn rooms(&self, _: usize) -> Result<Vec<RoomActivity>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn pending(&self, _: &UserId, _: u64, _: Limit) -> Result<Waiting, StoreError> {
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

    async fn direct_messages(&self, _: u64, _: Limit) -> Result<DirectMessages, StoreError> {
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
