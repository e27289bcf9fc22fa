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
