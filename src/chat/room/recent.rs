//! The newest messages of a room, in memory, so that newcomers and those who come back after a short absence cost the
//! store nothing.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::chat::{
    message::{Message, MessageId},
    store::Limit,
};

/// Messages of a room in use that are held in memory, so that newcomers and those who come back
/// after a short absence cost the store nothing.
pub(super) const RECENT_MESSAGES: usize = 256;

/// The same, in bytes of text.
pub(super) const RECENT_BYTES: usize = 256 * 1024;

/// The same, of all rooms together. While they hold more, each holds [`RECENT_BYTES_LEAST`].
pub(super) const RECENT_BYTES_OF_ALL: usize = 64 * 1024 * 1024;
const RECENT_BYTES_LEAST: usize = 4 * 1024;

/// The newest messages of a room; one at least, where the room has any.
pub(super) struct Recent {
    messages: VecDeque<Arc<Message>>,
    /// All messages with a higher seq are here.
    before: u64,
    bytes: usize,
    /// Bytes that all rooms hold.
    held: Arc<AtomicUsize>,
}

impl Recent {
    /// None yet; `held` counts the bytes that all rooms hold.
    pub fn new(held: &Arc<AtomicUsize>) -> Self {
        Self {
            messages: VecDeque::new(),
            before: 0,
            bytes: 0,
            held: held.clone(),
        }
    }

    /// As many as a room may hold now.
    pub fn most(held: &AtomicUsize) -> Limit {
        Limit {
            messages: RECENT_MESSAGES,
            bytes: most_held(held),
        }
    }

    pub fn newest(&self) -> Option<MessageId> {
        self.messages.back().map(|message| message.id)
    }

    pub fn oldest(&self) -> Option<MessageId> {
        self.messages.front().map(|message| message.id)
    }

    /// The messages with a higher seq.
    pub fn since(&self, seq: u64) -> impl Iterator<Item = &Arc<Message>> {
        let first = self
            .messages
            .partition_point(|message| message.id.seq <= seq);
        self.messages.range(first..)
    }

    /// Whether all that follows a seq is here.
    pub fn reaches_back_to(&self, seq: u64) -> bool {
        self.before <= seq
    }

    /// Whether all that follows this id is here, and it is one of this history.
    pub fn covers(&self, id: MessageId) -> bool {
        // A client may ask for any number: that it is not beyond the newest comes first.
        self.newest()
            .is_some_and(|newest| id.epoch == newest.epoch && id.seq <= newest.seq)
            && self.reaches_back_to(id.seq)
    }

    /// The seq that the newest `count` messages follow, where they are here.
    pub fn start_of_last(&self, count: usize) -> Option<u64> {
        // Nothing was there a moment ago; what is there by now is new.
        let Some(newest) = self.newest() else {
            return Some(0);
        };
        let is_here = self.messages.len() >= count || self.before == 0;
        is_here.then(|| newest.seq.saturating_sub(count as u64).max(self.before))
    }

    pub fn push(&mut self, message: Arc<Message>) {
        self.bytes += message.text.len();
        self.held.fetch_add(message.text.len(), Ordering::Relaxed);
        self.messages.push_back(message);
        let most = most_held(&self.held);
        while self.messages.len() > RECENT_MESSAGES
            || (self.bytes > most && self.messages.len() > 1)
        {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.before = oldest.id.seq;
            self.bytes -= oldest.text.len();
            self.held.fetch_sub(oldest.text.len(), Ordering::Relaxed);
        }
    }

    /// Puts what was read before what has arrived meanwhile.
    pub fn put_before(&mut self, read: Vec<Arc<Message>>) {
        let newest = read.last().map_or(0, |message| message.id.seq);
        let mut arrived = std::mem::take(&mut self.messages);
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
        arrived.retain(|message| message.id.seq > newest);
        // So much arrived that memory let go of the first of it: what was read does not join on.
        let joins_on = self.before <= newest;
        if joins_on {
            self.before = read.first().map_or(0, |first| first.id.seq - 1);
        }
        let read = read.into_iter().filter(|_| joins_on);
        for message in read.chain(arrived) {
            self.push(message);
        }
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes that a room may hold in memory now.
fn most_held(by_all: &AtomicUsize) -> usize {
    if by_all.load(Ordering::Relaxed) > RECENT_BYTES_OF_ALL {
        RECENT_BYTES_LEAST
    } else {
        RECENT_BYTES
    }
}
