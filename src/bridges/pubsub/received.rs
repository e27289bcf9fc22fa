//! What was heard on a channel and may not be in the store yet. Every replica hears, one takes what is heard into the store;
//! the others keep it long enough to go on where that one died. Then what the store has since is struck off.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::chat::message::{AuthorName, IdempotencyKey, Message, MessageId};

/// Messages that wait for the store, or for the death of the replica that takes them.
const MOST: usize = 4096;

/// The same in bytes of text.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Somebody's words, as a channel had them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub author: Option<AuthorName>,
    pub text: String,
    /// The host name of the server that took it, where it is told.
    pub replica: Option<String>,
}

/// A message that waits, with the key that it is kept under.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub said: Said,
    pub key: IdempotencyKey,
}

/// What waits, the oldest first.
#[derive(Default)]
pub(super) struct Received {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// So many of these were heard before the last turn.
    older: usize,
    /// Where the store was at the last turns, the first of them first; nowhere where it was empty.
    places: VecDeque<Option<MessageId>>,
    is_taken: bool,
}

/// As long as this is there, what is heard is taken into the store here.
pub(super) struct Taking<'a>(&'a Received);

impl Received {
    /// Puts a message at the end. Where too much waits already, one is lost: this one, where what waits is
    /// taken into the store here, and the answer is false; otherwise the oldest, which another has most likely taken.
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

    /// The oldest that wait, at most so many, once there are any. They go on waiting until [`Received::taken`].
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

    /// So many of the oldest are in the store, or were refused.
    pub fn taken(&self, count: usize) {
        let mut state = self.state.lock();
        for _ in 0..count {
            state.pop();
        }
    }

    /// Begins to take what is heard into the store.
    pub fn taking(&self) -> Taking<'_> {
        self.state.lock().is_taken = true;
        Taking(self)
    }

    /// To be called now and then with the newest message of the store. Nobody else than the replica that takes it needs what
    /// was heard before the last turn.
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

    /// After this message the store has all of what waits that it has at all. One turn more than what waits goes back to: a
    /// message may be in the store a moment before it is heard here.
    pub fn since(&self) -> Option<MessageId> {
        self.state.lock().places.front().copied().flatten()
    }

    /// Strikes off what the store has.
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
    fn what_another_takes_is_kept_for_one_turn() {
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
    fn what_is_taken_here_is_kept_for_any_time() {
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
    fn each_message_of_the_log_strikes_off_one() {
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
    fn what_is_too_much_is_the_newest_where_it_is_taken_and_the_oldest_elsewhere() {
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
