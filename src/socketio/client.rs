//! One connection's sockets, and what each of its client's packets does.

use std::{borrow::Cow, sync::Arc};

use engineioxide_core::Str;
use parking_lot::Mutex;
use socketioxide_core::{
    Value,
    packet::PacketData,
    parser::{Parse, ParseConfig, ParseError, ParserState},
};
use socketioxide_parser_common::CommonParser;

use super::{
    namespace::Namespaces,
    packet::{self, address, query_as_payload},
    socket::Socket,
};
use crate::{
    chat::socket::CloseReason,
    connection::{channels::Member, inbox},
    dialects::Handshake,
    engineio::{Accept, Connection, Message, Protocol, Receive},
};

/// Binary attachments that one packet may have.
const ATTACHMENTS: usize = 64;

/// Takes clients in.
pub(super) struct Clients(pub Arc<Namespaces>);

impl Accept for Clients {
    fn open(&self, _: &Arc<Connection>) -> Box<dyn Receive> {
        Box::new(Client {
            namespaces: self.0.clone(),
            sockets: Mutex::new(Some(Vec::new())),
            partial: ParserState::default(),
        })
    }
}

/// What a client says on one connection.
struct Client {
    namespaces: Arc<Namespaces>,
    /// `None` once the connection is over.
    sockets: Mutex<Option<Vec<Arc<Socket>>>>,
    /// A packet whose binary attachments have not all come.
    partial: ParserState,
}

impl Client {
    fn socket(&self, namespace: &str) -> Option<Arc<Socket>> {
        let sockets = self.sockets.lock();
        let mut sockets = sockets.as_ref()?.iter();
        sockets
            .find(|socket| socket.namespace() == namespace)
            .cloned()
    }

    fn all(&self) -> Vec<Arc<Socket>> {
        self.sockets.lock().clone().unwrap_or_default()
    }

    /// Lets the client into a namespace, or tells it why not. One that is in already stays in.
    fn connect(&self, connection: &Arc<Connection>, name: &str, auth: Option<Box<str>>) {
        if self.socket(name).is_some() {
            return;
        }
        let protocol = connection.protocol();
        let refuse = |why| connection.send(packet::connect_error(protocol, name, why));
        let Some((name, namespace)) = self.namespaces.find(name) else {
            return refuse("Invalid namespace");
        };
        let socket = Socket::new(
            connection.clone(),
            name,
            namespace.clone(),
            self.namespaces.channels.clone(),
        );
        let handshake = Handshake {
            auth,
            ..connection.handshake.clone()
        };
        let handler = match namespace.connect(socket.clone(), &handshake) {
            Ok(handler) => handler,
            Err(refusal) => return refuse(refusal.0),
        };
        match &mut *self.sockets.lock() {
            Some(sockets) => sockets.push(socket.clone()),
            None => return,
        }
        connection.joined();
        socket.connected();
        inbox::open(socket, handler);
    }

    fn leave(&self, namespace: &str) {
        let left = {
            let mut sockets = self.sockets.lock();
            let Some(sockets) = sockets.as_mut() else {
                return;
            };
            let at = sockets
                .iter()
                .position(|socket| socket.namespace() == namespace);
            at.map(|at| sockets.swap_remove(at))
        };
        if let Some(socket) = left {
            socket.left();
        }
    }

    fn read(&self, connection: &Connection, message: Message) -> Result<PacketAt, ParseError> {
        let limits = connection.limits();
        let config = ParseConfig {
            max_incoming_binaries: ATTACHMENTS,
            // They are kept until all have come.
            max_incoming_binary_buf_size: limits.message,
            ..ParseConfig::default()
        };
        let packet = match message {
            Message::Text(text) => CommonParser.decode_str(&config, &self.partial, text)?,
            Message::Binary(data) => CommonParser.decode_bin(&config, &self.partial, data)?,
        };
        Ok((packet.ns, packet.inner))
    }
}

type PacketAt = (Str, PacketData);

impl Receive for Client {
    fn opened(&self, connection: &Arc<Connection>) {
        if connection.protocol() == Protocol::Eio3 {
            self.connect(connection, "/", None);
        }
    }

    fn message(&self, connection: &Arc<Connection>, message: Message) {
        let ignored = match &message {
            Message::Text(text) => packet::is_ack_to_nothing(text),
            Message::Binary(_) => false,
        };
        let (address_of, packet) = match self.read(connection, message) {
            Ok(packet) => packet,
            Err(ParseError::NeedsMoreBinaryData) => return,
            Err(_) if ignored => return,
            Err(error) => {
                tracing::debug!(remote = %connection.handshake.remote, %error, "could not read a packet");
                return connection.close(CloseReason::BadPacket);
            }
        };
        let (namespace, query) = address(connection.protocol(), &address_of);
        if let PacketData::Connect(data) = &packet {
            let data = data.as_ref().and_then(Value::as_str);
            return match (
                packet::payload(data.map(|data| Cow::Borrowed(&**data))),
                query,
            ) {
                (Err(()), _) => connection.close(CloseReason::BadPacket),
                (Ok(None), Some(query)) => {
                    self.connect(connection, namespace, Some(query_as_payload(query)));
                }
                (Ok(auth), _) => self.connect(connection, namespace, auth),
            };
        }
        // As Node: who says something where it is not has lost track of where it is.
        let Some(socket) = self.socket(namespace) else {
            return connection.close(CloseReason::BadPacket);
        };
        match packet {
            PacketData::Disconnect => self.leave(namespace),
            PacketData::Event(data, id) | PacketData::BinaryEvent(data, id) => {
                socket.receive(data, id);
            }
            PacketData::EventAck(data, id) | PacketData::BinaryAck(data, id) => {
                socket.take_answer(data, id);
            }
            PacketData::Connect(_) | PacketData::ConnectError(_) => {
                connection.close(CloseReason::BadPacket);
            }
        }
    }

    fn closing(&self, _: &Arc<Connection>, why: CloseReason) {
        for socket in self.all() {
            socket.send_close_notice(why);
        }
    }

    fn closed(&self) {
        let sockets = self.sockets.lock().take();
        for socket in sockets.into_iter().flatten() {
            socket.left();
        }
    }
}
