//! The Socket.IO transport: socketioxide, made safe. A request comes in at `front` (Node's exact
//! answers, old clients' bodies), the engine (`service`) speaks Engine.IO, each upgraded connection
//! runs over a `wire` (never blocks, bounded, read frame by frame), each client in a namespace is a `peer` (events in
//! order, bounded), and a `session` ties them together. What peers are told on a WebSocket goes past the
//! engine, through the session's `outbox`. Dialects are mounted on namespaces and know nothing of all this.

mod answer;
mod eio3;
mod eio4;
mod frames;
mod front;
mod outbox;
mod peer;
mod probe;
mod public_id;
mod refusal;
mod reword;
mod service;
mod session;
mod stand_in;
pub(super) mod text;
mod wire;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response};

use self::{
    front::Front,
    peer::Mount,
    service::{Engine, Nothing},
};
pub use self::{peer::handshake, public_id::id, session::Sessions};
pub use super::flow::Limits;
use super::{asks, channels::Told, listener::Remote, origin::Allowed};
use crate::{
    chat::peer::Goodbye,
    dialect::{Dialect, Fleeting},
};

/// Bytes that an idle WebSocket connection keeps for reading. Larger frames get what they need, and the
/// wire reads more than that at a time.
const READ_BUFFER: usize = 128;

/// How often a drain looks whether everybody is gone.
const DRAIN_PERIOD: Duration = Duration::from_millis(10);

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
}

impl SocketIo {
    pub fn new(limits: Limits, timing: Timing, allowed: Allowed) -> Self {
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
        }
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

    /// Fleeting events for the clients of a namespace.
    pub fn fleeting(&self, namespace: &'static str) -> Arc<dyn Fleeting> {
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
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let remote = request
            .extensions()
            .get()
            .map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |Remote(address)| {
                address.ip()
            });
        self.front.answer(request, remote).await
    }

    /// Sends everybody away, and returns when they are gone and what they said has been dealt with.
    pub async fn drain(&self) {
        self.front.sessions.close_all(Goodbye::Shutdown);
        while !self.front.sessions.are_quiet() {
            tokio::time::sleep(DRAIN_PERIOD).await;
            // Those who came in meanwhile.
            self.front.sessions.close_all(Goodbye::Shutdown);
        }
    }
}
