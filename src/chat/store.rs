//! What the chat asks of a store: one order per room, kept before it is acknowledged, told to every
//! replica in that order. The implementations are in `crate::store`.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};

use super::message::{Message, MessageId, Post, RoomName, UserId};

/// What is kept, by whichever replica, as it is kept. Messages of threads of two are among it.
/// Bounded: a tail that is not read makes [`Store::append`] wait, or a [`TailItem::Gap`] follow.
pub type Tail = mpsc::Receiver<TailItem>;

/// What passes the tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailItem {
    /// Messages, each room's in the order of their ids, without a hole.
    Kept(Vec<Arc<Message>>),
    /// What was told before and what will be told do not join on: messages between them passed
    /// unseen, or the ids have a new epoch. Whoever reads a room has to ask the store what it missed.
    Gap,
}

/// Done once the message survives a crash of the process and of the machine (with a store that is
/// elsewhere: as far as that is set up to), and is on its way through the [`Tail`].
///
/// A post whose key the room already holds is not kept again: the message it became the first time
/// is returned, and nothing passes the tail.
pub type Appended = Pin<Box<dyn Future<Output = Result<Arc<Message>, StoreError>> + Send>>;

/// What becomes of direct messages, as it is recorded. TailItem to all replicas, and lost on one that does
/// not read them in time or is cut off meanwhile: what they say is kept, for [`Store::pending`] and
/// [`Store::thread_state`] to answer.
pub type Receipts = broadcast::Receiver<Receipt>;

/// How much one read brings at most. It ends before the message with which it would be more than that, but
/// brings one where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    pub messages: usize,
    /// Of text.
    pub bytes: usize,
}

impl Limit {
    /// Nothing is wanted but to know whether an id is known.
    pub const NOTHING: Self = Self {
        messages: 0,
        bytes: 0,
    };

    /// One message, however long.
    pub const ONE: Self = Self {
        messages: 1,
        bytes: 0,
    };

    /// So many messages, and no more text than anybody needs at once.
    pub const fn messages(messages: usize) -> Self {
        Self {
            messages,
            bytes: 256 * 1024,
        }
    }
}

/// An ordered, durable record of every room.
///
/// A post with an [`Envelope`](super::message::Envelope) is a direct message: kept like any other, and
/// in the same step put into the inbox of its recipient, where it is *pending* until it is
/// acknowledged. Where as many wait there as the envelope allows, nothing is kept and the receipt
/// answers [`StoreError::InboxFull`]. What retention lets go is not pending any more either.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes a message. Those taken one after the other are kept in that order; the receipt tells
    /// when, and need not be waited for.
    async fn accept(&self, post: Post) -> Result<Appended, StoreError>;

    /// Keeps a message and gives it its place: [`Store::accept`] and its receipt in one.
    async fn append(&self, post: Post) -> Result<Arc<Message>, StoreError> {
        self.accept(post).await?.await
    }

    /// The newest messages of a room, oldest first.
    async fn last(&self, room: &RoomName, limit: Limit) -> Result<Vec<Arc<Message>>, StoreError>;

    /// The messages that follow `id`, oldest first.
    async fn after(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: Limit,
    ) -> Result<After, StoreError>;

    /// The messages just before `id`, oldest first.
    async fn before(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: Limit,
    ) -> Result<Vec<Arc<Message>>, StoreError>;

    /// The seq that the newest `count` messages of a room follow; all that are kept where these are fewer.
    async fn start_of_last(&self, room: &RoomName, count: usize) -> Result<u64, StoreError>;

    /// The rooms that hold a message, the most recently used first, at most `limit`. Conversations of
    /// two are not among them.
    async fn rooms(&self, limit: usize) -> Result<Vec<RoomActivity>, StoreError>;

    /// What waits for this person, the oldest first: the pending messages with a
    /// [place](super::message::Direct::place) after `after`.
    async fn pending(&self, user: &UserId, after: u64, limit: Limit)
    -> Result<Waiting, StoreError>;

    /// Takes messages out of this person's inbox, for good once it is done. Places of which none is
    /// pending are passed over.
    async fn acknowledge(&self, user: &UserId, places: Vec<u64>) -> Result<(), StoreError>;

    /// Records that `reader` has read its thread with `other` up to `id`, and answers how many
    /// messages to it are unread now. A mark never goes back. `None` where `id` names no message of
    /// the thread that is kept.
    async fn read(
        &self,
        reader: &UserId,
        other: &UserId,
        id: MessageId,
    ) -> Result<Option<u64>, StoreError>;

    /// How the thread of `user` with `other` stands.
    async fn thread_state(&self, user: &UserId, other: &UserId) -> Result<ThreadState, StoreError>;

    /// The threads of this person, the most recently used first, at most `limit`.
    async fn threads(&self, user: &UserId, limit: usize) -> Result<Vec<Thread>, StoreError>;

    /// The direct messages of all people in the order in which they were kept, each with its number among
    /// them: those after a number. At least the newest 65,536 are known, as far as they are kept.
    async fn direct_messages(&self, after: u64, limit: Limit)
    -> Result<DirectMessages, StoreError>;

    /// What is noted under a name beside the messages, by whichever replica.
    async fn bookmark(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Notes something under a name, in the place of what was there.
    async fn set_bookmark(&self, name: &str, value: &str) -> Result<(), StoreError>;

    /// Notes something under a name where nothing is noted, and answers what is noted then.
    async fn first_bookmark(&self, name: &str, value: &str) -> Result<String, StoreError>;

    /// The moment so long ago, by the clock that messages are dated by, which need not be this machine's. Of a store that
    /// nobody else writes to no earlier than it was opened: before that nobody missed anything.
    async fn lately(&self, ago: Duration) -> Result<Timestamp, StoreError>;

    /// What is acknowledged and read from now on, by anybody.
    fn receipts(&self) -> Receipts;

    /// Finishes what was accepted and closes. Every later call answers [`StoreError::Closed`].
    async fn close(&self);
}

/// What waits for one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub messages: Vec<Arc<Message>>,
    /// More waits behind these.
    pub more: bool,
}

/// Direct messages of all people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectMessages {
    /// The last number that was given out. Numbers are dense, and grow by one.
    pub newest: u64,
    pub messages: Vec<(u64, Arc<Message>)>,
}

/// What follows an id.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// Everything up to the limit, with nothing left out between `id` and the first of these.
    Complete(Vec<Arc<Message>>),
    /// The id is of another epoch, or messages after it are no longer kept: the reader cannot be
    /// told what it missed and has to start anew.
    Gap,
}

/// A room that holds messages, and when the newest was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomActivity {
    pub room: RoomName,
    pub last: Timestamp,
}

/// How a thread stands for one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadState {
    /// Up to here everything that this person wrote was acknowledged by the other.
    pub delivered: Option<MessageId>,
    /// Up to here the other has read.
    pub read: Option<MessageId>,
    /// How many messages to this person are unread.
    pub unread: u64,
}

/// A thread in the list of one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    pub with: UserId,
    pub unread: u64,
    /// The newest message, where it is still kept.
    pub last: Option<Arc<Message>>,
}

/// Something became of a message from `from` to `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub from: UserId,
    pub to: UserId,
    pub id: MessageId,
    /// When the message was said.
    pub time: Timestamp,
    pub what: ReceiptKind,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptKind {
    /// Acknowledged; it was pending at this place.
    Delivered { place: u64 },
    /// Read, and with it all that `from` wrote to `to` before.
    Read,
}

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing was kept; trying again may work.
    #[error("store is busy, try again")]
    Busy,
    /// It may have been kept; trying again with the same key does not keep it twice.
    #[error("store did not say in time whether it kept it, try again with the same key")]
    Unknown,
    #[error("store is closed")]
    Closed,
    /// Nothing was kept; there is room again when the recipient has acknowledged some.
    #[error("{0} messages wait for the recipient already")]
    InboxFull(usize),
    #[error("store failed: {0}")]
    Storage(Arc<dyn std::error::Error + Send + Sync>),
}
