//! Trying again for ever: how long to wait, and one log line when Redis goes and one when it is back.

use std::time::Duration;

use redis::RedisError;
use tokio::time::{Instant, sleep};

/// The first pause; each is twice as long as the one before.
const SHORTEST: Duration = Duration::from_millis(50);

/// The longest pause, so that replicas are back soon after Redis is.
const LONGEST: Duration = Duration::from_secs(1);

/// One user of Redis that does not give up.
pub struct Retry {
    /// Who it is, in log lines; none where another says what is to be said.
    what: Option<&'static str>,
    /// Since when it fails.
    since: Option<Instant>,
    pause: Duration,
}

impl Retry {
    pub fn new(what: &'static str) -> Self {
        Self {
            what: Some(what),
            since: None,
            pause: SHORTEST,
        }
    }

    /// Logs nothing.
    pub fn quiet() -> Self {
        Self {
            what: None,
            since: None,
            pause: SHORTEST,
        }
    }

    /// Takes note of a failure, and waits before the next try. All but the first are logged as details.
    pub async fn pause(&mut self, error: &RedisError) {
        self.failed(error);
        // Replicas that lost Redis at the same time need not come back at the same time.
        let part = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
        sleep(self.pause.mul_f64(0.5 + part / 2.0)).await;
        self.pause = (self.pause * 2).min(LONGEST);
    }

    /// Takes note of a failure.
    pub fn failed(&mut self, error: &RedisError) {
        let Some(user) = self.what else { return };
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!(user, %error, "redis is away; trying again until it is back");
        } else {
            tracing::debug!(user, %error, "redis is still away");
        }
    }

    /// Takes note of a success.
    pub fn succeeded(&mut self) {
        self.pause = SHORTEST;
        if let Some(since) = self.since.take() {
            tracing::info!(user = self.what, after = ?since.elapsed(), "redis is back");
        }
    }
}
