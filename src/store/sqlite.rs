//! The store in one SQLite file: the default, for one replica.
//! One writer thread gives every message its place and commits many posts at once (`writer`,
//! `batch`, `inboxes`, `prune`); reads go through a few connections of their own (`reader`,
//! `threads`). `open` decides whether the file can be trusted, `schema` says what is in it,
//! `row` reads a message back.

use std::{path::Path, sync::Arc, thread, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, broadcast, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{
    batch::{Note, Outcome, Task},
    prune::Pruner,
    reader::Readers,
    writer::{Job, Writer},
};
use crate::chat::{
    message::{Epoch, Message, MessageId, Post, RoomName, UserId},
    store::{
        After, Appended, DirectMessages, Limit, Receipt, Receipts, RoomActivity, Store, StoreError,
        Tail, Thread, ThreadState, Waiting,
    },
};

mod batch;
mod inboxes;
mod open;
mod prune;
mod reader;
mod row;
mod schema;
mod threads;
/// As messages are dated: without what is less than a millisecond.
fn in_ms(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
mod writer;

pub use open::{OpenError, is_in_use};

/// How long [`Store::close`] lets a tail that is not read hold up what was accepted.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// What a task takes of the queue's bytes besides its text.
const TASK_OVERHEAD: usize = 1024;

/// How much is kept. The default is everything.
///
/// What is beyond it goes within a minute or a thousand posts, whichever comes first; what is beyond `bytes` at
/// once, or in Redis within seconds. The file does not shrink: new messages take the place of the old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retain {
    /// So many bytes of the file, or of Redis' memory, for the messages of all rooms together. The oldest messages of
    /// the room that takes most go, so that nobody's messages push out those of smaller rooms.
    pub bytes: Option<u64>,
    /// The newest so many messages of each room.
    pub messages_per_room: Option<u64>,
    /// What was said at most so long ago.
    pub age: Option<Duration>,
}

/// Receipts that wait for whoever reads them slowest; the oldest are lost to it.
const MARKS: usize = 4096;

/// What may wait, and for how long.
struct Bounds {
    /// Posts that wait for the writer.
    queue: usize,
    /// Bytes of the posts that wait for the writer or are being written.
    queue_bytes: usize,
    /// Batches that wait for the reader of the tail.
    tail: usize,
    /// How long a call waits for a place before it answers [`StoreError::Busy`].
    patience: Duration,
    /// Size of the file in pages of 4 KiB, where it is bounded.
    pages: Option<u32>,
}

/// Few: what waits here reaches its readers in one go, and each has only so much room.
const TAIL_BATCHES: usize = 2;

const BOUNDS: Bounds = Bounds {
    queue: 8192,
    queue_bytes: 32 << 20,
    tail: TAIL_BATCHES,
    patience: Duration::from_secs(5),
    pages: None,
};

/// A [`Store`] in one SQLite file, which no other process can open meanwhile.
///
/// Dropped without [`Store::close`], it finishes what was accepted on its own thread.
pub struct SqliteStore {
    epoch: Epoch,
    /// When it was opened.
    since: Timestamp,
    queue: mpsc::Sender<Job>,
    queue_bytes: Arc<Semaphore>,
    bounds: Bounds,
    readers: Arc<Readers>,
    receipts: broadcast::Sender<Receipt>,
    closing: CancellationToken,
    tail_abandoned: CancellationToken,
    finished: CancellationToken,
}

impl SqliteStore {
    /// Opens the store in `dir`, which is created when it is missing.
    ///
    /// Blocks while it reads the file: a moment after a clean end, two or three seconds per
    /// gigabyte after a crash.
    pub fn open(dir: &Path, retain: Retain) -> Result<(Self, Tail), OpenError> {
        Self::open_within(BOUNDS, dir, retain)
    }

    fn open_within(bounds: Bounds, dir: &Path, retain: Retain) -> Result<(Self, Tail), OpenError> {
        let opened = open::open(dir, bounds.pages)?;
        let (queue, posts) = mpsc::channel(bounds.queue);
        let (batches, tail) = mpsc::channel(bounds.tail);
        let (receipts, _) = broadcast::channel(MARKS);
        let store = Self {
            epoch: opened.epoch,
            since: in_ms(Timestamp::now()),
            queue,
            queue_bytes: Arc::new(Semaphore::new(bounds.queue_bytes)),
            readers: Arc::new(Readers::new(opened.file.clone(), bounds.patience)),
            bounds,
            receipts: receipts.clone(),
            closing: CancellationToken::new(),
            tail_abandoned: CancellationToken::new(),
            finished: CancellationToken::new(),
        };
        let writer = Writer {
            opened,
            queue: posts,
            tail: Some(batches),
            receipts,
            pruner: Pruner::new(retain),
            closing: store.closing.clone(),
            tail_abandoned: store.tail_abandoned.clone(),
        };
        start(writer, store.finished.clone()).map_err(OpenError::Thread)?;
        Ok((store, tail))
    }

    /// Has the writer do something, in the order in which it was asked.
    async fn ask(
        &self,
        task: Task,
    ) -> Result<impl Future<Output = Result<Outcome, StoreError>> + Send + use<>, StoreError> {
        if self.closing.is_cancelled() {
            return Err(StoreError::Closed);
        }
        let answered = timeout(self.bounds.patience, self.enqueue(task))
            .await
            .map_err(|_| StoreError::Busy)??;
        Ok(async { answered.await.map_err(|_| StoreError::Closed)? })
    }

    async fn note(&self, name: &str, value: &str, first: bool) -> Result<(), StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.ask(Task::Note(Note { name, value, first }))
            .await?
            .await?;
        Ok(())
    }

    /// A task's place in the queue, once there is one.
    async fn enqueue(
        &self,
        task: Task,
    ) -> Result<oneshot::Receiver<Result<Outcome, StoreError>>, StoreError> {
        let weight = (task.size() + TASK_OVERHEAD).min(self.bounds.queue_bytes);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.queue_bytes).acquire_many_owned(weight);
        let bytes = bytes.await.map_err(|_| StoreError::Closed)?;
        let place = self.queue.reserve().await.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        place.send(Job {
            task,
            answer,
            bytes,
        });
        Ok(answered)
    }
}

/// Runs the writer on a thread and a runtime of its own, so that it depends on no one else's.
fn start(writer: Writer, finished: CancellationToken) -> std::io::Result<()> {
    let (started, start) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new()
        .name("log-writer".into())
        .spawn(move || {
            let _finished = finished.drop_guard();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            match runtime {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(writer.run());
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
    start
        .recv()
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread ended")))
}

#[async_trait]
impl Store for SqliteStore {
    async fn accept(&self, post: Post) -> Result<Appended, StoreError> {
        let answered = self.ask(Task::Keep(post)).await?;
        Ok(Box::pin(async {
            match answered.await? {
                Outcome::Kept(message) => Ok(message),
                Outcome::InboxFull(waiting) => Err(StoreError::InboxFull(waiting)),
                Outcome::Acknowledged | Outcome::Read(_) | Outcome::Noted => {
                    unreachable!("a post is kept or not")
                }
            }
        }))
    }

    async fn last(&self, room: &RoomName, limit: Limit) -> Result<Vec<Arc<Message>>, StoreError> {
        let id = MessageId {
            seq: u64::MAX,
            epoch: self.epoch,
        };
        self.before(room, id, limit).await
    }

    async fn after(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: Limit,
    ) -> Result<After, StoreError> {
        let (room, epoch) = (room.clone(), self.epoch);
        self.readers
            .read(move |conn| reader::after(conn, &room, epoch, id, limit))
            .await
    }

    async fn before(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: Limit,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        let (room, epoch) = (room.clone(), self.epoch);
        self.readers
            .read(move |conn| reader::before(conn, &room, epoch, id, limit))
            .await
    }

    async fn rooms(&self, limit: usize) -> Result<Vec<RoomActivity>, StoreError> {
        self.readers
            .read(move |conn| reader::rooms(conn, limit))
            .await
    }

    async fn start_of_last(&self, room: &RoomName, count: usize) -> Result<u64, StoreError> {
        let room = room.clone();
        self.readers
            .read(move |conn| reader::start_of_last(conn, &room, count))
            .await
    }

    async fn pending(
        &self,
        user: &UserId,
        after: u64,
        limit: Limit,
    ) -> Result<Waiting, StoreError> {
        let (user, epoch) = (user.clone(), self.epoch);
        self.readers
            .read(move |conn| threads::pending(conn, &user, after, limit, epoch))
            .await
    }

    async fn acknowledge(&self, user: &UserId, places: Vec<u64>) -> Result<(), StoreError> {
        let user = user.clone();
        self.ask(Task::Acknowledge { user, places }).await?.await?;
        Ok(())
    }

    async fn read(
        &self,
        reader: &UserId,
        other: &UserId,
        id: MessageId,
    ) -> Result<Option<u64>, StoreError> {
        let (reader, other) = (reader.clone(), other.clone());
        match self.ask(Task::Read { reader, other, id }).await?.await? {
            Outcome::Read(unread) => Ok(unread),
            _ => unreachable!("a mark is answered with what is unread"),
        }
    }

    async fn thread_state(&self, user: &UserId, other: &UserId) -> Result<ThreadState, StoreError> {
        let (user, other, epoch) = (user.clone(), other.clone(), self.epoch);
        self.readers
            .read(move |conn| threads::thread_state(conn, &user, &other, epoch))
            .await
    }

    async fn threads(&self, user: &UserId, limit: usize) -> Result<Vec<Thread>, StoreError> {
        let (user, epoch) = (user.clone(), self.epoch);
        self.readers
            .read(move |conn| threads::threads(conn, &user, limit, epoch))
            .await
    }

    async fn direct_messages(
        &self,
        after: u64,
        limit: Limit,
    ) -> Result<DirectMessages, StoreError> {
        let epoch = self.epoch;
        self.readers
            .read(move |conn| threads::direct_messages(conn, after, limit, epoch))
            .await
    }

    async fn bookmark(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.readers
            .read(move |conn| reader::bookmark(conn, &name))
            .await
    }

    async fn set_bookmark(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.note(name, value, false).await
    }

    async fn first_bookmark(&self, name: &str, value: &str) -> Result<String, StoreError> {
        self.note(name, value, true).await?;
        Ok(self.bookmark(name).await?.unwrap_or_default())
    }

    async fn lately(&self, ago: Duration) -> Result<Timestamp, StoreError> {
        let moment = Timestamp::now().checked_sub(ago);
        Ok(moment.map_or(self.since, |moment| moment.max(self.since)))
    }

    fn receipts(&self) -> Receipts {
        self.receipts.subscribe()
    }

    async fn close(&self) {
        self.closing.cancel();
        self.readers.close().await;
        if timeout(CLOSE_PATIENCE, self.finished.cancelled())
            .await
            .is_err()
        {
            self.tail_abandoned.cancel();
            self.finished.cancelled().await;
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.closing.cancel();
        self.tail_abandoned.cancel();
    }
}
