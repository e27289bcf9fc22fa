//! Events that ask a socket for an answer, and what is waited for: bounded in number and time for each
//! socket. The transports know how an answer comes in.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::chat::socket::{Answer, Unanswered};

/// Answers of one socket that are waited for at once.
pub(super) const MOST: usize = 64;

/// How long an answer is waited for. Longer than a connection that is dead goes unnoticed: who is slow
/// is not asked again for nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be done with an answer.
pub(super) type Answered = Box<dyn FnOnce(Answer) + Send>;

/// What one socket was asked. Most are never asked anything.
#[derive(Default)]
pub(super) struct Asks(OnceLock<Arc<Semaphore>>);

impl Asks {
    /// The right to wait for one more answer.
    pub(super) fn begin(&self) -> Option<OwnedSemaphorePermit> {
        let places = self.0.get_or_init(|| Arc::new(Semaphore::new(MOST)));
        places.clone().try_acquire_owned().ok()
    }
}

/// Waits for an answer, as long as one is waited for, and hands it on.
pub(super) fn wait(
    place: OwnedSemaphorePermit,
    answer: impl Future<Output = Answer> + Send + 'static,
    answered: Answered,
) {
    tokio::spawn(async move {
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        drop(place);
        answered(answer.unwrap_or(Err(Unanswered::Late)));
    });
}

/// There will be no answer.
pub(super) fn give_up(answered: Answered, why: Unanswered) {
    tokio::spawn(async move { answered(Err(why)) });
}
