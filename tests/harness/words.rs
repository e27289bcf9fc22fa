//! The native dialect's requests and messages, for clients of the harness.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::client::{Client, Packet};

/// A message as a reader was shown it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    pub seq: u64,
    pub id: String,
    pub text: String,
}

impl Said {
    fn from(payload: &Value) -> Self {
        let id = payload["id"].as_str().unwrap().to_owned();
        Self {
            seq: seq(&id),
            id,
            text: payload["text"].as_str().unwrap().to_owned(),
        }
    }
}

/// The place in its room that an id stands for.
pub fn seq(id: &str) -> u64 {
    id.split('-').next().unwrap().parse().unwrap()
}

/// That there is no hole and nothing twice, from `first` on.
pub fn assert_dense(said: &[Said], first: u64) {
    for (said, seq) in said.iter().zip(first..) {
        assert_eq!(said.seq, seq, "a hole, or something twice, at {said:?}");
    }
}

impl Client {
    /// A native client that has said hello.
    pub async fn native(address: SocketAddr, name: &str) -> Self {
        let mut client = Self::websocket(address, "/chat").await;
        client.hello(name).await;
        client
    }

    pub async fn hello(&mut self, name: &str) -> Value {
        let answer = self.ask("hello", &json!({ "name": name })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }

    pub async fn join(&mut self, room: &str, after: Option<&str>) -> Value {
        let mut request = json!({ "room": room });
        if let Some(id) = after {
            request["after"] = id.into();
        }
        let answer = self.ask("join", &request).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }

    /// Posts, and returns the message's id once it is kept.
    pub async fn post(&mut self, room: &str, text: &str, key: Option<&str>) -> String {
        let answer = self.ask("post", &post(room, text, key)).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// The next message of any room.
    pub async fn said(&mut self) -> Said {
        self.expect("a message", said).await
    }

    /// All messages up to the one with this text.
    pub async fn said_until(&mut self, last: &str) -> Vec<Said> {
        let mut all = Vec::new();
        while all.last().is_none_or(|said: &Said| said.text != last) {
            all.push(self.said().await);
        }
        all
    }
}

/// The message in a packet, if it is one.
pub fn said(packet: &Packet) -> Option<Said> {
    match packet {
        Packet::Event(name, payload) if name == "message" => Some(Said::from(payload)),
        _ => None,
    }
}

/// The code of a close reason, if it is one.
pub fn close_reason(packet: &Packet) -> Option<&str> {
    match packet {
        Packet::Event(name, payload) if name == "goodbye" => payload["code"].as_str(),
        _ => None,
    }
}

pub fn post(room: &str, text: &str, key: Option<&str>) -> Value {
    let mut request = json!({ "room": room, "text": text });
    if let Some(key) = key {
        request["key"] = key.into();
    }
    request
}
