//! Publishes on an exchange, and waits until the broker confirms. On a connection of its own: a broker that is
//! short of memory or disk stops reading from those that publish, and what we take in must still be acknowledged.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, Event,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::time::sleep;

use super::{
    broker::{Broker, Trouble},
    exchange::Exchange,
};
use crate::bridges::status::Status;

/// How long a broker that takes messages may need to confirm some.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// Whom our messages are from, before the mark.
const APP: &str = "handshaken/";

/// What is to be published.
pub(super) struct Publication {
    pub exchange: &'static str,
    pub key: String,
    pub body: Vec<u8>,
    /// Tells consumers that look at it one from another, also where it comes twice.
    pub id: String,
}

/// What became of published messages, in their order, as far as the broker confirmed.
pub(super) struct Published {
    /// For each publication that was confirmed, whether anybody got it.
    pub confirmed: Vec<bool>,
    pub trouble: Option<Trouble>,
}

/// How messages are published.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub content_type: Option<&'static str>,
    /// Whether they survive the broker, and are returned where nobody gets them.
    pub registered: bool,
}

/// A connection that publishes.
pub(super) struct Publisher {
    channel: Channel,
    news: Box<dyn Stream<Item = Event> + Send + Unpin>,
    status: Arc<Status>,
    app: String,
    manner: Manner,
    is_blocked: bool,
    /// Dropped, it ends.
    _connection: Connection,
}

/// The app that our messages bear.
pub(super) fn app(mark: &str) -> String {
    format!("{APP}{mark}")
}

impl Publisher {
    pub async fn open(
        broker: &Broker,
        status: &Arc<Status>,
        exchange: &Exchange,
        manner: Manner,
        mark: &str,
    ) -> Result<Self, Trouble> {
        let connection = broker.connect(&format!("{} out", exchange.name)).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            channel,
            news: Box::new(connection.events_listener().boxed()),
            status: status.clone(),
            app: app(mark),
            manner,
            is_blocked: false,
            _connection: connection,
        })
    }

    /// Publishes messages in their order. Waits while the broker takes none.
    pub async fn publish(&mut self, publications: &[Publication]) -> Published {
        let mut confirmed = Vec::with_capacity(publications.len());
        let sending = send(
            &self.channel,
            &self.app,
            self.manner,
            publications,
            &mut confirmed,
        );
        let mut sending = Box::pin(sending);
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent,
                Some(event) = self.news.next() => match event {
                    Event::ConnectionBlocked(why) => {
                        self.is_blocked = true;
                        self.status.away(&format!("the broker takes no messages now: {why}"));
                    }
                    Event::ConnectionUnblocked => {
                        self.is_blocked = false;
                        self.status.connected();
                    }
                    _ => {}
                },
                () = sleep(CONFIRM_TIMEOUT), if !self.is_blocked => {
                    break Err(Trouble::Away(format!("no confirm within {CONFIRM_TIMEOUT:?}")));
                }
            }
        };
        drop(sending);
        Published {
            confirmed,
            trouble: sent.err(),
        }
    }
}

async fn send(
    channel: &Channel,
    app: &str,
    manner: Manner,
    publications: &[Publication],
    confirmed: &mut Vec<bool>,
) -> Result<(), Trouble> {
    let options = BasicPublishOptions {
        mandatory: manner.registered,
        ..Default::default()
    };
    let mut confirms = Vec::with_capacity(publications.len());
    for publication in publications {
        let mut properties = BasicProperties::default()
            .with_app_id(app.into())
            .with_message_id(publication.id.as_str().into());
        if let Some(kind) = manner.content_type {
            properties = properties.with_content_type(kind.into());
        }
        if manner.registered {
            properties = properties.with_delivery_mode(2);
        }
        let key = publication.key.as_str().into();
        let published = channel
            .basic_publish(
                publication.exchange.into(),
                key,
                options,
                &publication.body,
                properties,
            )
            .await?;
        confirms.push(published);
    }
    for confirm in confirms {
        match confirm.await? {
            Confirmation::Ack(returned) => confirmed.push(returned.is_none()),
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                return Err(Trouble::Away("the broker could not take a message".into()));
            }
        }
    }
    Ok(())
}
