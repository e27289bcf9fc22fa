//! Packets of Socket.IO 0.9 (protocol 1), read from and written as text, without any IO:
//! `type ':' [id ['+']] ':' [endpoint] [':' data]`. Neither type nor endpoint holds a colon; what
//! follows the third one is data, colons and line breaks included. `payload` puts several into one
//! body; `session` says what they mean.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a packet is, by the digit that it starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Disconnect,
    Connect,
    Heartbeat,
    Message,
    Json,
    Event,
    Ack,
    Error,
    Noop,
}

/// What a client wants to hear about a packet. The id is what it sent, digit for digit: it may be
/// larger than any number type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    Nothing,
    /// That it arrived.
    Receipt(&'a str),
    /// What the other side's program answers.
    Answer(&'a str),
}

/// A packet as it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub kind: Kind,
    pub wanted: Wanted<'a>,
    /// The namespace; empty for the default one.
    pub endpoint: &'a str,
    pub data: &'a str,
}

/// An event's name and arguments.
#[derive(Debug)]
pub struct Event {
    pub name: Box<str>,
    pub args: Vec<Box<RawValue>>,
}

impl<'a> Packet<'a> {
    /// Reads one packet; `None` where the text is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (id, rest) = rest.split_once(':')?;
        let (endpoint, data) = rest.split_once(':').unwrap_or((rest, ""));
        let kind = match kind {
            "0" => Kind::Disconnect,
            "1" => Kind::Connect,
            "2" => Kind::Heartbeat,
            "3" => Kind::Message,
            "4" => Kind::Json,
            "5" => Kind::Event,
            "6" => Kind::Ack,
            "7" => Kind::Error,
            "8" => Kind::Noop,
            _ => return None,
        };
        let (digits, plus) = match id.strip_suffix('+') {
            Some(digits) => (digits, true),
            None => (id, false),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let wanted = match (digits, plus) {
            ("", _) => Wanted::Nothing,
            (id, false) => Wanted::Receipt(id),
            (id, true) => Wanted::Answer(id),
        };
        Some(Self {
            kind,
            wanted,
            endpoint,
            data,
        })
    }

    /// The event in an event packet; `None` where its data is none.
    pub fn event(&self) -> Option<Event> {
        #[derive(Deserialize)]
        struct Said<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            #[serde(borrow)]
            args: Option<&'a RawValue>,
        }
        let said: Said<'_> = serde_json::from_str(self.data).ok()?;
        let args = match said.args.map_or("", RawValue::get) {
            // JavaScript's idea of nothing.
            "" | "null" | "false" | "0" | "\"\"" => Vec::new(),
            list if list.starts_with('[') => serde_json::from_str(list).ok()?,
            one => vec![serde_json::from_str(one).ok()?],
        };
        Some(Event {
            name: said.name.into(),
            args,
        })
    }

    /// The id and the arguments in an answer; `None` where its data is none.
    pub fn answer(&self) -> Option<(u64, Vec<Box<RawValue>>)> {
        let (id, args) = match self.data.split_once('+') {
            Some((id, "")) => (id, Vec::new()),
            Some((id, args)) => (id, serde_json::from_str(args).ok()?),
            None => (self.data, Vec::new()),
        };
        // A number as we wrote it: no sign, which `parse` would take.
        let is_ours = id.bytes().all(|byte| byte.is_ascii_digit());
        Some((is_ours.then(|| id.parse().ok()).flatten()?, args))
    }

    /// The text of a message or the value of a JSON message, as the one argument of an event. JSON
    /// that cannot be read is `false`, as it was to the programs of the old server.
    pub fn message(&self) -> Box<RawValue> {
        if self.kind == Kind::Message {
            return crate::dialects::json(&self.data);
        }
        serde_json::from_str(self.data).unwrap_or_else(|_| crate::dialects::json(&false))
    }
}

/// Why a client is told that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    NotHandshaken,
    Unauthorized,
}

/// `1::`: connected, to the endpoint.
pub fn connect(endpoint: &str) -> String {
    format!("1::{endpoint}")
}

/// `0::`: the whole connection is ended, and the client is to stay away.
pub const DISCONNECT: &str = "0::";

/// `2::`: asks for the same in return.
pub const HEARTBEAT: &str = "2::";

/// `8::`: nothing, so that a poll ends.
pub const NOOP: &str = "8::";

/// `7:::1+0`: the session is not known; the advice to connect anew.
pub const NOT_HANDSHAKEN: &str = "7:::1+0";

/// `5::`: an event with one argument.
pub fn event(endpoint: &str, name: &str, argument: &RawValue) -> String {
    let name = crate::dialects::json(&name);
    format!("5::{endpoint}:{{\"name\":{name},\"args\":[{argument}]}}")
}

/// `5:1+:`: the same, and what the client answers to it is wanted.
pub fn question(endpoint: &str, id: u64, name: &str, argument: &RawValue) -> String {
    let event = event(endpoint, name, argument);
    format!("5:{id}+:{}", &event["5::".len()..])
}

/// Whether a packet that was written holds an event.
pub fn is_event(packet: &str) -> bool {
    packet.starts_with("5:")
}

/// `5::`: an event with any arguments; `question` is its id where an answer is wanted.
pub fn event_with(
    endpoint: &str,
    question: Option<u64>,
    name: &str,
    args: &[Box<RawValue>],
) -> String {
    let name = crate::dialects::json(&name);
    let id = question.map_or(String::new(), |id| format!("{id}+"));
    if args.is_empty() {
        return format!("5:{id}:{endpoint}:{{\"name\":{name}}}");
    }
    let args = crate::dialects::json(&args);
    format!("5:{id}:{endpoint}:{{\"name\":{name},\"args\":{args}}}")
}

/// `3::`: a message; `question` is its id where a receipt is wanted.
pub fn message(endpoint: &str, question: Option<u64>, text: &str) -> String {
    let id = question.map_or(String::new(), |id| id.to_string());
    format!("3:{id}:{endpoint}:{text}")
}

/// `4::`: a JSON message.
pub fn json_message(endpoint: &str, value: &RawValue) -> String {
    format!("4::{endpoint}:{value}")
}

/// `6::`: the packet with this id arrived.
pub fn receipt(endpoint: &str, id: &str) -> String {
    format!("6::{endpoint}:{id}")
}

/// `6::`: what the program answers to the packet with this id.
pub fn answer(endpoint: &str, id: &str, args: &[Box<RawValue>]) -> String {
    let args: Vec<_> = args.iter().map(|arg| arg.get()).collect();
    format!("6::{endpoint}:{id}+[{}]", args.join(","))
}

/// `7::`: an error without advice.
pub fn error(endpoint: &str, reason: Reason) -> String {
    let reason = match reason {
        Reason::NotHandshaken => 1,
        Reason::Unauthorized => 2,
    };
    format!("7::{endpoint}:{reason}")
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
