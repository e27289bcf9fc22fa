//! One connection in one namespace. What the client says waits in its inbox, in the order in which it came, for the
//! handler that the namespace has given it.

use std::{
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use socketioxide_core::Value;

use super::{namespace::Namespace, packet};
use crate::{
    chat::socket::{self, Answer, Backlog, CloseReason, Socket as _, SocketId},
    connection::{
        asks::{Answered, Asks},
        channels::{Channels, Member},
        flow::Unheard,
        inbox::{self, Host, Inbox, Item},
    },
    dialects::{Ack, Event, Held},
    engineio::{Connection, Message, Protocol, random_id},
};

/// A client in a namespace.
pub struct Socket {
    id: SocketId,
    public_id: Box<str>,
    itself: Weak<Self>,
    name: &'static str,
    namespace: Arc<dyn Namespace>,
    connection: Arc<Connection>,
    all_channels: Arc<Channels<Socket>>,
    /// Its client was told that it is in, and has not left.
    is_in: AtomicBool,
    inbox: Inbox,
    /// Where it receives volatile events.
    channels: Mutex<Vec<Box<str>>>,
    asks: Asks,
}

impl Socket {
    pub(super) fn new(
        connection: Arc<Connection>,
        name: &'static str,
        namespace: Arc<dyn Namespace>,
        all_channels: Arc<Channels<Socket>>,
    ) -> Arc<Self> {
        let public_id = match (connection.protocol(), name) {
            // The connection's is as good as a password.
            (Protocol::Eio4, _) => random_id(),
            // Clients before 3.x make it up themselves, from the connection's.
            (Protocol::Eio3, "/") => connection.sid().to_owned(),
            (Protocol::Eio3, name) => format!("{name}#{}", connection.sid()),
        };
        Arc::new_cyclic(|itself| Self {
            id: SocketId::next(),
            public_id: public_id.into(),
            itself: itself.clone(),
            name,
            namespace,
            connection,
            all_channels,
            is_in: AtomicBool::new(false),
            inbox: Inbox::default(),
            channels: Mutex::default(),
            asks: Asks::default(),
        })
    }

    /// What its client knows as its `socket.id`. That of a client before 3.x is the secret of its connection.
    pub fn public_id(&self) -> &str {
        &self.public_id
    }

    /// Queues an event as [`Socket::emit`] does, with any arguments. The nth of `attachments` is what
    /// `{"_placeholder":true,"num":n}` stands for in them.
    pub fn emit_all(&self, event: &str, args: &[Box<RawValue>], attachments: Vec<Bytes>) {
        let packet = packet::event(self.name, None, event, &refs(args), attachments.len());
        self.send_event(packet, attachments);
    }

    /// Asks as [`Socket::ask`] does, with any arguments.
    pub fn ask_all(
        &self,
        event: &str,
        args: &[&RawValue],
        answered: Box<dyn FnOnce(Answer) + Send>,
    ) {
        let question = |id| packet::event(self.name, Some(id), event, args, 0);
        self.asks
            .ask(|id| self.send_event(question(id), Vec::new()), answered);
        self.expect(1);
    }

    /// Tells the client that it is in. What it is sent from now on comes after that.
    pub(super) fn connected(&self) {
        let packet = packet::connect(self.connection.protocol(), self.name, &self.public_id);
        self.connection.send(packet);
        self.is_in.store(true, Ordering::Release);
    }

    /// The client said something.
    pub(super) fn receive(self: &Arc<Self>, data: Value, id: Option<i64>) {
        let Value::Str(data, attachments) = data else {
            return self.connection.close(CloseReason::BadPacket);
        };
        let attachments = Vec::from(attachments.unwrap_or_default());
        let size = data.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        if size > self.connection.limits().message {
            return self.connection.close(CloseReason::TooLarge);
        }
        let Some((name, args)) = packet::read_event(&data) else {
            return self.connection.close(CloseReason::BadPacket);
        };
        let ack = id.map(|id| {
            let socket = self.clone();
            Ack::new(move |args, attachments| {
                let packet = packet::ack(socket.name, id, &refs(args), attachments.len());
                socket.send(packet, attachments);
            })
        });
        let event = Event {
            name,
            args,
            attachments,
            ack,
            held: Held::new(Unheard::new(self.connection.clone(), size)),
        };
        inbox::push(self, Item::Hear(event));
    }

    /// The client answers what it was asked. An answer that nobody waits for is nothing.
    pub(super) fn take_answer(&self, data: Value, id: i64) {
        let Some(id) = u64::try_from(id).ok().filter(|id| self.asks.awaits(*id)) else {
            return;
        };
        let Some(data) = data.as_str() else { return };
        if data.len() > self.connection.limits().message {
            return self.connection.close(CloseReason::TooLarge);
        }
        match packet::args(data) {
            Some(args) => self.asks.answer(id, Ok(args)),
            None => self.connection.close(CloseReason::BadPacket),
        }
    }

    pub(super) fn send_close_notice(&self, why: CloseReason) {
        if let Some(notice) = self.namespace.close_notice(why) {
            match self.namespace.asks_always() {
                true => self.ask(notice.event, &notice.payload, Box::new(|_| {})),
                false => self.emit(notice.event, &notice.payload),
            }
        }
        // A client that is disconnected in words, not just cut off, stays away. On Node one that sent a bad packet comes back.
        if !why.reconnect() && why != CloseReason::BadPacket {
            self.send(packet::disconnect(self.name), Vec::new());
        }
    }

    /// The client has left the namespace, or is gone.
    pub(super) fn left(self: &Arc<Self>) {
        self.is_in.store(false, Ordering::Release);
        self.asks.end();
        self.all_channels.forget(self);
        self.connection.flow().look_again();
        inbox::push(self, Item::Close);
    }

    fn send_event(&self, packet: Message, attachments: Vec<Bytes>) {
        // An event after the last would put off the end. Whoever comes back is told it.
        if self.connection.is_ending().is_none() {
            self.send(packet, attachments);
        }
    }

    /// Whether the client is in is asked when the packet takes its place: it may have left, and come back as
    /// another socket.
    fn send(&self, packet: Message, attachments: Vec<Bytes>) {
        let is_in = || self.is_in.load(Ordering::Acquire);
        let attachments = attachments.into_iter().map(Message::Binary);
        self.connection
            .send_all(std::iter::once(packet).chain(attachments), is_in);
    }

    fn is_connected(&self) -> bool {
        self.is_in.load(Ordering::Acquire) && self.connection.close_reason().is_none()
    }
}

fn refs(args: &[Box<RawValue>]) -> Vec<&RawValue> {
    args.iter().map(|arg| &**arg).collect()
}

impl Member for Socket {
    fn namespace(&self) -> &'static str {
        self.name
    }

    fn joined(&self) -> &Mutex<Vec<Box<str>>> {
        &self.channels
    }
}

impl Host for Socket {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn is_cut_off(&self) -> bool {
        (self.connection.close_reason()).is_some_and(|why| !why.reconnect())
    }
}

#[async_trait]
impl socket::Socket for Socket {
    fn id(&self) -> SocketId {
        self.id
    }

    fn remote(&self) -> IpAddr {
        self.connection.handshake.remote
    }

    fn emit(&self, event: &str, payload: &RawValue) {
        self.send_event(
            packet::event(self.name, None, event, &[payload], 0),
            Vec::new(),
        );
    }

    fn ask(&self, event: &str, payload: &RawValue, answered: Answered) {
        self.ask_all(event, &[payload], answered);
    }

    fn expect(&self, packets: u32) {
        self.connection.flow().asked(packets);
    }

    fn join(&self, channel: &str) {
        if let Some(socket) = self.itself.upgrade() {
            self.all_channels.join(&socket, channel);
        }
    }

    fn leave(&self, channel: &str) {
        self.all_channels.leave(self, channel);
    }

    fn backlog(&self) -> Option<Backlog> {
        (self.is_connected()).then(|| self.connection.flow().backlog())
    }

    async fn drained(&self) {
        let flow = self.connection.flow();
        flow.drained(|| self.is_connected()).await;
    }

    async fn emptied(&self) {
        let flow = self.connection.flow();
        flow.emptied(|| self.is_connected()).await;
    }

    fn close(&self, why: CloseReason) {
        self.connection.close(why);
    }
}
