//! One client in one namespace, and the dialects that are mounted on them. What the chat sends goes
//! out through the client's session; what the client says waits in the socket's inbox. `client` is how
//! programs that speak the protocol as it is see a socket.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::value::RawValue;

use super::{
    client::{Client, Program},
    packet,
    session::Session,
};
use crate::{
    chat::{
        message::MessageId,
        socket::{Backlog, CloseReason, Socket, SocketId},
    },
    connection::{
        asks::{Answered, Asks},
        channels::Member,
        flow::Unheard,
        inbox::{self, Host, Inbox, Item},
    },
    dialects::{Ack, Dialect, Event, Handler, Handshake, Held, Refusal, Rendered},
};

/// A program, most often a dialect, and where it is spoken with.
#[derive(Clone)]
pub(super) struct Mount {
    /// As packets name it: the default namespace has no name.
    pub endpoint: &'static str,
    pub program: Arc<dyn Program>,
}

/// A dialect, which sees of a client no more than where its events go out.
pub(super) struct Spoken(pub Arc<dyn Dialect>);

impl Program for Spoken {
    fn connect(&self, client: Client, handshake: &Handshake) -> Result<Box<dyn Handler>, Refusal> {
        self.0.connect(client.0, handshake)
    }

    fn close_notice(&self, why: CloseReason) -> Option<Rendered> {
        self.0.close_notice(why)
    }
}

/// A client in a namespace.
pub(super) struct Peer {
    id: SocketId,
    itself: Weak<Self>,
    pub endpoint: &'static str,
    pub program: Arc<dyn Program>,
    session: Arc<Session>,
    inbox: Inbox,
    /// Where it receives volatile events.
    channels: Mutex<Vec<Box<str>>>,
    asks: Asks,
}

impl Peer {
    pub(super) fn new(mount: &Mount, session: Arc<Session>) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            id: SocketId::next(),
            itself: itself.clone(),
            endpoint: mount.endpoint,
            program: mount.program.clone(),
            session,
            inbox: Inbox::default(),
            channels: Mutex::default(),
            asks: Asks::default(),
        })
    }

    /// Sends a packet that has been written.
    pub(super) fn send(&self, packet: String) {
        self.session.send(packet);
    }

    /// The client said something; `answer` names the packet that it wants an answer to.
    pub(super) fn hear(self: &Arc<Self>, said: packet::Event, answer: Option<&str>, size: usize) {
        let ack = answer.map(|id| {
            let (session, endpoint, id) = (self.session.clone(), self.endpoint, id.to_owned());
            Ack::new(move |args, _| session.send(packet::answer(endpoint, &id, args)))
        });
        let event = Event {
            name: said.name,
            args: said.args,
            attachments: Vec::new(),
            ack,
            held: Held::new(Unheard::new(self.session.clone(), size)),
        };
        inbox::push(self, Item::Hear(event));
    }

    /// Sends a packet that asks for an answer, made with its id.
    pub(super) fn ask_by(&self, question: impl FnOnce(u64) -> String, answered: Answered) {
        self.asks.ask(|id| self.send(question(id)), answered);
        self.expect(1);
    }

    /// The client answers what it was asked.
    pub(super) fn take_answer(&self, id: u64, args: Vec<Box<RawValue>>) {
        self.asks.answer(id, Ok(args));
    }

    /// The client is gone from the namespace.
    pub(super) fn part(self: &Arc<Self>) {
        self.asks.end();
        self.session.channels().forget(self);
        inbox::push(self, Item::Close);
    }
}

impl Member for Peer {
    fn namespace(&self) -> &'static str {
        self.endpoint
    }

    fn joined(&self) -> &Mutex<Vec<Box<str>>> {
        &self.channels
    }
}

impl Host for Peer {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn is_cut_off(&self) -> bool {
        self.session
            .close_reason()
            .is_some_and(|why| !why.reconnect())
    }
}

#[async_trait]
impl Socket for Peer {
    fn id(&self) -> SocketId {
        self.id
    }

    fn remote(&self) -> IpAddr {
        self.session.remote()
    }

    fn emit(&self, event: &str, payload: &RawValue) {
        self.send(packet::event(self.endpoint, event, payload));
    }

    fn show(&self, id: MessageId, event: &str, payload: &RawValue) {
        let packet = packet::event(self.endpoint, event, payload);
        match self.endpoint {
            "" => self.session.show(id, packet),
            _ => self.session.send(packet),
        }
    }

    fn keep_place(&self, login: i64, shown: Option<MessageId>) {
        if self.endpoint.is_empty() {
            self.session.keep_place(login, shown);
        }
    }

    fn ask(&self, event: &str, payload: &RawValue, answered: Answered) {
        let question = |id| packet::question(self.endpoint, id, event, payload);
        self.ask_by(question, answered);
    }

    fn expect(&self, packets: u32) {
        self.session.flow.asked(packets);
    }

    fn waiting(&self) -> usize {
        self.session.state.lock().not_arrived()
    }

    fn join(&self, channel: &str) {
        if let Some(peer) = self.itself.upgrade() {
            self.session.channels().join(&peer, channel);
        }
    }

    fn leave(&self, channel: &str) {
        self.session.channels().leave(self, channel);
    }

    fn backlog(&self) -> Option<Backlog> {
        (!self.session.has_ended()).then(|| self.session.flow.backlog())
    }

    async fn drained(&self) {
        let session = &self.session;
        session.flow.drained(|| !session.has_ended()).await;
    }

    async fn emptied(&self) {
        let session = &self.session;
        session.flow.emptied(|| !session.has_ended()).await;
    }

    fn close(&self, why: CloseReason) {
        self.session.close(why);
    }
}
