//! An old server on the bus: it declares the exchange as that did, hears it with a queue of its own, and publishes
//! bodies without properties. It does not come back by itself.

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind,
    message::Delivery,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
        ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::FieldTable,
};
use serde_json::Value;

use crate::harness::{eventually, soon};

/// An exchange as an old server declares it.
pub struct Declared {
    pub name: &'static str,
    pub kind: ExchangeKind,
    pub auto_delete: bool,
    pub durable: bool,
}

pub const MESSAGES: Declared = Declared {
    name: "messages",
    kind: ExchangeKind::Fanout,
    auto_delete: false,
    durable: false,
};

pub const CHAT_EXCHANGE: Declared = Declared {
    name: "chatExchange",
    auto_delete: true,
    ..MESSAGES
};

pub const DIRECT_LOGS: Declared = Declared {
    name: "direct_logs",
    kind: ExchangeKind::Direct,
    ..MESSAGES
};

/// A connection of an old server.
pub struct Node {
    pub channel: Channel,
    exchange: &'static str,
    consumer: Consumer,
    _connection: Connection,
}

impl Node {
    /// One that hears everything, as those on a fanout do.
    pub async fn on(url: &str, exchange: &Declared) -> Self {
        Self::hearing(url, exchange, &[""]).await
    }

    /// One that hears what is published with these keys.
    pub async fn hearing(url: &str, exchange: &Declared, keys: &[&str]) -> Self {
        eventually("an old server connects", async || {
            let tried = Self::try_on(url, exchange, keys).await;
            tried.map_err(|error| error.to_string())
        })
        .await
    }

    async fn try_on(url: &str, exchange: &Declared, keys: &[&str]) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        declare(&channel, exchange).await?;
        let options = QueueDeclareOptions {
            exclusive: true,
            ..Default::default()
        };
        let queue = channel
            .queue_declare("".into(), options, FieldTable::default())
            .await?;
        let queue = queue.name().clone();
        for key in keys {
            let options = QueueBindOptions::default();
            channel
                .queue_bind(
                    queue.clone(),
                    exchange.name.into(),
                    (*key).into(),
                    options,
                    FieldTable::default(),
                )
                .await?;
        }
        let options = BasicConsumeOptions {
            no_ack: true,
            ..Default::default()
        };
        let consumer = channel
            .basic_consume(queue, "".into(), options, FieldTable::default())
            .await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            channel,
            exchange: exchange.name,
            consumer,
            _connection: connection,
        })
    }

    /// Publishes a body, as it is.
    pub async fn publish(&self, body: impl AsRef<[u8]>) {
        self.publish_with(BasicProperties::default(), body).await;
    }

    pub async fn publish_with(&self, properties: BasicProperties, body: impl AsRef<[u8]>) {
        self.publish_as("", properties, body).await;
    }

    /// Publishes a body for whoever is bound with a key.
    pub async fn publish_to(&self, key: &str, body: impl AsRef<[u8]>) {
        let properties = BasicProperties::default().with_delivery_mode(2);
        self.publish_as(key, properties, body).await;
    }

    async fn publish_as(&self, key: &str, properties: BasicProperties, body: impl AsRef<[u8]>) {
        let published = self.channel.basic_publish(
            self.exchange.into(),
            key.into(),
            BasicPublishOptions::default(),
            body.as_ref(),
            properties,
        );
        published.await.unwrap().await.unwrap();
    }

    /// What a `talk` server publishes.
    pub async fn say(&self, text: &str) {
        let date = "2026-01-02T03:04:05.678Z";
        let body = serde_json::json!({ "text": text, "date": date, "ip": "node-1" });
        self.publish(body.to_string()).await;
    }

    /// The next message on the bus.
    pub async fn next(&mut self) -> Delivery {
        let next = soon("a message on the bus", self.consumer.next()).await;
        next.expect("the consumer ended").unwrap()
    }

    /// The next body on the bus.
    pub async fn body(&mut self) -> Value {
        serde_json::from_slice(&self.next().await.data).unwrap()
    }

    /// The texts of all bodies up to the one with this text.
    pub async fn texts_until(&mut self, last: &str) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        while texts.last().is_none_or(|text| text != last) {
            let body = self.body().await;
            texts.push(body["text"].as_str().unwrap().to_owned());
        }
        texts
    }
}

/// Declares an exchange; fails where there is another of that name.
pub async fn declare(channel: &Channel, exchange: &Declared) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        auto_delete: exchange.auto_delete,
        durable: exchange.durable,
        ..Default::default()
    };
    let name = exchange.name.into();
    channel
        .exchange_declare(name, exchange.kind.clone(), options, FieldTable::default())
        .await
}

/// A connection that declares nothing.
pub async fn channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

pub async fn delete(channel: &Channel, exchange: &Declared) {
    let options = ExchangeDeleteOptions::default();
    channel
        .exchange_delete(exchange.name.into(), options)
        .await
        .unwrap();
}
