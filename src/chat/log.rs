//! What the chat asks of a log: one order per room, kept before it is acknowledged, told to every
//! replica in that order. The implementations are in `crate::log`.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::message::{Message, MessageId, Post, RoomName};

/// Messages as they are kept, in batches: each room's in the order of their ids, without a hole.
/// Bounded: a tail that is not read makes [`Log::append`] wait.
pub type Tail = mpsc::Receiver<Vec<Arc<Message>>>;

/// An ordered, durable record of every room.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Keeps a message and gives it its place. Once this returns, the message survives a crash of
    /// the process and of the machine, and is on its way through the [`Tail`].
    ///
    /// A post whose key the room already holds is not kept again: the message it became the first
    /// time is returned, and nothing passes the tail.
    async fn append(&self, post: Post) -> Result<Arc<Message>, LogError>;

    /// The newest `limit` messages of a room, oldest first.
    async fn last(&self, room: &RoomName, limit: usize) -> Result<Vec<Arc<Message>>, LogError>;

    /// The messages that follow `id`, oldest first, at most `limit`.
    async fn after(&self, room: &RoomName, id: MessageId, limit: usize) -> Result<After, LogError>;

    /// The messages just before `id`, oldest first, at most `limit`.
    async fn before(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>, LogError>;

    /// The rooms that hold a message, the most recently used first, at most `limit`.
    async fn rooms(&self, limit: usize) -> Result<Vec<RoomActivity>, LogError>;

    /// Finishes what was accepted and closes. Every later call answers [`LogError::Closed`].
    async fn close(&self);
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

/// Why the log did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Nothing was kept; trying again may work.
    #[error("log is busy, try again")]
    Busy,
    #[error("log is closed")]
    Closed,
    #[error("log failed: {0}")]
    Storage(Arc<dyn std::error::Error + Send + Sync>),
}
