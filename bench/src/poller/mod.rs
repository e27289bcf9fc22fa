//! Many clients that poll, of Socket.IO 0.9 or of Engine.IO 4, on a few threads. Each asks, reads the answer, and asks
//! again at once, on one connection that it keeps. `swarm` is the same for WebSockets.

mod client;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

use self::worker::Worker;
use crate::clock;
use crate::stats::Latencies;

const LOOK: Duration = Duration::from_millis(2);

/// What the clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// Socket.IO 0.9, xhr-polling.
    Legacy,
    /// Engine.IO 4, polling.
    Current,
}

/// What all clients have counted.
#[derive(Default)]
pub struct Counts {
    /// Clients that are connected.
    pub ready: AtomicUsize,
    /// Polls that were answered.
    pub polls: AtomicU64,
    /// Messages of the current run.
    pub messages: AtomicU64,
    /// Messages that came before or after their place, or twice.
    pub disordered: AtomicU64,
    /// Answers that say that the server does not know the session.
    pub unknown: AtomicU64,
    /// Clients that lost their connection, or were answered with something else that is no packet.
    pub dropped: AtomicUsize,
    /// The run that counts.
    pub run: AtomicU32,
    /// Why the first of them was dropped.
    pub reason: Mutex<Option<String>>,
}

/// Leads the threads. Dropping it cuts all connections.
pub struct Pollers {
    pub counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Latencies>>>,
}

impl Pollers {
    /// Connects `count` clients from so many threads, and waits until all are ready.
    pub fn connect(
        tongue: Tongue,
        server: SocketAddr,
        count: usize,
        threads: usize,
        limit: Duration,
    ) -> Result<Self> {
        let mut pollers = Self {
            counts: Arc::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for index in 0..threads {
            let share = count / threads + usize::from(index < count % threads);
            let worker = Worker::new(tongue, server, pollers.counts.clone(), pollers.stop.clone())?;
            let thread = thread::Builder::new()
                .name(format!("poll-{index}"))
                .spawn(move || worker.run(share, index))
                .context("cannot start a thread of polling clients")?;
            pollers.threads.push(thread);
        }
        let deadline = Instant::now() + limit;
        while pollers.counts.ready.load(Relaxed) < count {
            let dropped = pollers.counts.dropped.load(Relaxed);
            if dropped > 0 || Instant::now() > deadline {
                bail!(
                    "{} of {count} polling clients connected, {dropped} dropped: {}",
                    pollers.counts.ready.load(Relaxed),
                    pollers.reason()
                );
            }
            clock::wait(LOOK);
        }
        Ok(pollers)
    }

    /// Waits until so many messages were heard or the time is over.
    pub fn wait_messages(&self, goal: u64, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.counts.messages.load(Relaxed) < goal && Instant::now() < deadline {
            clock::wait(LOOK);
        }
    }

    pub fn reason(&self) -> String {
        let reason = self.counts.reason.lock();
        reason
            .clone()
            .unwrap_or_else(|| "not within the time".into())
    }

    /// Ends all clients, and tells how long messages were under way.
    pub fn finish(mut self) -> Result<Latencies> {
        self.stop.store(true, Relaxed);
        let mut latencies = Latencies::default();
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(theirs) => latencies.merge(&theirs?),
                Err(_) => bail!("a thread of polling clients panicked"),
            }
        }
        Ok(latencies)
    }
}

impl Drop for Pollers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("bench: a thread of polling clients panicked");
            }
        }
    }
}
