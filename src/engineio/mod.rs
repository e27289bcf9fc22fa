//! Engine.IO, protocols 3 and 4: gives and takes the messages of one connection, in order, whatever they travel
//! on, and knows nothing of what is in them. `http` answers every request as Node's engine.io does; `polling`
//! and `websocket` move packets; each client is a `connection`, whose `state` is the protocol itself, without IO.
//! Who wants the messages is an [`Accept`].
//!
//! Packets are those of engineioxide-core. Its payloads are not used: they know one of the two encodings that
//! Engine.IO 3 clients have over polling, and read a body piece by piece where here it is in memory (`eio3`).

mod connection;
mod connections;
mod eio3;
mod http;
mod jsonp;
mod last_answer;
mod payload;
mod polling;
mod refusal;
mod request;
mod state;
mod websocket;

use std::{sync::Arc, time::Duration};

use ::http::{Request, Response};
use axum::body::Body;

pub(crate) use self::connections::random_id;
use self::http::Front;
pub use self::{
    connection::{Connection, Message},
    connections::Connections,
    request::{Protocol, sid_of},
};
use crate::{
    chat::socket::CloseReason,
    connection::{closing, flow::Limits},
    transport::{listener::Remote, origin::Allowed},
};

/// The times of Engine.IO.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// How long a client may take until whoever has its messages says that it has joined.
    pub connect_timeout: Duration,
}

/// Takes clients in.
pub trait Accept: Send + Sync + 'static {
    /// A client has connected. Its messages are given to what this returns.
    fn open(&self, connection: &Arc<Connection>) -> Box<dyn Receive>;
}

/// Takes the messages of one connection. The methods are called one after the other, and must not block.
pub trait Receive: Send + Sync + 'static {
    /// The client can be sent messages from now on.
    fn opened(&self, connection: &Arc<Connection>);

    /// The client sent a message.
    fn message(&self, connection: &Arc<Connection>, message: Message);

    /// The server is about to end the connection: what is sent now is the last that the client gets.
    fn closing(&self, connection: &Arc<Connection>, why: CloseReason);

    /// The connection is over.
    fn closed(&self);
}

/// Engine.IO for clients 1.x to 4.x.
pub struct EngineIo(Front);

impl EngineIo {
    /// `replica` is what the ids of connections begin with: the replica's id, where there are several.
    pub fn new(
        limits: Limits,
        timing: Timing,
        allowed: Allowed,
        replica: &str,
        accept: impl Accept,
    ) -> Self {
        Self(Front {
            connections: Connections::new(limits, timing, replica, Box::new(accept)),
            allowed,
        })
    }

    /// Everybody who is connected.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.0.connections
    }

    /// Answers a request of Engine.IO's path.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let remote = Remote::ip(request.extensions());
        self.0.answer(request, remote).await
    }

    /// Ends the connections of those who are here, one after the other over a time, so that whoever takes them
    /// in is not stormed.
    pub async fn thin_out(&self, over: Duration) {
        let all = self.connections().all();
        closing::one_by_one(all, over, |connection| {
            connection.close(CloseReason::Shutdown)
        })
        .await;
    }

    /// Ends every connection, and returns when all are over and what their clients sent has been dealt with.
    pub async fn drain(&self) {
        let connections = self.connections();
        let close = || connections.close_all(CloseReason::Shutdown);
        closing::to_all(close, || connections.are_quiet()).await;
    }
}
