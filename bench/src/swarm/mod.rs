//! Many clients over WebSocket, on a few threads: what every scenario loads a server with.
//! A [`Role`] says what the clients do; [`Swarm`] is the handle by which a scenario leads them.

mod peer;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::{Poll, Waker};
use parking_lot::Mutex;

pub use self::peer::{Peer, dial};
use self::worker::{Request, WAKE, Worker};
use crate::clock;
use crate::stats::Latencies;
use crate::wire::language::Language;
use crate::wire::packet::Packet;

const LOOK: Duration = Duration::from_millis(2);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const REASONS: usize = 20;
/// Requests to one worker that it may not have looked at yet.
const REQUESTS: usize = 64;

/// What the peers of one worker do once they are connected. Each worker has its own.
pub trait Role: Send + 'static {
    /// What a scenario may tell it.
    type Order: Send;
    /// What it has counted.
    type Tally: Send;

    /// A peer has arrived: its CONNECT was acknowledged, or it was told the history.
    fn joined(&mut self, peer: &mut Peer);
    /// A packet for a peer has come in at `now`.
    fn packet(
        &mut self,
        peer: &mut Peer,
        packet: Packet<'_>,
        now: u64,
        progress: &Progress,
    ) -> Result<()>;
    /// Carries out an order.
    fn order(&mut self, order: Self::Order, peers: &mut [Peer]);
    /// Hands over what was counted and starts afresh.
    fn tally(&mut self) -> Self::Tally;
    /// When [`Role::tick`] is wanted next.
    fn due(&self) -> Option<u64> {
        None
    }
    /// Does what is due at `now`.
    fn tick(&mut self, _peers: &mut [Peer], _now: u64) {}
}

/// What the workers report all the time.
#[derive(Default)]
pub struct Progress {
    /// Peers that are as the scenario wants them.
    pub ready: AtomicUsize,
    /// Peers that were ready and lost their connection.
    pub dropped: AtomicUsize,
    /// Attempts to connect that failed and were repeated.
    pub retries: AtomicUsize,
    /// Peers that failed to connect too often.
    pub given_up: AtomicUsize,
    /// Pings answered.
    pub pings: AtomicUsize,
    /// Workers that have cut all their connections, over all storms.
    pub cuts: AtomicUsize,
    /// What the role counts towards an end the scenario waits for.
    pub done: AtomicU64,
    /// What the role still expects the server to deliver.
    pub owed: AtomicI64,
    reasons: Mutex<BTreeMap<String, usize>>,
}

impl Progress {
    fn note(&self, reason: &str) {
        let mut reasons = self.reasons.lock();
        if let Some(count) = reasons.get_mut(reason) {
            *count += 1;
        } else if reasons.len() < REASONS {
            reasons.insert(reason.to_owned(), 1);
        }
    }

    /// Why connections ended or failed, the most frequent first.
    pub fn reasons(&self) -> String {
        let reasons = self.reasons.lock();
        let mut sorted: Vec<_> = reasons.iter().collect();
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let texts: Vec<_> = sorted
            .iter()
            .map(|(reason, count)| format!("{count} × {reason}"))
            .collect();
        texts.join("; ")
    }
}

/// Leads the workers. Dropping it cuts all connections.
pub struct Swarm<R: Role> {
    pub progress: Arc<Progress>,
    workers: Vec<Lead<R>>,
    size: usize,
}

/// The handle on one worker.
struct Lead<R: Role> {
    requests: mpsc::SyncSender<Request<R>>,
    waker: Waker,
    thread: JoinHandle<Result<()>>,
}

impl<R: Role> Swarm<R> {
    /// Starts one worker per role, with no peers yet.
    pub fn start(
        server: SocketAddr,
        language: Language,
        roles: impl IntoIterator<Item = R>,
    ) -> Result<Self> {
        let progress = Arc::new(Progress::default());
        let mut workers = Vec::new();
        for (offset, role) in roles.into_iter().enumerate() {
            let poll = Poll::new().context("cannot make a poll for load clients")?;
            let waker = Waker::new(poll.registry(), WAKE).context("cannot make a waker")?;
            let (sender, receiver) = mpsc::sync_channel(REQUESTS);
            let worker = Worker {
                poll,
                requests: receiver,
                server,
                language,
                role,
                progress: progress.clone(),
                offset,
                peers: Vec::new(),
                waiting: VecDeque::new(),
                under_way: 0,
                at_once: 0,
                journeys: Latencies::default(),
            };
            let thread = thread::Builder::new()
                .name(format!("load-{offset}"))
                .spawn(|| worker.run())
                .context("cannot start a thread of load clients")?;
            workers.push(Lead {
                requests: sender,
                waker,
                thread,
            });
        }
        let size = 0;
        Ok(Self {
            progress,
            workers,
            size,
        })
    }

    /// How many peers there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Connects `count` more peers and waits until all are ready.
    pub fn connect(&mut self, count: usize, limit: Duration) -> Result<()> {
        let workers = self.workers.len();
        self.size += count;
        self.request(|index| {
            Request::Connect(count / workers + usize::from(index < count % workers))
        })?;
        self.wait_ready(limit)
    }

    /// Cuts all connections at once and has all connect again at once; returns when the last was cut.
    pub fn storm(&self) -> Result<Instant> {
        let goal = self.progress.cuts.load(Relaxed) + self.workers.len();
        self.request(|_| Request::Storm)?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        while self.progress.cuts.load(Relaxed) < goal {
            if Instant::now() > deadline {
                bail!("load clients did not cut their connections within {ANSWER_LIMIT:?}");
            }
            thread::yield_now();
        }
        Ok(Instant::now())
    }

    /// Waits until all peers are ready; an error says how many are and what ailed the others.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let ready = self.progress.ready.load(Relaxed);
            if ready == self.size {
                return Ok(());
            }
            let given_up = self.progress.given_up.load(Relaxed);
            if given_up > 0 || Instant::now() > deadline {
                bail!(
                    "{ready} of {} clients connected within {limit:?}; {}",
                    self.size,
                    self.progress.reasons()
                );
            }
            clock::wait(LOOK);
        }
    }

    /// Waits until the role has counted up to `goal` or the time is over; says whether it has.
    pub fn wait_done(&self, goal: u64, limit: Duration) -> bool {
        wait(limit, || self.progress.done.load(Relaxed) >= goal)
    }

    /// Waits until the server owes nothing or the time is over; says whether it does not.
    pub fn wait_settled(&self, limit: Duration) -> bool {
        wait(limit, || self.progress.owed.load(Relaxed) <= 0)
    }

    /// Gives each worker's role an order; `order` is asked with the worker's number.
    pub fn order(&self, mut order: impl FnMut(usize) -> R::Order) -> Result<()> {
        self.request(|index| Request::Order(order(index)))
    }

    /// What each worker has counted, and how long peers took from the first attempt to being ready.
    pub fn collect(&self) -> Result<(Vec<R::Tally>, Latencies)> {
        let (sender, answers) = mpsc::sync_channel(self.workers.len());
        self.request(|_| Request::Collect(sender.clone()))?;
        let mut journeys = Latencies::default();
        let tallies = self
            .workers
            .iter()
            .map(|_| {
                let (tally, theirs) = answers
                    .recv_timeout(ANSWER_LIMIT)
                    .context("a thread of load clients does not answer")?;
                journeys.merge(&theirs);
                Ok(tally)
            })
            .collect::<Result<_>>()?;
        Ok((tallies, journeys))
    }

    fn request(&self, mut request: impl FnMut(usize) -> Request<R>) -> Result<()> {
        for (index, lead) in self.workers.iter().enumerate() {
            if lead.requests.send(request(index)).is_err() {
                bail!("thread {index} of the load clients has ended");
            }
            lead.waker
                .wake()
                .context("cannot wake a thread of load clients")?;
        }
        Ok(())
    }
}

fn wait(limit: Duration, is_over: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !is_over() {
        if Instant::now() > deadline {
            return false;
        }
        clock::wait(LOOK);
    }
    true
}

impl<R: Role> Drop for Swarm<R> {
    fn drop(&mut self) {
        // A worker that has ended already has nothing left to stop.
        let _ = self.request(|_| Request::Stop);
        for lead in self.workers.drain(..) {
            match lead.thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("bench: {error:#}"),
                Err(_) => eprintln!("bench: a thread of load clients panicked"),
            }
        }
    }
}
