//! All 0.9 sessions of this process: begins them, finds them by their ids, and looks after those
//! whose time has come.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::{Mutex, RwLock};

use super::{
    peer::{Mount, Peer},
    place::Seal,
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
    /// Signs what clients keep.
    seal: Seal,
    /// Takes no sessions of others in any more.
    is_closing: AtomicBool,
    /// Others take in those that end here.
    has_others: AtomicBool,
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
    pub(super) fn new(shared: Arc<Shared>, times: Times, member: &str, seal: Seal) -> Arc<Self> {
        Arc::new(Self {
            member: member.into(),
            shared,
            times,
            channels: Channels::new(),
            links: AtomicUsize::new(0),
            seal,
            is_closing: AtomicBool::new(false),
            has_others: AtomicBool::new(false),
            mounts: RwLock::default(),
            all: Mutex::default(),
        })
    }

    pub(super) fn seal(&self) -> &Seal {
        &self.seal
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

    /// Goes on with a session of another replica, or of one that has ended here: the client brought its place along.
    pub(super) fn take_over(
        self: &Arc<Self>,
        sid: &str,
        handshake: Handshake,
    ) -> Result<Arc<Session>, Unable> {
        if self.is_closing.load(Ordering::Relaxed) || self.count() >= self.shared.limits.sessions {
            return Err(Unable::Failed);
        }
        let session = Arc::new(Session::new(sid.into(), handshake, self.clone()));
        if !session.greet() {
            return Err(Unable::Refused);
        }
        // Two requests of the client may come at once.
        let other = {
            let mut all = self.all.lock();
            let other = all.get(sid).cloned();
            if other.as_ref().is_none_or(|other| other.is_spent()) {
                all.insert(sid.into(), session.clone());
            }
            other
        };
        match other {
            Some(other) if other.is_spent() => other.lost(),
            Some(other) => {
                session.end();
                return Ok(other);
            }
            None => {}
        }
        tracing::debug!(remote = %session.remote(), "took a 0.9 session over");
        session.open("");
        Ok(session)
    }

    /// No sessions of others are taken in from now on. `has_others`: those that end here go on elsewhere.
    pub(super) fn close_door(&self, has_others: bool) {
        self.is_closing.store(true, Ordering::Relaxed);
        self.has_others.fetch_or(has_others, Ordering::Relaxed);
    }

    /// Whether somebody takes in a session that ends here for this reason.
    pub(super) fn take_in(&self, why: CloseReason) -> bool {
        why != CloseReason::Shutdown || self.has_others.load(Ordering::Relaxed)
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<Session>> {
        self.all.lock().get(sid).cloned()
    }

    /// Another may have taken its id over.
    pub(super) fn forget(&self, session: &Session) {
        let mut all = self.all.lock();
        if all
            .get(&session.sid)
            .is_some_and(|it| std::ptr::eq(&**it, session))
        {
            all.remove(&session.sid);
        }
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// How many sessions the server ended for this reason.
    pub fn ended(&self, why: CloseReason) -> u64 {
        self.shared.ended(why)
    }

    /// Whether there is no session and everything that anybody said has been dealt with. `is_late`: those that ended before,
    /// and whose clients have not come for their last words, do not count any more.
    pub(super) fn are_quiet(&self, is_late: bool) -> bool {
        let is_done =
            |session: &Arc<Session>| is_late && session.has_ended() && !session.reads_on();
        self.all.lock().values().all(is_done) && self.shared.is_quiet()
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
