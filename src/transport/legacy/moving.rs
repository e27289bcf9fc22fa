//! A client that goes on with the same session id elsewhere, or here once its session has ended, without being told: a
//! page that polls, reads one room, and keeps its place (`place`). Some old pages do not survive being told.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use super::session::Session;
use crate::{
    chat::{message::MessageId, socket::CloseReason},
    dialects::Place,
};

/// What is known of a session for that.
#[derive(Default)]
pub(super) struct Moving {
    /// The login that it belongs to, where it is a page's that may go on elsewhere.
    login: OnceLock<i64>,
    /// The client has shown that it keeps its place.
    keeps_place: AtomicBool,
    /// It ended here for the client to go on.
    has_moved: AtomicBool,
}

/// What becomes of the place that a client keeps.
pub(super) enum Keep {
    /// Nothing is said of it.
    AsItIs,
    Place(Place),
    /// It could not go on elsewhere.
    Forget,
}

impl Session {
    /// Whether it belongs to this login. Whoever shows a place of its own keeps what it is given.
    pub(super) fn is_of(&self, login: i64) -> bool {
        let is_of = self.moving.login.get().is_none_or(|own| *own == login);
        if is_of {
            self.moving.keeps_place.store(true, Ordering::Relaxed);
        }
        is_of
    }

    /// Has the client keep its place from now on.
    pub(super) fn keep_place(&self, login: i64, shown: Option<MessageId>) {
        let anew = self.moving.login.set(login).is_err();
        self.state.lock().show_after(shown, anew);
    }

    /// What the client is to keep with an answer that is made now.
    pub(super) fn place(&self) -> Keep {
        match self.moving.login.get() {
            Some(_) if self.has_more_namespaces() => Keep::Forget,
            Some(login) => Keep::Place(Place {
                login: *login,
                shown: self.state.lock().shown(),
            }),
            None => Keep::AsItIs,
        }
    }

    /// Only the default namespace is joined unasked.
    fn has_more_namespaces(&self) -> bool {
        let subscriptions = self.subscriptions.lock();
        subscriptions
            .iter()
            .any(|subscription| !subscription.peer.endpoint.is_empty())
    }

    /// Whether the client may go on elsewhere without being told: it polls, and brings along all that is to be known.
    fn may_move(&self) -> bool {
        self.moving.login.get().is_some()
            && self.moving.keeps_place.load(Ordering::Relaxed)
            && !self.has_more_namespaces()
            && self.state.lock().polls()
    }

    pub(super) fn has_moved(&self) -> bool {
        self.moving.has_moved.load(Ordering::Relaxed)
    }

    /// Whether the client is to go on, now that the session ends for this reason.
    pub(super) fn move_on(&self, why: CloseReason) -> bool {
        let moves = why.reconnect() && self.sessions.take_in(why) && self.may_move();
        self.moving.has_moved.store(moves, Ordering::Relaxed);
        moves
    }
}
