//! Log lines that others can cause without end: one of a kind in a while is written, with how many were not. Where that is a line of
//! one place in the code, [`log_limited!`] is all that is needed.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, const_mutex};

/// How often one kind of line is written, at most.
const PERIOD: Duration = Duration::from_secs(10);

/// Lines of one or several kinds. How many kinds there are is decided by the code, never by what comes from outside.
pub struct LogLimit(Mutex<Vec<(&'static str, Said)>>);

struct Said {
    last: Instant,
    /// Not said since then.
    more: u64,
}

impl LogLimit {
    /// Nothing was written yet.
    pub const fn new() -> Self {
        Self(const_mutex(Vec::new()))
    }

    /// Whether to write a line now, and how many were left out since the last one.
    pub fn due(&self) -> Option<u64> {
        self.due_of("")
    }

    /// The same for one kind of line among several.
    pub fn due_of(&self, kind: &'static str) -> Option<u64> {
        self.due_at(kind, Instant::now())
    }

    fn due_at(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock();
        let Some((_, said)) = kinds.iter_mut().find(|(known, _)| *known == kind) else {
            let said = Said { last: now, more: 0 };
            kinds.push((kind, said));
            return Some(0);
        };
        if now < said.last + PERIOD {
            said.more += 1;
            return None;
        }
        said.last = now;
        Some(std::mem::take(&mut said.more))
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a log line that strangers can cause: `log_limited!(warn, socket = %id, "refused a token")`. One in ten seconds has the level,
/// and the field `unsaid_before`; the others are details (`debug`). Kinds that are not to hide each other: `log_limited!(warn, of kind, …)`.
macro_rules! log_limited {
    ($level:ident, of $kind:expr, $($line:tt)+) => {{
        static SAID: $crate::log_limit::LogLimit = $crate::log_limit::LogLimit::new();
        match SAID.due_of($kind) {
            Some(unsaid_before) => ::tracing::$level!(unsaid_before, $($line)+),
            None => ::tracing::debug!($($line)+),
        }
    }};
    ($level:ident, $($line:tt)+) => {
        $crate::log_limit::log_limited!($level, of "", $($line)+)
    };
}

pub(crate) use log_limited;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_is_said_with_how_many_were_not() {
        let (log_limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(log_limit.due_at("", start), Some(0));
        for _ in 0..1000 {
            assert_eq!(log_limit.due_at("", start + PERIOD / 2), None);
        }
        assert_eq!(log_limit.due_at("", start + PERIOD), Some(1000));
        assert_eq!(log_limit.due_at("", start + PERIOD), None);
        assert_eq!(log_limit.due_at("", start + 2 * PERIOD), Some(1));
    }

    #[test]
    fn one_kind_does_not_hide_another() {
        let (log_limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(log_limit.due_at("flooding", start), Some(0));
        assert_eq!(log_limit.due_at("flooding", start), None);
        assert_eq!(log_limit.due_at("stalled", start), Some(0));
        assert_eq!(log_limit.due_at("flooding", start + PERIOD), Some(1));
        assert_eq!(log_limit.due_at("stalled", start + PERIOD), Some(0));
    }
}
