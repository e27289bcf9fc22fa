//! One client in one namespace, and the dialects that are mounted on them. What the chat sends goes
//! out through the client's session; what the client says waits in the socket's inbox. `client` is how
//! programs that speak the protocol as it is see a socket.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{
    client::{Client, Program},
    packet,
    session::Session,
};
use crate::{
    chat::socket::{Answer, Backlog, CloseReason, Socket, SocketId, Unanswered},
    dialects::{Ack, Dialect, Event, Handler, Handshake, Held, Refusal, Rendered},
    transport::{
        asks::{self, Answered, Asks},
        channels::Member,
        flow::Unheard,
        inbox::{self, Host, Inbox, Item},
    },
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
    asked: Mutex<Asked>,
}

/// What the client was asked and has not answered.
#[derive(Default)]
struct Asked {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    /// It is gone, and will not answer.
    is_over: bool,
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
            asked: Mutex::default(),
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
            Ack::new(move |answer| session.send(packet::answer(endpoint, &id, answer)))
        });
        let event = Event {
            name: said.name,
            args: said.args,
            ack,
            held: Held::new(Unheard::new(self.session.clone(), size)),
        };
        inbox::push(self, Item::Hear(event));
    }

    /// Sends a packet that asks for an answer, made with its id.
    pub(super) fn ask_by(&self, question: impl FnOnce(u64) -> String, answered: Answered) {
        let place = self.asks.begin();
        let (id, answer) = {
            let mut asked = self.asked.lock();
            if asked.is_over {
                return asks::give_up(answered, Unanswered::Gone);
            }
            asked.last += 1;
            let id = asked.last;
            let (sender, answer) = oneshot::channel();
            if place.is_some() {
                // Those that came too late, or not at all.
                asked.waiting.retain(|_, waiting| !waiting.is_closed());
                asked.waiting.insert(id, sender);
            }
            (id, answer)
        };
        self.send(question(id));
        self.expect(1);
        match place {
            None => asks::give_up(answered, Unanswered::TooMany),
            Some(place) => {
                let answer = async { answer.await.unwrap_or(Err(Unanswered::Gone)) };
                asks::wait(place, answer, answered);
            }
        }
    }

    /// The client answers what it was asked. An answer that nobody waits for is nothing.
    pub(super) fn take_answer(&self, id: u64, args: Vec<Box<RawValue>>) {
        let waiting = self.asked.lock().waiting.remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(Ok(args));
        }
    }

    /// The client is gone from the namespace.
    pub(super) fn part(self: &Arc<Self>) {
        {
            let mut asked = self.asked.lock();
            asked.is_over = true;
            asked.waiting = HashMap::new();
        }
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
