//! Subscribes to a channel for as long as this replica runs, and decodes its messages.

use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

use super::{Worker, received::Waiting};
use crate::{
    chat::message::IdempotencyKey,
    redis::{Retry, Subscription},
};

/// The largest body that is decoded, in bytes. No encoding of an allowed message is longer.
const LARGEST: usize = 1_000_000;

/// How long publishing waits after Redis is back. The old servers' clients reconnect within two seconds, and miss what is
/// published before that.
const GRACE: Duration = Duration::from_secs(3);

/// Gives each message an idempotency key, so that a second try stores it once.
pub(super) struct Keys {
    /// Different for each process.
    process: u64,
    given: u64,
}

impl Worker {
    /// Receives for ever.
    pub(super) async fn hear(&self, mut keys: Keys) {
        let status = &self.channel.status;
        // The status logs when Redis goes and comes.
        let mut retry = Retry::quiet();
        let mut has_failed = false;
        loop {
            let error = match self.channel.redis.subscribe(&self.channel.name).await {
                Ok(subscription) => {
                    retry.succeeded();
                    if std::mem::take(&mut has_failed) {
                        *self.tell_from.lock() = Instant::now() + GRACE;
                    }
                    status.standing_by();
                    self.hears.send_replace(true);
                    let error = self.hear_on(subscription, &mut keys).await;
                    self.hears.send_replace(false);
                    error
                }
                Err(error) => error,
            };
            has_failed = true;
            status.away(&error.to_string());
            retry.pause(&error).await;
        }
    }

    /// Receives until the connection fails.
    async fn hear_on(&self, mut subscription: Subscription, keys: &mut Keys) -> RedisError {
        loop {
            match subscription.hear().await {
                Ok(received) => self.understand(received.get_payload_bytes(), keys),
                Err(error) => return error,
            }
        }
    }

    fn understand(&self, body: &[u8], keys: &mut Keys) {
        if body.len() > LARGEST {
            let why = format!("{} bytes are more than a message can have", body.len());
            return self.receiver.refused(&why);
        }
        match self.format.read(body) {
            Ok(None) => {}
            Ok(Some(said)) => {
                let waiting = Waiting {
                    said,
                    key: keys.next(),
                };
                if !self.received.push(waiting) {
                    self.receiver
                        .refused(&"too many messages wait for the store");
                }
            }
            Err(why) => self.receiver.refused(&why),
        }
    }
}

impl Keys {
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            process: getrandom::u64()?,
            given: 0,
        })
    }

    fn next(&mut self) -> IdempotencyKey {
        self.given += 1;
        let key = format!("heard-{:016x}-{}", self.process, self.given);
        key.parse().expect("41 printable characters at most")
    }
}
