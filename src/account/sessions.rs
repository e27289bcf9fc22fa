//! Logins: whose a request is, by its cookie. Cookie and record are those of express sessions, so that
//! logins survive the move from an old server: `cookie` signs and finds ids, `record` is what is known of
//! a login, `embedded` keeps it, `watch` tells its sockets when it ends.

mod cookie;
mod embedded;
mod record;
#[cfg(test)]
mod tests;
mod watch;

use std::{collections::HashSet, fmt, net::IpAddr, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;

use self::{cookie::Seal, embedded::Embedded, watch::Watched};
pub use self::{embedded::OpenError, record::Record, watch::Watch};
use super::attempts::{Attempt, Attempts, Network, Refused};

/// How long a login lasts that is not used, where the settings do not say; connect-redis's default.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(86_400);

/// The time for which is counted what waits for the disk.
const COUNTED: Duration = Duration::from_secs(60);

/// Names that visitors from one address may give within that time.
const NAMINGS: u32 = 60;

/// Ids that one session gets within that time; then it keeps the one that it has.
const RENEWALS: u32 = 30;

/// How often is noted which sessions were used, and those that expired go.
const TIDY_PERIOD: Duration = Duration::from_secs(30);

/// What the settings say of sessions.
pub struct Rules {
    /// The cookie's name.
    pub cookie: String,
    /// The first signs, all of them verify. Where there is none, one is drawn and kept with the sessions.
    pub secrets: Vec<String>,
    /// How long a session lasts after it was last used. Where it is absent the cookie goes with the browser, and
    /// the session a day after it was last used, as in connect.
    pub max_age: Option<Duration>,
}

/// Every login of this replica's visitors.
pub struct Sessions {
    seal: Seal,
    has_drawn: bool,
    max_age: Option<Duration>,
    store: Embedded,
    /// Visitors who gave a name.
    names: Attempts<Network>,
    renewals: Attempts<Login>,
    watched: Arc<Watched>,
    /// Used since that was last noted. As many as there are sessions, at most.
    used: Mutex<HashSet<Login>>,
}

/// Which login a session is: the same for as long as it lasts, while its id may change. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Login(i64);

/// A session's id: whoever knows one, and the secret, is that visitor.
#[derive(Clone)]
pub struct SessionId {
    text: Box<str>,
    login: Login,
}

impl SessionId {
    pub fn login(&self) -> Login {
        self.login
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId")
    }
}

/// A login, or a visitor who gave a name.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    pub record: Record,
    /// The request came with the id that the session had before.
    is_late: bool,
}

/// A visitor is about to give a name. It counts, whatever becomes of it.
pub struct Naming<'a>(
    #[expect(dead_code, reason = "it is there to be dropped")] Attempt<'a, Network>,
);

/// A session could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("sessions are read or written too slowly, try again")]
    Busy,
    #[error("sessions cannot be read or written: check the data directory's disk and its space")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("sessions are closed, the server is going down")]
    Closed,
    #[error("too many names from this address, try again in {} s", retry_after.as_secs())]
    TooMany { retry_after: Duration },
}

impl From<Refused> for SessionError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooMany(retry_after) => Self::TooMany { retry_after },
            Refused::TooManyAtOnce => Self::Busy,
        }
    }
}

impl Sessions {
    /// Opens the sessions in `dir`, which there must be. Blocks for a moment.
    pub fn open(dir: &Path, rules: Rules) -> Result<Self, OpenError> {
        let store = Embedded::open(dir)?;
        let (mut secrets, mut has_drawn) = (rules.secrets, false);
        if secrets.is_empty() {
            let (secret, is_new) = store.secret()?;
            secrets.push(secret);
            has_drawn = is_new;
        }
        Ok(Self {
            seal: Seal::new(rules.cookie, &secrets),
            has_drawn,
            names: Attempts::new(COUNTED),
            renewals: Attempts::new(COUNTED),
            max_age: rules.max_age,
            store,
            watched: Arc::default(),
            used: Mutex::default(),
        })
    }

    /// Whether a secret was drawn now, because none was given and none kept.
    pub fn has_drawn_secret(&self) -> bool {
        self.has_drawn
    }

    /// The session that a request's whole `Cookie` header names; cookies that are forged, expired or of
    /// another kind name none. The session lasts on from now.
    ///
    /// A visitor's first cookie names no session until the visitor gave a name, and may be older than that: whoever
    /// was nobody at the handshake may be somebody at the next event.
    pub async fn of(&self, cookies: &str) -> Result<Option<Session>, SessionError> {
        for id in self.seal.ids(cookies) {
            let Some(kept) = self.store.load(id).await? else {
                continue;
            };
            // What was used since may not be noted yet.
            let is_used = self.used.lock().contains(&kept.session.id.login);
            if is_used || kept.expires > Timestamp::now() {
                self.used.lock().insert(kept.session.id.login);
                return Ok(Some(kept.session));
            }
        }
        Ok(None)
    }

    /// Begins a session with an id that nobody has seen.
    pub async fn begin(&self, record: Record) -> Result<Session, SessionError> {
        self.begin_as(self.unused(), record).await
    }

    /// Somebody wants to give a name; there are so many a minute from one address.
    pub fn naming(&self, from: IpAddr) -> Result<Naming<'_>, SessionError> {
        Ok(Naming(self.names.begin([(Network::from(from), NAMINGS)])?))
    }

    /// Gives a visitor a name that nothing proves: in the session that the cookies name, or in one under the id
    /// that the visitor was given with the page. Whether it is an account's is for others to say.
    pub async fn name_visitor(
        &self,
        _counted: Naming<'_>,
        cookies: &str,
        user: String,
    ) -> Result<Session, SessionError> {
        let mut id = self.unused();
        if let Some(mut session) = self.of(cookies).await? {
            session.record.user = Some(user.clone());
            let (record, expires) = self.written(&session.record);
            let login = session.id.login;
            if self.store.change(login, record, expires).await? {
                return Ok(session);
            }
            // It has ended since, and its id with it.
        } else if let Some(given) = self.seal.ids(cookies).next() {
            id.text = given.into();
        }
        let record = Record {
            user: Some(user),
            ..Record::default()
        };
        self.begin_as(id, record).await
    }

    /// The session under a new id. The old one is good for some minutes more, for requests under way and answers that
    /// get lost; whoever comes with it gets the new one.
    pub async fn renew(&self, session: &Session) -> Result<SessionId, SessionError> {
        let login = session.id.login;
        // It counts, like names, whatever becomes of it.
        let attempt = self.renewals.begin([(login, RENEWALS)]);
        if session.is_late || attempt.is_err() {
            return Ok(session.id.clone());
        }
        let id = SessionId {
            text: cookie::random_id().into(),
            login,
        };
        self.store.renew(login, id.text.clone()).await?;
        Ok(id)
    }

    /// Ends a session, and with it all that watches it.
    pub async fn end(&self, id: &SessionId) -> Result<(), SessionError> {
        self.store.remove(id.login).await?;
        self.used.lock().remove(&id.login);
        self.watched.end(id.login);
        Ok(())
    }

    /// Calls `end` when the session is ended, whoever does it; at once where it was ended lately. Not any more once
    /// the [`Watch`] is dropped. A session that is watched does not expire.
    pub fn watch(&self, id: &SessionId, end: impl FnOnce() + Send + 'static) -> Watch {
        self.watched.clone().watch(id.login, Box::new(end))
    }

    /// An id for a visitor of whom there is nothing to keep yet.
    pub fn unused(&self) -> SessionId {
        SessionId {
            text: cookie::random_id().into(),
            login: Login::random(),
        }
    }

    /// Whether the cookies hold an id of ours, of a session or not.
    pub fn know(&self, cookies: &str) -> bool {
        self.seal.ids(cookies).next().is_some()
    }

    /// The `Set-Cookie` header for a session; `secure` where the request came by TLS.
    pub fn set_cookie(&self, id: &SessionId, secure: bool) -> String {
        self.seal.set(&id.text, self.max_age, secure)
    }

    /// The `Set-Cookie` header that has a browser forget its session.
    pub fn forget_cookie(&self, secure: bool) -> String {
        self.seal.forget(secure)
    }

    /// Notes what was used and drops what expired, for as long as it runs.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TIDY_PERIOD).await;
            self.tidy().await;
        }
    }

    /// Notes what was used last, and closes the file.
    pub async fn close(&self) {
        self.tidy().await;
        self.store.close().await;
    }

    async fn tidy(&self) {
        self.watched.forget_ended();
        let used = std::mem::take(&mut *self.used.lock());
        let mut noted: HashSet<_> = self.watched.logins().into_iter().collect();
        noted.extend(&used);
        if let Err(error) = self.store.tidy(noted, self.expiry()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not tidy up sessions, trying again later"
            );
            self.used.lock().extend(used);
        }
    }

    async fn begin_as(&self, mut id: SessionId, record: Record) -> Result<Session, SessionError> {
        let (json, expires) = self.written(&record);
        id.login = self.store.begin(&id, &record, json, expires).await?;
        Ok(Session {
            id,
            record,
            is_late: false,
        })
    }

    /// A record as it is kept, and until when.
    fn written(&self, record: &Record) -> (String, Timestamp) {
        let expires = self.expiry();
        (
            record.to_json(self.max_age.map(|age| (age, expires))),
            expires,
        )
    }

    fn expiry(&self) -> Timestamp {
        let age = self.max_age.unwrap_or(DEFAULT_MAX_AGE);
        Timestamp::now().checked_add(age).unwrap_or(Timestamp::MAX)
    }
}

impl Login {
    fn random() -> Self {
        let mut bytes = [0; 8];
        cookie::draw(&mut bytes);
        Self(i64::from_le_bytes(bytes))
    }
}
