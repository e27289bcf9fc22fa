//! Everybody who is connected by a bare WebSocket, and how many were sent away for which reason.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::peer::Peer;
use crate::{
    chat::socket::{CloseReason, Socket, SocketId},
    connection::flow::Shared,
};

/// All connections of this transport.
pub struct Peers {
    pub(super) shared: Arc<Shared>,
    all: Mutex<HashMap<SocketId, Arc<Peer>>>,
}

impl Peers {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            all: Mutex::default(),
        })
    }

    pub(super) fn add(&self, peer: Arc<Peer>) {
        self.all.lock().insert(peer.id(), peer);
    }

    pub(super) fn remove(&self, peer: &Peer) {
        self.all.lock().remove(&peer.id());
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// How many connections the server ended for this reason.
    pub fn ended(&self, why: CloseReason) -> u64 {
        self.shared.ended(why)
    }

    /// Whether nobody is connected and everything that anybody said has been dealt with.
    pub(super) fn are_quiet(&self) -> bool {
        self.count() == 0 && self.shared.is_quiet()
    }

    /// All who are here now.
    pub(super) fn everybody(&self) -> Vec<Arc<Peer>> {
        self.all.lock().values().cloned().collect()
    }

    pub(super) fn close_all(&self, why: CloseReason) {
        for peer in self.everybody() {
            peer.close(why);
        }
    }
}
