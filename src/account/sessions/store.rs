//! Where sessions are kept: in a file of this replica (`embedded`), or in the Redis that replicas share (`redis`).

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Login, Record, Session, SessionError, SessionId};

/// How long an id is good after the session got another: for requests under way, and for a browser that did not get
/// the answer with the new one.
pub(super) const FORMER_AGE: Duration = Duration::from_secs(300);

/// Sessions at once. Beyond it visitors who only gave a name go first, then whoever was away longest.
pub(super) const MOST: i64 = 200_000;

/// Sessions of one account at once; beyond it the one that was away longest goes.
pub(super) const MOST_OF_ACCOUNT: i64 = 100;

/// How long a session lasts that is not used, where the settings do not say; connect-redis's default.
const DEFAULT_AGE: Duration = Duration::from_secs(86_400);

/// What keeps sessions. A call fails rather than wait for long, and what failed may have been done.
#[async_trait]
pub(super) trait Store: Send + Sync {
    /// The session that has this id, or had it until a moment ago.
    async fn load(&self, id: &str) -> Result<Option<Kept>, SessionError>;

    /// Keeps a new session. `former` leads to it for a while, as an id does that it had before.
    async fn begin(
        &self,
        id: &SessionId,
        record: &Record,
        former: Option<&str>,
    ) -> Result<(), SessionError>;

    /// Keeps a session's record with another name of its visitor, `user`, under another id; `former` leads there for a
    /// while, and the id that it had does not. False where it has ended.
    async fn rename(
        &self,
        id: &SessionId,
        record: &Record,
        new: &str,
        former: &str,
    ) -> Result<bool, SessionError>;

    /// Gives a session another id, and says which one it has then: another request may have been first.
    async fn renew(&self, id: &SessionId, new: Box<str>) -> Result<Box<str>, SessionError>;

    /// Ends a session.
    async fn remove(&self, id: &SessionId) -> Result<(), SessionError>;

    /// Ends all sessions of the account with this mail address, and says which they were.
    async fn remove_all_of(&self, mail: &str) -> Result<Vec<Login>, SessionError>;

    /// Has these last on from now, and says which of them there are no more. Drops what expired.
    async fn tidy(&self, used: Vec<SessionId>) -> Result<Vec<Login>, SessionError>;

    /// Waits for what is under way; calls that come later are refused.
    async fn close(&self);
}

/// A session as it was kept.
pub(super) struct Kept {
    pub session: Session,
    /// [`Timestamp::MAX`] where the store lets go by itself of what expired.
    pub expires: Timestamp,
}

/// How long sessions last after they were last used.
#[derive(Clone, Copy)]
pub(super) struct Lifetime {
    /// The cookie's, where it does not go with the browser.
    pub cookie: Option<Duration>,
}

impl Lifetime {
    pub fn age(self) -> Duration {
        self.cookie.unwrap_or(DEFAULT_AGE)
    }

    /// When a session expires that is used now.
    pub fn expiry(self) -> Timestamp {
        after(self.age())
    }

    /// A record as it is kept of a session that is used now.
    pub fn json(self, record: &Record) -> String {
        record.to_json(self.cookie.map(|age| (age, after(age))))
    }
}

/// The time so long after now.
pub(super) fn after(age: Duration) -> Timestamp {
    Timestamp::now().checked_add(age).unwrap_or(Timestamp::MAX)
}
