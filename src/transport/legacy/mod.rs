//! The transport for Socket.IO 0.9 (protocol 1), the oldest pages' own: `http` answers every request
//! of its paths, `polling` and `websocket` carry packets, each client is a `session` with a `socket`
//! per namespace, which the same dialects speak with as with later clients. `packet`, `payload` and
//! `state` are the protocol itself, without IO.

mod attachment;
pub mod client;
mod ending;
mod http;
mod moving;
pub mod packet;
pub mod payload;
mod peer;
mod place;
mod polling;
mod queue;
mod session;
mod sessions;
pub mod state;
mod websocket;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::http::{Request, Response};
use axum::body::Body;
use clap::ValueEnum;

use self::{
    client::Program,
    http::Front,
    peer::{Mount, Spoken},
    place::Seal,
};
pub use self::{sessions::Sessions, state::Times};
use super::origin::Allowed;
use crate::{
    chat::socket::CloseReason,
    connection::{
        channels::Told,
        closing,
        flow::{Limits, Shared},
    },
    dialects::{Dialect, Volatile},
};

/// How exactly heartbeats and the ends of absent sessions are timed.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// How long a drain waits for answers that clients are slow to take. HTTP asks for more of one only when it has
/// got rid of what it has, so nothing else would end them.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How packets travel, as settings, addresses and handshakes name it. Flash sockets are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    #[value(name = "websocket")]
    Websocket,
    #[value(name = "htmlfile")]
    HtmlFile,
    #[value(name = "xhr-polling")]
    XhrPolling,
    #[value(name = "jsonp-polling")]
    JsonpPolling,
}

impl Transport {
    /// All, in the order in which the old server offered them.
    pub const ALL: [Self; 4] = [
        Self::Websocket,
        Self::HtmlFile,
        Self::XhrPolling,
        Self::JsonpPolling,
    ];

    /// The name in addresses and handshakes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::HtmlFile => "htmlfile",
            Self::XhrPolling => "xhr-polling",
            Self::JsonpPolling => "jsonp-polling",
        }
    }
}

/// Socket.IO for clients 0.7 to 0.9.
pub struct Legacy {
    front: Front,
}

impl Legacy {
    /// `transports` are those that are offered, in this order; whoever asks for another is refused.
    /// `member` is what the ids of sessions begin with: the replica's id, where there are several. `keys` sign what clients
    /// keep to go on with their sessions on another replica, the first of them; without any they cannot.
    pub fn new(
        limits: Limits,
        times: Times,
        transports: &[Transport],
        allowed: Allowed,
        member: &str,
        keys: &[[u8; 32]],
    ) -> Self {
        Self {
            front: Front {
                sessions: Sessions::new(Shared::new(limits), times, member, Seal::new(keys)),
                transports: transports.into(),
                allowed,
            },
        }
    }

    /// Has a dialect speak with the clients of a namespace; `/` is the one that every client is in.
    pub fn mount(&self, namespace: &'static str, dialect: Arc<dyn Dialect>) {
        self.mount_program(namespace, Arc::new(Spoken(dialect)));
    }

    /// Has a program that speaks the protocol as it is do so.
    pub fn mount_program(&self, namespace: &'static str, program: Arc<dyn Program>) {
        self.front.sessions.add_mount(Mount {
            endpoint: endpoint(namespace),
            program,
        });
    }

    /// Volatile events for the clients of a namespace.
    pub fn volatile(&self, namespace: &'static str) -> Arc<dyn Volatile> {
        Arc::new(Told {
            channels: self.front.sessions.channels.clone(),
            namespace: endpoint(namespace),
        })
    }

    /// Everybody who is connected.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.front.sessions
    }

    /// The session that a request below Socket.IO's path names.
    pub fn session_of(request: &Request<Body>) -> Option<&str> {
        http::session_of(request.uri().path())
    }

    /// Whether this replica has a session.
    pub fn has(&self, session: &str) -> bool {
        let session = self.front.sessions.find(session);
        session.is_some_and(|session| !session.is_spent())
    }

    /// Whether any replica can take over the session of a request.
    pub fn may_move(request: &Request<Body>) -> bool {
        http::may_move(request)
    }

    /// Answers a request below Socket.IO's path.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.front.answer(request).await
    }

    /// Keeps time for all sessions, until the task is dropped.
    pub async fn keep_time(self: Arc<Self>) {
        let mut period = tokio::time::interval(LOOK_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            self.front.sessions.look_after();
        }
    }

    /// Sends those who are here away, one after the other over a time, so that whoever takes them in is
    /// not stormed. Who can go on elsewhere is not told.
    pub async fn thin_out(&self, over: Duration) {
        self.front.sessions.close_door(true);
        let sessions = self.front.sessions.everybody();
        closing::one_by_one(sessions, over, |session| {
            session.close(CloseReason::Shutdown)
        })
        .await;
    }

    /// Sends everybody away, and returns when they are gone, or had their time, and what they said has been dealt with.
    pub async fn drain(&self) {
        let sessions = &self.front.sessions;
        sessions.close_door(false);
        let begun = Instant::now();
        let send_away = || sessions.close_all(CloseReason::Shutdown);
        let are_gone = || {
            let is_late = begun.elapsed() > CLOSE_GRACE;
            sessions.are_quiet(is_late) && (is_late || !sessions.have_links())
        };
        closing::to_all(send_away, are_gone).await;
    }
}

/// A namespace as packets name it: the default one by nothing.
fn endpoint(namespace: &'static str) -> &'static str {
    match namespace {
        "/" => "",
        named => named,
    }
}
