//! Events that ask a socket for an answer, and the answers that are waited for: bounded in number and time for each
//! socket. The transports know how a question goes out and an answer comes in.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::chat::socket::{Answer, Unanswered};

/// Answers of one socket that are waited for at once.
const MOST: usize = 64;

/// How long an answer is waited for. Longer than a connection that is dead goes unnoticed: who is slow
/// is not asked again for nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be done with an answer.
pub(crate) type Answered = Box<dyn FnOnce(Answer) + Send>;

/// What one socket was asked and has not answered. Most are never asked anything.
#[derive(Default)]
pub(crate) struct Asks(Mutex<State>);

#[derive(Default)]
struct State {
    asked: Option<Box<Asked>>,
    /// It is gone, and will not answer.
    is_over: bool,
}

#[derive(Default)]
struct Asked {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
}

impl Asks {
    /// Has a question sent, made with its id. `answered` is called once, in a task of its own: with the answer, or
    /// with why there is none.
    pub(crate) fn ask(&self, send: impl FnOnce(u64), answered: Answered) {
        let (id, answer) = {
            let mut state = self.0.lock();
            if state.is_over {
                return give_up(answered, Unanswered::Gone);
            }
            let asked = state.asked.get_or_insert_default();
            asked.last += 1;
            let id = asked.last;
            // Those that came too late, or not at all.
            asked.waiting.retain(|_, waiting| !waiting.is_closed());
            let answer = (asked.waiting.len() < MOST).then(|| {
                let (sender, answer) = oneshot::channel();
                asked.waiting.insert(id, sender);
                answer
            });
            (id, answer)
        };
        send(id);
        match answer {
            None => give_up(answered, Unanswered::TooMany),
            Some(answer) => drop(tokio::spawn(async move {
                let answer = tokio::time::timeout(PATIENCE, answer).await;
                answered(match answer {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) => Err(Unanswered::Gone),
                    Err(_) => Err(Unanswered::Late),
                });
            })),
        }
    }

    /// The answer to the question with this id has come. One that nobody waits for is nothing.
    pub(crate) fn answer(&self, id: u64, answer: Answer) {
        let waiting = (self.0.lock().asked.as_mut()).and_then(|asked| asked.waiting.remove(&id));
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    /// Whether an answer with this id is waited for.
    pub(crate) fn awaits(&self, id: u64) -> bool {
        (self.0.lock().asked.as_ref()).is_some_and(|asked| asked.waiting.contains_key(&id))
    }

    /// No more answers will come.
    pub(crate) fn end(&self) {
        let mut state = self.0.lock();
        state.is_over = true;
        state.asked = None;
    }
}

/// There will be no answer.
pub(crate) fn give_up(answered: Answered, why: Unanswered) {
    tokio::spawn(async move { answered(Err(why)) });
}
