//! Messages received on a channel that may not be stored yet. Every replica receives them and the lease holder stores them.
//! The others hold them long enough to continue after its death; then those that it has stored are removed.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::chat::message::{AuthorName, IdempotencyKey, Message, MessageId};

/// Messages held at most.
const MOST: usize = 4096;

/// Bytes of text held at most.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A message as the channel carried it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub author: Option<AuthorName>,
    pub text: String,
    /// Host name of the server that accepted it, where the channel tells it.
    pub replica: Option<String>,
}

/// A held message with its idempotency key.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub said: Said,
    pub key: IdempotencyKey,
}

/// The held messages, oldest first.
#[derive(Default)]
pub(super) struct Received {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// How many of these were received before the last turn.
    older: usize,
    /// The newest stored message at each of the last turns, oldest first; `None` where the room was empty.
    places: VecDeque<Option<MessageId>>,
    is_taken: bool,
}

/// While this exists, this replica stores what it receives.
pub(super) struct Taking<'a>(&'a Received);

impl Received {
    /// Appends a message. A full buffer drops one: on the lease holder the new one, and answers false; elsewhere the
    /// oldest, which the holder has most likely stored.
    pub fn push(&self, waiting: Waiting) -> bool {
        let mut state = self.state.lock();
        let bytes = waiting.said.text.len();
        while state.waiting.len() >= MOST || state.bytes + bytes > MOST_BYTES {
            if state.is_taken || state.pop().is_none() {
                return false;
            }
        }
        state.bytes += bytes;
        state.waiting.push_back(waiting);
        drop(state);
        self.more.notify_one();
        true
    }

    /// The oldest held messages, at most `limit`; waits until there are any. They stay until [`Received::taken`].
    pub async fn next(&self, limit: usize) -> Vec<Waiting> {
        loop {
            let more = self.more.notified();
            let first: Vec<_> = {
                let state = self.state.lock();
                state.waiting.iter().take(limit).cloned().collect()
            };
            if !first.is_empty() {
                return first;
            }
            more.await;
        }
    }

    /// Removes the oldest `count`: they are stored or refused.
    pub fn taken(&self, count: usize) {
        let mut state = self.state.lock();
        for _ in 0..count {
            state.pop();
        }
    }

    /// Marks this replica as the one that stores what is received.
    pub fn taking(&self) -> Taking<'_> {
        self.state.lock().is_taken = true;
        Taking(self)
    }

    /// Called at intervals with the newest stored message. Replicas without the lease drop what they received before
    /// the previous call.
    pub fn turn(&self, newest: Option<MessageId>) {
        let mut state = self.state.lock();
        if !state.is_taken {
            for _ in 0..state.older {
                state.pop();
            }
        }
        state.older = state.waiting.len();
        if state.places.len() == 3 {
            state.places.pop_front();
        }
        state.places.push_back(newest);
    }

    /// A stored message that is older than every held one. It is one turn older than needed, since a message can be stored
    /// elsewhere shortly before it is received here.
    pub fn since(&self) -> Option<MessageId> {
        self.state.lock().places.front().copied().flatten()
    }

    /// Removes a message that is stored already.
    pub fn strike(&self, kept: &Message) {
        let mut state = self.state.lock();
        let is_it = |waiting: &Waiting| {
            waiting.said.author == kept.author && *waiting.said.text == *kept.text
        };
        if let Some(at) = state.waiting.iter().position(is_it)
            && let Some(struck) = state.waiting.remove(at)
        {
            state.bytes -= struck.said.text.len();
            state.older -= usize::from(at < state.older);
        }
    }
}

impl State {
    fn pop(&mut self) -> Option<Waiting> {
        let oldest = self.waiting.pop_front()?;
        self.bytes -= oldest.said.text.len();
        self.older = self.older.saturating_sub(1);
        Some(oldest)
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_taken = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::message::{Epoch, testing::said_by};

    fn waiting(text: &str) -> Waiting {
        Waiting {
            said: Said {
                author: "ann".parse().ok(),
                text: text.into(),
                replica: None,
            },
            key: "key".parse().unwrap(),
        }
    }

    fn id(seq: u64) -> Option<MessageId> {
        let epoch = Epoch(1);
        Some(MessageId { seq, epoch })
    }

    fn kept(author: &str, text: &str) -> Message {
        said_by(Some(author), text)
    }

    fn texts(received: &Received) -> Vec<String> {
        let state = received.state.lock();
        let bytes: usize = state.waiting.iter().map(|each| each.said.text.len()).sum();
        assert_eq!(state.bytes, bytes);
        assert!(state.older <= state.waiting.len());
        state
            .waiting
            .iter()
            .map(|each| each.said.text.clone())
            .collect()
    }

    #[tokio::test]
    async fn a_message_waits_until_it_is_taken() {
        let received = Received::default();
        let next = async |limit| {
            let next = received.next(limit).await.into_iter();
            next.map(|each| each.said.text).collect::<Vec<_>>()
        };
        for text in ["a", "b", "c"] {
            assert!(received.push(waiting(text)));
        }
        assert_eq!(next(2).await, ["a", "b"]);
        assert_eq!(next(5).await, ["a", "b", "c"]);
        received.taken(2);
        assert_eq!(next(2).await, ["c"]);
        received.taken(1);
        assert!(texts(&received).is_empty());
    }

    #[test]
    fn a_message_that_another_replica_stores_is_held_for_one_turn() {
        let received = Received::default();
        received.turn(None);
        received.push(waiting("a"));
        received.turn(id(1));
        received.push(waiting("b"));
        assert_eq!(texts(&received), ["a", "b"]);
        received.turn(id(2));
        assert_eq!(texts(&received), ["b"]);
        assert_eq!(received.since(), None);
        received.turn(id(3));
        assert!(texts(&received).is_empty());
        assert_eq!(received.since(), id(1));
    }

    #[test]
    fn a_message_that_this_replica_stores_is_held_until_then() {
        let received = Received::default();
        let taking = received.taking();
        received.push(waiting("a"));
        for seq in 1..5 {
            received.turn(id(seq));
        }
        assert_eq!(texts(&received), ["a"]);
        drop(taking);
        received.turn(id(5));
        assert!(texts(&received).is_empty());
    }

    #[test]
    fn each_stored_message_removes_one() {
        let received = Received::default();
        for text in ["a", "b", "a", "c"] {
            received.push(waiting(text));
        }
        received.turn(None);
        received.strike(&kept("ann", "a"));
        received.strike(&kept("bob", "b"));
        received.strike(&kept("ann", "unheard"));
        assert_eq!(texts(&received), ["b", "a", "c"]);
        received.strike(&kept("ann", "c"));
        received.turn(None);
        assert!(texts(&received).is_empty());
    }

    #[test]
    fn a_full_buffer_drops_the_newest_on_the_lease_holder_and_the_oldest_elsewhere() {
        let received = Received::default();
        for n in 0..=MOST {
            assert!(received.push(waiting(&n.to_string())));
        }
        assert_eq!((texts(&received).len(), &*texts(&received)[0]), (MOST, "1"));
        let taking = received.taking();
        assert!(!received.push(waiting("one too many")));
        assert_eq!((texts(&received).len(), &*texts(&received)[0]), (MOST, "1"));
        drop(taking);

        let received = Received::default();
        let large = "x".repeat(MOST_BYTES / 2);
        assert!(received.push(waiting("small")) && received.push(waiting(&large)));
        assert!(received.push(waiting(&large)));
        assert_eq!(texts(&received).len(), 2);
        assert!(!received.push(waiting(&"x".repeat(MOST_BYTES + 1))));
    }
}
