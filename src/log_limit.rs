//! Store lines that others can cause without end: one in a while is written, with how many were not.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often something is complained of, at most.
const PERIOD: Duration = Duration::from_secs(10);

/// What is to be said of one kind of trouble.
#[derive(Default)]
pub struct LogLimit(Mutex<Said>);

#[derive(Default)]
struct Said {
    last: Option<Instant>,
    /// Not said since then.
    more: u64,
}

impl LogLimit {
    /// Whether to complain now of what happened, and how many times it happened before without a word.
    pub fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock();
        if said.last.is_some_and(|last| now < last + PERIOD) {
            said.more += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_is_said_with_how_many_were_not() {
        let (log_limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(log_limit.due_at(start), Some(0));
        for _ in 0..1000 {
            assert_eq!(log_limit.due_at(start + PERIOD / 2), None);
        }
        assert_eq!(log_limit.due_at(start + PERIOD), Some(1000));
        assert_eq!(log_limit.due_at(start + PERIOD), None);
        assert_eq!(log_limit.due_at(start + 2 * PERIOD), Some(1));
    }
}
