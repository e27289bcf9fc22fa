//! One 0.9 session: a client from its handshake to its end, whatever it travels on. Hosts the sockets
//! (one per namespace), gives what the client says to them, and keeps what it is to be told until a
//! poll or stream takes it. `ending` has how it ends, `moving` how its client goes on elsewhere; `state` decides what is
//! due; `polling` and `websocket` move the bytes.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    attachment::Carrier,
    client::Client,
    moving::Moving,
    packet::{self, Kind, Packet, Wanted},
    peer::Peer,
    sessions::Sessions,
    state::{State, Times},
};
use crate::{
    chat::{message::MessageId, socket::CloseReason},
    connection::{
        channels::Channels,
        flow::{Flow, Limits},
        inbox, text,
    },
    dialects::{Handler, Handshake},
};

/// The event that programs of the old server listened to for messages, JSON ones too.
const MESSAGE: &str = "message";

/// Names that a client cannot use: the program would take the event for its own.
const RESERVED: [&str; 1] = ["disconnect"];

pub(super) struct Session {
    pub(super) sid: Box<str>,
    handshake: Handshake,
    pub(super) sessions: Arc<Sessions>,
    pub(super) flow: Flow,
    pub(super) state: Mutex<State>,
    pub(super) last_poll: Mutex<Carrier>,
    /// For polls, which wait for something to say.
    pub(super) changed: Notify,
    /// The stream that waits for the same.
    pub(super) stream: AtomicWaker,
    pub(super) subscriptions: Mutex<Vec<Subscription>>,
    pub(super) close_reason: OnceLock<CloseReason>,
    pub(super) moving: Moving,
    /// Whose packets are being taken: one request at a time, so that they stay in order.
    pub(super) posting: tokio::sync::Mutex<()>,
}

pub(super) struct Subscription {
    pub(super) peer: Arc<Peer>,
    /// Not opened before a client has come.
    greeted: Option<Box<dyn Handler>>,
}

impl Session {
    pub(super) fn new(sid: Box<str>, handshake: Handshake, sessions: Arc<Sessions>) -> Self {
        let (now, times) = (Instant::now(), &sessions.times);
        let state = match handshake.credentials.place {
            Some(_) => State::taken_over(now, times),
            None => State::new(now, times),
        };
        Self {
            sid,
            handshake,
            flow: Flow::new(sessions.shared.clone()),
            state: Mutex::new(state),
            sessions,
            last_poll: Mutex::default(),
            changed: Notify::new(),
            stream: AtomicWaker::new(),
            subscriptions: Mutex::default(),
            close_reason: OnceLock::new(),
            moving: Moving::default(),
            posting: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        self.flow.limits()
    }

    pub(super) fn times(&self) -> &Times {
        &self.sessions.times
    }

    pub(super) fn channels(&self) -> &Channels<Peer> {
        &self.sessions.channels
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason.get().copied()
    }

    pub(super) fn remote(&self) -> std::net::IpAddr {
        self.handshake.remote
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().has_ended()
    }

    /// Whether nothing is to be had of it any more.
    pub(super) fn is_spent(&self) -> bool {
        self.state.lock().is_spent(Instant::now())
    }

    /// Queues a packet that shows a message of the room.
    pub(super) fn show(self: &Arc<Self>, id: MessageId, packet: String) {
        self.queue(packet, Some(id));
    }

    /// Queues a packet for the client.
    pub(super) fn send(self: &Arc<Self>, packet: String) {
        self.queue(packet, None);
    }

    fn queue(self: &Arc<Self>, packet: String, shows: Option<MessageId>) {
        if self.has_ended() {
            return;
        }
        // Counted first: it may be taken at once.
        let fits = self.flow.queued(packet.len());
        let waiting = {
            let mut state = self.state.lock();
            match shows {
                Some(id) => state.show(id, packet),
                None => state.push(packet),
            }
            state.waiting()
        };
        if !fits || waiting > self.limits().backlog_packets {
            return self.close(CloseReason::SlowPeer);
        }
        self.tell_reader();
    }

    pub(super) fn tell_reader(&self) {
        self.changed.notify_waiters();
        self.stream.wake();
        self.flow.wake();
    }

    /// Lets the handler of a namespace begin: the client knows that it is connected.
    pub(super) fn open(&self, endpoint: &str) {
        let opened = {
            let mut subscriptions = self.subscriptions.lock();
            let subscription = subscriptions
                .iter_mut()
                .find(|subscription| subscription.peer.endpoint == endpoint);
            subscription.and_then(|subscription| {
                Some((subscription.peer.clone(), subscription.greeted.take()?))
            })
        };
        if let Some((peer, handler)) = opened {
            inbox::open(peer, handler);
        }
    }

    /// Takes one packet of the client's, which whoever carries it has counted. What is none is ignored, as it always was.
    pub(super) fn hear(self: &Arc<Self>, packet: &str) {
        let packet = text::mend(packet);
        let Some(packet) = Packet::parse(&packet) else {
            return tracing::debug!(remote = %self.handshake.remote, "ignored what is no packet");
        };
        {
            let (mut state, now) = (self.state.lock(), Instant::now());
            if state.has_ended() && !self.reads_on() {
                return;
            }
            if packet.kind == Kind::Heartbeat {
                return state.heartbeat(now, self.times());
            }
            state.is_alive(now);
        }
        if let Wanted::Receipt(id) = packet.wanted {
            self.send(packet::receipt(packet.endpoint, id));
        }
        let said = match packet.kind {
            Kind::Connect => return self.join(&packet),
            Kind::Disconnect if packet.endpoint.is_empty() => return self.leave(),
            Kind::Disconnect => return self.part_from(packet.endpoint),
            Kind::Event => packet.event(),
            Kind::Message | Kind::Json => Some(packet::Event {
                name: MESSAGE.into(),
                args: vec![packet.message()],
            }),
            Kind::Ack => {
                if let (Some(peer), Some((id, args))) =
                    (self.peer(packet.endpoint), packet.answer())
                {
                    peer.take_answer(id, args);
                }
                return;
            }
            Kind::Error | Kind::Noop | Kind::Heartbeat => return,
        };
        let said = said.filter(|said| !RESERVED.contains(&&*said.name));
        if let (Some(said), Some(peer)) = (said, self.peer(packet.endpoint)) {
            let answer = match packet.wanted {
                Wanted::Answer(id) => Some(id),
                _ => None,
            };
            peer.hear(said, answer, packet.data.len());
        }
    }

    fn peer(&self, endpoint: &str) -> Option<Arc<Peer>> {
        let subscriptions = self.subscriptions.lock();
        let subscription = subscriptions
            .iter()
            .find(|subscription| subscription.peer.endpoint == endpoint)?;
        Some(subscription.peer.clone())
    }

    /// Seats the client in the default namespace; false where the dialect refuses it.
    pub(super) fn greet(self: &Arc<Self>) -> bool {
        self.sit("", &self.handshake.query)
    }

    /// The client asks for a namespace. There is no answer where there is none of that name.
    fn join(self: &Arc<Self>, packet: &Packet<'_>) {
        let endpoint = packet.endpoint;
        if endpoint.is_empty() || self.sessions.mount(endpoint).is_none() {
            return;
        }
        let query = match packet.data.strip_prefix('?') {
            Some(query) => query,
            None => &self.handshake.query,
        };
        if self.peer(endpoint).is_none() && !self.sit(endpoint, query) {
            return self.send(packet::error(endpoint, packet::Reason::Unauthorized));
        }
        self.send(packet::connect(endpoint));
        // The default one may still wait for a client to come.
        self.open(endpoint);
    }

    fn sit(self: &Arc<Self>, endpoint: &str, query: &str) -> bool {
        let Some(mount) = self.sessions.mount(endpoint) else {
            return false;
        };
        let handshake = Handshake {
            query: query.into(),
            ..self.handshake.clone()
        };
        let peer = Peer::new(&mount, self.clone());
        let Ok(greeted) = mount.program.connect(Client(peer.clone()), &handshake) else {
            return false;
        };
        self.subscriptions.lock().push(Subscription {
            peer,
            greeted: Some(greeted),
        });
        true
    }

    fn part_from(&self, endpoint: &str) {
        let parted = {
            let mut subscriptions = self.subscriptions.lock();
            let at = subscriptions
                .iter()
                .position(|subscription| subscription.peer.endpoint == endpoint);
            at.map(|at| subscriptions.remove(at))
        };
        if let Some(subscription) = parted {
            subscription.part();
        }
    }
}

impl AsRef<Flow> for Session {
    fn as_ref(&self) -> &Flow {
        &self.flow
    }
}

impl Subscription {
    pub(super) fn part(self) {
        // A handler that was never opened just goes.
        if self.greeted.is_none() {
            self.peer.part();
        }
    }
}
