//! One Engine.IO session: what its handshake said, what waits in both directions, and whether and
//! why it is being ended. Shared by the session's wire or polling requests and by its peers (one per
//! namespace).

use std::{
    io,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use socketioxide::{SendError, SocketError};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::{
    last_answer::LastAnswer,
    outbox::{Outbox, Packet, Queued},
    peer::Peer,
    sessions::Sessions,
};
use crate::{
    chat::socket::CloseReason,
    dialects::Handshake,
    log_limit::log_limited,
    transport::{
        channels::{Channels, Member},
        farewell::LAST_WORDS,
        flow::{Flow, Limits},
    },
};

/// Which Engine.IO protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Clients 1.x and 2.x.
    Eio3,
    /// Clients 3.x and 4.x.
    Eio4,
}

pub struct Session {
    key: u64,
    sessions: Arc<Sessions>,
    _place: OwnedSemaphorePermit,
    pub(super) protocol: Protocol,
    /// What the client said in its first request.
    pub(super) handshake: Handshake,
    sid: OnceLock<Box<str>>,
    on_websocket: AtomicBool,
    /// Its client tries a WebSocket.
    probing: AtomicBool,
    /// A poll that waits is to be answered.
    nudged: Notify,
    /// A 2.x client, which encodes text once; see `eio3`.
    pub(super) encodes_once: AtomicBool,
    pub(super) flow: Flow,
    pub(super) outbox: Outbox,
    pub(super) last_answer: LastAnswer,
    /// A request with packets is under way; Node allows one at a time.
    taking: AtomicBool,
    close_reason: OnceLock<CloseReason>,
    /// Its peers have been told close reason.
    is_told: AtomicBool,
    peers: Mutex<Vec<Weak<Peer>>>,
}

impl Session {
    pub(super) fn new(
        key: u64,
        sessions: Arc<Sessions>,
        place: OwnedSemaphorePermit,
        protocol: Protocol,
        handshake: Handshake,
    ) -> Self {
        Self {
            key,
            flow: Flow::new(sessions.shared.clone()),
            sessions,
            _place: place,
            protocol,
            handshake,
            sid: OnceLock::new(),
            on_websocket: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            nudged: Notify::new(),
            encodes_once: AtomicBool::new(false),
            outbox: Outbox::default(),
            last_answer: LastAnswer::default(),
            taking: AtomicBool::new(false),
            close_reason: OnceLock::new(),
            is_told: AtomicBool::new(false),
            peers: Mutex::default(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        self.flow.limits()
    }

    pub(super) fn channels(&self) -> &Channels<Peer> {
        &self.sessions.channels
    }

    /// Makes the session known by the id that polling requests name it with.
    pub(super) fn name(self: &Arc<Self>, sid: &str) {
        if self.sid.set(sid.into()).is_ok() {
            self.sessions.name(sid, self);
        }
    }

    pub(super) fn moved_to_websocket(&self) {
        self.on_websocket.store(true, Ordering::Relaxed);
    }

    /// The right to try a WebSocket; `None` while another one is tried, or used.
    pub(super) fn probe(self: &Arc<Self>) -> Option<Probing> {
        if self.probing.swap(true, Ordering::AcqRel) {
            return None;
        }
        let probing = Probing(self.clone());
        (!self.on_websocket.load(Ordering::Relaxed)).then_some(probing)
    }

    /// Has a poll that waits answered with nothing, or with the end where it has come.
    pub(super) fn nudge(&self) {
        self.nudged.notify_waiters();
    }

    /// Waits until a poll that waits is to be answered.
    pub(super) async fn nudged(&self) {
        let nudged = self.nudged.notified();
        if !self.is_over().is_some_and(CloseReason::reads_on) {
            nudged.await;
        }
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason.get().copied()
    }

    /// Why nothing more goes on here, once everything that is to be said has been queued.
    pub(super) fn is_over(&self) -> Option<CloseReason> {
        self.close_reason()
            .filter(|why| why.is_abrupt() || self.is_told.load(Ordering::Acquire))
    }

    /// Queues a packet for the client, of a peer that `is_in`; `by_engine` does so where its wire does not take it.
    pub(super) fn tell(
        self: &Arc<Self>,
        packet: &Packet<'_>,
        is_in: impl FnOnce() -> bool,
        by_engine: impl FnOnce() -> Result<(), SendError>,
    ) {
        // An event after the last would put off the end. Whoever comes back is told it.
        if matches!(packet, Packet::Event { .. }) && self.is_over().is_some() {
            return;
        }
        let is_in = || match is_in() {
            true => Ok(()),
            false => Err(SendError::Socket(SocketError::Closed)),
        };
        let queue = || self.outbox.queue(packet, is_in, by_engine);
        if self.queue(packet.size(), queue) == Some(Queued::First) {
            self.flow.wake();
        }
    }

    /// Counts a packet and queues it; `None` where it did not get that far.
    pub(super) fn queue<T>(
        self: &Arc<Self>,
        size: usize,
        queue: impl FnOnce() -> Result<T, SendError>,
    ) -> Option<T> {
        let fits = self.flow.queued(size);
        let queued = queue();
        if !fits {
            self.close(CloseReason::SlowPeer);
        }
        match queued {
            Ok(queued) => return Some(queued),
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                self.close(CloseReason::SlowPeer)
            }
            // The client is gone; its handler is about to be told.
            Err(SendError::Socket(SocketError::Closed)) => {}
            Err(SendError::Serialize(error)) => {
                tracing::error!(session = self.key, %error, "could not encode a packet")
            }
        }
        self.flow.taken(1);
        self.flow.sent(size);
        None
    }

    /// The engine has queued that a client is connected to a namespace: what its peer says comes after that.
    pub(super) fn connected(self: &Arc<Self>, peer: &Peer) {
        if self.outbox.mark(|| peer.mark()).is_err() {
            self.close(CloseReason::SlowPeer);
        }
    }

    /// The client has gone over to its WebSocket, and the engine's queue is read by nobody else: what it is told
    /// from now on goes past the engine.
    pub(super) fn go_direct(self: &Arc<Self>) {
        // Asked for where nobody can become one unseen, and let go of where nothing is locked.
        let mut peers = Vec::new();
        let marked = self.outbox.go_direct::<SendError>(|| {
            peers = self.peers();
            for peer in &peers {
                if peer.mark()? {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        if marked.is_err() {
            self.close(CloseReason::SlowPeer);
        }
    }

    /// Packets left the engine's queue.
    pub(super) fn taken(&self, packets: usize) {
        self.flow.taken(packets);
        if self.close_reason().is_some() {
            self.flow.wake();
        }
    }

    /// The right to hand over packets by polling; `None` while somebody else has it.
    pub(super) fn take_turn(self: &Arc<Self>) -> Option<Turn> {
        (!self.taking.swap(true, Ordering::AcqRel)).then(|| Turn(self.clone()))
    }

    pub(super) fn subscribe(&self, peer: &Arc<Peer>) {
        let mut peers = self.peers.lock();
        peers.retain(|peer| peer.strong_count() > 0);
        peers.push(Arc::downgrade(peer));
    }

    pub(super) fn peer(&self, namespace: &str) -> Option<Arc<Peer>> {
        let peers = self.peers().into_iter();
        peers.rev().find(|peer| peer.namespace() == namespace)
    }

    fn peers(&self) -> Vec<Arc<Peer>> {
        self.peers.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends the session, once: the first reason counts.
    pub(super) fn close(self: &Arc<Self>, why: CloseReason) {
        if self.close_reason.set(why).is_err() {
            return;
        }
        self.sessions.shared.count_ended(why);
        if why.is_ordinary() {
            tracing::debug!(session = self.key, remote = %self.handshake.remote, reason = why.code(), "ending a session");
        } else {
            log_limited!(warn, of why.code(), session = self.key, remote = %self.handshake.remote, reason = why.code(), "ending a session: {}", why.message());
        }
        if !why.is_abrupt() {
            for peer in self.peers() {
                peer.say_goodbye(why);
            }
        }
        self.is_told.store(true, Ordering::Release);
        self.flow.look_again();
        self.flow.wake();
        if self.on_websocket.load(Ordering::Relaxed) {
            return;
        }
        match why.reads_on() {
            true => self.dismiss(),
            false => self.close_polling(),
        }
    }

    /// Tells whoever polls that it is over, and hears for a while what the client said before it knew.
    fn dismiss(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.gone();
        };
        self.nudge();
        let session = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            // Who has gone over meanwhile is heard there.
            if !session.on_websocket.load(Ordering::Relaxed) {
                session.close_polling();
            }
        });
    }

    /// TCP gave up. Where a peer that acknowledges nothing is the cause, that is the reason: the system
    /// looks at what is under way (`TCP_USER_TIMEOUT`), and may see it before the wire does.
    pub(super) fn failed(self: &Arc<Self>, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::TimedOut {
            self.close(CloseReason::Stalled);
        }
        error
    }

    /// Has the engine end a session that lives by polling, as if its client had asked for it: there
    /// is no stream that could be cut.
    pub(super) fn close_polling(self: &Arc<Self>) {
        let (Some(sid), Ok(runtime)) = (self.sid.get(), tokio::runtime::Handle::try_current())
        else {
            return self.gone();
        };
        let closed = self.sessions.engine.close(self.protocol, sid.clone());
        let session = self.clone();
        runtime.spawn(async move {
            closed.await;
            session.gone();
        });
    }

    /// Nothing of it is left that could be asked for. The engine may hold on to it for a while.
    fn gone(&self) {
        self.sessions
            .forget(self.key, self.sid.get().map(|sid| &**sid));
    }
}

impl AsRef<Flow> for Session {
    fn as_ref(&self) -> &Flow {
        &self.flow
    }
}

/// Given back when it is dropped.
pub(super) struct Probing(Arc<Session>);

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.probing.store(false, Ordering::Release);
    }
}

/// Given back when it is dropped, with the request.
pub(super) struct Turn(Arc<Session>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.taking.store(false, Ordering::Release);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.gone();
    }
}
