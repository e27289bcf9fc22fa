//! Lets sessions begin at a bounded rate. When another replica died, or this one was restarted, everybody comes at once;
//! who is let in one after the other is served well, and those who are here already hardly notice. Sessions that exist do
//! not pass here.

use crate::log_limit::log_limited;
use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{body::Body, response::IntoResponse};
use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Half of what clients of 1.x and later wait for a connection. To be kept waiting costs a client nothing; to be refused,
/// those of 0.9 their first attempt, and others a pause.
const PATIENCE: Duration = Duration::from_secs(10);

/// As many as may come within this time may come at once.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Shared by all transports.
pub struct Gate {
    rate: Option<NonZeroU32>,
    /// When all that came would have come at the allowed rate.
    due: Mutex<Option<Instant>>,
    is_closed: AtomicBool,
}

impl Gate {
    /// Lets so many sessions begin in a second; `None` is no bound.
    pub fn new(rate: Option<NonZeroU32>) -> Self {
        Self {
            rate,
            due: Mutex::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Lets nobody in from now on.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Waits until a session may begin; false where it would take too long, or none may.
    pub async fn pass(&self) -> bool {
        self.comes_in_time().await && !self.is_closed.load(Ordering::Relaxed)
    }

    async fn comes_in_time(&self) -> bool {
        let Some(rate) = self.rate else { return true };
        let wait = {
            let (mut due, now) = (self.due.lock(), Instant::now());
            let mine = due.map_or(now, |due| due.max(now));
            let wait = mine.saturating_duration_since(now);
            let wait = wait.saturating_sub(AT_ONCE);
            if wait > PATIENCE {
                log_limited!(
                    warn,
                    rate = rate.get(),
                    "asked a client to come later: more begin than --handshake-rate allows"
                );
                return false;
            }
            *due = Some(mine + AT_ONCE / rate.get());
            wait
        };
        tokio::time::sleep(wait).await;
        true
    }
}

/// Asks a client to begin a little later, maybe elsewhere.
pub fn later() -> Response<Body> {
    let retry = [(RETRY_AFTER, HeaderValue::from_static("1"))];
    (StatusCode::SERVICE_UNAVAILABLE, retry).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Option<NonZeroU32> = NonZeroU32::new(10);

    #[tokio::test(start_paused = true)]
    async fn those_of_one_second_pass_at_once_and_the_others_one_by_one() {
        let gate = Gate::new(RATE);
        let start = Instant::now();
        for n in 0..50 {
            assert!(gate.pass().await);
            // The clock of timers counts in milliseconds.
            let expected = Duration::from_millis(100) * u32::saturating_sub(n, 10);
            let late = start.elapsed().abs_diff(expected);
            assert!(late < Duration::from_millis(50), "{n}: {late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_refused_and_costs_the_others_nothing() {
        let gate = Gate::new(RATE);
        let all = (0..1000).map(|_| gate.pass());
        let passed = futures_util::future::join_all(all).await;
        let passed = passed.into_iter().filter(|passed| *passed).count();
        assert_eq!(passed, 10 + 100 + 1);
        assert!(gate.pass().await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_passes_once_it_is_closed_not_even_who_waits() {
        let gate = Gate::new(RATE);
        for _ in 0..=10 {
            assert!(gate.pass().await);
        }
        let waiting = gate.pass();
        gate.close();
        assert!(!waiting.await && !gate.pass().await);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_nobody_waits() {
        let (gate, start) = (Gate::new(None), Instant::now());
        for _ in 0..10_000 {
            assert!(gate.pass().await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
