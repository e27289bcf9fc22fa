//! One Engine.IO session: what its handshake said, what waits in both directions, and whether and
//! why it is being ended. Shared by the session's wire or polling requests and by its peers (one per
//! namespace).

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{peer::Peer, service::Engine};
use crate::chat::peer::Goodbye;

/// Events that may wait to be dealt with before a session's bytes are left unread. What was read already
/// still comes in, so the queue holds at most what one read brings on top.
const UNHEARD_EVENTS: usize = 256;

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest message, bytes.
    pub message: usize,
    /// Largest body of a request, which may hold several messages, bytes.
    pub payload: usize,
    /// What may wait to be sent, bytes.
    pub backlog: usize,
    /// What may wait to be sent, packets.
    pub backlog_packets: usize,
    /// How long no byte at all may be accepted.
    pub stall: Duration,
    /// Events per second over a longer time; `None` for no limit.
    pub event_rate: Option<std::num::NonZeroU32>,
    /// How long the event rate may be exceeded.
    pub flood: Duration,
}

/// Which Engine.IO protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Clients 1.x and 2.x.
    Eio3,
    /// Clients 3.x and 4.x.
    Eio4,
}

/// All sessions of this process.
pub struct Sessions {
    pub(super) limits: Limits,
    engine: Engine,
    /// Those that began with polling, by their Engine.IO id.
    by_sid: Mutex<HashMap<Box<str>, Weak<Session>>>,
    all: Mutex<HashMap<u64, Weak<Session>>>,
    next: AtomicU64,
    /// Events of all sessions that are being dealt with.
    unheard: AtomicUsize,
    ended: [AtomicU64; Goodbye::ALL.len()],
}

pub struct Session {
    key: u64,
    sessions: Arc<Sessions>,
    pub(super) protocol: Protocol,
    pub(super) remote: IpAddr,
    pub(super) query: Box<str>,
    sid: OnceLock<Box<str>>,
    on_websocket: AtomicBool,
    /// A 2.x client, which encodes text once; see `eio3`.
    pub(super) encodes_once: AtomicBool,
    /// What waits to be sent, in bytes: in the engine's queue and on the wire.
    backlog: AtomicUsize,
    /// What waits in the engine's queue, in packets.
    packets: AtomicUsize,
    progress: Notify,
    unheard: AtomicUsize,
    unheard_bytes: AtomicUsize,
    /// A request with packets is under way; Node allows one at a time.
    taking: AtomicBool,
    wire: AtomicWaker,
    post: AtomicWaker,
    goodbye: OnceLock<Goodbye>,
    /// The goodbyes of all peers are in the engine's queue.
    told: AtomicBool,
    peers: Mutex<Vec<Weak<Peer>>>,
}

/// Who waits to go on reading a session's bytes.
#[derive(Clone, Copy)]
pub(super) enum Reader {
    Wire,
    Post,
}

impl Sessions {
    pub(super) fn new(engine: Engine, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            engine,
            by_sid: Mutex::default(),
            all: Mutex::default(),
            next: AtomicU64::new(0),
            unheard: AtomicUsize::new(0),
            ended: Default::default(),
        })
    }

    pub(super) fn begin(
        self: &Arc<Self>,
        protocol: Protocol,
        remote: IpAddr,
        query: &str,
    ) -> Arc<Session> {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session {
            key,
            sessions: self.clone(),
            protocol,
            remote,
            query: query.into(),
            sid: OnceLock::new(),
            on_websocket: AtomicBool::new(false),
            encodes_once: AtomicBool::new(false),
            backlog: AtomicUsize::new(0),
            packets: AtomicUsize::new(0),
            progress: Notify::new(),
            unheard: AtomicUsize::new(0),
            unheard_bytes: AtomicUsize::new(0),
            taking: AtomicBool::new(false),
            wire: AtomicWaker::new(),
            post: AtomicWaker::new(),
            goodbye: OnceLock::new(),
            told: AtomicBool::new(false),
            peers: Mutex::default(),
        });
        self.all.lock().insert(key, Arc::downgrade(&session));
        session
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<Session>> {
        self.by_sid.lock().get(sid)?.upgrade()
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// Whether nobody is connected and everything that anybody said has been dealt with.
    pub(super) fn are_quiet(&self) -> bool {
        self.count() == 0 && self.unheard.load(Ordering::Acquire) == 0
    }

    /// How many sessions the server ended for this reason.
    pub fn ended(&self, why: Goodbye) -> u64 {
        self.ended[why as usize].load(Ordering::Relaxed)
    }

    /// Ends every session.
    pub(super) fn close_all(&self, why: Goodbye) {
        let all: Vec<_> = self.all.lock().values().filter_map(Weak::upgrade).collect();
        for session in all {
            session.close(why);
        }
    }
}

impl Session {
    pub(super) fn limits(&self) -> &Limits {
        &self.sessions.limits
    }

    /// Makes the session known by the id that polling requests name it with.
    pub(super) fn name(self: &Arc<Self>, sid: &str) {
        if self.sid.set(sid.into()).is_ok() {
            self.sessions
                .by_sid
                .lock()
                .insert(sid.into(), Arc::downgrade(self));
        }
    }

    pub(super) fn moved_to_websocket(&self) {
        self.on_websocket.store(true, Ordering::Relaxed);
    }

    pub(super) fn goodbye(&self) -> Option<Goodbye> {
        self.goodbye.get().copied()
    }

    /// Whether the client's last words have left the engine's queue.
    pub(super) fn has_said_goodbye(&self) -> bool {
        self.told.load(Ordering::Acquire) && self.packets.load(Ordering::Acquire) == 0
    }

    /// An event or answer was queued for the client.
    pub(super) fn queued(self: &Arc<Self>, bytes: usize) {
        self.packets.fetch_add(1, Ordering::AcqRel);
        let waiting = self.backlog.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if waiting > self.limits().backlog {
            self.close(Goodbye::SlowPeer);
        }
    }

    /// Packets left the engine's queue. This and [`Session::sent`] also see handshakes, framing, pings
    /// and the like, which nobody counted when they were queued, so neither count stays above what
    /// really waits.
    pub(super) fn taken(&self, packets: usize) {
        self.lower(&self.packets, packets);
    }

    /// Bytes went out.
    pub(super) fn sent(&self, bytes: usize) {
        self.lower(&self.backlog, bytes);
    }

    fn lower(&self, count: &AtomicUsize, by: usize) {
        let was_half_full = self.is_half_full();
        let _ = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
            Some(waiting.saturating_sub(by))
        });
        if was_half_full && !self.is_half_full() {
            self.progress.notify_waiters();
            self.wake();
        } else if self.goodbye().is_some() {
            self.wake();
        }
    }

    fn is_half_full(&self) -> bool {
        self.backlog.load(Ordering::Acquire) > self.limits().backlog / 2
            || self.packets.load(Ordering::Acquire) > self.limits().backlog_packets / 2
    }

    /// Waits until at most half of what may be queued is, or the session is ended, or whoever waits is
    /// `gone`.
    pub(super) async fn drained(&self, gone: &AtomicBool) {
        let waits =
            || self.is_half_full() && self.goodbye().is_none() && !gone.load(Ordering::Acquire);
        while waits() {
            let progress = self.progress.notified();
            if waits() {
                progress.await;
            }
        }
    }

    /// A peer is gone: it waits for nothing any more.
    pub(super) fn release(&self, gone: &AtomicBool) {
        gone.store(true, Ordering::Release);
        self.progress.notify_waiters();
    }

    /// Whether more may be read from the client: not while much of what it said is still unheard, nor
    /// while it leaves much of what it was told unread. If not, `waker` is woken when it may.
    pub(super) fn may_read(&self, reader: Reader, waker: &Waker) -> bool {
        let slot = match reader {
            Reader::Wire => &self.wire,
            Reader::Post => &self.post,
        };
        // Registered first: what happens between the check and the registration is not missed.
        slot.register(waker);
        !self.hears_enough() && !self.is_half_full()
    }

    /// The right to hand over packets by polling; `None` while somebody else has it.
    pub(super) fn take_turn(self: &Arc<Self>) -> Option<Turn> {
        (!self.taking.swap(true, Ordering::AcqRel)).then(|| Turn(self.clone()))
    }

    /// An event came in. It counts until what this returns is dropped.
    pub(super) fn arrived(self: &Arc<Self>, size: usize) -> Unheard {
        self.sessions.unheard.fetch_add(1, Ordering::AcqRel);
        self.unheard.fetch_add(1, Ordering::AcqRel);
        self.unheard_bytes.fetch_add(size, Ordering::AcqRel);
        Unheard {
            session: self.clone(),
            size,
        }
    }

    fn hears_enough(&self) -> bool {
        self.unheard.load(Ordering::Acquire) >= UNHEARD_EVENTS
            || self.unheard_bytes.load(Ordering::Acquire) >= self.limits().backlog / 4
    }

    /// Has the reading side look again: at what it still has to write, too.
    pub(super) fn wake(&self) {
        self.wire.wake();
        self.post.wake();
    }

    pub(super) fn seat(&self, peer: &Arc<Peer>) {
        let mut peers = self.peers.lock();
        peers.retain(|peer| peer.strong_count() > 0);
        peers.push(Arc::downgrade(peer));
    }

    pub(super) fn peer(&self, namespace: &str) -> Option<Arc<Peer>> {
        self.peers
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .rfind(|peer| peer.namespace() == namespace)
    }

    /// Ends the session, once: the first reason counts.
    pub(super) fn close(self: &Arc<Self>, why: Goodbye) {
        if self.goodbye.set(why).is_err() {
            return;
        }
        self.sessions.ended[why as usize].fetch_add(1, Ordering::Relaxed);
        if why == Goodbye::Shutdown {
            tracing::debug!(session = self.key, remote = %self.remote, reason = why.code(), "ending a session");
        } else {
            tracing::warn!(session = self.key, remote = %self.remote, reason = why.code(), "ending a session: {}", why.message());
        }
        if !why.is_abrupt() {
            let peers: Vec<_> = self.peers.lock().iter().filter_map(Weak::upgrade).collect();
            for peer in peers {
                peer.say_goodbye(why);
            }
        }
        self.told.store(true, Ordering::Release);
        self.progress.notify_waiters();
        self.wake();
        if !self.on_websocket.load(Ordering::Relaxed) {
            self.close_polling();
        }
    }

    /// TCP gave up. Where a peer that acknowledges nothing is the cause, that is the reason: the system
    /// looks at what is under way (`TCP_USER_TIMEOUT`), and may see it before the wire does.
    pub(super) fn failed(self: &Arc<Self>, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::TimedOut {
            self.close(Goodbye::Stalled);
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
        self.sessions.all.lock().remove(&self.key);
        if let Some(sid) = self.sid.get() {
            self.sessions.by_sid.lock().remove(sid);
        }
    }
}

/// An event that came in and has not been dealt with.
pub(super) struct Unheard {
    session: Arc<Session>,
    size: usize,
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let session = &self.session;
        let was_enough = session.hears_enough();
        session.sessions.unheard.fetch_sub(1, Ordering::AcqRel);
        session.unheard.fetch_sub(1, Ordering::AcqRel);
        session.unheard_bytes.fetch_sub(self.size, Ordering::AcqRel);
        if was_enough && !session.hears_enough() {
            session.wake();
        }
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
