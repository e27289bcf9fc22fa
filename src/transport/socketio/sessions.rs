//! All Engine.IO sessions of this process: begins them, and finds them by their ids.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    peer::Peer,
    service::Engine,
    session::{Protocol, Session},
};
use crate::{
    chat::socket::CloseReason,
    dialects::Handshake,
    transport::{
        channels::Channels,
        flow::{Limits, Shared},
    },
};

/// All sessions of this process.
pub struct Sessions {
    pub(super) shared: Arc<Shared>,
    pub(super) channels: Arc<Channels<Peer>>,
    pub(super) engine: Engine,
    /// Those that began with polling, by their Engine.IO id.
    by_sid: Mutex<HashMap<Box<str>, Weak<Session>>>,
    all: Mutex<HashMap<u64, Weak<Session>>>,
    /// Taken for as long as a session takes memory: the engine keeps some that have ended.
    places: Arc<Semaphore>,
    next: AtomicU64,
}

impl Sessions {
    pub(super) fn new(engine: Engine, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            shared: Shared::new(limits),
            channels: Channels::new(),
            engine,
            by_sid: Mutex::default(),
            all: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.sessions.min(Semaphore::MAX_PERMITS))),
            next: AtomicU64::new(0),
        })
    }

    /// A new session; `None` where there are as many as there may be.
    pub(super) fn begin(
        self: &Arc<Self>,
        protocol: Protocol,
        handshake: Handshake,
    ) -> Option<Arc<Session>> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session::new(key, self.clone(), place, protocol, handshake));
        self.all.lock().insert(key, Arc::downgrade(&session));
        Some(session)
    }

    /// Makes a session known by the id that polling requests name it with.
    pub(super) fn name(&self, sid: &str, session: &Arc<Session>) {
        (self.by_sid.lock()).insert(sid.into(), Arc::downgrade(session));
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<Session>> {
        self.by_sid.lock().get(sid)?.upgrade()
    }

    pub(super) fn forget(&self, key: u64, sid: Option<&str>) {
        self.all.lock().remove(&key);
        if let Some(sid) = sid {
            self.by_sid.lock().remove(sid);
        }
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// Whether nobody is connected and everything that anybody said has been dealt with.
    pub(super) fn are_quiet(&self) -> bool {
        self.count() == 0 && self.shared.is_quiet()
    }

    /// How many sessions the server ended for this reason.
    pub fn ended(&self, why: CloseReason) -> u64 {
        self.shared.ended(why)
    }

    /// Ends every session.
    pub(super) fn close_all(&self, why: CloseReason) {
        for session in self.everybody() {
            session.close(why);
        }
    }

    pub(super) fn everybody(&self) -> Vec<Arc<Session>> {
        self.all.lock().values().filter_map(Weak::upgrade).collect()
    }
}
