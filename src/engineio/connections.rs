//! All connections of this process: begins them, and finds them by their ids.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::Mutex;

use super::{
    Accept, Timing,
    connection::Connection,
    request::{Protocol, Transport},
};
use crate::{
    chat::socket::CloseReason,
    connection::flow::{Limits, Shared},
    dialects::Handshake,
};

/// Random bytes in an id: 20 characters, as Node's have.
const ID_BYTES: usize = 15;

/// All connections of this process.
pub struct Connections {
    pub(super) shared: Arc<Shared>,
    pub(super) timing: Timing,
    /// What ids begin with.
    replica: Box<str>,
    accept: Box<dyn Accept>,
    by_sid: Mutex<HashMap<Arc<str>, Arc<Connection>>>,
}

impl Connections {
    pub(super) fn new(
        limits: Limits,
        timing: Timing,
        replica: &str,
        accept: Box<dyn Accept>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Shared::new(limits),
            timing,
            replica: replica.into(),
            accept,
            by_sid: Mutex::default(),
        })
    }

    /// A new connection; `None` where there are as many as there may be.
    pub(super) fn begin(
        self: &Arc<Self>,
        (protocol, transport, base64): (Protocol, Transport, bool),
        handshake: Handshake,
    ) -> Option<Arc<Connection>> {
        let sid: Arc<str> = format!("{}{}", self.replica, random_id()).into();
        let how = (protocol, transport, base64);
        let connection = Arc::new(Connection::new(sid.clone(), self.clone(), how, handshake));
        let mut all = self.by_sid.lock();
        if all.len() >= self.shared.limits.sessions {
            return None;
        }
        all.insert(sid, connection.clone());
        Some(connection)
    }

    /// Lets a new connection's messages be taken.
    pub(super) fn open(&self, connection: &Arc<Connection>) {
        connection.open(self.accept.open(connection));
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<Connection>> {
        self.by_sid.lock().get(sid).cloned()
    }

    pub(super) fn remove(&self, sid: &str) {
        let removed = {
            let mut all = self.by_sid.lock();
            let removed = all.remove(sid);
            if all.len() < all.capacity() / 4 {
                all.shrink_to_fit();
            }
            removed
        };
        // What goes with it may look here.
        drop(removed);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_sid.lock().len()
    }

    /// Whether nobody is connected and everything that anybody sent has been dealt with.
    pub(super) fn are_quiet(&self) -> bool {
        self.count() == 0 && self.shared.is_quiet()
    }

    /// How many the server ended for this reason.
    pub fn ended(&self, why: CloseReason) -> u64 {
        self.shared.ended(why)
    }

    pub(super) fn close_all(&self, why: CloseReason) {
        for connection in self.all() {
            connection.close(why);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        self.by_sid.lock().values().cloned().collect()
    }
}

/// An id that nobody can guess: 20 base64url characters.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
