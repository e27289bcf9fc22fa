//! What the chat asks of a log: one order per room, kept before it is acknowledged, told to every
//! replica in that order. The implementations are in `crate::log`.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::message::{Message, MessageId, Post, RoomName};

/// What is kept, by whichever replica, as it is kept.
/// Bounded: a tail that is not read makes [`Log::append`] wait, or a [`Told::Gap`] follow.
pub type Tail = mpsc::Receiver<Told>;

/// What passes the tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Messages, each room's in the order of their ids, without a hole.
    Kept(Vec<Arc<Message>>),
    /// What was told before and what will be told do not join on: messages between them passed
    /// unseen, or the ids have a new epoch. Whoever reads a room has to ask the log what it missed.
    Gap,
}

/// Done once the message survives a crash of the process and of the machine (with a log that is
/// elsewhere: as far as that is set up to), and is on its way through the [`Tail`].
///
/// A post whose key the room already holds is not kept again: the message it became the first time
/// is returned, and nothing passes the tail.
pub type Receipt = Pin<Box<dyn Future<Output = Result<Arc<Message>, LogError>> + Send>>;

/// An ordered, durable record of every room.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Takes a message. Those taken one after the other are kept in that order; the receipt tells
    /// when, and need not be waited for.
    async fn accept(&self, post: Post) -> Result<Receipt, LogError>;

    /// Keeps a message and gives it its place: [`Log::accept`] and its receipt in one.
    async fn append(&self, post: Post) -> Result<Arc<Message>, LogError> {
        self.accept(post).await?.await
    }

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
    /// It may have been kept; trying again with the same key does not keep it twice.
    #[error("log did not say in time whether it kept it, try again with the same key")]
    Unknown,
    #[error("log is closed")]
    Closed,
    #[error("log failed: {0}")]
    Storage(Arc<dyn std::error::Error + Send + Sync>),
}
