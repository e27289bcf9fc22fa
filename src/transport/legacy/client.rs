//! A client as the protocol has it, for programs that say more than a dialect does: messages, JSON
//! messages, events with several arguments, questions. `socket` is what stands behind it.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{packet, peer::Peer};
use crate::{
    chat::socket::{CloseReason, Socket},
    connection::asks::Answered,
    dialects::{Handler, Handshake, Refusal, Rendered},
};

/// What speaks with the clients of a namespace.
pub trait Program: Send + Sync + 'static {
    /// Begins a handler with a client, or refuses it. Nothing can be sent yet.
    fn connect(&self, client: Client, handshake: &Handshake) -> Result<Box<dyn Handler>, Refusal>;

    /// What a client is told before the server ends its connection.
    fn close_notice(&self, _why: CloseReason) -> Option<Rendered> {
        None
    }
}

/// A client in a namespace.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Peer>);

impl Client {
    /// Sends a message.
    pub fn send(&self, text: &str) {
        self.0.send(packet::message(self.0.endpoint, None, text));
    }

    /// Sends a message that the client's library acknowledges.
    pub fn send_registered(&self, text: &str, answered: Answered) {
        let message = |id| packet::message(self.0.endpoint, Some(id), text);
        self.0.ask_by(message, answered);
    }

    /// Sends a JSON message.
    pub fn send_json(&self, value: &RawValue) {
        self.0.send(packet::json_message(self.0.endpoint, value));
    }

    /// Sends an event.
    pub fn emit(&self, event: &str, args: &[Box<RawValue>]) {
        self.0
            .send(packet::event_with(self.0.endpoint, None, event, args));
    }

    /// Sends an event that the client's program is to answer.
    pub fn ask(&self, event: &str, args: &[Box<RawValue>], answered: Answered) {
        let question = |id| packet::event_with(self.0.endpoint, Some(id), event, args);
        self.0.ask_by(question, answered);
    }

    /// Ends the connection; what is queued is still sent unless the reason is abrupt.
    pub fn close(&self, why: CloseReason) {
        self.0.close(why);
    }
}
