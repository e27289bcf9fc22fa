//! Tells a channel what the store has. How far it was told is noted in the Redis of the channel too, in the same step as it
//! is told, so nothing is told twice as long as that Redis keeps the note.

use std::{pin::pin, sync::Arc, time::Duration};

use redis::{RedisResult, Script};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Channel, Worker};
use crate::{
    bridges::{PAUSE, sender::Sender},
    chat::{
        message::{Message, RoomName},
        store::StoreError,
    },
    redis::Link,
};

/// Messages that are told in one step.
const BATCH: usize = 64;

/// How long what was kept may take, when stopping, to pass the tail.
const LAST: Duration = Duration::from_millis(250);

/// What publishes.
struct Publisher {
    link: Link,
    tell: Script,
    /// Where it is noted how far the channel was told.
    note: String,
}

impl Worker {
    /// Tells what the store has and will have. Returns when that is all; an error says that the store is closed.
    pub(super) async fn tell(&self) -> Result<(), StoreError> {
        let (redis, name) = (&self.channel.redis, &self.channel.name);
        let publisher = Publisher {
            link: Link::new(redis.clone(), "neighbour"),
            tell: Script::new(include_str!("tell.lua")),
            // Others of our kind may share that Redis, under the same prefix.
            note: redis.key(format_args!("told:{}:{name}", self.mark)),
        };
        let Channel {
            context,
            status,
            stopping,
            ..
        } = &self.channel;
        let mut sender = Sender::open(context, status.name(), RoomName::lobby()).await?;
        let mut end = pin!(end(stopping));
        loop {
            let messages = tokio::select! {
                biased;
                messages = sender.next(BATCH) => messages?,
                () = &mut end => return Ok(()),
            };
            let tell_from = *self.tell_from.lock();
            sleep_until(tell_from).await;
            let mut is_failing = false;
            while let Err(error) = self.publish(&publisher, &messages).await {
                is_failing = true;
                status.away(&error.to_string());
                sleep(PAUSE).await;
            }
            if is_failing {
                status.connected();
            }
            sender.sent().await?;
        }
    }

    /// Publishes messages, which are of one epoch, unless they were published before.
    async fn publish(&self, publisher: &Publisher, messages: &[Arc<Message>]) -> RedisResult<()> {
        let Some(first) = messages.first() else {
            return Ok(());
        };
        let mut telling = publisher.tell.key(&publisher.note);
        telling
            .arg(&self.channel.name)
            .arg(format!("{:08x}", first.id.epoch.0));
        for message in messages {
            telling.arg(message.id.seq).arg(self.format.write(message));
        }
        publisher.link.invoke(&telling).await
    }
}

/// A moment after the end: what is said then goes out by another replica.
async fn end(stopping: &CancellationToken) {
    stopping.cancelled().await;
    sleep(LAST).await;
}
