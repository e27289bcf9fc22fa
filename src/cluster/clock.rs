//! This machine's clock beside that of Redis, by which replicas, messages and leases go: what has its own clock here
//! (tokens, dates of system lines) is off by the difference, and an operator is to know.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};

/// What lets tokens end early or late; more than an answer of Redis may take.
const MUCH: SignedDuration = SignedDuration::from_secs(30);

/// Whether it was told that the clock is wrong.
#[derive(Default)]
pub(super) struct Clock(AtomicBool);

impl Clock {
    /// Logs it where it begins to be wrong, or to be right again.
    pub fn compare(&self, here: Timestamp, redis: Timestamp) {
        let ahead = here.duration_since(redis);
        let is_wrong = ahead.abs() > MUCH;
        if self.0.swap(is_wrong, Ordering::Relaxed) == is_wrong {
            return;
        }
        if is_wrong {
            tracing::warn!(
                ahead_s = ahead.as_secs(),
                "this machine's clock differs from that of Redis: tokens end early or late here; have both follow NTP"
            );
        } else {
            tracing::info!("this machine's clock agrees with that of Redis again");
        }
    }

    #[cfg(test)]
    fn is_wrong(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_when_it_is_far_from_that_of_redis_on_either_side_and_until_it_is_near() {
        let redis: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::default();
        for (ahead, is_wrong) in [
            (0, false),
            (-300, true),
            (300, true),
            (29, false),
            (31, true),
        ] {
            clock.compare(redis + SignedDuration::from_secs(ahead), redis);
            assert_eq!(clock.is_wrong(), is_wrong, "{ahead} s ahead");
        }
    }
}
