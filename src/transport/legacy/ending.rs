//! How a session ends: its client goes, is gone, or is sent away. Who may go on elsewhere is not told (`moving`).

use std::{sync::Arc, time::Instant};

use super::{packet, session::Session, state::Due};
use crate::{
    chat::socket::{CloseReason, Socket},
    connection::closing::CLOSE_GRACE,
    log_limit::log_limited,
};

impl Session {
    /// The client goes, in good order.
    pub(super) fn leave(self: &Arc<Self>) {
        self.state.lock().begin_close();
        self.end();
        self.sessions.forget(self);
    }

    /// Ends the session for a reason of ours, once: the first reason counts.
    pub(super) fn close(self: &Arc<Self>, why: CloseReason) {
        if self.close_reason.set(why).is_err() {
            return;
        }
        self.sessions.shared.count_ended(why);
        if why.is_ordinary() {
            tracing::debug!(remote = %self.remote(), reason = why.code(), "ending a 0.9 session");
        } else {
            log_limited!(warn, of why.code(), remote = %self.remote(), reason = why.code(), "ending a 0.9 session: {}", why.message());
        }
        let moves = self.move_on(why);
        if !why.is_abrupt() && !moves {
            let subscriptions: Vec<_> = {
                let subscriptions = self.subscriptions.lock();
                subscriptions
                    .iter()
                    .map(|subscription| subscription.peer.clone())
                    .collect()
            };
            for peer in subscriptions {
                if let Some(close_reason) = peer.program.close_notice(why) {
                    peer.emit(close_reason.event, &close_reason.payload);
                }
            }
        }
        let kept = {
            let mut state = self.state.lock();
            if why.is_abrupt() {
                state.drop_queued();
            } else if !why.reconnect() {
                // A client that is disconnected in words, not just cut off, stays away.
                state.push(packet::DISCONNECT);
            } else if state.polls() && !moves {
                state.push(packet::NOT_HANDSHAKEN);
            }
            // Whoever is between two polls comes for its last words.
            state.is_alone() && !why.is_abrupt() && !moves
        };
        if moves {
            // The next poll of the client begins anew.
            self.sessions.forget(self);
        }
        if why.reads_on() {
            return self.dismiss();
        }
        self.end();
        if !kept {
            self.sessions.forget(self);
        }
    }

    /// Ends the session for the client, and hears for a while what it said before it knew.
    fn dismiss(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.lost();
        };
        self.state.lock().end();
        self.tell_reader();
        let session = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(CLOSE_GRACE).await;
            session.end();
            session.sessions.forget(&session);
        });
    }

    /// Sent away, but perhaps still saying something.
    pub(super) fn reads_on(&self) -> bool {
        self.close_reason().is_some_and(CloseReason::reads_on)
    }

    /// Nobody is heard any more. What was queued may still be taken.
    pub(super) fn end(&self) {
        self.state.lock().end();
        let subscriptions = std::mem::take(&mut *self.subscriptions.lock());
        for subscription in subscriptions {
            subscription.part();
        }
        self.flow.look_again();
        self.tell_reader();
    }

    /// Nobody is there to be told anything, or would take it.
    pub(super) fn lost(self: &Arc<Self>) {
        self.state.lock().drop_queued();
        self.end();
        self.sessions.forget(self);
    }

    /// Does what the time has come for.
    pub(super) fn look_at(self: &Arc<Self>, now: Instant) {
        let due = self.state.lock().due(now, self.times());
        match due {
            None => {}
            Some(Due::Heartbeat) => self.tell_reader(),
            Some(due) => {
                tracing::debug!(remote = %self.remote(), ?due, "a 0.9 session has ended");
                self.lost();
            }
        }
    }

    /// The client took some bytes: it lives.
    pub(super) fn is_alive(&self) {
        self.state.lock().is_alive(Instant::now());
    }
}
