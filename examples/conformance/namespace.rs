//! A namespace of events with any arguments, binary data included.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use handshaken::{
    chat::socket::CloseReason,
    dialects::{Ack, Event, Handler, Handshake, Refusal},
    socketio::{self, Socket},
};
use parking_lot::Mutex;
use rmpv::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Stands for binary data in JSON, with its number.
const PLACEHOLDER: &str = "_placeholder";

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
#[derive(Clone)]
pub struct Client {
    pub socket: Arc<Socket>,
    pub known: Arc<Known>,
}

/// What is known of a client.
pub struct Known {
    pub handshake: Handshake,
    /// Events that it sent, of those whose order matters.
    pub sent: Mutex<HashSet<&'static str>>,
}

impl Client {
    /// Sends an event.
    pub fn emit(&self, event: &str, args: impl Into<Args>) {
        let (args, attachments) = args.into().write();
        self.socket.emit_all(event, &args, attachments);
    }

    /// Sends an event without arguments, and has `then` deal with what the client answers.
    pub fn ask(&self, event: &'static str, then: impl FnOnce(&Client, Args) + Send + 'static) {
        let client = self.clone();
        let answered = move |answer: Result<Vec<Box<RawValue>>, _>| match answer {
            Ok(args) => then(&client, Args::read(&args, &[])),
            Err(why) => tracing::warn!(event, %why, "was not answered"),
        };
        self.socket.ask_all(event, &[], Box::new(answered));
    }
}

/// The answer that a client may have asked for.
pub struct Answer(Option<Ack>);

impl Answer {
    pub fn send(self, args: impl Into<Args>) {
        if let Some(ack) = self.0 {
            let (args, attachments) = args.into().write();
            ack.send_all(&args, attachments);
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

impl Args {
    /// With binary data in the places that stand for it.
    fn read(args: &[Box<RawValue>], attachments: &[Bytes]) -> Self {
        let read = |arg: &RawValue| {
            let mut value = serde_json::from_str(arg.get()).unwrap_or(Value::Nil);
            put_in(&mut value, attachments);
            value
        };
        Self(args.iter().map(|arg| read(arg)).collect())
    }

    /// With places in the stead of binary data.
    fn write(self) -> (Vec<Box<RawValue>>, Vec<Bytes>) {
        let mut attachments = Vec::new();
        let write = |mut value| {
            take_out(&mut value, &mut attachments);
            to_raw_value(&value).expect("what was JSON is JSON")
        };
        (self.0.into_iter().map(write).collect(), attachments)
    }
}

fn put_in(value: &mut Value, attachments: &[Bytes]) {
    if value[PLACEHOLDER] == true.into() {
        let number = value["num"].as_u64().unwrap_or(u64::MAX);
        let data = attachments
            .get(number as usize)
            .cloned()
            .unwrap_or_default();
        *value = Value::Binary(data.into());
        return;
    }
    for inner in inside(value) {
        put_in(inner, attachments);
    }
}

fn take_out(value: &mut Value, attachments: &mut Vec<Bytes>) {
    if let Value::Binary(data) = value {
        let number = attachments.len();
        attachments.push(std::mem::take(data).into());
        *value = Value::Map(vec![
            (PLACEHOLDER.into(), true.into()),
            ("num".into(), number.into()),
        ]);
        return;
    }
    for inner in inside(value) {
        take_out(inner, attachments);
    }
}

fn inside(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(values) => values.iter_mut().collect(),
        Value::Map(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
        _ => Vec::new(),
    }
}

impl socketio::Namespace for Namespace {
    fn connect(
        &self,
        socket: Arc<Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        (self.admit)(handshake)?;
        let known = Arc::new(Known {
            handshake: handshake.clone(),
            sent: Mutex::default(),
        });
        Ok(Box::new(Here {
            namespace: *self,
            client: Client { socket, known },
        }))
    }

    fn close_notice(&self, _: CloseReason) -> Option<handshaken::dialects::Rendered> {
        None
    }
}

/// A client in a namespace.
struct Here {
    namespace: Namespace,
    client: Client,
}

#[async_trait]
impl Handler for Here {
    async fn open(&mut self) {
        (self.namespace.greet)(&self.client);
    }

    async fn handle(&mut self, event: Event) {
        let args = Args::read(&event.args, &event.attachments);
        (self.namespace.hear)(&self.client, &event.name, args, Answer(event.ack));
    }

    async fn close(&mut self) {}
}
