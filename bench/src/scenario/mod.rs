//! The scenarios: each starts a fresh server, loads it with clients, and returns measures by the same names for
//! every server, so that the report can put them side by side. A new row is a new measure in one of these files.

mod audience;
mod crowd;
mod direct;
mod fanout;
mod idle;
mod poll;
mod post;
mod replicas;
mod storm;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::cores::Cores;
use crate::measure::Measure;
use crate::pace::Pace;
use crate::proc;
use crate::server::{Kind, Programs, Rules, Server};
use crate::wire::language::Language;

/// Connecting all clients of a scenario takes no longer than this.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// A talk begins this long after it is ordered, so that all threads know of it.
const LEAD: Duration = Duration::from_millis(20);
/// What clients speak where nothing else is measured.
const MAIN: Language = Language::SocketIo("/");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// (a) One sender, 1,000 readers, at three rates, and the highest rate that is sustained
    #[value(alias = "a")]
    Fanout,
    /// (b) 2,000 messages a second to 100 readers, by one sender and by ten
    #[value(alias = "b")]
    Busy,
    /// (c) 10,000 connections that say nothing
    #[value(alias = "c")]
    Idle,
    /// (d) 5,000 connections cut at once that all come back at once
    #[value(alias = "d")]
    Storm,
    /// (e) 50 clients that post, each when its last post was acknowledged
    #[value(alias = "e")]
    Post,
    /// (f) A crowd of 500 in which one client floods and one has stopped reading
    #[value(alias = "f")]
    Crowd,
    /// (g) 1,000 pairs of people, of whom one writes, each when its last message was acknowledged
    #[value(alias = "g")]
    Direct,
    /// (h) 2,000 clients that poll, of Engine.IO 4 and of Socket.IO 0.9
    #[value(alias = "h")]
    Poll,
    /// (i) The fan-out of (a) over WebSockets without Socket.IO
    #[value(alias = "i")]
    Bare,
    /// (j) The idle connections of (c) without Socket.IO
    #[value(alias = "j")]
    BareIdle,
    /// (k) Replicas on one Redis: polls through any of three, rooms over one to three, 10,000 that come back at once
    #[value(alias = "k")]
    Replicas,
}

impl Scenario {
    pub fn title(self) -> &'static str {
        match self {
            Self::Fanout => "(a) fan-out, 1 → 1,000",
            Self::Busy => "(b) fan-out, 2,000/s → 100",
            Self::Idle => "(c) idle connections",
            Self::Storm => "(d) reconnect storm",
            Self::Post => "(e) acknowledged posts",
            Self::Crowd => "(f) one floods, one stalls, 498 read",
            Self::Direct => "(g) direct messages, 1,000 pairs",
            Self::Poll => "(h) polling clients",
            Self::Bare => "(i) bare WebSocket: fan-out, 1 → 1,000",
            Self::BareIdle => "(j) bare WebSocket: idle connections",
            Self::Replicas => "(k) replicas",
        }
    }

    /// Whether a second round would tell more than the first.
    pub fn repeats(self) -> bool {
        !matches!(self, Self::Idle | Self::BareIdle | Self::Crowd | Self::Poll)
    }

    /// Measures one server.
    pub fn measure(self, kind: Kind, stage: &Stage) -> Result<Vec<Measure>> {
        match self {
            Self::Fanout => fanout::measure_rates(kind, stage, MAIN),
            Self::Busy => fanout::measure_busy(kind, stage),
            Self::Idle => idle::measure(kind, stage, MAIN),
            Self::Storm => storm::measure(kind, stage),
            Self::Post => post::measure(kind, stage),
            Self::Crowd => crowd::measure(kind, stage),
            Self::Direct => direct::measure(kind, stage),
            Self::Poll => poll::measure(kind, stage),
            Self::Bare => fanout::measure_rates(kind, stage, Language::Bare),
            Self::BareIdle => idle::measure(kind, stage, Language::Bare),
            Self::Replicas => replicas::measure(kind, stage),
        }
    }
}

/// What all scenarios share.
pub struct Stage {
    pub programs: Programs,
    pub cores: Cores,
    pub pace: Pace,
    runs: AtomicU32,
}

impl Stage {
    pub fn new(programs: Programs, cores: Cores, pace: Pace) -> Self {
        let runs = AtomicU32::new(1);
        Self {
            programs,
            cores,
            pace,
            runs,
        }
    }

    fn start(&self, kind: Kind, language: Language) -> Result<Server> {
        self.start_with(kind, language, Rules::Lifted)
    }

    fn start_with(&self, kind: Kind, language: Language, rules: Rules) -> Result<Server> {
        Server::start(kind, language, rules, &self.programs, &self.cores)
    }

    fn next_run(&self) -> u32 {
        self.runs.fetch_add(1, Relaxed)
    }
}

/// CPU time of the server and of the load clients over a stretch of time.
struct Meter<'a> {
    server: &'a Server,
    load_cores: usize,
    started: Instant,
    server_before: f64,
    own_before: f64,
}

/// What a [`Meter`] has read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Seconds of CPU the server used.
    server_cpu: f64,
    /// Seconds that passed.
    elapsed: f64,
    /// Part of their cores that the load clients used, 0 to 1.
    load_share: f64,
}

impl<'a> Meter<'a> {
    fn start(server: &'a Server, stage: &Stage) -> Result<Self> {
        Ok(Self {
            server,
            load_cores: stage.cores.load(),
            started: Instant::now(),
            server_before: server.cpu_seconds()?,
            own_before: proc::cpu_seconds(std::process::id())?,
        })
    }

    fn read(&self) -> Result<Reading> {
        let elapsed = self.started.elapsed().as_secs_f64();
        let own = proc::cpu_seconds(std::process::id())? - self.own_before;
        Ok(Reading {
            server_cpu: self.server.cpu_seconds()? - self.server_before,
            elapsed,
            load_share: own / (elapsed * self.load_cores as f64),
        })
    }
}
