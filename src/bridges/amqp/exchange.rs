//! Exchanges with the very properties that the old chats declare, and the queue that we hear one with: one for
//! all our replicas, which goes on filling while none of them is there.

use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{FieldTable, ShortString},
};

use super::broker::{Trouble, format};

/// Messages that wait for us; of more, the oldest go.
const QUEUE_MESSAGES: u32 = 100_000;

/// How long it waits for us to come back, in ms: a week.
const QUEUE_EXPIRES: u32 = 7 * 24 * 3600 * 1000;

/// An exchange as an old chat declares it: not durable, not internal.
pub(super) struct Exchange {
    pub name: &'static str,
    pub kind: ExchangeKind,
    pub auto_delete: bool,
}

impl Exchange {
    /// Makes sure that it is there, and is what it should be.
    pub async fn declare(&self, connection: &Connection) -> Result<(), Trouble> {
        if self.look(connection).await? {
            return Ok(());
        }
        let declared = self.ask(connection, false).await;
        declared.map_err(|error| self.trouble(error))
    }

    /// Whether it is there; where it is another than it should be, that is the error. Makes nothing.
    pub async fn look(&self, connection: &Connection) -> Result<bool, Trouble> {
        // Asked first whether it is there: that needs no permission, and whoever has none to declare it may
        // still use what others declared.
        match self.ask(connection, true).await {
            Ok(()) => {}
            Err(error) if is(&error, AMQPSoftError::NOTFOUND) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        match self.ask(connection, false).await {
            Ok(()) => Ok(true),
            Err(error) if is(&error, AMQPSoftError::ACCESSREFUSED) => Ok(true),
            Err(error) => Err(self.trouble(error)),
        }
    }

    fn trouble(&self, error: lapin::Error) -> Trouble {
        if !is(&error, AMQPSoftError::PRECONDITIONFAILED) {
            return error.into();
        }
        Trouble::Misdeclared(format!(
            "{}; exchange {} has to be {}, not durable, {}auto-delete, as the old chat declares it: delete it and start that again, or leave it out of --amqp-exchange",
            format(&error),
            self.name,
            format!("{:?}", self.kind).to_lowercase(),
            if self.auto_delete { "" } else { "not " },
        ))
    }

    /// On a channel of its own, which a refusal closes.
    async fn ask(&self, connection: &Connection, passive: bool) -> lapin::Result<()> {
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions {
            passive,
            auto_delete: self.auto_delete,
            ..Default::default()
        };
        let name = self.name.into();
        let declared =
            channel.exchange_declare(name, self.kind.clone(), options, FieldTable::default());
        declared.await?;
        channel.close(200, "".into()).await
    }

    /// The name of our queue.
    pub fn queue(&self, mark: &str) -> ShortString {
        format!("handshaken.{}.{mark}", self.name).into()
    }

    /// Declares our queue, which one consumer at a time is served by.
    pub async fn declare_queue(&self, channel: &Channel, mark: &str) -> Result<(), Trouble> {
        let options = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-single-active-consumer".into(), true.into());
        arguments.insert("x-max-length".into(), QUEUE_MESSAGES.into());
        arguments.insert("x-expires".into(), QUEUE_EXPIRES.into());
        let declared = channel
            .queue_declare(self.queue(mark), options, arguments)
            .await;
        match declared {
            Err(error) if is(&error, AMQPSoftError::PRECONDITIONFAILED) => {
                Err(Trouble::Misdeclared(format!(
                    "{}; delete the queue once it is empty, so that it can be declared anew",
                    format(&error)
                )))
            }
            declared => {
                declared?;
                Ok(())
            }
        }
    }

    /// Has our queue get all that is published without a key.
    pub async fn bind(&self, channel: &Channel, mark: &str) -> Result<(), Trouble> {
        let (queue, name) = (self.queue(mark), self.name.into());
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(queue, name, "".into(), options, FieldTable::default());
        Ok(bound.await?)
    }

    /// Has our queue get what is published with a key. The same in another slot is another binding; a message comes
    /// once whatever their number.
    pub async fn bind_in(
        &self,
        channel: &Channel,
        mark: &str,
        key: &str,
        slot: usize,
    ) -> Result<(), Trouble> {
        let (queue, name) = (self.queue(mark), self.name.into());
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(queue, name, key.into(), options, in_slot(slot));
        Ok(bound.await?)
    }

    /// Takes such a binding back; one that is not there is passed over.
    pub async fn unbind_in(
        &self,
        channel: &Channel,
        mark: &str,
        key: &str,
        slot: usize,
    ) -> Result<(), Trouble> {
        let (queue, name) = (self.queue(mark), self.name.into());
        let unbound = channel.queue_unbind(queue, name, key.into(), in_slot(slot));
        Ok(unbound.await?)
    }
}

/// An exchange passes over what it does not know, and tells bindings apart by it.
fn in_slot(slot: usize) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("handshaken-slot".into(), (slot as u32).into());
    arguments
}

fn is(error: &lapin::Error, what: AMQPSoftError) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => *error.kind() == AMQPErrorKind::Soft(what),
        _ => false,
    }
}
