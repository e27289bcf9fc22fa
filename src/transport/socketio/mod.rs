//! The Socket.IO transport: socketioxide, made safe. A request comes in at `front` (Node's exact
//! answers, old clients' bodies), the engine (`service`) speaks Engine.IO, each upgraded connection
//! runs over a `wire` (never blocks, bounded, read frame by frame), each client in a namespace is a
//! `peer` (events in order, bounded), and a `session` ties them together. What peers are told on a
//! WebSocket goes past the engine, through the session's `outbox`. Dialects are mounted on namespaces
//! and know nothing of all this.

mod answer;
mod eio3;
mod eio4;
mod frames;
mod front;
mod last_answer;
mod member_sid;
mod outbox;
mod peer;
mod probe;
mod public_id;
mod refusal;
mod reword;
mod service;
mod session;
mod sessions;
mod stand_in;
pub(super) mod text;
mod wire;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response, header::CONTENT_LENGTH};
use socketioxide::ParserConfig;

use self::{
    front::Front,
    peer::Mount,
    service::{Engine, Nothing},
};
pub use self::{peer::handshake, public_id::id, sessions::Sessions};
pub use super::flow::Limits;
use super::{asks, channels::Told, farewell, listener::Remote, origin::Allowed};
use crate::{
    chat::socket::CloseReason,
    dialects::{Dialect, Volatile},
};

/// Bytes that an idle WebSocket connection keeps for reading. Larger frames get what they need, and the
/// wire reads more than that at a time.
const READ_BUFFER: usize = 128;

/// Binary attachments that one packet may have.
const ATTACHMENTS: usize = 64;

/// The times of Engine.IO.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// How long a client may take to join a namespace.
    pub connect_timeout: Duration,
}

/// Socket.IO for clients 1.x to 4.x.
pub struct SocketIo {
    io: socketioxide::SocketIo,
    front: Front,
    /// What the ids of sessions begin with.
    member: Box<str>,
}

impl SocketIo {
    /// `member` is what the ids of sessions begin with: the replica's id, where there are several.
    pub fn new(limits: Limits, timing: Timing, allowed: Allowed, member: &str) -> Self {
        let (service, io) = socketioxide::SocketIo::builder()
            .ping_interval(timing.ping_interval)
            .ping_timeout(timing.ping_timeout)
            .connect_timeout(timing.connect_timeout)
            .ack_timeout(asks::PATIENCE)
            .max_buffer_size(limits.backlog_packets)
            .max_payload(limits.payload as u64)
            // Beyond this the codec cuts the connection off; beyond `limits.message` we say why.
            .ws_max_message_size(limits.payload)
            .ws_max_frame_size(limits.payload)
            .ws_read_buffer_size(READ_BUFFER)
            .with_parser(
                ParserConfig::common()
                    .max_incoming_binaries(ATTACHMENTS)
                    // They are kept until all have come, and no clock runs meanwhile.
                    .max_incoming_binary_buf_size(limits.message),
            )
            .build_with_inner_svc(Nothing);
        let engine = Engine(service);
        let sessions = Sessions::new(engine.clone(), limits);
        Self {
            io,
            front: Front {
                engine,
                sessions,
                allowed,
            },
            member: member.into(),
        }
    }

    /// The session that a request of Socket.IO's path names.
    pub fn session_of(request: &Request<Body>) -> Option<&str> {
        member_sid::of(request.uri())
    }

    /// Has a dialect speak with the clients of a namespace. `/` must have one before the first
    /// client comes: Socket.IO 1.x and 2.x clients join it by themselves.
    pub fn mount(&self, namespace: &'static str, dialect: Arc<dyn Dialect>) {
        self.io.ns(namespace, Mount { namespace, dialect });
    }

    /// The engine's own interface, for programs that put other events on this transport.
    pub fn io(&self) -> &socketioxide::SocketIo {
        &self.io
    }

    /// Volatile events for the clients of a namespace.
    pub fn volatile(&self, namespace: &'static str) -> Arc<dyn Volatile> {
        Arc::new(Told {
            channels: self.front.sessions.channels.clone(),
            namespace,
        })
    }

    /// Everybody who is connected.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.front.sessions
    }

    /// Answers a request of Socket.IO's path.
    pub async fn answer(&self, mut request: Request<Body>) -> Response<Body> {
        let remote = Remote::ip(request.extensions());
        let member = &*self.member;
        if member.is_empty() {
            return self.front.answer(request, remote).await;
        }
        if member_sid::of(request.uri()).is_some() {
            member_sid::strip(&mut request, member);
            return self.front.answer(request, remote).await;
        }
        let (mut parts, body) = self.front.answer(request, remote).await.into_parts();
        // An upgrade's answer has no body; all others are in memory.
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .unwrap_or_default();
        let marked = member_sid::mark(&body, member).unwrap_or(body);
        if parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(CONTENT_LENGTH, marked.len().into());
        }
        Response::from_parts(parts, Body::from(marked))
    }

    /// Sends those who are here away, one after the other over a time, so that whoever takes them in is
    /// not stormed.
    pub async fn thin_out(&self, over: Duration) {
        let sessions = self.front.sessions.everybody();
        farewell::one_by_one(sessions, over, |session| {
            session.close(CloseReason::Shutdown)
        })
        .await;
    }

    /// Sends everybody away, and returns when they are gone and what they said has been dealt with.
    pub async fn drain(&self) {
        let sessions = &self.front.sessions;
        let send_away = || sessions.close_all(CloseReason::Shutdown);
        farewell::to_all(send_away, || sessions.are_quiet()).await;
    }
}
