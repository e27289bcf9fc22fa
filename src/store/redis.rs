//! The store in a Redis that several replicas share, with the promises of the embedded one as far as
//! that Redis keeps what it was told. One task appends in batches, each in one atomic step
//! (`writer`, `append.lua`), one follows what all replicas append (`tail`), reads have a connection
//! of their own (`reader`, and `direct messages` for direct messages, whose fate `receipts` hears from other
//! replicas), and old messages go in sweeps (`prune`). `history` notices when Redis has
//! lost something. docs/replicas.md says what is under which key.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use redis::{RedisError, Script};
use tokio::{
    sync::{Semaphore, broadcast, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use self::{
    direct_messages::DirectMessages,
    history::History,
    prune::Pruner,
    reader::Reader,
    tail::Follower,
    writer::{Job, Writer},
};
use super::sqlite::Retain;
use crate::{
    chat::{
        self,
        message::{Message, MessageId, Post, RoomName, UserId},
        store::{
            After, Appended, Limit, Receipts, RoomActivity, Store, StoreError, Tail, Thread,
            ThreadState, Waiting,
        },
    },
    redis::{Redis, Retry, is_away},
};

mod direct_messages;
mod history;
mod prune;
mod reader;
mod receipts;
mod row;
mod tail;
mod writer;

/// Posts that wait for the writer, and bytes of those that wait or are being written.
const QUEUE: usize = 8192;
const QUEUE_BYTES: usize = 32 << 20;

/// Few: what waits here reaches its readers in one go, and each has only so much room.
const TAIL_BATCHES: usize = 2;

/// Receipts that wait for whoever tells them.
const MARKS: usize = 4096;

/// How long a call waits for a place, and a post for its fate, before it is told so.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long [`Store::close`] lets a Redis that is away, or a tail that is not read, hold it up.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// What a post takes of the queue's bytes besides its text.
const POST_OVERHEAD: usize = 1024;

/// A [`Store`] in Redis. All that share the Redis and its prefix have the same rooms.
///
/// It needs no Redis to begin with: until there is one, calls answer [`StoreError::Busy`].
pub struct RedisStore {
    queue: mpsc::Sender<Job>,
    queue_bytes: Arc<Semaphore>,
    reader: Arc<Reader>,
    direct_messages: DirectMessages,
    closing: CancellationToken,
    abandoned: CancellationToken,
    finished: CancellationToken,
    /// Pruning, hearing receipts.
    asides: [JoinHandle<()>; 2],
}

impl RedisStore {
    /// Begins to follow what is kept there. Must be called on a tokio runtime.
    pub fn open(redis: Redis, retain: Retain) -> Result<(Self, Tail), OpenError> {
        let history = Arc::new(History::new(redis));
        let (queue, posts) = mpsc::channel(QUEUE);
        let (batches, tail) = mpsc::channel(TAIL_BATCHES);
        let started = CancellationToken::new();
        let finishing = CancellationToken::new();
        let closing = CancellationToken::new();
        let abandoned = CancellationToken::new();
        let finished = CancellationToken::new();
        let kept = Arc::new(AtomicU64::new(0));
        let reader = Arc::new(Reader::new(history.clone(), started.clone(), PATIENCE));
        let name = format!("{:016x}", getrandom::u64()?);
        let (receipts, _) = broadcast::channel(MARKS);
        let hearing = receipts::hear(history.redis.clone(), name.clone(), receipts.clone());
        let direct_messages = DirectMessages::new(reader.clone(), name.clone(), receipts);
        let writer = Writer {
            history: history.clone(),
            queue: posts,
            closing: closing.clone(),
            started: started.clone(),
            kept: kept.clone(),
            script: Script::new(include_str!("redis/append.lua")),
            name,
            batch: 0,
            entered: None,
            in_doubt: false,
            retry: Retry::new("log writer"),
        };
        let follower = Follower {
            history,
            tail: batches,
            started,
            finishing: finishing.clone(),
            abandoned: abandoned.clone(),
            retry: Retry::new("log tail"),
            told: None,
            hole: false,
        };
        let pruner = Pruner {
            reader: reader.clone(),
            retain,
            kept,
            said: None,
        };
        let both = {
            let finished = finished.clone();
            async move {
                let _finished = finished.drop_guard();
                let writing = async {
                    let _finishing = finishing.drop_guard();
                    writer.run().await;
                };
                tokio::join!(writing, follower.run());
            }
        };
        tokio::spawn(both);
        let store = Self {
            queue,
            queue_bytes: Arc::new(Semaphore::new(QUEUE_BYTES)),
            reader,
            direct_messages,
            closing,
            abandoned,
            finished,
            asides: [tokio::spawn(pruner.run()), tokio::spawn(hearing)],
        };
        Ok((store, tail))
    }

    /// A post's place in the queue, once there is one.
    async fn enqueue(&self, post: Post, until: Instant) -> Result<Answer, StoreError> {
        let weight = (post.text.len() + POST_OVERHEAD).min(QUEUE_BYTES);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.queue_bytes).acquire_many_owned(weight);
        let bytes = bytes.await.map_err(|_| StoreError::Closed)?;
        let place = self.queue.reserve().await.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        place.send(Job {
            post,
            answer,
            until,
            bytes,
        });
        Ok(answered)
    }
}

type Answer = oneshot::Receiver<Result<Arc<Message>, StoreError>>;

/// Why the store could not be opened. That Redis is away is no reason.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers, which tell one writer from another")]
pub struct OpenError(#[from] getrandom::Error);

#[async_trait]
impl Store for RedisStore {
    async fn accept(&self, post: Post) -> Result<Appended, StoreError> {
        if self.closing.is_cancelled() {
            return Err(StoreError::Closed);
        }
        let until = Instant::now() + PATIENCE;
        let answered = timeout_at(until, self.enqueue(post, until))
            .await
            .map_err(|_| StoreError::Busy)??;
        Ok(Box::pin(async {
            answered.await.map_err(|_| StoreError::Closed)?
        }))
    }

    async fn last(&self, room: &RoomName, limit: Limit) -> Result<Vec<Arc<Message>>, StoreError> {
        self.reader.last(room, limit).await
    }

    async fn after(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: Limit,
    ) -> Result<After, StoreError> {
        self.reader.after(room, id, limit).await
    }

    async fn before(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: Limit,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        self.reader.before(room, id, limit).await
    }

    async fn rooms(&self, limit: usize) -> Result<Vec<RoomActivity>, StoreError> {
        self.reader.rooms(limit).await
    }

    async fn start_of_last(&self, room: &RoomName, count: usize) -> Result<u64, StoreError> {
        self.reader.start_of_last(room, count).await
    }

    async fn pending(
        &self,
        user: &UserId,
        after: u64,
        limit: Limit,
    ) -> Result<Waiting, StoreError> {
        self.direct_messages.pending(user, after, limit).await
    }

    async fn acknowledge(&self, user: &UserId, places: Vec<u64>) -> Result<(), StoreError> {
        self.direct_messages.acknowledge(user, &places).await
    }

    async fn read(
        &self,
        reader: &UserId,
        other: &UserId,
        id: MessageId,
    ) -> Result<Option<u64>, StoreError> {
        self.direct_messages.read(reader, other, id).await
    }

    async fn thread_state(&self, user: &UserId, other: &UserId) -> Result<ThreadState, StoreError> {
        self.direct_messages.thread_state(user, other).await
    }

    async fn threads(&self, user: &UserId, limit: usize) -> Result<Vec<Thread>, StoreError> {
        self.direct_messages.threads(user, limit).await
    }

    async fn direct_messages(
        &self,
        after: u64,
        limit: Limit,
    ) -> Result<chat::store::DirectMessages, StoreError> {
        self.direct_messages.direct_messages(after, limit).await
    }

    async fn bookmark(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.reader.bookmark(name).await
    }

    async fn set_bookmark(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.reader.set_bookmark(name, value).await
    }

    async fn first_bookmark(&self, name: &str, value: &str) -> Result<String, StoreError> {
        self.reader.first_bookmark(name, value).await
    }

    async fn lately(&self, ago: Duration) -> Result<Timestamp, StoreError> {
        self.reader.lately(ago).await
    }

    fn receipts(&self) -> Receipts {
        self.direct_messages.receipts.subscribe()
    }

    async fn close(&self) {
        self.closing.cancel();
        self.asides.iter().for_each(JoinHandle::abort);
        self.reader.close().await;
        if timeout(CLOSE_PATIENCE, self.finished.cancelled())
            .await
            .is_err()
        {
            self.abandoned.cancel();
            // The writer answers within the patience of what it still holds.
            self.finished.cancelled().await;
        }
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.closing.cancel();
        self.abandoned.cancel();
        self.asides.iter().for_each(JoinHandle::abort);
    }
}

/// What a failure of Redis means to those who asked the store.
fn failure(error: RedisError) -> StoreError {
    if is_away(&error) {
        StoreError::Busy
    } else {
        StoreError::Storage(Arc::new(error))
    }
}
