//! Publishes what the store has to a channel. The script that publishes also writes how far it got into that Redis, so nothing
//! is published twice as long as that Redis keeps the key.

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

/// Messages published in one script call.
const BATCH: usize = 64;

/// How long a stored message may take to pass the tail during a stop.
const LAST: Duration = Duration::from_millis(250);

/// The connection and script that publish.
struct Publisher {
    link: Link,
    tell: Script,
    /// The key that holds how far the channel has been sent to.
    note: String,
}

impl Worker {
    /// Publishes what is stored, now and later, until the stop.
    ///
    /// # Errors
    /// The store is closed.
    pub(super) async fn tell(&self) -> Result<(), StoreError> {
        let (redis, name) = (&self.channel.redis, &self.channel.name);
        let publisher = Publisher {
            link: Link::new(redis.clone(), "neighbour"),
            tell: Script::new(include_str!("tell.lua")),
            // Another Handshaken chat may use that Redis with the same prefix.
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

    /// Publishes messages of one epoch, except those that were published before.
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

/// Completes shortly after the stop. Another replica sends what is stored later.
async fn end(stopping: &CancellationToken) {
    stopping.cancelled().await;
    sleep(LAST).await;
}
