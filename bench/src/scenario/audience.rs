//! The two sides of a fan-out: readers that take note of every stamped message, and a talker that sends by the clock
//! whether or not the server keeps up (an open loop), so that waiting is part of the latency.

use anyhow::Result;
use std::sync::atomic::Ordering::Relaxed;

use crate::stats::Latencies;
use crate::swarm::{Peer, Progress, Role};
use crate::wire::packet::Packet;
use crate::wire::stamp::Stamp;

/// Reads what others say.
#[derive(Default)]
pub struct Reader {
    run: u32,
    next: Vec<u32>,
    heard: Heard,
}

/// What the readers of one worker have heard of the current run.
#[derive(Default)]
pub struct Heard {
    pub latencies: Latencies,
    pub messages: u64,
    /// Messages that came before or after their place.
    pub disordered: u64,
    /// When the last one came.
    pub last: u64,
}

impl Heard {
    pub fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.messages += other.messages;
        self.disordered += other.disordered;
        self.last = self.last.max(other.last);
    }
}

impl Role for Reader {
    /// The run to listen to from now on.
    type Order = u32;
    type Tally = Heard;

    fn joined(&mut self, peer: &mut Peer) {
        if self.next.len() <= peer.index {
            self.next.resize(peer.index + 1, 0);
        }
        peer.become_ready();
    }

    fn packet(
        &mut self,
        peer: &mut Peer,
        packet: Packet<'_>,
        now: u64,
        progress: &Progress,
    ) -> Result<()> {
        let Packet::Event(body) = packet else {
            return Ok(());
        };
        // Anything else is the history that a newcomer is shown, or the straggling end of an earlier run.
        let Some(stamp) = Stamp::find(body).filter(|stamp| stamp.run == self.run) else {
            return Ok(());
        };
        let next = &mut self.next[peer.index];
        self.heard.disordered += u64::from(stamp.number != *next);
        *next = stamp.number + 1;
        self.heard.messages += 1;
        self.heard.last = now;
        self.heard.latencies.record(now.saturating_sub(stamp.due));
        progress.done.fetch_add(1, Relaxed);
        Ok(())
    }

    fn order(&mut self, run: u32, _: &mut [Peer]) {
        self.run = run;
        self.next.fill(0);
        self.heard = Heard::default();
    }

    fn tally(&mut self) -> Heard {
        std::mem::take(&mut self.heard)
    }
}

/// What a talker is to say, and when.
#[derive(Clone, Copy, Debug)]
pub struct Speech {
    pub run: u32,
    pub begin: u64,
    /// Nanoseconds from one message to the next.
    pub interval: u64,
    pub messages: u32,
}

/// Sends the messages of a [`Speech`] at their times, each by the next of its peers.
#[derive(Default)]
pub struct Talker {
    speech: Option<Speech>,
    said: u32,
    lateness: Latencies,
}

impl Talker {
    fn due_at(&self, number: u32) -> Option<u64> {
        let speech = self.speech?;
        (number < speech.messages).then(|| speech.begin + u64::from(number) * speech.interval)
    }
}

impl Role for Talker {
    type Order = Speech;
    /// How late messages were handed to the kernel.
    type Tally = Latencies;

    fn joined(&mut self, peer: &mut Peer) {
        peer.become_ready();
    }

    fn packet(&mut self, _: &mut Peer, _: Packet<'_>, _: u64, _: &Progress) -> Result<()> {
        Ok(())
    }

    fn order(&mut self, speech: Speech, _: &mut [Peer]) {
        *self = Self {
            speech: Some(speech),
            ..Self::default()
        };
    }

    fn tally(&mut self) -> Latencies {
        std::mem::take(&mut self.lateness)
    }

    fn due(&self) -> Option<u64> {
        self.due_at(self.said)
    }

    fn tick(&mut self, peers: &mut [Peer], now: u64) {
        let Some(run) = self.speech.map(|speech| speech.run) else {
            return;
        };
        while let Some(due) = self.due_at(self.said).filter(|due| *due <= now) {
            let number = self.said;
            let text = Stamp { run, number, due }.text();
            let peer = number as usize % peers.len();
            peers[peer].say(&text);
            self.lateness.record(now - due);
            self.said += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_talker_says_each_message_at_its_time_and_then_falls_silent() {
        let mut talker = Talker::default();
        assert_eq!(talker.due(), None);
        let speech = Speech {
            run: 7,
            begin: 1_000,
            interval: 10,
            messages: 3,
        };
        talker.order(speech, &mut []);
        let times: Vec<_> = std::iter::from_fn(|| {
            let due = talker.due()?;
            talker.said += 1;
            Some(due)
        })
        .collect();
        assert_eq!(times, [1_000, 1_010, 1_020]);
    }
}
