//! Socket.IO for clients 1.x to 4.x: packets, namespaces and acknowledgements on the messages of `engineio`. Each
//! connection is a `client`, with a [`Socket`] for each namespace that it has joined; `packet` knows how packets are
//! written. What is said in a namespace is the matter of whoever is mounted on it: a dialect, or any [`Namespace`].

mod client;
mod namespace;
mod packet;
mod socket;

use std::{sync::Arc, time::Duration};

use ::http::{Request, Response};
use axum::body::Body;

use self::{client::Clients, namespace::Namespaces};
pub use self::{namespace::Namespace, socket::Socket};
use crate::{
    connection::channels::Told,
    dialects::Volatile,
    engineio::{self, Connections, EngineIo},
    transport::origin::Allowed,
};
pub use crate::{connection::flow::Limits, engineio::Timing};

/// Socket.IO for clients 1.x to 4.x.
pub struct SocketIo {
    engine: EngineIo,
    namespaces: Arc<Namespaces>,
}

impl SocketIo {
    /// `replica` is what the ids of connections begin with: the replica's id, where there are several.
    pub fn new(limits: Limits, timing: Timing, allowed: Allowed, replica: &str) -> Self {
        let namespaces = Arc::new(Namespaces::new());
        let clients = Clients(namespaces.clone());
        Self {
            engine: EngineIo::new(limits, timing, allowed, replica, clients),
            namespaces,
        }
    }

    /// The connection that a request of Socket.IO's path names.
    pub fn sid_of(request: &Request<Body>) -> Option<&str> {
        engineio::sid_of(request.uri())
    }

    /// Whether a request below Socket.IO's path is Engine.IO's: as on Node, whatever the rest of the path is. Requests
    /// of 0.9 name their transport in the path.
    pub fn is_asked_for(request: &Request<Body>) -> bool {
        let query = request.uri().query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "transport")
    }

    /// Has a dialect, or any other namespace, deal with the clients of a namespace. `/` must have one before the
    /// first client comes: Socket.IO 1.x and 2.x clients join it by themselves.
    pub fn mount(&self, name: &'static str, namespace: Arc<impl Namespace>) {
        self.namespaces.mount(name, namespace);
    }

    /// Volatile events for the clients of a namespace.
    pub fn volatile(&self, namespace: &'static str) -> Arc<dyn Volatile> {
        Arc::new(Told {
            channels: self.namespaces.channels.clone(),
            namespace,
        })
    }

    /// Everybody who is connected.
    pub fn connections(&self) -> &Arc<Connections> {
        self.engine.connections()
    }

    /// Answers a request of Socket.IO's path.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        self.engine.answer(request).await
    }

    /// Ends the connections of those who are here, one after the other over a time, so that whoever takes them
    /// in is not stormed.
    pub async fn thin_out(&self, over: Duration) {
        self.engine.thin_out(over).await;
    }

    /// Ends every connection, and returns when all are over and what their clients sent has been dealt with.
    pub async fn drain(&self) {
        self.engine.drain().await;
    }
}
