//! A request or connection that has come for what its session has to say: what it finds, and what
//! becomes of that should it be lost.

use std::{
    sync::{Arc, atomic::Ordering},
    task::Waker,
    time::Instant,
};

use super::{
    session::Session,
    state::{Taken, Turn, Way},
};
use crate::{
    dialects::Place,
    transport::{forward::Hop, listener::Pulse},
};

/// A poll, as far as it tells what becomes of its answer.
#[derive(Default)]
pub(super) struct Carrier {
    /// The poll's `t`, which no other has.
    pub asked: Option<String>,
    /// The client's connection, or its proxy's.
    pub pulse: Option<Pulse>,
    /// Another replica's.
    pub hop: Option<Hop>,
    /// What the client kept of its place.
    pub place: Option<Place>,
    /// It came by TLS.
    pub by_tls: bool,
}

impl Carrier {
    fn has_failed(&self) -> bool {
        self.pulse.as_ref().is_some_and(Pulse::has_failed)
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

    /// The next packet, for a stream. Where there is none, `waker` is woken when it is time to look again.
    pub(super) fn packet(&self, waker: &Waker) -> Taken<Box<str>> {
        let taken = {
            let mut state = self.session.state.lock();
            let taken = state.take_packet(self.turn);
            // As long as nobody else can come: who was replaced must not be woken in another's place.
            if !matches!(taken, Taken::Replaced) {
                self.session.stream.register(waker);
            }
            taken
        };
        if matches!(taken, Taken::Replaced) {
            // This one may just have had itself woken when there is more to read, in the place of the other.
            self.session.tell_reader();
        }
        taken
    }

    /// The answer to the poll has gone out.
    pub(super) fn written(&mut self) {
        self.written = true;
    }

    /// The connection is gone, and with it the session.
    pub(super) fn lost(self) {
        let session = self.session.clone();
        let current = session.state.lock().is_current(self.turn);
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
        if over && !session.reads_on() {
            session.sessions.forget(session);
        }
        session.sessions.links.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Session {
    /// Whether this poll is the last one, asked again because its answer was lost with the replica in between.
    pub(super) async fn is_asked_again(&self, poll: &Carrier) -> bool {
        let hop = {
            let last = self.last_poll.lock();
            let same = last.asked.is_some() && last.asked == poll.asked;
            last.hop.clone().filter(|_| same)
        };
        match hop {
            Some(hop) => hop.is_gone().await,
            None => false,
        }
    }

    /// A client has come for its packets, `again` where the answer to its last poll was lost; `None` where there is
    /// nothing to be had any more.
    pub(super) fn attach(
        self: &Arc<Self>,
        way: Way,
        poll: Carrier,
        again: bool,
    ) -> Option<Attachment> {
        let kept = poll.place.filter(|place| self.is_of(place.login));
        let last = std::mem::replace(&mut *self.last_poll.lock(), poll);
        let arrived = !again && !last.has_failed();
        let attached = self.state.lock().attach(
            way,
            arrived,
            kept.and_then(|place| place.shown),
            Instant::now(),
            self.times(),
        );
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
