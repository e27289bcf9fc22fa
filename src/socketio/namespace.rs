//! The namespaces that there are. None is made from what a client sends.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use super::socket::Socket;
use crate::{
    chat::socket::CloseReason,
    connection::channels::Channels,
    dialects::{Dialect, Handler, Handshake, Refusal, Rendered},
};

/// Deals with the clients of one namespace.
pub trait Namespace: Send + Sync + 'static {
    /// Lets a client in, or refuses it. Nothing can be sent yet.
    fn connect(
        &self,
        socket: Arc<Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal>;

    /// What a client is told before the server ends its connection.
    fn close_notice(&self, _why: CloseReason) -> Option<Rendered> {
        None
    }

    /// Whether every event must ask for an answer.
    fn asks_always(&self) -> bool {
        false
    }
}

impl<D: Dialect> Namespace for D {
    fn asks_always(&self) -> bool {
        Dialect::asks_always(self)
    }

    fn connect(
        &self,
        socket: Arc<Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        Dialect::connect(self, socket, handshake)
    }

    fn close_notice(&self, why: CloseReason) -> Option<Rendered> {
        Dialect::close_notice(self, why)
    }
}

/// All namespaces of one server.
pub(super) struct Namespaces {
    mounted: RwLock<HashMap<&'static str, Arc<dyn Namespace>>>,
    /// Who receives which volatile events.
    pub channels: Arc<Channels<Socket>>,
}

impl Namespaces {
    pub(super) fn new() -> Self {
        Self {
            mounted: RwLock::default(),
            channels: Channels::new(),
        }
    }

    pub(super) fn mount(&self, name: &'static str, namespace: Arc<dyn Namespace>) {
        self.mounted.write().insert(name, namespace);
    }

    pub(super) fn find(&self, name: &str) -> Option<(&'static str, Arc<dyn Namespace>)> {
        let mounted = self.mounted.read();
        let (name, namespace) = mounted.get_key_value(name)?;
        Some((name, namespace.clone()))
    }
}
