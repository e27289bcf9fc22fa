//! Takes in what waits in our queue: a message is acknowledged to the broker after the store has it. What comes
//! once more because that was not heard of has the same key as before (`taken`), by which the store knows it.

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{broker::Trouble, exchange::Exchange, publisher::app, taken::Taken};
use crate::{
    bridges::{
        BridgeContext,
        receiver::{BridgedMessage, Receiver},
    },
    chat::{
        message::{Envelope, IdempotencyKey, RoomName},
        store::StoreError,
    },
};

/// Messages that the broker sends ahead of our acknowledgement.
const AHEAD: u16 = 16;

/// The largest body that is looked at, in bytes: there is no longer text.
const LONGEST_BODY: usize = 2_000_000;

/// Bytes by which one body is told from another. In a key they are 24 characters, beside an exchange's name and a number
/// of up to 20 digits: within the 64 that a key may have.
pub(super) const FINGERPRINT: usize = 12;

/// What a body says, in the words of its exchange.
pub(super) struct Said {
    pub room: RoomName,
    pub author: Option<String>,
    pub text: String,
    /// The host name of the server that took it.
    pub replica: Option<String>,
    pub direct: Option<Envelope>,
}

/// Why a body says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("a body of {0} bytes is longer than any text may be")]
    TooLarge(usize),
    #[error("a body of {0} bytes is not JSON")]
    NotJson(usize),
    #[error("a body has another shape than the old chat's: {0}")]
    Shape(&'static str),
}

/// Hears one queue.
pub(super) struct Intake<'a> {
    pub context: &'a BridgeContext,
    pub receiver: &'a Receiver,
    pub exchange: &'a Exchange,
    pub channel: &'a Channel,
    pub mark: &'a str,
}

impl Intake<'_> {
    /// Takes in whatever comes, until the connection fails; without an error the store is closed.
    /// `read` gives nothing for what is well but not for us to keep.
    pub async fn run(
        &self,
        read: impl Fn(&[u8]) -> Result<Option<Said>, Unreadable>,
        mut came_back: impl FnMut(&Delivery),
    ) -> Result<(), Trouble> {
        let options = BasicQosOptions::default();
        self.channel.basic_qos(AHEAD, options).await?;
        let Ok(mut taken) = Taken::open(self.context, self.exchange.name, AHEAD).await else {
            return Ok(());
        };
        let mut consumer = self.consume().await?;
        while let Some(first) = consumer.next().await {
            let mut batch = vec![first?];
            while batch.len() < usize::from(AHEAD)
                && let Some(Some(next)) = consumer.next().now_or_never()
            {
                batch.push(next?);
            }
            let Some(last) = batch.last().map(|delivery| delivery.delivery_tag) else {
                continue;
            };
            let mut foreign = Vec::new();
            for delivery in &batch {
                if is_ours(delivery, self.mark) {
                    came_back(delivery);
                } else if let Some(said) = self.read(delivery, &read) {
                    let fingerprint = fingerprint(delivery, self.mark);
                    let key = taken.key(&fingerprint, delivery.redelivered);
                    foreign.push((said, key));
                }
            }
            if taken.note(self.context).await.is_err() || self.take(foreign).await.is_err() {
                return Ok(());
            }
            let all = BasicAckOptions { multiple: true };
            self.channel.basic_ack(last, all).await?;
        }
        Err(Trouble::Away(
            "the broker ended our consumer: the queue was deleted, or the connection is gone"
                .into(),
        ))
    }

    async fn consume(&self) -> Result<Consumer, Trouble> {
        let queue = self.exchange.queue(self.mark);
        let options = BasicConsumeOptions::default();
        let arguments = FieldTable::default();
        let consumer = self
            .channel
            .basic_consume(queue, "".into(), options, arguments);
        Ok(consumer.await?)
    }

    /// Nothing where a body says nothing to us, or nothing at all.
    fn read(
        &self,
        delivery: &Delivery,
        read: impl Fn(&[u8]) -> Result<Option<Said>, Unreadable>,
    ) -> Option<Said> {
        let said = match delivery.data.len() {
            bytes if bytes > LONGEST_BODY => Err(Unreadable::TooLarge(bytes)),
            _ => read(&delivery.data),
        };
        said.unwrap_or_else(|unreadable| {
            self.receiver.refused(&unreadable);
            None
        })
    }

    /// An error says that the store is closed.
    async fn take(&self, foreign: Vec<(Said, IdempotencyKey)>) -> Result<(), StoreError> {
        for (said, key) in foreign {
            let foreign = BridgedMessage {
                room: said.room,
                author: said.author,
                text: said.text,
                replica: said.replica,
                key,
                direct: said.direct,
            };
            self.receiver.take(foreign).await?;
        }
        Ok(())
    }
}

/// A body of JSON. `shape` says what it has to be.
pub(super) fn parse<T: DeserializeOwned>(
    body: &[u8],
    shape: &'static str,
) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|_| {
        match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Ok(_) => Unreadable::Shape(shape),
            Err(_) => Unreadable::NotJson(body.len()),
        }
    })
}

fn is_ours(delivery: &Delivery, mark: &str) -> bool {
    let by = delivery.properties.app_id().as_ref();
    by.is_some_and(|by| by.as_str() == app(mark))
}

/// What tells a message from others as far as that can be told, in hexadecimal digits. Nobody who does not
/// know the mark can find it out: a key may be given by a client as well.
fn fingerprint(delivery: &Delivery, mark: &str) -> String {
    let id = delivery.properties.message_id().as_ref();
    let mut digest = Sha256::new();
    for part in [
        mark.as_bytes(),
        delivery.routing_key.as_str().as_bytes(),
        id.map_or("", |id| id.as_str()).as_bytes(),
        &delivery.data,
    ] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    digest[..FINGERPRINT]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
