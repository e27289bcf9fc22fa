//! One thread of load clients: an event loop over its peers that connects them, feeds their packets to the role and
//! writes what the role queues. Told what to do by the [`Swarm`](super::Swarm).

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token};

use super::peer::{Peer, State};
use super::{Progress, Role};
use crate::clock;
use crate::stats::Latencies;
use crate::wire::language::Language;
use crate::wire::packet::Packet;

pub(super) const WAKE: Token = Token(usize::MAX);
const SCRATCH: usize = 256 << 10;
const EVENTS: usize = 1024;
/// The poll waits no longer, so that overdue attempts are noticed.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// The poll's own timer has steps of a millisecond; shorter waits sleep.
const FINE_WAIT: Duration = Duration::from_millis(2);
const FINE_NAP: Duration = Duration::from_micros(500);
/// An attempt to connect that takes longer has failed.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(8);
/// Attempts per peer before it is given up.
const ATTEMPTS: u32 = 10;
/// Connections under way at a time when there is no hurry.
const UNHURRIED: usize = 32;

pub(super) enum Request<R: Role> {
    /// Connect this many more peers, few at a time.
    Connect(usize),
    /// Cut all connections at once, then connect all at once.
    Storm,
    /// Something for the role.
    Order(R::Order),
    /// Hand over what was counted, and start counting afresh.
    Collect(SyncSender<(R::Tally, Latencies)>),
    /// Cut all connections and end.
    Stop,
}

pub(super) struct Worker<R: Role> {
    pub poll: Poll,
    pub requests: Receiver<Request<R>>,
    pub server: SocketAddr,
    pub language: Language,
    pub role: R,
    pub progress: Arc<Progress>,
    /// Distinguishes the peers of this worker from those of others when source addresses are chosen.
    pub offset: usize,
    pub peers: Vec<Peer>,
    pub waiting: VecDeque<usize>,
    pub under_way: usize,
    pub at_once: usize,
    pub journeys: Latencies,
}

impl<R: Role> Worker<R> {
    pub fn run(mut self) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut scratch = vec![0; SCRATCH];
        let mut last_sweep = clock::now();
        loop {
            let wait = self.nap_until_due();
            if let Err(error) = self.poll.poll(&mut events, Some(wait)) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error).context("cannot wait for events of the load clients");
            }
            for event in &events {
                if event.token() == WAKE {
                    continue;
                }
                let index = event.token().0;
                let outcome = self.serve(
                    index,
                    event.is_writable(),
                    event.is_readable() || event.is_error(),
                    event.is_read_closed(),
                    &mut scratch,
                );
                if let Err(error) = outcome {
                    self.lose(index, &format!("{error:#}"));
                }
            }
            while let Ok(request) = self.requests.try_recv() {
                if !self.obey(request) {
                    return Ok(());
                }
            }
            let now = clock::now();
            if self.role.due().is_some_and(|due| due <= now) {
                self.role.tick(&mut self.peers, now);
                self.flush_all();
            }
            if now - last_sweep > clock::nanos(IDLE_WAIT) {
                last_sweep = now;
                self.sweep(now);
            }
            self.connect_waiting();
        }
    }

    fn nap_until_due(&self) -> Duration {
        let Some(due) = self.role.due() else {
            return IDLE_WAIT;
        };
        let left = Duration::from_nanos(due.saturating_sub(clock::now()));
        if left > FINE_WAIT {
            return (left - FINE_WAIT / 2).min(IDLE_WAIT);
        }
        clock::wait(left.min(FINE_NAP));
        Duration::ZERO
    }

    fn serve(
        &mut self,
        index: usize,
        writable: bool,
        readable: bool,
        read_closed: bool,
        scratch: &mut [u8],
    ) -> Result<()> {
        let peer = &mut self.peers[index];
        let before = peer.state;
        if writable {
            peer.on_writable().context("cannot connect or write")?;
        }
        if readable {
            let (role, language, progress) = (&mut self.role, self.language, &*self.progress);
            let now = clock::now();
            peer.on_readable(scratch, read_closed, |peer, text| {
                let joining = peer.state == State::Joining;
                let parsed = language.parse(text, joining);
                if parsed == Packet::Ping {
                    progress.pings.fetch_add(1, Relaxed);
                }
                match peer.answer(parsed)? {
                    Some(packet) => role.packet(peer, packet, now, progress)?,
                    None if joining && peer.state == State::Connected => role.joined(peer),
                    None => {}
                }
                Ok(())
            })?;
            let pings = std::mem::take(&mut peer.pings);
            self.progress.pings.fetch_add(pings, Relaxed);
            peer.flush().context("cannot write")?;
        }
        if before != State::Ready && peer.state == State::Ready {
            let journey = clock::now() - peer.journey_started;
            self.journeys.record(journey);
            self.under_way = self.under_way.saturating_sub(1);
            self.progress.ready.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn obey(&mut self, request: Request<R>) -> bool {
        match request {
            Request::Connect(count) => {
                self.at_once = UNHURRIED;
                let first = self.peers.len();
                let language = self.language;
                let peers = (first..first + count).map(|index| Peer::new(index, language));
                self.peers.extend(peers);
                self.waiting.extend(first..first + count);
            }
            Request::Storm => {
                self.at_once = usize::MAX;
                for peer in &mut self.peers {
                    if peer.state == State::Ready {
                        self.progress.ready.fetch_sub(1, Relaxed);
                    }
                    peer.cut();
                    peer.attempts = 0;
                }
                self.under_way = 0;
                self.waiting = (0..self.peers.len()).collect();
                self.progress.cuts.fetch_add(1, Relaxed);
            }
            Request::Order(order) => {
                self.role.order(order, &mut self.peers);
                self.flush_all();
            }
            Request::Collect(answer) => {
                // Who asked may have given up waiting.
                let _ = answer.send((self.role.tally(), std::mem::take(&mut self.journeys)));
            }
            Request::Stop => {
                self.peers.iter_mut().for_each(Peer::cut);
                return false;
            }
        }
        true
    }

    fn connect_waiting(&mut self) {
        let now = clock::now();
        while self.under_way < self.at_once {
            let Some(index) = self.waiting.pop_front() else {
                return;
            };
            self.under_way += 1;
            let peer = &mut self.peers[index];
            if peer.attempts == 0 {
                peer.journey_started = now;
            }
            let attempt = peer
                .connect(self.server, self.offset + index)
                .and_then(|()| {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let stream = peer.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
                    self.poll.registry().register(stream, Token(index), both)
                });
            if let Err(error) = attempt {
                peer.attempts = peer.attempts.max(1);
                self.lose(index, &format!("cannot connect: {error}"));
            }
        }
    }

    fn sweep(&mut self, now: u64) {
        for index in 0..self.peers.len() {
            if self.peers[index].is_overdue(now, ATTEMPT_LIMIT) {
                self.lose(index, &format!("not connected within {ATTEMPT_LIMIT:?}"));
            }
        }
    }

    /// A peer that was ready stays away, and is counted; one on its way tries again, a bounded number of times.
    fn lose(&mut self, index: usize, reason: &str) {
        let peer = &mut self.peers[index];
        let was_ready = peer.state == State::Ready;
        peer.cut();
        if was_ready {
            self.progress.ready.fetch_sub(1, Relaxed);
            self.progress.dropped.fetch_add(1, Relaxed);
        } else {
            self.under_way = self.under_way.saturating_sub(1);
            if peer.attempts < ATTEMPTS {
                self.progress.retries.fetch_add(1, Relaxed);
                self.waiting.push_back(index);
            } else {
                self.progress.given_up.fetch_add(1, Relaxed);
            }
        }
        self.progress.note(reason);
    }

    fn flush_all(&mut self) {
        for index in 0..self.peers.len() {
            if self.peers[index].is_flushed() {
                continue;
            }
            if let Err(error) = self.peers[index].flush() {
                self.lose(index, &format!("cannot write: {error}"));
            }
        }
    }
}
