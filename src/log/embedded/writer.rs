//! The one thread that writes. It takes whatever has been queued, commits it at once, hands it to
//! the tail and answers; between batches it prunes.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{
    OwnedSemaphorePermit,
    mpsc::{self, OwnedPermit},
    oneshot,
};
use tokio_util::sync::CancellationToken;

use super::{
    batch::{self, Kept},
    open::{self, Opened},
    prune::Pruner,
};
use crate::chat::{
    log::{LogError, Told},
    message::{Message, Post},
};

/// The most posts in one transaction.
const BATCH_POSTS: usize = 1024;

/// A transaction takes no more posts once their texts have this many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// A post that waits for its place.
pub(super) struct Job {
    pub post: Post,
    pub answer: oneshot::Sender<Result<Arc<Message>, LogError>>,
    /// Its part of the queue's bytes, given back when it has been answered.
    pub bytes: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    pub opened: Opened,
    pub queue: mpsc::Receiver<Job>,
    /// None once nobody reads it any more.
    pub tail: Option<mpsc::Sender<Told>>,
    pub pruner: Pruner,
    /// No more posts are accepted.
    pub closing: CancellationToken,
    /// A tail that is full is not waited for any longer.
    pub tail_abandoned: CancellationToken,
}

type TailPlace = OwnedPermit<Told>;

impl Writer {
    /// Runs until the log is closed and everything accepted has been answered.
    pub async fn run(mut self) {
        loop {
            let first = tokio::select! {
                biased;
                () = self.closing.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
                job = self.queue.recv() => match job {
                    Some(job) => job,
                    None => break,
                },
                () = self.pruner.due() => {
                    self.pruner.step(&mut self.opened.conn);
                    continue;
                }
            };
            // Before the commit, so that whatever is kept is on its way when it is answered.
            let place = self.tail_place().await;
            let jobs = self.take_queued(first);
            self.keep(jobs, place);
            if self.pruner.is_due() {
                self.pruner.step(&mut self.opened.conn);
            }
        }
        if let Err(error) = open::mark_closed(&self.opened.conn, true) {
            tracing::warn!(%error, "log could not be tidied up, the next start checks it");
        }
    }

    /// Waits until the tail takes one more batch; none when nobody reads it.
    async fn tail_place(&mut self) -> Option<TailPlace> {
        let tail = self.tail.clone()?;
        let place = tokio::select! {
            biased;
            place = tail.reserve_owned() => place.ok(),
            () = self.tail_abandoned.cancelled() => None,
        };
        if place.is_none() {
            // For good: a batch after one that was left out would be a hole.
            self.tail = None;
        }
        place
    }

    fn take_queued(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = first.post.text.len();
        let mut jobs = vec![first];
        while jobs.len() < BATCH_POSTS && bytes < BATCH_BYTES {
            let Ok(job) = self.queue.try_recv() else {
                break;
            };
            bytes += job.post.text.len();
            jobs.push(job);
        }
        jobs
    }

    fn keep(&mut self, jobs: Vec<Job>, place: Option<TailPlace>) {
        let (posts, waiting): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.post, (job.answer, job.bytes)))
            .unzip();
        let (conn, epoch) = (&mut self.opened.conn, self.opened.epoch);
        // An answer that cannot be sent is one that nobody waits for any more.
        match batch::keep(conn, posts, epoch, Timestamp::now()) {
            Ok(Kept { answers, new }) => {
                self.pruner.grown_by(new.len());
                if let Some(place) = place
                    && !new.is_empty()
                {
                    place.send(Told::Kept(new));
                }
                for ((answer, _bytes), message) in waiting.into_iter().zip(answers) {
                    let _ = answer.send(Ok(message));
                }
            }
            Err(error) => {
                let error = LogError::Storage(Arc::new(error));
                for (answer, _bytes) in waiting {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}
