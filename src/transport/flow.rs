//! How much waits on one session's way, in both directions: what was queued for its client and has
//! not gone out, and what came in and has not been dealt with. Says when to read on from a client
//! and when it takes too little; the transports act on that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

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
    /// Sessions at once, those between two polls included.
    pub sessions: usize,
    /// How long no byte at all may be accepted, and how long a request's body may take.
    pub stall: Duration,
    /// Events per second over a longer time; `None` for no limit.
    pub event_rate: Option<std::num::NonZeroU32>,
    /// How long the event rate may be exceeded.
    pub flood: Duration,
}

/// What the sessions of one transport share.
#[derive(Debug)]
pub(super) struct Shared {
    pub limits: Limits,
    /// Events of all sessions that are being dealt with.
    unheard: AtomicUsize,
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            unheard: AtomicUsize::new(0),
        })
    }

    /// Whether everything that anybody said has been dealt with.
    pub(super) fn is_quiet(&self) -> bool {
        self.unheard.load(Ordering::Acquire) == 0
    }
}

/// One session's counts.
pub(super) struct Flow {
    shared: Arc<Shared>,
    /// What waits to be sent, in bytes: in the queue and on the wire.
    backlog: AtomicUsize,
    /// What waits in the queue, in packets.
    packets: AtomicUsize,
    progress: Notify,
    unheard: AtomicUsize,
    unheard_bytes: AtomicUsize,
    wire: AtomicWaker,
    post: AtomicWaker,
}

/// Who waits to go on reading a session's bytes.
#[derive(Clone, Copy)]
pub(super) enum Reader {
    Wire,
    Post,
}

impl Flow {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            backlog: AtomicUsize::new(0),
            packets: AtomicUsize::new(0),
            progress: Notify::new(),
            unheard: AtomicUsize::new(0),
            unheard_bytes: AtomicUsize::new(0),
            wire: AtomicWaker::new(),
            post: AtomicWaker::new(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// An event or answer was queued for the client; false where more waits now than may.
    #[must_use]
    pub(super) fn queued(&self, bytes: usize) -> bool {
        self.packets.fetch_add(1, Ordering::AcqRel);
        let waiting = self.backlog.fetch_add(bytes, Ordering::AcqRel) + bytes;
        waiting <= self.limits().backlog
    }

    /// Packets left the queue. This and [`Flow::sent`] may also see handshakes, framing, pings and
    /// the like, which nobody counted when they were queued, so neither count stays above what
    /// really waits.
    pub(super) fn taken(&self, packets: usize) {
        self.lower(&self.packets, packets);
    }

    pub(super) fn has_queued_packets(&self) -> bool {
        self.packets.load(Ordering::Acquire) > 0
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
        }
    }

    fn is_half_full(&self) -> bool {
        self.backlog.load(Ordering::Acquire) > self.limits().backlog / 2
            || self.packets.load(Ordering::Acquire) > self.limits().backlog_packets / 2
    }

    /// Waits until at most half of what may be queued is, or there is nobody left to send it to.
    pub(super) async fn drained(&self, is_connected: impl Fn() -> bool) {
        let must_wait = || self.is_half_full() && is_connected();
        while must_wait() {
            let progress = self.progress.notified();
            if must_wait() {
                progress.await;
            }
        }
    }

    /// Somebody is gone, or about to be: whoever waits looks again.
    pub(super) fn look_again(&self) {
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

    fn hears_enough(&self) -> bool {
        self.unheard.load(Ordering::Acquire) >= UNHEARD_EVENTS
            || self.unheard_bytes.load(Ordering::Acquire) >= self.limits().backlog / 4
    }

    /// Has the reading side look again: at what it still has to write, too.
    pub(super) fn wake(&self) {
        self.wire.wake();
        self.post.wake();
    }
}

/// An event that came in and has not been dealt with. Counts until it is dropped.
pub(super) struct Unheard<S: AsRef<Flow>> {
    session: Arc<S>,
    size: usize,
}

impl<S: AsRef<Flow>> Unheard<S> {
    pub(super) fn new(session: Arc<S>, size: usize) -> Self {
        let flow = (*session).as_ref();
        flow.shared.unheard.fetch_add(1, Ordering::AcqRel);
        flow.unheard.fetch_add(1, Ordering::AcqRel);
        flow.unheard_bytes.fetch_add(size, Ordering::AcqRel);
        Self { session, size }
    }
}

impl<S: AsRef<Flow>> Drop for Unheard<S> {
    fn drop(&mut self) {
        let flow = (*self.session).as_ref();
        let was_enough = flow.hears_enough();
        flow.shared.unheard.fetch_sub(1, Ordering::AcqRel);
        flow.unheard.fetch_sub(1, Ordering::AcqRel);
        flow.unheard_bytes.fetch_sub(self.size, Ordering::AcqRel);
        if was_enough && !flow.hears_enough() {
            flow.wake();
        }
    }
}
