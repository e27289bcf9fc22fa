//! One 0.9 session: a client from its handshake to its end, whatever it travels on. Hosts the sockets
//! (one per namespace), gives what the client says to them, and keeps what it is to be told until a
//! poll or stream takes it. `state` decides what is due; `polling` and `websocket` move the bytes.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Instant,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    attachment::Carrier,
    client::Client,
    packet::{self, Kind, Packet, Wanted},
    peer::Peer,
    sessions::Sessions,
    state::{Due, State, Times},
};
use crate::{
    chat::socket::{CloseReason, Socket},
    connection::{
        channels::Channels,
        farewell::LAST_WORDS,
        flow::{Flow, Limits},
        inbox, text,
    },
    dialects::{Handler, Handshake},
    log_limit::log_limited,
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
    subscriptions: Mutex<Vec<Subscription>>,
    close_reason: OnceLock<CloseReason>,
    /// Whose packets are being taken: one request at a time, so that they stay in order.
    pub(super) posting: tokio::sync::Mutex<()>,
}

struct Subscription {
    peer: Arc<Peer>,
    /// Not opened before a client has come.
    greeted: Option<Box<dyn Handler>>,
}

impl Session {
    pub(super) fn new(sid: Box<str>, handshake: Handshake, sessions: Arc<Sessions>) -> Self {
        Self {
            sid,
            handshake,
            flow: Flow::new(sessions.shared.clone()),
            state: Mutex::new(State::new(Instant::now(), &sessions.times)),
            sessions,
            last_poll: Mutex::default(),
            changed: Notify::new(),
            stream: AtomicWaker::new(),
            subscriptions: Mutex::default(),
            close_reason: OnceLock::new(),
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

    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().has_ended()
    }

    /// The client's address.
    pub(super) fn remote(&self) -> IpAddr {
        self.handshake.remote
    }

    /// Queues a packet for the client.
    pub(super) fn send(self: &Arc<Self>, packet: String) {
        if self.has_ended() {
            return;
        }
        // Counted first: it may be taken at once.
        let fits = self.flow.queued(packet.len());
        let waiting = {
            let mut state = self.state.lock();
            state.push(packet);
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

    /// The client goes, in good order.
    pub(super) fn leave(self: &Arc<Self>) {
        self.state.lock().farewell();
        self.end();
        self.sessions.forget(self);
    }

    /// Ends the session for a reason of ours, once: the first reason counts.
    pub(super) fn close(self: &Arc<Self>, why: CloseReason) {
        if self.close_reason.set(why).is_err() {
            return;
        }
        self.sessions.shared.count_ended(why);
        if why.is_ordinary() {
            tracing::debug!(remote = %self.handshake.remote, reason = why.code(), "ending a 0.9 session");
        } else {
            log_limited!(warn, of why.code(), remote = %self.handshake.remote, reason = why.code(), "ending a 0.9 session: {}", why.message());
        }
        if !why.is_abrupt() {
            let subscriptions: Vec<_> = {
                let subscriptions = self.subscriptions.lock();
                subscriptions
                    .iter()
                    .map(|subscription| subscription.peer.clone())
                    .collect()
            };
            for peer in subscriptions {
                if let Some(close_reason) = peer.program.close_notice(why) {
                    peer.emit(close_reason.event, &close_reason.payload);
                }
            }
        }
        let kept = {
            let mut state = self.state.lock();
            if why.is_abrupt() {
                state.drop_queued();
            } else if !why.reconnect() {
                // A client that is disconnected in words, not just cut off, stays away.
                state.push(packet::DISCONNECT);
            } else if state.polls() {
                state.push(packet::NOT_HANDSHAKEN);
            }
            // Whoever is between two polls comes for its last words.
            state.is_alone() && !why.is_abrupt()
        };
        if why.reads_on() {
            return self.dismiss();
        }
        self.end();
        if !kept {
            self.sessions.forget(self);
        }
    }

    /// Ends the session for the client, and hears for a while what it said before it knew.
    fn dismiss(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.lost();
        };
        self.state.lock().end();
        self.tell_reader();
        let session = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            session.end();
            session.sessions.forget(&session);
        });
    }

    /// Sent away, but perhaps still saying something.
    pub(super) fn reads_on(&self) -> bool {
        self.close_reason().is_some_and(CloseReason::reads_on)
    }

    /// Nobody is heard any more. What was queued may still be taken.
    fn end(&self) {
        self.state.lock().end();
        let subscriptions = std::mem::take(&mut *self.subscriptions.lock());
        for subscription in subscriptions {
            subscription.part();
        }
        self.flow.look_again();
        self.tell_reader();
    }

    /// Nobody is there to be told anything, or would take it.
    pub(super) fn lost(self: &Arc<Self>) {
        self.state.lock().drop_queued();
        self.end();
        self.sessions.forget(self);
    }

    /// Does what the time has come for.
    pub(super) fn look_at(self: &Arc<Self>, now: Instant) {
        let due = self.state.lock().due(now, self.times());
        match due {
            None => {}
            Some(Due::Heartbeat) => self.tell_reader(),
            Some(due) => {
                tracing::debug!(remote = %self.handshake.remote, ?due, "a 0.9 session has ended");
                self.lost();
            }
        }
    }

    /// The client took some bytes: it lives.
    pub(super) fn is_alive(&self) {
        self.state.lock().is_alive(Instant::now());
    }
}

impl AsRef<Flow> for Session {
    fn as_ref(&self) -> &Flow {
        &self.flow
    }
}

impl Subscription {
    fn part(self) {
        // A handler that was never opened just goes.
        if self.greeted.is_none() {
            self.peer.part();
        }
    }
}
