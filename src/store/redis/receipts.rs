//! Hears what becomes of direct messages on other replicas. What is published while the connection is
//! broken is lost: it is kept, and told to whoever asks.

use redis::RedisError;
use serde::Deserialize;
use tokio::sync::broadcast;

use super::row;
use crate::{
    chat::{
        message::{Epoch, MessageId, UserId},
        store::{Receipt, ReceiptKind},
    },
    redis::{Channel, Redis, Retry},
};

/// Receipts that wait to be told. More are dropped.
const QUEUE: usize = 1024;

/// How long nothing is heard before it is found out whether the connection still works.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// A mark as the scripts publish it.
#[derive(Deserialize)]
struct Published {
    origin: String,
    from: UserId,
    to: UserId,
    epoch: u32,
    seq: u64,
    /// Ms since 1970.
    time: u64,
    /// Of a message that was acknowledged; without it, it was read.
    place: Option<u64>,
}

/// Hears for ever.
pub(super) async fn hear(redis: Redis, name: String, receipts: broadcast::Sender<Receipt>) {
    let mut retry = Retry::new("marks of direct messages");
    loop {
        let failed = match redis.channel("marks", QUEUE).await {
            Ok(channel) => {
                retry.succeeded();
                hear_one(channel, &name, &receipts).await
            }
            Err(error) => error,
        };
        retry.pause(&failed).await;
    }
}

/// Hears until the connection fails.
async fn hear_one(
    mut channel: Channel,
    name: &str,
    receipts: &broadcast::Sender<Receipt>,
) -> RedisError {
    loop {
        match tokio::time::timeout(SILENCE, channel.hear()).await {
            Ok(Ok(heard)) => match serde_json::from_slice::<Published>(&heard) {
                Ok(published) if published.origin == name => {}
                Ok(published) => {
                    if let Ok(mark) = mark(published) {
                        let _ = receipts.send(mark);
                    }
                }
                Err(error) => tracing::warn!(%error, "a mark of another replica is unreadable"),
            },
            Ok(Err(error)) => return error,
            Err(_) => {
                if let Err(error) = channel.check().await {
                    return error;
                }
            }
        }
    }
}

fn mark(published: Published) -> Result<Receipt, RedisError> {
    Ok(Receipt {
        from: published.from,
        to: published.to,
        id: MessageId {
            seq: published.seq,
            epoch: Epoch(published.epoch),
        },
        time: row::time(published.time)?,
        what: match published.place {
            Some(place) => ReceiptKind::Delivered { place },
            None => ReceiptKind::Read,
        },
    })
}
