//! Packets as WebSocket text frames, one each: RFC 6455 (version 13) and the drafts before it whose
//! frames are the same (7 and 8). The server ends a connection by ending its stream; the old clients
//! know no close frames from it. `exchange` moves the frames.

use std::{sync::Arc, task::Context, time::Duration};

use ::http::{Request, Response, header::SEC_WEBSOCKET_KEY};
use axum::body::Body;

use super::{
    attachment::{Attachment, Carrier},
    http::bad_request,
    packet,
    session::Session,
    state::{Taken, Way},
};
use crate::{
    chat::socket::CloseReason,
    connection::{
        exchange::{self, Carried, End, Frames, Misread, Next},
        flow::Flow,
    },
    transport::{listener::Connection, upgrade},
};

/// The old drafts that browsers spoke, and the standard: their frames are the same.
const VERSIONS: [&str; 3] = ["13", "8", "7"];

/// How long a client without a session may take to go.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(1);

/// Upgrades the connection of a request, or says why it is no WebSocket.
pub(super) fn upgrade(
    request: &mut Request<Body>,
    session: Option<Arc<Session>>,
) -> Response<Body> {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).cloned();
    let Some(key) = key.filter(|_| upgrade::is_asked_for(headers)) else {
        return bad_request();
    };
    if !upgrade::is_of_version(headers, &VERSIONS) {
        return upgrade::other_version(&VERSIONS);
    }
    upgrade::answer(request, &key, |stream, unread| {
        converse(stream, unread, session)
    })
}

/// Carries a session's packets until one side has enough. `unread` came in behind the request.
async fn converse(mut stream: Connection, unread: Vec<u8>, session: Option<Arc<Session>>) {
    let attached =
        session.and_then(|session| session.attach(Way::Stream, Carrier::default(), false));
    let Some(attachment) = attached else {
        // Whoever does not take it is gone.
        let _ = exchange::say(&mut stream, packet::NOT_HANDSHAKEN).await;
        return exchange::hang_up(stream, STRANGERS_PATIENCE).await;
    };
    let limits = *attachment.session.limits();
    let mut packets = Packets {
        attachment,
        broken: false,
    };
    match exchange::carry(&mut stream, unread, limits.message, &mut packets).await {
        End::Lost => packets.attachment.lost(),
        End::Left => {
            packets.attachment.lost();
            exchange::hang_up(stream, limits.stall).await;
        }
        End::Over => {
            drop(packets);
            exchange::hang_up(stream, limits.stall).await;
        }
    }
}

/// A session's packets on their way.
struct Packets {
    attachment: Attachment,
    /// The client's frames cannot be told apart any more.
    broken: bool,
}

impl Packets {
    fn session(&self) -> &Arc<Session> {
        &self.attachment.session
    }
}

impl Carried for Packets {
    fn flow(&self) -> &Flow {
        &self.session().flow
    }

    fn is_cut(&self) -> bool {
        self.broken
            || self
                .session()
                .close_reason()
                .is_some_and(CloseReason::is_abrupt)
    }

    fn is_going_down(&self) -> bool {
        self.session().reads_on()
    }

    fn next(&mut self, cx: &mut Context<'_>, out: &mut Frames) -> Next {
        match self.attachment.packet(cx.waker()) {
            Taken::Some(packet) => {
                if std::mem::take(&mut self.attachment.first) {
                    self.session().open("");
                }
                out.text(packet.len(), &[&packet]);
                Next::Appended
            }
            Taken::Wait => Next::Wait,
            Taken::Over | Taken::Replaced => Next::Over(None),
        }
    }

    fn hear(&mut self, text: &str) {
        self.session().hear(text);
    }

    fn misread(&mut self, why: Misread) {
        match why {
            // Nothing in 0.9 is.
            Misread::Binary => {}
            Misread::TooLarge => self.session().close(CloseReason::BadPacket),
            Misread::NotUtf8 | Misread::Protocol => self.broken = true,
        }
    }

    fn flooded(&mut self) {
        self.session().close(CloseReason::Flooding);
    }

    fn went(&mut self) {
        self.session().is_alive();
    }

    fn stalled(&mut self) {
        self.session().close(CloseReason::Stalled);
    }
}
