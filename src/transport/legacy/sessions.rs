//! All 0.9 sessions of this process: begins them, finds them by their ids, and looks after those
//! whose time has come.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::{Mutex, RwLock};

use super::{
    peer::{Mount, Peer},
    session::Session,
    state::Times,
};
use crate::{
    chat::socket::CloseReason,
    connection::{channels::Channels, flow::Shared},
    dialects::Handshake,
    log_limit::log_limited,
};

/// Random bytes in a session's id; 20 characters, as the old server's had.
const ID_BYTES: usize = 15;

/// All 0.9 sessions of this process.
pub struct Sessions {
    pub(super) shared: Arc<Shared>,
    pub(super) times: Times,
    pub(super) channels: Arc<Channels<Peer>>,
    /// What every session's id begins with: the id of this replica, where there are several.
    member: Box<str>,
    /// Polls and streams that are under way.
    pub(super) links: AtomicUsize,
    mounts: RwLock<Vec<Mount>>,
    all: Mutex<HashMap<Box<str>, Arc<Session>>>,
}

/// Why a handshake fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unable {
    /// The dialect does not want this client.
    Refused,
    /// As many are connected as may be, or there is no randomness to be had.
    Failed,
}

impl Sessions {
    pub(super) fn new(shared: Arc<Shared>, times: Times, member: &str) -> Arc<Self> {
        Arc::new(Self {
            member: member.into(),
            shared,
            times,
            channels: Channels::new(),
            links: AtomicUsize::new(0),
            mounts: RwLock::default(),
            all: Mutex::default(),
        })
    }

    pub(super) fn add_mount(&self, mount: Mount) {
        self.mounts.write().push(mount);
    }

    pub(super) fn mount(&self, endpoint: &str) -> Option<Mount> {
        let mounts = self.mounts.read();
        mounts
            .iter()
            .find(|mount| mount.endpoint == endpoint)
            .cloned()
    }

    /// A new session, in the default namespace.
    pub(super) fn begin(self: &Arc<Self>, handshake: Handshake) -> Result<Arc<Session>, Unable> {
        if self.count() >= self.shared.limits.sessions {
            let remote = handshake.remote;
            log_limited!(warn, %remote, "refused a 0.9 session: as many are connected as --max-connections allows");
            return Err(Unable::Failed);
        }
        let mut id = [0; ID_BYTES];
        if let Err(error) = getrandom::fill(&mut id) {
            log_limited!(error, %error, "the system has no randomness for a session's id");
            return Err(Unable::Failed);
        }
        let sid: Box<str> = format!("{}{}", self.member, BASE64_URL_SAFE_NO_PAD.encode(id)).into();
        let session = Arc::new(Session::new(sid.clone(), handshake, self.clone()));
        if !session.greet() {
            return Err(Unable::Refused);
        }
        self.all.lock().insert(sid, session.clone());
        Ok(session)
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<Session>> {
        self.all.lock().get(sid).cloned()
    }

    pub(super) fn forget(&self, session: &Session) {
        self.all.lock().remove(&session.sid);
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// How many sessions the server ended for this reason.
    pub fn ended(&self, why: CloseReason) -> u64 {
        self.shared.ended(why)
    }

    /// Whether there is no session and everything that anybody said has been dealt with.
    pub(super) fn are_quiet(&self) -> bool {
        self.count() == 0 && self.shared.is_quiet()
    }

    /// Whether polls or streams are under way, of sessions that have ended too.
    pub(super) fn have_links(&self) -> bool {
        self.links.load(Ordering::Acquire) > 0
    }

    pub(super) fn close_all(&self, why: CloseReason) {
        for session in self.everybody() {
            session.close(why);
        }
    }

    /// Sends the heartbeats that are due, and ends the sessions whose time is over.
    pub(super) fn look_after(&self) {
        let now = Instant::now();
        for session in self.everybody() {
            session.look_at(now);
        }
    }

    pub(super) fn everybody(&self) -> Vec<Arc<Session>> {
        self.all.lock().values().cloned().collect()
    }
}
