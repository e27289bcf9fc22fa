//! What one session waits for, has to say, and when it ends: without any IO and without a clock.
//! `session` tells it what happens, and asks what is due.

use std::time::{Duration, Instant};

pub use super::queue::Load;
use super::{packet, queue::Queue};
use crate::chat::message::MessageId;

/// The times of 0.9, by the names that they had there.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long a client may take to answer a heartbeat; it waits as long for one.
    pub heartbeat_timeout: Duration,
    /// How long after one heartbeat was answered the next one is sent.
    pub heartbeat_interval: Duration,
    /// How long a client may stay away between two polls.
    pub close_timeout: Duration,
    /// How long a poll is held when there is nothing to say.
    pub polling_duration: Duration,
    /// How long a handshake waits to be used.
    pub unused: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            heartbeat_timeout: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(25),
            close_timeout: Duration::from_secs(60),
            polling_duration: Duration::from_secs(20),
            unused: Duration::from_secs(30),
        }
    }
}

/// How a client comes for its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A request that is answered once.
    Poll,
    /// A connection or answer that goes on.
    Stream,
}

/// Tells one request or connection of a session from those before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(u32);

/// What there is for a request or connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    Some(T),
    /// Nothing yet.
    Wait,
    /// A later one has taken its place.
    Replaced,
    /// Nothing any more: the session has ended.
    Over,
}

impl<T> Taken<T> {
    fn map<U>(self, make: impl FnOnce(T) -> U) -> Taken<U> {
        match self {
            Self::Some(taken) => Taken::Some(make(taken)),
            Self::Wait => Taken::Wait,
            Self::Replaced => Taken::Replaced,
            Self::Over => Taken::Over,
        }
    }
}

/// What the passing of time brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A heartbeat was queued.
    Heartbeat,
    /// Nobody used the handshake.
    Unused,
    /// Nobody polled.
    CloseTimeout,
    /// Nobody answered the heartbeat.
    HeartbeatTimeout,
}

/// One session.
#[derive(Debug)]
pub struct State {
    link: Link,
    turn: Turn,
    queue: Queue,
    unproven: Unproven,
    /// Events that did not arrive, and never will.
    dropped: usize,
    ended: bool,
}

/// Events that a stream took, which may be lost with it: who answers a heartbeat has got what was sent before it.
#[derive(Debug, Default)]
struct Unproven {
    /// Before the last heartbeat.
    asked: usize,
    since: usize,
}

#[derive(Debug)]
enum Link {
    Unused {
        until: Instant,
    },
    /// A poll is held, or its answer on the way out.
    Poll,
    Stream {
        next: Instant,
        asked: Option<Instant>,
    },
    Away {
        until: Instant,
    },
}

impl State {
    /// A session that was just handshaken.
    pub fn new(now: Instant, times: &Times) -> Self {
        Self {
            link: Link::Unused {
                until: now + times.unused,
            },
            turn: Turn(0),
            queue: Queue::default(),
            unproven: Unproven::default(),
            dropped: 0,
            ended: false,
        }
    }

    /// A session whose client goes on with an id that it has from before.
    pub fn taken_over(now: Instant, times: &Times) -> Self {
        let until = now + times.close_timeout;
        Self {
            link: Link::Away { until },
            ..Self::new(now, times)
        }
    }

    /// A client has come for its packets, and takes the place of whatever did so before. `arrived`:
    /// the answer to its last poll got to it, as far as anybody knows. `kept`: the last message that it was shown, where it
    /// says so itself. `None`: the session is over.
    pub fn attach(
        &mut self,
        way: Way,
        arrived: bool,
        kept: Option<MessageId>,
        now: Instant,
        times: &Times,
    ) -> Option<(Turn, Attached)> {
        if self.is_spent(now) {
            return None;
        }
        let first = matches!(self.link, Link::Unused { .. });
        if first {
            self.queue.push_first(packet::connect(""));
        }
        // An answer that is still on its way out when the client asks again was not waited for.
        let arrived = arrived && !matches!(self.link, Link::Poll);
        let arrived = self.queue.settle(arrived, kept);
        self.turn.0 = self.turn.0.wrapping_add(1);
        self.link = match way {
            Way::Poll => Link::Poll,
            Way::Stream => Link::Stream {
                next: now + times.heartbeat_interval,
                asked: None,
            },
        };
        Some((self.turn, Attached { first, arrived }))
    }

    /// Queues a packet, unless the session has ended.
    pub fn push(&mut self, packet: impl Into<Box<str>>) {
        if !self.ended {
            self.queue.push(packet, None);
        }
    }

    /// The same, of a packet that shows a message of the room.
    pub fn show(&mut self, id: MessageId, packet: impl Into<Box<str>>) {
        if !self.ended {
            self.queue.push(packet, Some(id));
        }
    }

    /// What is shown of the room from now on follows this message; `anew` where the client is shown again what it had.
    pub fn show_after(&mut self, id: Option<MessageId>, anew: bool) {
        self.queue.begin_after(id, anew);
    }

    /// The last message of the room that went out, or was shown before.
    pub fn shown(&self) -> Option<MessageId> {
        self.queue.shown()
    }

    /// All that waits, as the answer to a poll. It is kept until the next one shows that it arrived.
    pub fn take_payload(&mut self, turn: Turn) -> Taken<String> {
        self.look(turn).map(|()| self.queue.take_payload())
    }

    /// The next packet for a stream.
    pub fn take_packet(&mut self, turn: Turn) -> Taken<Box<str>> {
        self.look(turn).map(|()| {
            // There is one: that is what `Some` says.
            let packet = self.queue.take_packet().unwrap_or_default();
            if *packet == *packet::HEARTBEAT {
                self.unproven.asked += std::mem::take(&mut self.unproven.since);
            }
            self.unproven.since += usize::from(packet::is_event(&packet));
            packet
        })
    }

    /// Whether no later request or connection has taken the place of this one.
    pub fn is_current(&self, turn: Turn) -> bool {
        turn == self.turn
    }

    fn look(&self, turn: Turn) -> Taken<()> {
        match (self.is_current(turn), self.queue.is_empty(), self.ended) {
            (false, ..) => Taken::Replaced,
            (true, false, _) => Taken::Some(()),
            (true, true, false) => Taken::Wait,
            (true, true, true) => Taken::Over,
        }
    }

    /// A poll or stream is done with, or was lost: the client may come again until the close timeout
    /// has passed. What could not be written is said again.
    pub fn detach(&mut self, turn: Turn, written: bool, now: Instant, times: &Times) {
        if turn != self.turn {
            return;
        }
        if !written {
            self.queue.take_back();
        }
        self.link = Link::Away {
            until: now + times.close_timeout,
        };
    }

    /// The client has answered a heartbeat.
    pub fn heartbeat(&mut self, now: Instant, times: &Times) {
        if let Link::Stream { next, asked } = &mut self.link {
            *asked = None;
            *next = now + times.heartbeat_interval;
            self.unproven.asked = 0;
        }
    }

    /// The client goes in words: it wants nothing again.
    pub fn begin_close(&mut self) {
        self.unproven = Unproven::default();
        self.push(packet::DISCONNECT);
    }

    /// The client does something else: the answer to a heartbeat may be waiting behind it.
    pub fn is_alive(&mut self, now: Instant) {
        if let Link::Stream {
            asked: Some(asked), ..
        } = &mut self.link
        {
            *asked = now;
        }
    }

    /// Nothing more is queued; what is, may still be taken.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Nothing more is said.
    pub fn drop_queued(&mut self) {
        self.dropped = self.not_arrived();
        self.queue.clear();
        self.unproven = Unproven::default();
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether there is nothing to be had any more: ended and all said, or nobody came for too long.
    pub fn is_spent(&self, now: Instant) -> bool {
        self.is_over() || self.is_expired(now)
    }

    /// Ended, and all is said.
    pub fn is_over(&self) -> bool {
        self.ended && self.queue.is_empty()
    }

    /// Whether the client polls, and what of it is there now.
    pub fn polls(&self) -> bool {
        !matches!(self.link, Link::Stream { .. })
    }

    /// Whether nobody is there to be told anything.
    pub fn is_alone(&self) -> bool {
        matches!(self.link, Link::Unused { .. } | Link::Away { .. })
    }

    /// How many packets wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many events are not known to have arrived, those included that never will.
    pub fn not_arrived(&self) -> usize {
        self.queue.events() + self.unproven.asked + self.unproven.since + self.dropped
    }

    fn is_expired(&self, now: Instant) -> bool {
        matches!(self.link, Link::Unused { until } | Link::Away { until } if now >= until)
    }

    /// What the time has come for, if for anything. Nobody need be told of a poll that has been held
    /// long enough: its own request knows.
    pub fn due(&mut self, now: Instant, times: &Times) -> Option<Due> {
        match &mut self.link {
            Link::Unused { until } => (now >= *until).then_some(Due::Unused),
            Link::Away { until } => (now >= *until).then_some(Due::CloseTimeout),
            Link::Poll => None,
            Link::Stream {
                asked: Some(asked), ..
            } => (now >= *asked + times.heartbeat_timeout).then_some(Due::HeartbeatTimeout),
            Link::Stream { next, asked } => {
                if now < *next || self.ended {
                    return None;
                }
                *asked = Some(now);
                self.queue.push(packet::HEARTBEAT, None);
                Some(Due::Heartbeat)
            }
        }
    }
}

/// What attaching found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Nobody had come before.
    pub first: bool,
    /// What the answer to the last poll held, now that it is known to have arrived.
    pub arrived: Load,
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
