//! A socket's side of its connection: what goes out as which frame, what a broken rule is called, and whether
//! the client is still there.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{
    peer::{Closing, Peer},
    pulse::{Due, Pulse, Timing},
};
use crate::{
    chat::socket::{CloseReason, Socket},
    connection::{
        exchange::{Carried, Frames, Misread, Next},
        flow::Flow,
    },
};

/// A socket while its connection lasts.
pub(super) struct Carrying {
    peer: Arc<Peer>,
    pulse: Pulse,
}

impl Carrying {
    pub(super) fn new(peer: Arc<Peer>, timing: Timing) -> Self {
        Self {
            peer,
            pulse: Pulse::new(timing),
        }
    }
}

impl Carried for Carrying {
    fn flow(&self) -> &Flow {
        &self.peer.flow
    }

    fn is_cut(&self) -> bool {
        self.peer.is_cut()
    }

    fn is_going_down(&self) -> bool {
        (self.peer.closing()).is_some_and(|end| end.why.reads_on())
    }

    fn next(&mut self, cx: &mut Context<'_>, out: &mut Frames) -> Next {
        let next = self.peer.take(out);
        if matches!(next, Some(Next::Wait)) {
            return match self.pulse.poll(cx) {
                Poll::Pending => Next::Wait,
                Poll::Ready(Due::Ping) => {
                    out.ping();
                    Next::Appended
                }
                Poll::Ready(Due::Gone) => {
                    tracing::debug!(peer = %self.peer.id(), "a WebSocket answers no ping");
                    self.peer.cut();
                    Next::Wait
                }
            };
        }
        next.unwrap_or_else(|| {
            Next::Over(self.peer.closing().map(|end| CloseFrame {
                code: end.status.into(),
                reason: end.words.into(),
            }))
        })
    }

    fn hear(&mut self, text: &str) {
        self.peer.hear(text);
    }

    fn misread(&mut self, why: Misread) {
        let closing = match why {
            Misread::Protocol => CloseReason::BadPacket.into(),
            Misread::TooLarge => CloseReason::TooLarge.into(),
            Misread::NotUtf8 => Closing {
                why: CloseReason::BadPacket,
                status: 1007,
                words: "a text was not UTF-8",
            },
            Misread::Binary => Closing {
                why: CloseReason::BadPacket,
                status: 1003,
                words: "a message was binary, not text",
            },
        };
        self.peer.end(closing);
    }

    fn flooded(&mut self) {
        self.peer.close(CloseReason::Flooding);
    }

    fn came(&mut self) {
        self.pulse.beat();
    }

    fn stalled(&mut self) {
        self.peer.close(CloseReason::Stalled);
    }
}
