//! The packets of a polling body, in the framing of either protocol.

use std::sync::atomic::Ordering;

use bytes::{BufMut, Bytes, BytesMut};
use engineioxide_core::{Packet, ProtocolVersion, Str};

use super::{
    connection::Connection,
    eio3::{self, BadFraming},
    request::Protocol,
};

/// Engine.IO 4 separates packets with this.
const SEPARATOR: char = '\u{1e}';

/// The type of a message, as the first byte of a binary packet of Engine.IO 3.
const BINARY_MESSAGE: u8 = 4;

/// A body, and how it is to be labelled.
pub(super) struct Payload {
    pub body: Bytes,
    pub is_binary: bool,
}

/// A packet of a client's body that has not been read.
pub(super) enum Part {
    Text(Str),
    /// Of Engine.IO 3: the first byte is its type.
    Binary(Bytes),
}

impl Part {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.as_str().len(),
            Self::Binary(data) => data.len(),
        }
    }

    /// The packet; `None` where it is none.
    pub(super) fn read(self, protocol: Protocol) -> Option<Packet> {
        match self {
            Self::Text(text) => read_text(text, protocol),
            Self::Binary(data) => read_binary(data, protocol),
        }
    }
}

/// The packet in a text; `None` where it is none.
pub(super) fn read_text(text: Str, protocol: Protocol) -> Option<Packet> {
    let version = match protocol {
        Protocol::Eio3 => ProtocolVersion::V3,
        Protocol::Eio4 => ProtocolVersion::V4,
    };
    Packet::parse(version, text).ok()
}

/// The packet in binary data; `None` where it is none.
pub(super) fn read_binary(data: Bytes, protocol: Protocol) -> Option<Packet> {
    match protocol {
        Protocol::Eio3 => {
            (data.first() == Some(&BINARY_MESSAGE)).then(|| Packet::BinaryV3(data.slice(1..)))
        }
        Protocol::Eio4 => Some(Packet::Binary(data)),
    }
}

/// The head of a binary frame or packet: Engine.IO 3 has the type there.
pub(super) fn binary_head(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Eio3 => &[BINARY_MESSAGE],
        Protocol::Eio4 => &[],
    }
}

/// Splits a client's body into packets. Text is read as Node reads it: what is not UTF-8 becomes U+FFFD.
pub(super) fn split(
    connection: &Connection,
    body: &Bytes,
    is_binary: bool,
) -> Result<Vec<Part>, BadFraming> {
    match connection.protocol() {
        Protocol::Eio3 => {
            let mut encodes_once = connection.encodes_once.load(Ordering::Relaxed);
            let packets = eio3::request(body, is_binary, &mut encodes_once)?;
            connection
                .encodes_once
                .store(encodes_once, Ordering::Relaxed);
            let part = |packet| match packet {
                eio3::Packet::Text(text) => Part::Text(text.into()),
                eio3::Packet::Binary(data) => Part::Binary(data),
            };
            Ok(packets.into_iter().map(part).collect())
        }
        Protocol::Eio4 => {
            let body = Str::from(String::from_utf8_lossy(body).into_owned());
            let mut begin = 0;
            let part = |text: &str| {
                let part = body.slice(begin..begin + text.len());
                begin += text.len() + SEPARATOR.len_utf8();
                Part::Text(part)
            };
            Ok(body.split(SEPARATOR).map(part).collect())
        }
    }
}

/// Joins packets into the body of an answer, behind the open packet where that is the first answer.
pub(super) fn join(connection: &Connection, open: Option<String>, packets: Vec<Packet>) -> Payload {
    match connection.protocol() {
        Protocol::Eio3 => {
            let is_binary = !connection.base64 && packets.iter().any(Packet::is_binary);
            let packet = |packet| match packet {
                Packet::Binary(data) | Packet::BinaryV3(data) if is_binary => {
                    let mut framed = BytesMut::from(&[BINARY_MESSAGE][..]);
                    framed.put(data);
                    eio3::Packet::Binary(framed.freeze())
                }
                other => eio3::Packet::Text(eio3::to_ascii(&String::from(other))),
            };
            let open = open.map(eio3::Packet::Text).into_iter();
            let packets = open.chain(packets.into_iter().map(packet));
            Payload {
                body: eio3::join(packets, is_binary),
                is_binary,
            }
        }
        Protocol::Eio4 => {
            let mut body = open.unwrap_or_default();
            for packet in packets {
                if !body.is_empty() {
                    body.push(SEPARATOR);
                }
                match packet {
                    // Spared a copy.
                    Packet::Message(text) => {
                        body.push('4');
                        body.push_str(&text);
                    }
                    other => body.push_str(&String::from(other)),
                }
            }
            Payload {
                body: body.into(),
                is_binary: false,
            }
        }
    }
}
