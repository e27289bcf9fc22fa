//! A namespace of events straight on the engine, binary data included. They are heard in the very
//! call that the engine makes for each packet, so they are answered in the order in which they came.

use std::{collections::HashSet, fmt, pin::Pin, sync::Arc};

use handshaken::{
    dialects::{Handshake, Refusal},
    transport::socketio,
};
use parking_lot::Mutex;
use rmpv::Value;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
    ser::SerializeTuple,
};
use socketioxide::{
    adapter::LocalAdapter,
    extract::{AckSender, Data, Event},
    handler::{ConnectHandler, FromMessageParts, MessageHandler, Value as Packet},
    socket::Socket,
};

/// What happens in a namespace.
#[derive(Clone, Copy)]
pub struct Namespace {
    /// Whether a client may come in.
    pub admit: fn(&Handshake) -> Result<(), Refusal>,
    /// A client was told that it is connected.
    pub greet: fn(&Client),
    /// A client said something.
    pub hear: fn(&Client, &str, Args, Answer),
}

/// A namespace where nothing happens.
pub const QUIET: Namespace = Namespace {
    admit: |_| Ok(()),
    greet: |_| {},
    hear: |_, _, _, _| {},
};

/// Who connected, or said something.
pub struct Client {
    pub socket: Arc<Socket<LocalAdapter>>,
    pub known: Arc<Known>,
}

/// What is known of a client.
pub struct Known {
    pub handshake: Handshake,
    /// Events that it sent, of those whose order matters.
    pub sent: Mutex<HashSet<&'static str>>,
}

impl Client {
    /// Sends an event. A client that does not read is sent away.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        if let Err(error) = self.socket.emit(event, &args.into()) {
            self.give_up(event, &error);
        }
    }

    /// Sends an event without arguments, and has `then` deal with what the client answers.
    pub fn ask(&self, event: &'static str, then: impl FnOnce(&Client, Args) + Send + 'static) {
        let client = Client {
            socket: self.socket.clone(),
            known: self.known.clone(),
        };
        match self
            .socket
            .emit_with_ack::<_, Args>(event, &Args::default())
        {
            Ok(answer) => drop(tokio::spawn(async move {
                match answer.await {
                    Ok(args) => then(&client, args),
                    Err(error) => tracing::warn!(event, %error, "was not answered"),
                }
            })),
            Err(error) => self.give_up(event, &error),
        }
    }

    fn give_up(&self, event: &str, error: &dyn fmt::Display) {
        tracing::warn!(event, %error, "could not be sent");
        let _ = self.socket.clone().disconnect();
    }
}

/// The answer that a client may have asked for.
pub struct Answer(AckSender<LocalAdapter>);

impl Answer {
    pub fn send(self, args: impl Into<Args>) {
        if let Err(error) = self.0.send(&args.into()) {
            tracing::warn!(%error, "could not answer");
        }
    }
}

/// All arguments of an event or answer, of whatever kind and number.
#[derive(Debug, Default)]
pub struct Args(pub Vec<Value>);

impl<T: Into<Value>> From<T> for Args {
    fn from(value: T) -> Self {
        Self(vec![value.into()])
    }
}

// The engine takes a tuple for all arguments, and anything else for the first.
impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            tuple.serialize_element(value)?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Arguments;
        impl<'de> Visitor<'de> for Arguments {
            type Value = Args;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut args: A) -> Result<Args, A::Error> {
                let mut all = Vec::new();
                while let Some(value) = args.next_element()? {
                    all.push(value);
                }
                Ok(Args(all))
            }
        }
        // However many there are: the number is a hint.
        deserializer.deserialize_tuple(1, Arguments)
    }
}

impl Namespace {
    fn accept(
        &self,
        socket: &Arc<Socket<LocalAdapter>>,
        auth: Option<&Packet>,
    ) -> Result<(), Refusal> {
        let handshake = socketio::handshake(socket, auth).ok_or(Refusal("Internal error"))?;
        (self.admit)(&handshake)?;
        socket.on_fallback(Intake {
            hear: self.hear,
            known: Arc::new(Known::new(handshake)),
        });
        Ok(())
    }
}

impl Known {
    fn new(handshake: Handshake) -> Self {
        Self {
            handshake,
            sent: Mutex::default(),
        }
    }
}

impl ConnectHandler<LocalAdapter, Namespace> for Namespace {
    fn call(&self, socket: Arc<Socket<LocalAdapter>>, auth: Option<Packet>) {
        if let Some(handshake) = socketio::handshake(&socket, auth.as_ref()) {
            let known = Arc::new(Known::new(handshake));
            (self.greet)(&Client { socket, known });
        }
    }

    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket<LocalAdapter>>,
        auth: &'a Option<Packet>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Box<dyn fmt::Display + Send>>> + Send + 'a>> {
        let accepted = self
            .accept(&socket, auth.as_ref())
            .map_err(|refusal| Box::new(refusal) as Box<_>);
        Box::pin(std::future::ready(accepted))
    }
}

/// Hears one client's events.
struct Intake {
    hear: fn(&Client, &str, Args, Answer),
    known: Arc<Known>,
}

impl MessageHandler<LocalAdapter, Intake> for Intake {
    fn call(&self, socket: Arc<Socket<LocalAdapter>>, mut packet: Packet, ack: Option<i64>) {
        let Ok(answer) = AckSender::from_message_parts(&socket, &mut packet, &ack);
        let event = Event::from_message_parts(&socket, &mut packet, &ack);
        let args = Data::from_message_parts(&socket, &mut packet, &ack);
        match (event, args) {
            (Ok(Event(event)), Ok(Data(args))) => {
                let known = self.known.clone();
                (self.hear)(&Client { socket, known }, &event, args, Answer(answer));
            }
            (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "could not be read"),
        }
    }
}
