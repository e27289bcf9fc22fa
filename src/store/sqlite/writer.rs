//! The one thread that writes. It takes whatever has been queued, commits it at once, hands it to
//! the tail and answers; between batches it prunes.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{
    OwnedSemaphorePermit, broadcast,
    mpsc::{self, OwnedPermit},
    oneshot,
};
use tokio_util::sync::CancellationToken;

use super::{
    batch::{self, Done, Outcome, Task},
    open::{self, Opened},
    prune::Pruner,
};
use crate::chat::store::{Receipt, StoreError, TailItem};

/// The most tasks in one transaction.
const BATCH_TASKS: usize = 1024;

/// A transaction takes no more tasks once their texts have this many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// A task that waits for its turn.
pub(super) struct Job {
    pub task: Task,
    pub answer: oneshot::Sender<Result<Outcome, StoreError>>,
    /// Its part of the queue's bytes, given back when it has been answered.
    pub bytes: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    pub opened: Opened,
    pub queue: mpsc::Receiver<Job>,
    /// None once nobody reads it any more.
    pub tail: Option<mpsc::Sender<TailItem>>,
    pub receipts: broadcast::Sender<Receipt>,
    pub pruner: Pruner,
    /// No more posts are accepted.
    pub closing: CancellationToken,
    /// A tail that is full is not waited for any longer.
    pub tail_abandoned: CancellationToken,
}

type TailPlace = OwnedPermit<TailItem>;

impl Writer {
    /// Runs until the store is closed and everything accepted has been answered.
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
            self.perform(jobs, place);
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
        let mut bytes = first.task.size();
        let mut jobs = vec![first];
        while jobs.len() < BATCH_TASKS && bytes < BATCH_BYTES {
            let Ok(job) = self.queue.try_recv() else {
                break;
            };
            bytes += job.task.size();
            jobs.push(job);
        }
        jobs
    }

    fn perform(&mut self, jobs: Vec<Job>, place: Option<TailPlace>) {
        let (tasks, waiting): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.task, (job.answer, job.bytes)))
            .unzip();
        let (conn, epoch) = (&mut self.opened.conn, self.opened.epoch);
        // An answer that cannot be sent is one that nobody waits for any more.
        match batch::perform(conn, tasks, epoch, Timestamp::now()) {
            Ok(Done {
                outcomes,
                new,
                receipts,
            }) => {
                self.pruner.grown_by(new.len(), &self.opened.conn);
                if let Some(place) = place
                    && !new.is_empty()
                {
                    place.send(TailItem::Kept(new));
                }
                for mark in receipts {
                    let _ = self.receipts.send(mark);
                }
                for ((answer, _bytes), outcome) in waiting.into_iter().zip(outcomes) {
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                let error = StoreError::Storage(Arc::new(error));
                for (answer, _bytes) in waiting {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}
