//! How much waits on one session's way, in both directions: what was queued for its client and has
//! not gone out, and what came in and has not been dealt with. Says when to read on from a client
//! and when it takes too little; the transports act on that. `pace` tells when it says too much.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::pace::Pace;
use crate::chat::socket::{Backlog, CloseReason};

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
    /// Packets from the client per second; `None` for no limit.
    pub event_rate: Option<std::num::NonZeroU32>,
    /// How long a client that sends faster may be kept waiting.
    pub flood: Duration,
}

/// What the sessions of one transport share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub limits: Limits,
    /// Events of all sessions that are being dealt with.
    unheard: AtomicUsize,
    /// How many the server ended, by reason.
    ended: [AtomicU64; CloseReason::ALL.len()],
}

impl Shared {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            unheard: AtomicUsize::new(0),
            ended: Default::default(),
        })
    }

    /// How many sessions the server ended for this reason.
    pub(crate) fn ended(&self, why: CloseReason) -> u64 {
        self.ended[why as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn count_ended(&self, why: CloseReason) {
        self.ended[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether everything that anybody said has been dealt with.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unheard.load(Ordering::Acquire) == 0
    }
}

/// One session's counts.
pub(crate) struct Flow {
    shared: Arc<Shared>,
    /// What waits to be sent, in bytes: in the queue and on the wire.
    backlog: AtomicUsize,
    /// What may wait on top of the limit, in bytes: one event that is longer.
    on_top: AtomicUsize,
    /// What waits in the queue, in packets.
    packets: AtomicUsize,
    progress: Notify,
    /// Bytes that ever went out.
    sent: AtomicU64,
    /// How many wait in [`Flow::emptied`].
    emptying: AtomicUsize,
    unheard: AtomicUsize,
    unheard_bytes: AtomicUsize,
    wire: AtomicWaker,
    post: AtomicWaker,
    pace: Pace,
}

/// Who waits to go on reading a session's bytes.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    Wire,
    Post,
}

impl Flow {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            backlog: AtomicUsize::new(0),
            on_top: AtomicUsize::new(0),
            packets: AtomicUsize::new(0),
            progress: Notify::new(),
            sent: AtomicU64::new(0),
            emptying: AtomicUsize::new(0),
            unheard: AtomicUsize::new(0),
            unheard_bytes: AtomicUsize::new(0),
            wire: AtomicWaker::new(),
            post: AtomicWaker::new(),
            pace: Pace::default(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// An event or answer is about to be queued for the client; false where more packets or bytes wait now than may.
    /// Counted before it is queued: it may be on its way out before the caller goes on.
    #[must_use]
    pub(crate) fn queued(&self, bytes: usize) -> bool {
        let packets = self.packets.fetch_add(1, Ordering::AcqRel) + 1;
        let before = self.backlog.fetch_add(bytes, Ordering::AcqRel);
        self.may_wait(before, before + bytes) && packets <= self.limits().backlog_packets
    }

    /// Whether so many bytes may wait where it were so many before. What finds no more than half of the backlog is taken
    /// whatever its size, and until it is gone what follows may wait besides: in a dialect's words a message may be
    /// several times as long as when it came, and a reader that is cut off for one message would be cut off for it each
    /// time it comes back.
    pub(crate) fn may_wait(&self, before: usize, now: usize) -> bool {
        let most = self.limits().backlog;
        if now > most && before <= most / 2 {
            self.on_top.fetch_max(now - before, Ordering::AcqRel);
        }
        now <= most + self.on_top.load(Ordering::Acquire)
    }

    /// Packets left the queue. This and [`Flow::sent`] may also see handshakes, framing, pings and
    /// the like, which nobody counted when they were queued, so neither count stays above what
    /// really waits.
    pub(crate) fn taken(&self, packets: usize) {
        self.lower(&self.packets, packets, self.limits().backlog_packets / 2);
    }

    /// Bytes went out.
    pub(crate) fn sent(&self, bytes: usize) {
        let half = self.limits().backlog / 2;
        self.sent.fetch_add(bytes as u64, Ordering::SeqCst);
        self.lower(&self.backlog, bytes, half);
        if self.emptying.load(Ordering::SeqCst) > 0 {
            self.progress.notify_waiters();
        }
        if self.on_top.load(Ordering::Acquire) > 0 && self.backlog.load(Ordering::Acquire) <= half {
            self.on_top.store(0, Ordering::Release);
        }
    }

    fn lower(&self, count: &AtomicUsize, by: usize, half: usize) {
        let lowered = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
            Some(waiting.saturating_sub(by))
        });
        // Told by this very change of the count: between two looks at it somebody else may raise it
        // and begin to wait. Whoever is woken looks at the other count too.
        if lowered.is_ok_and(|before| before > half && before.saturating_sub(by) <= half) {
            self.progress.notify_waiters();
            self.wake();
        }
    }

    fn is_half_full(&self) -> bool {
        self.backlog.load(Ordering::Acquire) > self.limits().backlog / 2
            || self.packets.load(Ordering::Acquire) > self.limits().backlog_packets / 2
    }

    /// How much is queued and not sent yet.
    pub(crate) fn backlog(&self) -> Backlog {
        Backlog {
            bytes: self.backlog.load(Ordering::Acquire),
            is_half_full: self.is_half_full(),
        }
    }

    /// Waits until at most half of what may be queued is, or there is nobody left to send it to.
    pub(crate) async fn drained(&self, is_connected: impl Fn() -> bool) {
        self.wait_while(|| self.is_half_full() && is_connected())
            .await;
    }

    /// Waits until all that is queued now has been sent, or there is nobody left to send it to.
    pub(crate) async fn emptied(&self, is_connected: impl Fn() -> bool) {
        let _waiting = Waiting::new(&self.emptying);
        let waits = self.backlog.load(Ordering::Acquire) as u64;
        let all = self.sent.load(Ordering::SeqCst) + waits;
        // What is queued meanwhile may keep the queue from ever being empty.
        let is_sent =
            || self.sent.load(Ordering::SeqCst) >= all || self.backlog.load(Ordering::Acquire) == 0;
        self.wait_while(|| !is_sent() && is_connected()).await;
    }

    async fn wait_while(&self, must_wait: impl Fn() -> bool) {
        while must_wait() {
            let progress = self.progress.notified();
            if must_wait() {
                progress.await;
            }
        }
    }

    /// Somebody is gone, or about to be: whoever waits looks again.
    pub(crate) fn look_again(&self) {
        self.progress.notify_waiters();
    }

    /// A packet of the client's, of any kind, is about to be read; false where it has been sending too
    /// fast for too long.
    #[must_use]
    pub(crate) fn came(&self) -> bool {
        let limits = self.limits();
        limits
            .event_rate
            .is_none_or(|rate| self.pace.count(rate, limits.flood))
    }

    /// The client was sent what makes it send so many packets, an answer above all: they do not count against its rate.
    pub(crate) fn asked(&self, packets: u32) {
        if self.limits().event_rate.is_some() && self.pace.allow(packets) {
            self.wake();
        }
    }

    /// Nothing more has come: the client is not ahead of its time.
    pub(crate) fn caught_up(&self) {
        self.pace.caught_up();
    }

    /// Has whatever [`Flow::wake`] tells of told to this reader, too.
    pub(crate) fn wake_me(&self, reader: Reader, waker: &Waker) {
        match reader {
            Reader::Wire => self.wire.register(waker),
            Reader::Post => self.post.register(waker),
        }
    }

    /// Whether the next packet of the client's may be read: not while much of what it said is still
    /// unheard, nor while it leaves much of what it was told unread, nor before the packet's time. If
    /// not, `waker` is woken when it may.
    pub(crate) fn may_read(&self, reader: Reader, waker: &Waker) -> bool {
        // Registered first: what happens between the check and the registration is not missed.
        self.wake_me(reader, waker);
        !self.hears_enough() && !self.is_half_full() && self.is_time(reader, waker)
    }

    fn is_time(&self, reader: Reader, waker: &Waker) -> bool {
        self.limits()
            .event_rate
            .is_none_or(|rate| self.pace.may_read(rate, reader as usize, waker))
    }

    /// Whether much of what the client said is still unheard.
    pub(crate) fn hears_enough(&self) -> bool {
        self.unheard.load(Ordering::Acquire) >= UNHEARD_EVENTS
            || self.unheard_bytes.load(Ordering::Acquire) >= self.unheard_bytes_limit()
    }

    fn unheard_bytes_limit(&self) -> usize {
        self.limits().backlog / 4
    }

    /// Has the reading side look again: at what it still has to write, too.
    pub(crate) fn wake(&self) {
        self.wire.wake();
        self.post.wake();
    }
}

/// Somebody waits; counts until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        // Either this waiter sees what was sent, or the sender sees that somebody waits.
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An event that came in and has not been dealt with. Counts until it is dropped.
pub(crate) struct Unheard<S: AsRef<Flow>> {
    session: Arc<S>,
    size: usize,
}

impl<S: AsRef<Flow>> Unheard<S> {
    pub(crate) fn new(session: Arc<S>, size: usize) -> Self {
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
        flow.shared.unheard.fetch_sub(1, Ordering::AcqRel);
        let events = flow.unheard.fetch_sub(1, Ordering::AcqRel);
        let bytes = flow.unheard_bytes.fetch_sub(self.size, Ordering::AcqRel);
        let enough = flow.unheard_bytes_limit();
        // As in `Flow::lower`.
        if events == UNHEARD_EVENTS || (bytes >= enough && bytes - self.size < enough) {
            flow.wake();
        }
    }
}

#[cfg(test)]
mod tests;
