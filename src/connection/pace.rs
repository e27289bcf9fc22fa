//! Keeps a session to its packet rate. What it sends too fast is not read before its time; so it waits in
//! TCP, where the client feels it, and everybody else's packets come in between. Whoever goes on so
//! is flooding. `flow` asks this before it lets anything be read: [`Pace::may_read`] before each packet, and
//! [`Pace::count`] for each that is read.
//!
//! Packets that the client sends because we made it do so, an acknowledgement that we asked for above all, are its due:
//! whoever sends it such an event calls [`Pace::allow`], and so many packets neither wait nor count.

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

/// Packets that are allowed besides, at most. A client may have got nothing yet of what it was sent, and answer all of it
/// later; more than this many answers count like any packet.
const MOST_ALLOWED: u32 = 1_024;

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
    /// Packets that do not count: we made the client send them, and they have not come.
    allowed: u32,
    /// The next packet had to wait.
    waited: bool,
}

impl Pace {
    /// A packet came in. False once the session has been kept waiting for longer than `patience`.
    pub(crate) fn count(&self, rate: NonZeroU32, patience: Duration) -> bool {
        let (mut state, now) = (self.0.lock(), Instant::now());
        if state.allowed > 0 {
            state.allowed -= 1;
            return true;
        }
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
        if state.allowed > 0 {
            state.wait_no_longer(reader);
            return true;
        }
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

    /// The client was sent what makes it send so many packets: they do not count. True where a packet waits that may be read
    /// now.
    #[must_use]
    pub(crate) fn allow(&self, packets: u32) -> bool {
        let mut state = self.0.lock();
        state.allowed = state.allowed.saturating_add(packets).min(MOST_ALLOWED);
        state.alarms.iter().any(Option::is_some)
    }

    /// Nothing is left to read: it was not too fast after all.
    pub(crate) fn caught_up(&self) {
        let mut state = self.0.lock();
        state.held_back = Duration::ZERO;
        state.waited = false;
    }
}

impl State {
    /// The packet that waits need not: the rest of its wait is not held against the client.
    fn wait_no_longer(&mut self, reader: usize) {
        if let Some(alarm) = self.alarms[reader].take() {
            let rest = alarm.deadline().saturating_duration_since(Instant::now());
            self.held_back = self.held_back.saturating_sub(rest);
        }
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

    #[tokio::test(start_paused = true)]
    async fn what_a_client_was_made_to_send_neither_waits_nor_counts() {
        let (pace, start) = (Pace::default(), Instant::now());
        for _ in 0..100 {
            assert!(!pace.allow(30), "nothing waits");
            read(&pace, 30).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        let times = read(&pace, 10).await.unwrap();
        let (first, last) = (times[0], *times.last().unwrap());
        assert_eq!(
            first,
            Duration::ZERO,
            "its own packets have their time still"
        );
        assert!(last >= Duration::from_millis(150), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_packet_that_waits_may_come_once_it_is_allowed() {
        let (pace, rate) = (Pace::default(), NonZeroU32::new(1).unwrap());
        assert!(pace.count(rate, PATIENCE));
        let waker = Waker::noop();
        let start = Instant::now();
        for _ in 0..1_000 {
            assert!(!pace.may_read(rate, 0, waker));
            assert!(pace.allow(1), "it waits");
            assert!(pace.may_read(rate, 0, waker));
            assert!(pace.count(rate, PATIENCE), "its waits were not waited");
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_saved_up_for_answers_than_is_bounded() {
        let pace = Pace::default();
        for _ in 0..10 {
            let _ = pace.allow(MOST_ALLOWED);
        }
        let flooding_at = read(&pace, 10_000).await.unwrap_err() - MOST_ALLOWED as usize;
        assert!((550..=570).contains(&flooding_at), "{flooding_at}");
    }
}
