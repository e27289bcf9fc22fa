//! Keeps a session to its packet rate. What it sends too fast is not read before its time; so it waits in
//! TCP, where the client feels it, and everybody else's packets come in between. Whoever goes on so
//! is flooding. `flow` asks this before it lets anything be read.

use std::{
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

/// What may come at once is what may come within this part of a second: very few packets. Saved up, many
/// would go out to a whole room in one go, and hold up everybody in it.
const AT_ONCE: u32 = 25;

/// What is waited in a second is not held against anybody: a page that connects sends a few packets in a
/// row.
const GRACE: Duration = Duration::from_secs(1);

/// How many readers may wait for the same session's time.
const READERS: usize = 2;

/// One session's pace.
#[derive(Default)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Default)]
struct State {
    /// When all that came would have come at the allowed rate.
    due: Option<Instant>,
    /// How long in all it was kept waiting since it last had nothing more to say.
    held_back: Duration,
    alarms: [Option<Pin<Box<Sleep>>>; READERS],
    /// The next packet had to wait.
    waited: bool,
}

impl Pace {
    /// A packet came in. False once the session has been kept waiting for longer than `patience`.
    pub(crate) fn count(&self, rate: NonZeroU32, patience: Duration) -> bool {
        let (mut state, now) = (self.0.lock(), Instant::now());
        let due = state.due.unwrap_or(now);
        // Whoever lets time pass unused gets it back. That a packet waited for its time, and then for a
        // busy server, is not that.
        if !std::mem::take(&mut state.waited) {
            let unused = now.saturating_duration_since(due);
            state.held_back = state.held_back.saturating_sub(unused);
        }
        state.due = Some(due.max(now) + interval(rate));
        state.held_back <= patience + GRACE
    }

    /// Whether the next packet may be read. If not, `waker` is woken when it may.
    pub(crate) fn may_read(&self, rate: NonZeroU32, reader: usize, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        let Some(due) = state.due else {
            return true;
        };
        let at_once = interval(rate) * (rate.get() / AT_ONCE).max(1);
        let time = due + interval(rate) - at_once;
        let wait = time.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            state.waited |= state.alarms[reader].take().is_some();
            return true;
        }
        if state.alarms[reader].is_none() {
            state.held_back += wait;
        }
        let alarm =
            state.alarms[reader].get_or_insert_with(|| Box::pin(tokio::time::sleep_until(time)));
        // Somebody else may have read meanwhile.
        alarm.as_mut().reset(time);
        let is_time = alarm
            .as_mut()
            .poll(&mut Context::from_waker(waker))
            .is_ready();
        state.waited |= is_time;
        is_time
    }

    /// Nothing is left to read: it was not too fast after all.
    pub(crate) fn caught_up(&self) {
        let mut state = self.0.lock();
        state.held_back = Duration::ZERO;
        state.waited = false;
    }
}

fn interval(rate: NonZeroU32) -> Duration {
    Duration::from_secs(1) / rate.get()
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    const RATE: NonZeroU32 = NonZeroU32::new(50).unwrap();
    const PATIENCE: Duration = Duration::from_secs(10);

    async fn readable(pace: &Pace) {
        poll_fn(|cx| match pace.may_read(RATE, 0, cx.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Reads as many packets as it may; tells when each came, or that it was too much.
    async fn read(pace: &Pace, packets: usize) -> Result<Vec<Duration>, usize> {
        let start = Instant::now();
        let mut times = Vec::new();
        for n in 0..packets {
            readable(pace).await;
            if !pace.count(RATE, PATIENCE) {
                return Err(n);
            }
            times.push(start.elapsed());
        }
        Ok(times)
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_packets_come_at_once_and_the_others_one_by_one() {
        let times = read(&Pace::default(), 10).await.unwrap();
        let millis: Vec<_> = times.iter().map(Duration::as_millis).collect();
        assert_eq!(millis[..2], [0; 2]);
        for (n, gap) in millis[1..]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .enumerate()
        {
            // The clock of timers counts in milliseconds.
            assert!((19..=22).contains(&gap), "{gap} ms before packet {}", n + 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_in_a_row_are_no_flood_and_a_thousand_are() {
        assert!(read(&Pace::default(), 500).await.is_ok());
        let flooding_at = read(&Pace::default(), 1_000).await.unwrap_err();
        assert!((550..=570).contains(&flooding_at), "{flooding_at}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_floods_a_busy_server_is_flooding_all_the_same() {
        let (pace, rate, mut heard) = (Pace::default(), NonZeroU32::new(1).unwrap(), 0);
        while pace.count(rate, PATIENCE) {
            poll_fn(|cx| match pace.may_read(rate, 1, cx.waker()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            // The server is busy.
            tokio::time::sleep(Duration::from_secs(2)).await;
            heard += 1;
        }
        assert!((10..=15).contains(&heard), "{heard}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_pauses_or_leaves_nothing_unread_is_not_flooding() {
        let pace = Pace::default();
        for _ in 0..10 {
            read(&pace, 200).await.unwrap();
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        for _ in 0..10 {
            read(&pace, 200).await.unwrap();
            pace.caught_up();
        }
    }
}
