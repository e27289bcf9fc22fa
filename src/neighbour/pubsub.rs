//! A neighbour on a channel of Redis: what Infinite Chat's `newMsg` (`new_msg`) and Socket.IO's adapters
//! (`socketio_redis`) have in common. Every replica hears the channel (`ear`); the one that holds the lease takes what was
//! `heard` into the log, and tells the channel what the log has (`mouth`). Where that one dies, another goes on.

mod ear;
mod heard;
mod mouth;

use std::{
    error::Error,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub use self::heard::Said;
use self::{
    ear::Keys,
    heard::{Heard, Waiting},
};
use super::{
    Site, again,
    inbox::{Foreign, Inbox},
    outbox::Outbox,
    status::Status,
};
use crate::{
    chat::{
        log::{After, Limit, LogError},
        message::{Message, MessageId, RoomName},
    },
    redis::Redis,
};

/// Messages that are on their way into the log at the same time. `try_join_all` begins so many of them in their order, no more.
const AT_ONCE: usize = 30;

/// Messages that are read at once to find out what the log has.
const PAGE: usize = 500;

/// How long at least what was heard waits for the death of the replica that takes it: longer than its lease outlives it.
const TURN: Duration = Duration::from_secs(15);

/// The words of a channel.
pub trait Words: Send + Sync + 'static {
    /// What a body says; nothing where it is ours, or not for us.
    fn read(&self, body: &[u8]) -> Result<Option<Said>, Box<dyn Error>>;

    /// A message of ours as a body.
    fn write(&self, message: &Message) -> Vec<u8>;
}

/// Makes the words of a channel for those whose messages bear this mark.
pub type MakeWords = Box<dyn FnOnce(&str) -> Box<dyn Words> + Send>;

/// A channel, and where it is.
pub struct Channel {
    pub site: Arc<Site>,
    pub status: Arc<Status>,
    pub redis: Redis,
    /// Its whole name.
    pub name: String,
    /// No more is said to us: what was said until now is still told.
    pub stopping: CancellationToken,
}

/// What works on a channel in this replica.
struct Worker {
    channel: Channel,
    /// Of our messages, on every bus.
    mark: Box<str>,
    words: Box<dyn Words>,
    inbox: Inbox,
    heard: Heard,
    /// Whether the channel is heard at the moment.
    hears: watch::Sender<bool>,
    /// Nothing is told before.
    tell_from: Mutex<Instant>,
}

/// Works on a channel until it is told to stop, or the log is closed.
pub async fn run(channel: Channel, words: MakeWords) {
    let Ok(mark) = channel.site.mark().await.map(Box::from) else {
        return;
    };
    let worker = Worker {
        words: words(&mark),
        mark,
        inbox: Inbox::new(channel.site.clone(), channel.status.name()),
        heard: Heard::default(),
        hears: watch::Sender::new(false),
        tell_from: Mutex::new(Instant::now()),
        channel,
    };
    let keys = match Keys::new() {
        Ok(keys) => keys,
        Err(error) => return tracing::error!(%error, "the system gives no random numbers"),
    };
    // What the log has before anything is heard needs no looking through.
    if worker.begin().await.is_err() || worker.turn().await.is_err() {
        return;
    }
    tokio::select! {
        () = worker.hear(keys) => {}
        () = worker.turn_for_ever() => {}
        () = worker.work() => {}
    }
}

impl Worker {
    /// Has the channel told what is said from now on, if it never was.
    async fn begin(&self) -> Result<(), LogError> {
        let Channel { site, status, .. } = &self.channel;
        Outbox::begin(site, status.name(), RoomName::lobby()).await
    }

    /// Works whenever this replica hears the channel and holds the lease: who does not hear leaves it to others.
    async fn work(&self) {
        let status = &self.channel.status;
        let lease = match self.channel.site.lease(status.name().as_str()) {
            Ok(lease) => lease,
            Err(error) => {
                return tracing::error!(%error, "the system gives no random numbers: the neighbour is not worked on");
            }
        };
        let stopping = &self.channel.stopping;
        while !stopping.is_cancelled() {
            let is_held = AtomicBool::new(false);
            let work = async {
                is_held.store(true, Ordering::Relaxed);
                tokio::select! {
                    () = self.until_hearing(false) => Ok(()),
                    ended = self.take_and_tell() => ended,
                }
            };
            let stopped = async {
                stopping.cancelled().await;
                if is_held.load(Ordering::Relaxed) {
                    // The work ends by itself.
                    pending().await
                }
            };
            tokio::select! {
                done = async {
                    self.until_hearing(true).await;
                    lease.while_held(work).await
                } => match done {
                    Some(Err(_)) => return,
                    Some(Ok(())) => {}
                    None => status.standing_by(),
                },
                () = stopped => return,
            }
        }
    }

    async fn until_hearing(&self, hears: bool) {
        // It cannot fail: the sender is ours.
        let _ = self.hears.subscribe().wait_for(|now| *now == hears).await;
    }

    /// Returns when all is told and no more will be said; an error says that the log is closed.
    async fn take_and_tell(&self) -> Result<(), LogError> {
        self.channel.status.connected();
        let _taking = self.heard.taking();
        for kept in again(|| self.kept_lately()).await? {
            self.heard.strike(&kept);
        }
        tokio::select! {
            ended = self.take() => ended,
            ended = self.tell() => ended,
        }
    }

    /// Takes what was heard into the log, in order.
    async fn take(&self) -> Result<(), LogError> {
        loop {
            let heard = self.heard.next(AT_ONCE).await;
            let count = heard.len();
            let taking = heard.into_iter().map(|Waiting { said, key }| {
                self.inbox.take(Foreign {
                    room: RoomName::lobby(),
                    author: said.author.map(|name| name.as_str().to_owned()),
                    text: said.text,
                    replica: said.replica,
                    key,
                    direct: None,
                })
            });
            // The log has them in this order, for each goes to its queue before the next.
            try_join_all(taking).await?;
            self.heard.taken(count);
        }
    }

    /// What another replica may have taken of what waits here.
    async fn kept_lately(&self) -> Result<Vec<Arc<Message>>, LogError> {
        let (log, lobby) = (&self.channel.site.log, RoomName::lobby());
        let mut kept = Vec::new();
        let newest = log.last(&lobby, Limit::ONE).await?;
        let Some(epoch) = newest.first().map(|newest| newest.id.epoch) else {
            return Ok(kept);
        };
        let beginning = MessageId { seq: 0, epoch };
        let mut after = self.heard.since().unwrap_or(beginning);
        loop {
            let (page, is_end) = match log.after(&lobby, after, Limit::messages(PAGE)).await? {
                After::Complete(page) => (page, false),
                // Another history: what it has of what was heard is among its last.
                After::Gap => (log.last(&lobby, Limit::messages(PAGE)).await?, true),
            };
            let last = page.last().map(|last| last.id);
            let name = Some(self.channel.status.name());
            kept.extend(
                page.into_iter()
                    .filter(|kept| kept.neighbour.as_ref() == name),
            );
            match last {
                Some(last) if !is_end => after = last,
                _ => return Ok(kept),
            }
        }
    }

    async fn turn_for_ever(&self) {
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        turns.tick().await;
        loop {
            turns.tick().await;
            if self.turn().await.is_err() {
                return;
            }
        }
    }

    /// Waits for a log that fails: what was heard meanwhile is kept.
    async fn turn(&self) -> Result<(), LogError> {
        let (log, lobby) = (&self.channel.site.log, RoomName::lobby());
        let last = again(|| log.last(&lobby, Limit::ONE)).await?;
        self.heard.turn(last.first().map(|newest| newest.id));
        Ok(())
    }
}
