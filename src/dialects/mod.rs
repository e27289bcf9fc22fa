//! A dialect is one front end's words: it turns a socket's events into what the chat knows, and the
//! chat's messages into the events that the front end's page expects. A dialect never knows another
//! dialect, nor bytes. A new front end is one file here, and its line in `server.rs`.

pub mod amqpchat;
mod bearer;
pub mod by_session;
pub mod infinite;
pub mod kschat;
pub mod native;
pub mod rabbitpubsub;
pub mod talk;

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

pub use self::bearer::SeveralTokens;
pub use crate::chat::room::Rendered;
use crate::chat::{
    message::MessageId,
    socket::{CloseReason, Socket},
};
use crate::log_limit::log_limited;

/// One front end's words.
pub trait Dialect: Send + Sync + 'static {
    /// Begins a handler with a socket, or refuses it. Nothing can be sent yet.
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal>;

    /// What a socket is told before the server ends its connection, where the front end can show it.
    fn close_notice(&self, _why: CloseReason) -> Option<Rendered> {
        None
    }

    /// Whether every event must ask for an answer, because the front end's page calls it without looking whether there is one.
    fn asks_always(&self) -> bool {
        false
    }
}

/// What one socket and one dialect say to each other. The methods are called one after the other, in
/// the order in which things happened.
#[async_trait]
pub trait Handler: Send {
    /// The socket can be sent events from now on.
    async fn open(&mut self);

    /// The socket said something.
    async fn handle(&mut self, event: Event);

    /// The socket is gone.
    async fn close(&mut self);
}

/// What is known of a socket when it connects. A token may be in its query and in its payload.
#[derive(Clone)]
pub struct Handshake {
    /// The address it came from.
    pub remote: IpAddr,
    /// The query of its handshake, `a=b&c=d`, still encoded.
    pub query: Box<str>,
    /// The payload of its CONNECT packet, JSON; Socket.IO 3.x clients and later send one.
    pub auth: Option<Box<str>>,
    pub credentials: Credentials,
}

/// What the request of a handshake brought along that can prove who sent it. Only the front ends that
/// ask for it look at it, and it never reaches a store.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The `Cookie` headers, joined with `; `. A browser sends them whatever page asks, so they are kept
    /// only where the request's `Origin` is ours, is allowed, or is not there.
    pub cookie: Option<Box<str>>,
    /// The `Authorization` header.
    pub authorization: Option<Box<str>>,
    /// What the client kept of [`Socket::keep_place`], where this takes over a session of another replica, or an earlier one.
    pub place: Option<Place>,
}

/// Where a client goes on that was connected before, and whose that connection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub login: i64,
    /// The last message of the room that it was shown, where it was shown any.
    pub shown: Option<MessageId>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl Handshake {
    /// A parameter of the query; the first where there are several.
    pub fn query(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The CONNECT payload, where it has this shape.
    pub fn auth<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.auth.as_deref()?).ok()
    }
}

/// The socket may not connect. The text reaches it as its client's connect error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub &'static str);

/// One event from a socket: a name, and arguments as JSON. The nth binary attachment stands in them as the wire
/// has it, `{"_placeholder":true,"num":n}`, which is of the wrong shape for whoever takes no binary.
#[derive(Debug)]
pub struct Event {
    pub name: Box<str>,
    pub args: Vec<Box<RawValue>>,
    pub attachments: Vec<Bytes>,
    pub ack: Option<Ack>,
    pub held: Held,
}

/// Kept as long as an event is being dealt with, beyond [`Handler::handle`] where that hands it
/// on: the transport reads on from a socket as these are dropped.
pub struct Held(#[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Send + Sync>);

impl Held {
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

impl Event {
    /// The first argument, where it has this shape.
    pub fn arg<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.args.first()?.get()).ok()
    }

    /// It was dealt with. Answers it with one argument, where an answer was asked for.
    pub fn answer(self, answer: &impl Serialize) {
        if let Some(ack) = self.ack {
            ack.send(answer);
        }
    }
}

/// The answer that a socket asked for with its event.
pub struct Ack(Box<SendAnswer>);

/// Sends the arguments of an answer, and the binary that their placeholders stand for.
type SendAnswer = dyn FnOnce(&[Box<RawValue>], Vec<Bytes>) + Send + Sync;

impl Ack {
    /// `answer` is given the arguments, and what is binary in them.
    pub fn new(answer: impl FnOnce(&[Box<RawValue>], Vec<Bytes>) + Send + Sync + 'static) -> Self {
        Self(Box::new(answer))
    }

    /// Answers with one argument.
    pub fn send(self, answer: &impl Serialize) {
        self.send_all(&[json(answer)], Vec::new());
    }

    /// Answers with any arguments; `attachments` are what their placeholders stand for.
    pub fn send_all(self, args: &[Box<RawValue>], attachments: Vec<Bytes>) {
        (self.0)(args, attachments);
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ack")
    }
}

/// Events that may be lost, to everybody who joined a channel: typing, who came and went. They ride
/// on each transport's own channels, past the store.
#[async_trait]
pub trait Volatile: Send + Sync + 'static {
    async fn tell(&self, channel: &str, event: &str, payload: Box<RawValue>);
}

/// Tells the sockets of several transports.
#[async_trait]
impl Volatile for Vec<Arc<dyn Volatile>> {
    async fn tell(&self, channel: &str, event: &str, payload: Box<RawValue>) {
        for each in self {
            each.tell(channel, event, payload.clone()).await;
        }
    }
}

/// JSON of our own words: strings, numbers, and maps with string keys, which cannot fail to encode.
pub(crate) fn json(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("plain data encodes as JSON")
}

/// ISO 8601 in UTC with milliseconds, as `Date.prototype.toISOString` writes it.
pub(crate) fn iso(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The one replacement that keeps text from becoming markup, for pages that take it for HTML.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if text.contains('<') {
        text.replace('<', "&lt;").into()
    } else {
        text.into()
    }
}

/// Characters of a client's event name that go into a log line.
const LOGGED_NAME: usize = 40;

/// Refuses an event of a front end whose own answers have no form for it. Who asked for an answer gets an object with the
/// reason, `{"error": text}`.
pub(crate) fn refuse(socket: &dyn Socket, event: Event, reason: &dyn fmt::Display) {
    #[derive(Serialize)]
    struct Refused {
        error: String,
    }
    log_refused(socket, &event.name, reason);
    event.answer(&Refused {
        error: reason.to_string(),
    });
}

/// Why an event was not taken, for front ends that have no way to show it.
pub(crate) fn log_refused(socket: &dyn Socket, event: &str, reason: &dyn fmt::Display) {
    let event: String = event.chars().take(LOGGED_NAME).collect();
    log_limited!(warn, socket = %socket.id(), ?event, %reason, "refused an event");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_opening_angle_bracket_is_replaced() {
        assert_eq!(
            escape("<b>\"Tom\" & 'Jerry'</b>"),
            "&lt;b>\"Tom\" & 'Jerry'&lt;/b>"
        );
    }
}
