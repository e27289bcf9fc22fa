//! A bridge on a channel of Redis: what Infinite Chat's `newMsg` (`new_msg`) and Socket.IO's adapters
//! (`socketio_redis`) have in common. Every replica hears the channel (`subscriber`); the one that holds the lease takes what was
//! `received` into the store, and tells the channel what the store has (`publisher`). Where that one dies, another goes on.

mod publisher;
mod received;
mod subscriber;

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

pub use self::received::Said;
use self::{
    received::{Received, Waiting},
    subscriber::Keys,
};
use super::{
    BridgeContext, again,
    receiver::{BridgedMessage, Receiver},
    sender::Sender,
    status::Status,
};
use crate::{
    chat::{
        message::{Message, MessageId, RoomName},
        store::{After, Limit, StoreError},
    },
    redis::Redis,
};

/// Messages that are on their way into the store at the same time. `try_join_all` begins so many of them in their order, no more.
const AT_ONCE: usize = 30;

/// Messages that are read at once to find out what the store has.
const PAGE: usize = 500;

/// How long at least what was heard waits for the death of the replica that takes it: longer than its lease outlives it.
const TURN: Duration = Duration::from_secs(15);

/// The words of a channel.
pub trait Format: Send + Sync + 'static {
    /// What a body says; nothing where it is ours, or not for us.
    fn read(&self, body: &[u8]) -> Result<Option<Said>, Box<dyn Error>>;

    /// A message of ours as a body.
    fn write(&self, message: &Message) -> Vec<u8>;
}

/// Makes the words of a channel for those whose messages bear this mark.
pub type MakeFormat = Box<dyn FnOnce(&str) -> Box<dyn Format> + Send>;

/// A channel, and where it is.
pub struct Channel {
    pub context: Arc<BridgeContext>,
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
    format: Box<dyn Format>,
    receiver: Receiver,
    received: Received,
    /// Whether the channel is heard at the moment.
    hears: watch::Sender<bool>,
    /// Nothing is told before.
    tell_from: Mutex<Instant>,
}

/// Works on a channel until it is told to stop, or the store is closed.
pub async fn run(channel: Channel, format: MakeFormat) {
    let Ok(mark) = channel.context.mark().await.map(Box::from) else {
        return;
    };
    let worker = Worker {
        format: format(&mark),
        mark,
        receiver: Receiver::new(channel.context.clone(), channel.status.name()),
        received: Received::default(),
        hears: watch::Sender::new(false),
        tell_from: Mutex::new(Instant::now()),
        channel,
    };
    let keys = match Keys::new() {
        Ok(keys) => keys,
        Err(error) => return tracing::error!(%error, "the system gives no random numbers"),
    };
    // What the store has before anything is heard needs no looking through.
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
    async fn begin(&self) -> Result<(), StoreError> {
        let Channel {
            context, status, ..
        } = &self.channel;
        Sender::begin(context, status.name(), RoomName::lobby()).await
    }

    /// Works whenever this replica hears the channel and holds the lease: who does not hear leaves it to others.
    async fn work(&self) {
        let status = &self.channel.status;
        let lease = match self.channel.context.lease(status.name().as_str()) {
            Ok(lease) => lease,
            Err(error) => {
                return tracing::error!(%error, "the system gives no random numbers: the bridge is not worked on");
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

    /// Returns when all is told and no more will be said; an error says that the store is closed.
    async fn take_and_tell(&self) -> Result<(), StoreError> {
        self.channel.status.connected();
        let _taking = self.received.taking();
        for kept in again(|| self.kept_lately()).await? {
            self.received.strike(&kept);
        }
        tokio::select! {
            ended = self.take() => ended,
            ended = self.tell() => ended,
        }
    }

    /// Takes what was heard into the store, in order.
    async fn take(&self) -> Result<(), StoreError> {
        loop {
            let received = self.received.next(AT_ONCE).await;
            let count = received.len();
            let taking = received.into_iter().map(|Waiting { said, key }| {
                self.receiver.take(BridgedMessage {
                    room: RoomName::lobby(),
                    author: said.author.map(|name| name.as_str().to_owned()),
                    text: said.text,
                    replica: said.replica,
                    key,
                    direct: None,
                })
            });
            // The store has them in this order, for each goes to its queue before the next.
            try_join_all(taking).await?;
            self.received.taken(count);
        }
    }

    /// What another replica may have taken of what waits here.
    async fn kept_lately(&self) -> Result<Vec<Arc<Message>>, StoreError> {
        let (store, lobby) = (&self.channel.context.store, RoomName::lobby());
        let mut kept = Vec::new();
        let newest = store.last(&lobby, Limit::ONE).await?;
        let Some(epoch) = newest.first().map(|newest| newest.id.epoch) else {
            return Ok(kept);
        };
        let beginning = MessageId { seq: 0, epoch };
        let mut after = self.received.since().unwrap_or(beginning);
        loop {
            let (page, is_end) = match store.after(&lobby, after, Limit::messages(PAGE)).await? {
                After::Complete(page) => (page, false),
                // Another history: what it has of what was heard is among its last.
                After::Gap => (store.last(&lobby, Limit::messages(PAGE)).await?, true),
            };
            let last = page.last().map(|last| last.id);
            let name = Some(self.channel.status.name());
            kept.extend(page.into_iter().filter(|kept| kept.bridge.as_ref() == name));
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

    /// Waits for a store that fails: what was heard meanwhile is kept.
    async fn turn(&self) -> Result<(), StoreError> {
        let (store, lobby) = (&self.channel.context.store, RoomName::lobby());
        let last = again(|| store.last(&lobby, Limit::ONE)).await?;
        self.received.turn(last.first().map(|newest| newest.id));
        Ok(())
    }
}
