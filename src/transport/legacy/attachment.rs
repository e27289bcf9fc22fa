//! A request or connection that has come for what its session has to say: what it finds, and what
//! becomes of that should it be lost.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    session::Session,
    state::{Taken, Turn, Way},
};
use crate::transport::listener::Pulse;

/// Clients put the time into each poll, in milliseconds: two within this time may bear the same.
const SAME_MOMENT: Duration = Duration::from_millis(2);

/// The last poll of a session, as far as it tells what became of its answer.
pub(super) struct LastPoll {
    /// The client's connection, if it is ours.
    pulse: Option<Pulse>,
    /// The poll's `t`.
    asked: Option<String>,
    came: Instant,
}

impl LastPoll {
    pub(super) fn new(pulse: Option<Pulse>, asked: Option<String>) -> Self {
        Self {
            pulse,
            asked,
            came: Instant::now(),
        }
    }

    /// Whether its answer got to the client, as far as anybody knows, when this is the next poll. One that is asked
    /// again, by a browser or a proxy, got none.
    fn has_arrived(&self, next: &Self) -> bool {
        let is_asked_again = self.asked.is_some()
            && self.asked == next.asked
            && next.came.duration_since(self.came) > SAME_MOMENT;
        let has_failed = self.pulse.as_ref().is_some_and(Pulse::has_failed);
        !is_asked_again && !has_failed
    }
}

/// A request or connection that has come for a session's packets, until it is dropped.
pub(super) struct Attachment {
    pub session: Arc<Session>,
    turn: Turn,
    /// Nobody had come before.
    pub first: bool,
    written: bool,
}

impl Attachment {
    /// All that waits, for a poll; waits until there is something.
    pub(super) async fn payload(&mut self) -> Taken<String> {
        let session = self.session.clone();
        loop {
            let mut changed = std::pin::pin!(session.changed.notified());
            // What happens after this and before the look is not missed.
            changed.as_mut().enable();
            match session.state.lock().take_payload(self.turn) {
                Taken::Wait => {}
                taken => {
                    self.written = false;
                    return taken;
                }
            }
            changed.await;
        }
    }

    /// The next packet, for a stream.
    pub(super) fn packet(&self) -> Taken<Box<str>> {
        self.session.state.lock().take_packet(self.turn)
    }

    /// The answer to the poll has gone out.
    pub(super) fn written(&mut self) {
        self.written = true;
    }

    /// The connection is gone, and with it the session.
    pub(super) fn lost(self) {
        let session = self.session.clone();
        let current = !matches!(session.state.lock().take_packet(self.turn), Taken::Replaced);
        drop(self);
        if current {
            session.lost();
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let session = &self.session;
        let over = {
            let mut state = session.state.lock();
            state.detach(self.turn, self.written, Instant::now(), session.times());
            state.is_over()
        };
        if over {
            session.sessions.forget(session);
        }
        session.sessions.links.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Session {
    /// A client has come for its packets; `None` where there is nothing to be had any more.
    pub(super) fn attach(self: &Arc<Self>, way: Way, poll: LastPoll) -> Option<Attachment> {
        let arrived = {
            let mut last = self.last_poll.lock();
            let arrived = last.as_ref().is_none_or(|last| last.has_arrived(&poll));
            *last = Some(poll);
            arrived
        };
        let attached = self
            .state
            .lock()
            .attach(way, arrived, Instant::now(), self.times());
        let (turn, attached) = attached?;
        self.flow.taken(attached.arrived.packets);
        self.flow.sent(attached.arrived.bytes);
        // One that is held already sees that its time is over.
        self.tell_reader();
        self.sessions.links.fetch_add(1, Ordering::AcqRel);
        Some(Attachment {
            session: self.clone(),
            turn,
            first: attached.first,
            written: true,
        })
    }
}
