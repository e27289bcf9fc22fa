//! A bridge on a Redis channel, for Infinite Chat's `newMsg` (`new_msg`) and for Socket.IO's Redis adapters
//! (`socketio_redis`). Every replica subscribes to the channel (`subscriber`). The holder of the lease stores what was
//! `received` and publishes what the store has (`publisher`). Where it dies, another replica continues.

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

/// Messages that are being stored at the same time: the most that `try_join_all` starts in order.
const AT_ONCE: usize = 30;

/// Messages read at once when looking for what is stored already.
const PAGE: usize = 500;

/// How long, at least, a received message is held in case the lease holder dies: longer than a lease lasts.
const TURN: Duration = Duration::from_secs(15);

/// How a channel encodes its messages.
pub trait Format: Send + Sync + 'static {
    /// Decodes a body. `None` for our own messages and for those that are not for us.
    fn read(&self, body: &[u8]) -> Result<Option<Said>, Box<dyn Error>>;

    /// Encodes a message of ours.
    fn write(&self, message: &Message) -> Vec<u8>;
}

/// Makes the format of a channel for messages with this tag.
pub type MakeFormat = Box<dyn FnOnce(&str) -> Box<dyn Format> + Send>;

/// A channel and its Redis.
pub struct Channel {
    pub context: Arc<BridgeContext>,
    pub status: Arc<Status>,
    pub redis: Redis,
    /// Its whole name.
    pub name: String,
    /// No more messages are accepted; what is stored until now is still sent.
    pub stopping: CancellationToken,
}

/// This replica's work on one channel.
struct Worker {
    channel: Channel,
    /// The tag of our messages on every bus.
    mark: Box<str>,
    format: Box<dyn Format>,
    receiver: Receiver,
    received: Received,
    /// Whether the subscription is up.
    hears: watch::Sender<bool>,
    /// Nothing is published before this time.
    tell_from: Mutex<Instant>,
}

/// Works on a channel until the server stops or the store is closed.
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
    // Messages stored before the subscription cannot be duplicates.
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
    /// Stores the first bookmark, so that sending begins with the messages from now on.
    async fn begin(&self) -> Result<(), StoreError> {
        let Channel {
            context, status, ..
        } = &self.channel;
        Sender::begin(context, status.name(), RoomName::lobby()).await
    }

    /// Works while this replica is subscribed and holds the lease. Without a subscription it leaves the lease to others.
    async fn work(&self) {
        let status = &self.channel.status;
        let lease = match self.channel.context.lease(status.name().as_str()) {
            Ok(lease) => lease,
            Err(error) => {
                return tracing::error!(%error, "the system gives no random numbers: the bridge does not run");
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

    /// Returns once everything is sent after the stop.
    ///
    /// # Errors
    /// The store is closed.
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

    /// Stores received messages in their order.
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
            // Each is in the store's queue before the next one starts, so the order stays.
            try_join_all(taking).await?;
            self.received.taken(count);
        }
    }

    /// Messages that another replica may have stored already.
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
                // Another epoch: what it has of the received messages is among its last.
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

    /// Waits while the store fails; received messages stay in the buffer.
    async fn turn(&self) -> Result<(), StoreError> {
        let (store, lobby) = (&self.channel.context.store, RoomName::lobby());
        let last = again(|| store.last(&lobby, Limit::ONE)).await?;
        self.received.turn(last.first().map(|newest| newest.id));
        Ok(())
    }
}
