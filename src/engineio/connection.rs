//! One connection: what its handshake said, its protocol's state, how much waits, and whether and why the server
//! ends it. Its polling requests or its WebSocket share it with whoever takes its messages.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use engineioxide_core::{Packet, Str};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::{
    Receive, Timing,
    connections::Connections,
    last_answer::LastAnswer,
    request::{Protocol, Transport},
    state::{Due, Received, State, size},
};
use crate::{
    chat::socket::CloseReason,
    connection::{
        closing::CLOSE_GRACE,
        flow::{Flow, Limits},
    },
    dialects::Handshake,
    log_limit::log_limited,
};

/// What Engine.IO carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(Str),
    Binary(Bytes),
}

/// One client, from its handshake to its end.
pub struct Connection {
    sid: Arc<str>,
    connections: Arc<Connections>,
    protocol: Protocol,
    /// Its client could not read binary when it connected.
    pub(super) base64: bool,
    /// What the client said in its first request.
    pub handshake: Handshake,
    pub(super) flow: Flow,
    pub(super) state: Mutex<State>,
    /// The poll that waits for packets.
    pub(super) poll: AtomicWaker,
    pub(super) last_answer: LastAnswer,
    /// A 2.x client, which encodes text once; see `eio3`.
    pub(super) encodes_once: AtomicBool,
    close_reason: OnceLock<CloseReason>,
    /// Everything that is to be said at the end has been queued.
    has_sent_notice: AtomicBool,
    receiver: OnceLock<Box<dyn Receive>>,
}

impl Connection {
    pub(super) fn new(
        sid: Arc<str>,
        connections: Arc<Connections>,
        (protocol, transport, base64): (Protocol, Transport, bool),
        handshake: Handshake,
    ) -> Self {
        Self {
            sid,
            protocol,
            base64,
            handshake,
            flow: Flow::new(connections.shared.clone()),
            state: Mutex::new(State::new(
                protocol,
                transport,
                connections.timing,
                Instant::now(),
            )),
            connections,
            poll: AtomicWaker::new(),
            last_answer: LastAnswer::default(),
            encodes_once: AtomicBool::new(false),
            close_reason: OnceLock::new(),
            has_sent_notice: AtomicBool::new(false),
            receiver: OnceLock::new(),
        }
    }

    /// Its secret id: whoever has it can poll in the client's place.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.connections.timing
    }

    pub fn limits(&self) -> &Limits {
        self.flow.limits()
    }

    /// How much waits in both directions.
    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Why the server ends it, if it does.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason.get().copied()
    }

    /// Why nothing more goes on here, once everything that is to be said has been queued.
    pub(crate) fn is_ending(&self) -> Option<CloseReason> {
        self.close_reason()
            .filter(|why| why.is_abrupt() || self.has_sent_notice.load(Ordering::Acquire))
    }

    pub fn is_over(&self) -> bool {
        self.state.lock().is_over()
    }

    pub(super) fn transport(&self) -> Transport {
        self.state.lock().transport()
    }

    pub(super) fn polls(&self) -> bool {
        self.transport() == Transport::Polling
    }

    /// The client is taken in: it does not lose its place for not having joined.
    pub fn joined(&self) {
        self.state.lock().joined();
    }

    /// Queues a message; see [`Connection::send_all`].
    pub fn send(self: &Arc<Self>, message: Message) {
        self.send_all(std::iter::once(message), || true);
    }

    /// Queues messages, with nothing between them, and never waits. Nothing is queued where `applies` is false when
    /// they take their place. A client for whom more waits than may is cut off.
    pub fn send_all(
        self: &Arc<Self>,
        messages: impl Iterator<Item = Message>,
        applies: impl FnOnce() -> bool,
    ) {
        let (mut fits, mut is_first) = (true, false);
        {
            let mut state = self.state.lock();
            if state.is_over() || !applies() {
                return;
            }
            for message in messages {
                let packet = self.packet(message);
                is_first |= state.is_empty();
                fits &= self.flow.queued(size(&packet));
                state.push(packet);
            }
        }
        if !fits {
            self.close(CloseReason::SlowPeer);
        } else if is_first {
            self.wake();
        }
    }

    fn packet(&self, message: Message) -> Packet {
        match (message, self.protocol) {
            (Message::Text(text), _) => Packet::Message(text),
            (Message::Binary(data), Protocol::Eio3) => Packet::BinaryV3(data),
            (Message::Binary(data), Protocol::Eio4) => Packet::Binary(data),
        }
    }

    /// Has whoever moves its bytes look again.
    pub(super) fn wake(&self) {
        self.poll.wake();
        self.flow.wake();
    }

    /// Gives its messages to this from now on.
    pub(super) fn open(self: &Arc<Self>, receiver: Box<dyn Receive>) {
        let receiver = self.receiver.get_or_init(|| receiver);
        receiver.opened(self);
    }

    /// Deals with a packet of the client's; `None` is one that could not be read. False once nothing more is to
    /// be read.
    pub(super) fn receive(self: &Arc<Self>, packet: Option<Packet>) -> bool {
        let received = match packet {
            Some(packet) => self.state.lock().receive(packet, Instant::now()),
            None => Received::Invalid,
        };
        match received {
            Received::Message(message) => {
                // Whoever broke the rules is not heard any more.
                let is_heard = self.close_reason().is_none_or(CloseReason::reads_on);
                if let Some(receiver) = self.receiver.get().filter(|_| is_heard) {
                    receiver.message(self, message);
                }
            }
            Received::Queued => self.wake(),
            Received::Nothing => {}
            Received::Left => {
                self.end();
                return false;
            }
            Received::Invalid => {
                self.close(CloseReason::BadPacket);
                return false;
            }
        }
        self.close_reason().is_none_or(CloseReason::reads_on)
    }

    /// Has a poll that waits answered.
    pub(super) fn release_poll(&self) {
        self.state.lock().release_poll();
        self.poll.wake();
    }

    /// Does what the time has come for, and says when there is more; `None` when there never will be.
    pub(super) fn look(self: &Arc<Self>) -> Option<Instant> {
        loop {
            let due = self.state.lock().due(Instant::now());
            match due {
                Due::At(next) => return Some(next),
                Due::Ping => self.wake(),
                Due::Gone => {
                    tracing::debug!(remote = %self.handshake.remote, "a client is gone, or has not joined in time");
                    self.end();
                    return None;
                }
                Due::Never => return None,
            }
        }
    }

    /// Ends the connection, once: the first reason counts. What is queued is still sent unless the reason is
    /// abrupt.
    pub fn close(self: &Arc<Self>, why: CloseReason) {
        if self.is_over() || self.close_reason.set(why).is_err() {
            return;
        }
        self.connections.shared.count_ended(why);
        let remote = self.handshake.remote;
        if why.is_ordinary() {
            tracing::debug!(%remote, reason = why.code(), "ending a session");
        } else {
            log_limited!(warn, of why.code(), %remote, reason = why.code(), "ending a session: {}", why.message());
        }
        if let Some(receiver) = self.receiver.get().filter(|_| !why.is_abrupt()) {
            receiver.closing(self, why);
        }
        self.has_sent_notice.store(true, Ordering::Release);
        self.state.lock().close();
        self.flow.look_again();
        self.wake();
        if self.transport() == Transport::Polling {
            match why.is_abrupt() {
                true => self.end(),
                false => self.end_soon(),
            }
        }
    }

    /// Gives a client that polls the time to fetch what is queued, and to be heard where it may be.
    fn end_soon(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.end();
        };
        let connection = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(CLOSE_GRACE).await;
            // Who has gone over meanwhile is told and heard there.
            if connection.transport() == Transport::Polling {
                connection.end();
            }
        });
    }

    /// Nothing more goes in or out.
    pub(super) fn end(&self) {
        {
            let mut state = self.state.lock();
            if state.is_over() {
                return;
            }
            state.end();
        }
        self.connections.remove(&self.sid);
        if let Some(receiver) = self.receiver.get() {
            receiver.closed();
        }
        self.flow.look_again();
        self.wake();
    }
}

impl AsRef<Flow> for Connection {
    fn as_ref(&self) -> &Flow {
        &self.flow
    }
}
