//! One monotonic clock for the whole generator: nanoseconds since it was first asked.
//! Sender and receivers live in one process, so a stamp made by one can be read by the other.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static EPOCH: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the clock was first read.
pub fn now() -> u64 {
    EPOCH.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// A duration in this clock's unit.
pub const fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// Seconds between two readings.
pub fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}

/// Waits for a time that is part of what is measured: a window of idleness, the moment a message is due.
#[expect(
    clippy::disallowed_methods,
    reason = "no runtime here whose thread it would block, and no condition that it guesses at"
)]
pub fn wait(time: Duration) {
    std::thread::sleep(time);
}
