//! A store that holds the inbox of one user, bob, and answers when the test lets it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::user;
use crate::chat::{
    message::{Direct, Epoch, Message, MessageId, Post, RoomName, UserId},
    store::{
        After, Appended, DirectMessages, Limit, Receipts, RoomActivity, Store, StoreError, Thread,
        ThreadState, Waiting,
    },
};

pub(super) struct Scripted {
    pending: Mutex<BTreeMap<u64, Arc<Message>>>,
    acknowledged: Mutex<Vec<u64>>,
    pub asked: Notify,
    answers: Semaphore,
    /// How many calls are yet to fail.
    failures: AtomicUsize,
    is_closed: AtomicBool,
}

/// A message from ann to bob.
pub(super) fn message(place: u64, size: usize) -> Arc<Message> {
    Arc::new(Message {
        room: RoomName::direct(&user("ann"), &user("bob")),
        id: MessageId {
            seq: place,
            epoch: Epoch(7),
        },
        author: None,
        text: "x".repeat(size).into(),
        time: jiff::Timestamp::UNIX_EPOCH,
        replica: "replica".into(),
        bridge: None,
        direct: Some(Box::new(Direct {
            from: user("ann"),
            to: user("bob"),
            place,
            key: None,
        })),
    })
}

impl Scripted {
    pub fn holding(messages: u64) -> Arc<Self> {
        Self::holding_sized(messages, 10)
    }

    pub fn holding_sized(messages: u64, size: usize) -> Arc<Self> {
        let pending = (1..=messages)
            .map(|place| (place, message(place, size)))
            .collect();
        Arc::new(Self {
            pending: Mutex::new(pending),
            acknowledged: Mutex::default(),
            asked: Notify::new(),
            answers: Semaphore::new(Semaphore::MAX_PERMITS / 2),
            failures: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        })
    }

    /// One more message waits.
    pub fn keep(&self, place: u64) -> Arc<Message> {
        let message = message(place, 10);
        self.pending.lock().insert(place, message.clone());
        message
    }

    pub fn is_empty(&self) -> bool {
        self.pending.lock().is_empty()
    }

    pub fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.lock().clone()
    }

    pub fn hold_answers(&self) {
        self.answers.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn answer_all(&self) {
        self.answers.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub fn fail(&self, times: usize) {
        self.failures.store(times, Ordering::Relaxed);
    }

    /// Does it now and answers when it may.
    async fn answer<T>(&self, what: impl FnOnce() -> T) -> Result<T, StoreError> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        let fails = |left: usize| left.checked_sub(1);
        if (self.failures)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails)
            .is_ok()
        {
            return Err(StoreError::Busy);
        }
        let answer = what();
        self.asked.notify_one();
        self.answers.acquire().await.unwrap().forget();
        Ok(answer)
    }
}

#[async_trait]
impl Store for Scripted {
    async fn accept(&self, _: Post) -> Result<Appended, StoreError> {
        Err(StoreError::Closed)
    }

    async fn last(&self, _: &RoomName, _: Limit) -> Result<Vec<Arc<Message>>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn after(&self, _: &RoomName, _: MessageId, _: Limit) -> Result<After, StoreError> {
        Err(StoreError::Closed)
    }

    async fn before(
        &self,
        _: &RoomName,
        _: MessageId,
        _: Limit,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn start_of_last(&self, _: &RoomName, _: usize) -> Result<u64, StoreError> {
        Err(StoreError::Closed)
    }

    async fn rooms(&self, _: usize) -> Result<Vec<RoomActivity>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn pending(&self, of: &UserId, after: u64, limit: Limit) -> Result<Waiting, StoreError> {
        if *of != user("bob") {
            return Ok(Waiting::default());
        }
        self.answer(|| {
            let pending = self.pending.lock();
            let waiting = pending.range(after + 1..).take(limit.messages);
            let messages: Vec<_> = waiting.map(|(_, message)| message.clone()).collect();
            let more = messages.len() == limit.messages;
            Waiting { messages, more }
        })
        .await
    }

    async fn acknowledge(&self, _: &UserId, places: Vec<u64>) -> Result<(), StoreError> {
        self.answer(|| {
            for place in places {
                self.pending.lock().remove(&place);
                self.acknowledged.lock().push(place);
            }
        })
        .await
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

    async fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}
