//! Whether a client is still there: one that says nothing is pinged, and is gone if that too is met with
//! silence. Pings also keep a connection alive in the balancers on its way.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// How long silence may last.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// After so much silence a client is pinged,
    pub ping_interval: Duration,
    /// and after so much more it is gone.
    pub ping_timeout: Duration,
}

/// One client's signs of life.
pub(super) struct Pulse {
    signs: Signs,
    look: Pin<Box<Sleep>>,
}

struct Signs {
    timing: Timing,
    last: Instant,
    pinged: Option<Instant>,
}

/// What the time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Ping,
    Gone,
}

impl Pulse {
    pub(super) fn new(timing: Timing) -> Self {
        let now = Instant::now();
        Self {
            signs: Signs::new(timing, now),
            look: Box::pin(tokio::time::sleep_until(now + timing.ping_interval)),
        }
    }

    /// The client gave a sign of life.
    pub(super) fn beat(&mut self) {
        self.signs.last = Instant::now();
    }

    /// Ready when the time has come for something.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        while self.look.as_mut().poll(cx).is_ready() {
            let (due, next) = self.signs.look(Instant::now());
            self.look.as_mut().reset(next);
            if let Some(due) = due {
                return Poll::Ready(due);
            }
        }
        Poll::Pending
    }
}

impl Signs {
    fn new(timing: Timing, now: Instant) -> Self {
        Self {
            timing,
            last: now,
            pinged: None,
        }
    }

    /// What is due now, and when to look again.
    fn look(&mut self, now: Instant) -> (Option<Due>, Instant) {
        if self.pinged.is_some_and(|pinged| self.last < pinged) {
            return (Some(Due::Gone), now);
        }
        let quiet_until = self.last + self.timing.ping_interval;
        if now < quiet_until {
            self.pinged = None;
            return (None, quiet_until);
        }
        self.pinged = Some(now);
        (Some(Due::Ping), now + self.timing.ping_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
    };

    /// What is due in which second, with signs of life in these.
    fn dues(alive: &[u64], until: u64) -> Vec<(u64, Due)> {
        let began = Instant::now();
        let mut signs = Signs::new(TIMING, began);
        let (mut next, mut dues) = (began + TIMING.ping_interval, Vec::new());
        for second in 0..until {
            let now = began + Duration::from_secs(second);
            if now >= next {
                let due;
                (due, next) = signs.look(now);
                dues.extend(due.map(|due| (second, due)));
            }
            if alive.contains(&second) {
                signs.last = now;
            }
            if matches!(dues.last(), Some((_, Due::Gone))) {
                break;
            }
        }
        dues
    }

    #[test]
    fn silence_is_pinged_and_then_taken_for_absence() {
        assert_eq!(dues(&[], 100), [(25, Due::Ping), (45, Due::Gone)]);
    }

    #[test]
    fn whoever_answers_is_pinged_again_after_the_interval() {
        let answers = [26, 52, 77];
        let pinged = [(25, Due::Ping), (51, Due::Ping), (77, Due::Ping)];
        assert_eq!(dues(&answers, 100), pinged);
    }

    #[test]
    fn whoever_speaks_is_not_pinged() {
        assert_eq!(dues(&[20, 40, 60], 85), []);
    }

    #[test]
    fn an_answer_counts_until_the_timeout() {
        let answered = [(25, Due::Ping), (69, Due::Ping)];
        assert_eq!(dues(&[44], 80), answered);
    }
}
