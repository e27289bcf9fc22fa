//! Takes in what waits in our queue: a message is acknowledged to the broker after the log has it. What comes
//! once more because that was not heard of is told from what is new by `Taken`, which is noted beside the log.

use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{broker::Trouble, exchange::Exchange, publisher::app};
use crate::{
    chat::{
        log::LogError,
        message::{Envelope, IdempotencyKey, RoomName},
    },
    neighbour::{
        Site, again,
        inbox::{Foreign, Inbox},
    },
};

/// Messages that the broker sends ahead of our acknowledgement.
const AHEAD: u16 = 16;

/// The largest body that is looked at, in bytes: there is no longer text.
const LONGEST_BODY: usize = 2_000_000;

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
    pub site: &'a Site,
    pub inbox: &'a Inbox,
    pub exchange: &'a Exchange,
    pub channel: &'a Channel,
    pub mark: &'a str,
}

impl Intake<'_> {
    /// Takes in whatever comes, until the connection fails; without an error the log is closed.
    /// `read` gives nothing for what is well but not for us to keep.
    pub async fn run(
        &self,
        read: impl Fn(&[u8]) -> Result<Option<Said>, Unreadable>,
        mut came_back: impl FnMut(&Delivery),
    ) -> Result<(), Trouble> {
        let options = BasicQosOptions::default();
        self.channel.basic_qos(AHEAD, options).await?;
        let Some(mut taken) = Taken::open(self.site, self.exchange.name).await else {
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
            for delivery in &batch {
                if is_ours(delivery, self.mark) {
                    came_back(delivery);
                } else if self.take(delivery, &read, &mut taken).await.is_err() {
                    return Ok(());
                }
            }
            if taken.note(self.site).await.is_err() {
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

    /// An error says that the log is closed.
    async fn take(
        &self,
        delivery: &Delivery,
        read: impl Fn(&[u8]) -> Result<Option<Said>, Unreadable>,
        taken: &mut Taken,
    ) -> Result<(), LogError> {
        let said = match delivery.data.len() {
            bytes if bytes > LONGEST_BODY => Err(Unreadable::TooLarge(bytes)),
            _ => read(&delivery.data),
        };
        let said = match said {
            Ok(Some(said)) => said,
            Ok(None) => return Ok(()),
            Err(unreadable) => {
                self.inbox.refused(&unreadable);
                return Ok(());
            }
        };
        let fingerprint = fingerprint(delivery, self.mark);
        let Some(key) = taken.key(fingerprint, delivery.redelivered) else {
            return Ok(());
        };
        self.inbox
            .take(Foreign {
                room: said.room,
                author: said.author,
                text: said.text,
                replica: said.replica,
                key,
                direct: said.direct,
            })
            .await
    }
}

/// What of the queue the log has. A body does not say which message it is, and two messages may have the same
/// one; but there is one queue, in one order, and what may come again is what was taken last. So batches are
/// numbered, and a message's key is made of that number, a fingerprint of its body, and how many of the same
/// were in the batch before it.
struct Taken {
    name: String,
    exchange: &'static str,
    noted: Noted,
    /// Fingerprints of the batch that is being taken.
    batch: Vec<String>,
}

/// What is noted beside the log.
#[derive(Default, Serialize, Deserialize)]
struct Noted {
    /// The number of the batch that is being taken, or will be next.
    number: u64,
    /// Fingerprints of what was taken last, as many as may not be acknowledged: all of it is in the log.
    before: Vec<String>,
}

impl Taken {
    /// None where the log is closed.
    async fn open(site: &Site, exchange: &'static str) -> Option<Self> {
        let name = format!("{exchange} in");
        let noted = again(|| site.log.bookmark(&name)).await.ok()?;
        let noted = noted.and_then(|noted| serde_json::from_str(&noted).ok());
        Some(Self {
            name,
            exchange,
            noted: noted.unwrap_or_default(),
            batch: Vec::new(),
        })
    }

    /// The key of a message; none where the log has it.
    fn key(&mut self, fingerprint: String, redelivered: bool) -> Option<IdempotencyKey> {
        let before = &mut self.noted.before;
        if redelivered && let Some(at) = before.iter().position(|before| *before == fingerprint) {
            // They come in their order: what was taken before it does not come again.
            before.drain(..=at);
            return None;
        }
        let twins = self
            .batch
            .iter()
            .filter(|other| **other == fingerprint)
            .count();
        let Noted { number, .. } = self.noted;
        let key = format!("{}.{number}.{fingerprint}.{twins}", self.exchange);
        self.batch.push(fingerprint);
        Some(key.parse().expect("letters, digits and dots are a key"))
    }

    /// All of the batch is in the log. An error says that the log is closed.
    async fn note(&mut self, site: &Site) -> Result<(), LogError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Noted { number, before } = &mut self.noted;
        *number += 1;
        before.append(&mut self.batch);
        let done = before.len().saturating_sub(usize::from(AHEAD));
        before.drain(..done);
        let noted = serde_json::to_string(&self.noted).expect("numbers and strings encode as JSON");
        again(|| site.log.set_bookmark(&self.name, &noted)).await
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

/// What tells a message from others as far as that can be told, as 32 hexadecimal digits. Nobody who does not
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
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
pub(super) mod testing {
    use crate::chat::message::{Epoch, Message, MessageId, RoomName};

    /// A message of the lobby.
    pub fn said_by(author: Option<&str>, text: &str) -> Message {
        Message {
            room: RoomName::lobby(),
            id: MessageId {
                seq: 1,
                epoch: Epoch(1),
            },
            author: author.map(|name| name.parse().unwrap()),
            text: text.into(),
            time: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            replica: "host".into(),
            neighbour: None,
            direct: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(noted: Noted) -> Taken {
        Taken {
            name: "test".into(),
            exchange: "messages",
            noted,
            batch: Vec::new(),
        }
    }

    fn keys(taken: &mut Taken, messages: &[(&str, bool)]) -> Vec<Option<String>> {
        let key = |(print, again): &(&str, bool)| {
            let key = taken.key((*print).into(), *again);
            key.map(|key| key.as_str().to_owned())
        };
        messages.iter().map(key).collect()
    }

    #[test]
    fn what_the_log_has_is_not_taken_when_it_comes_again() {
        let noted = Noted {
            number: 7,
            before: vec!["a".into(), "b".into(), "b".into()],
        };
        let found = keys(
            &mut taken(noted),
            &[("b", true), ("b", true), ("b", true), ("a", false)],
        );
        let expected = [
            None,
            None,
            Some("messages.7.b.0".into()),
            Some("messages.7.a.0".into()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_batch_that_comes_again_has_the_same_keys() {
        let number = 7;
        let batch = [("a", false), ("b", false), ("a", false)];
        let again = [("a", true), ("b", true), ("a", true), ("a", false)];
        let noted = || Noted {
            number,
            before: vec!["c".into()],
        };
        let first = keys(&mut taken(noted()), &batch);
        let second = keys(&mut taken(noted()), &again);
        assert_eq!(first, second[..3]);
        assert!(!first.contains(&second[3]), "{second:?}");
    }

    #[test]
    fn the_longest_key_is_one() {
        let noted = Noted {
            number: u64::from(u32::MAX) * 9,
            before: Vec::new(),
        };
        let mut taken = Taken {
            exchange: "chatExchange",
            ..taken(noted)
        };
        assert!(taken.key("f".repeat(32), false).is_some());
    }
}
