//! How long and how much: the full benchmark, and the quick one that shows within a minute and a half whether something broke.

use std::time::Duration;

use serde::Serialize;

/// Times and counts of all scenarios; a whole run is bounded by them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pace {
    /// How often each scenario is measured on each server; the order alternates.
    pub rounds: usize,
    /// A measured window of steady load.
    pub window: Duration,
    /// Load of the same kind before it, not counted.
    pub warm_up: Duration,
    /// How long after a window what is under way may still arrive before it counts as lost.
    pub grace: Duration,
    /// One step in the search for the highest sustained rate.
    pub step: Duration,
    /// The search takes no more steps than this.
    pub steps: usize,
    /// How often a step may be tried before its rate counts as too high.
    pub tries: usize,
    /// The search ends when the rate is known to this factor.
    pub precision: f64,
    /// Until a server has put away what starting or connecting left behind.
    pub settle: Duration,
    /// How long idle connections are watched.
    pub idle: Duration,
    /// How long clients poll.
    pub polling: Duration,
    /// Reconnect storms after each other on one server.
    pub storms: usize,
    /// Pairs of windows in the crowd, without and with those who misbehave.
    pub pairs: usize,
}

impl Pace {
    pub const FULL: Self = Self {
        rounds: 2,
        window: Duration::from_secs(5),
        warm_up: Duration::from_secs(1),
        grace: Duration::from_secs(2),
        step: Duration::from_millis(2_500),
        steps: 8,
        tries: 2,
        precision: 1.06,
        settle: Duration::from_secs(2),
        idle: Duration::from_secs(30),
        polling: Duration::from_secs(60),
        storms: 3,
        pairs: 3,
    };

    pub const QUICK: Self = Self {
        rounds: 1,
        window: Duration::from_secs(3),
        warm_up: Duration::from_millis(500),
        grace: Duration::from_secs(1),
        step: Duration::from_secs(1),
        steps: 4,
        tries: 1,
        precision: 1.2,
        settle: Duration::from_millis(500),
        idle: Duration::from_secs(10),
        polling: Duration::from_secs(5),
        storms: 1,
        pairs: 1,
    };
}
