//! Logins: whose a request is, by its cookie. Cookie and record are those of express sessions, so that
//! logins survive the move from an old server: `cookie` signs and finds ids, `record` is what is known of
//! a login, a `store` keeps it (`embedded`, or `redis` for several replicas), `watch` tells its sockets when it ends.

mod cookie;
mod embedded;
mod error;
mod logout;
mod record;
mod redis;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::{collections::HashMap, fmt, net::IpAddr, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;

use self::{
    cookie::Seal,
    embedded::Embedded,
    redis::Shared,
    store::{Lifetime, Store},
    watch::Watched,
};
pub use self::{embedded::OpenError, error::SessionError, record::Record, watch::Watch};
use super::attempts::{Attempt, Attempts, Network};
use crate::redis::Redis;

/// The time for which is counted what waits for the disk.
const COUNTED: Duration = Duration::from_secs(60);

/// Names that visitors from one address may give within that time.
const NAMINGS: u32 = 60;

/// Ids that one session gets within that time; then it keeps the one that it has.
const RENEWALS: u32 = 30;

/// How often is noted which sessions were used, and those that expired go.
const TIDY_PERIOD: Duration = Duration::from_secs(30);

/// How long a store that does not answer may hold up [`Sessions::close`].
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What the settings say of sessions.
pub struct Rules {
    /// The cookie's name.
    pub cookie: String,
    /// The first signs, all of them verify. Where there is none, one is drawn, and kept with sessions in a file.
    pub secrets: Vec<String>,
    /// How long a session lasts after its last use. If absent, the cookie goes with the browser, the session after a day, as in connect.
    pub max_age: Option<Duration>,
}

/// Every login of this replica's visitors.
pub struct Sessions {
    seal: Seal,
    has_drawn: bool,
    lifetime: Lifetime,
    store: Box<dyn Store>,
    /// Where is heard what other replicas ended.
    shared: Option<Redis>,
    /// Visitors who gave a name.
    names: Attempts<Network>,
    renewals: Attempts<Login>,
    watched: Arc<Watched>,
    used: Mutex<Used>,
}

/// Sessions that were used, with their ids: twice as many as there are sessions, at most.
#[derive(Default)]
struct Used {
    /// Since that was last noted.
    lately: HashMap<Login, Box<str>>,
    /// Before, and noted then. That may be under way yet, or later than what a request has just read.
    before: HashMap<Login, Box<str>>,
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
pub struct Naming<'a> {
    from: IpAddr,
    #[expect(dead_code, reason = "it is there to be dropped")]
    counted: Attempt<'a, Network>,
}

impl Sessions {
    /// Opens the sessions in `dir`, which there must be. Blocks for a moment.
    pub fn open(dir: &Path, mut rules: Rules) -> Result<Self, OpenError> {
        let store = Embedded::open(dir, rules.lifetime())?;
        let mut has_drawn = false;
        if rules.secrets.is_empty() {
            let (secret, is_new) = store.secret()?;
            rules.secrets.push(secret);
            has_drawn = is_new;
        }
        Ok(Self {
            has_drawn,
            ..Self::new(rules, Box::new(store), None)
        })
    }

    /// The sessions that replicas share, and Node processes with them whose connect-redis has this `prefix`. Opens
    /// nothing yet. Without a secret no cookie names any.
    pub fn shared(redis: Redis, prefix: String, mut rules: Rules) -> Self {
        if rules.secrets.is_empty() {
            rules.secrets.push(cookie::random_id());
        }
        let store = Shared::new(redis.clone(), prefix, rules.lifetime());
        Self::new(rules, Box::new(store), Some(redis))
    }

    fn new(rules: Rules, store: Box<dyn Store>, shared: Option<Redis>) -> Self {
        Self {
            lifetime: rules.lifetime(),
            seal: Seal::new(rules.cookie, &rules.secrets),
            has_drawn: false,
            names: Attempts::new(COUNTED),
            renewals: Attempts::new(COUNTED),
            store,
            shared,
            watched: Arc::default(),
            used: Mutex::default(),
        }
    }

    /// Whether a secret was drawn now, because none was given and none kept.
    pub fn has_drawn_secret(&self) -> bool {
        self.has_drawn
    }

    /// The session that the whole `Cookie` header of a request from there names; cookies that are forged, expired or of
    /// another kind name none. The session lasts on from now.
    ///
    /// A visitor's first cookie names no session until the visitor gave a name, and may be older than that: whoever
    /// was nobody at the handshake may be somebody at the next event. It does so only for who comes from where the
    /// name was given: others may have planted it.
    pub async fn of(&self, cookies: &str, from: IpAddr) -> Result<Option<Session>, SessionError> {
        let ids: Vec<_> = self.seal.ids(cookies).collect();
        let network = Network::from(from);
        let bound = ids.iter().map(|id| self.seal.bound(id, network));
        for id in ids.iter().cloned().chain(bound) {
            let Some(kept) = self.store.load(&id).await? else {
                continue;
            };
            let SessionId { login, text } = &kept.session.id;
            let mut used = self.used.lock();
            if used.contains(login) || kept.expires > Timestamp::now() {
                used.lately.insert(*login, text.clone());
                return Ok(Some(kept.session));
            }
        }
        Ok(None)
    }

    /// Begins a session with an id that nobody has seen.
    pub async fn begin(&self, record: Record) -> Result<Session, SessionError> {
        self.begin_as(self.unused(), record, None).await
    }

    /// Somebody wants to give a name; there are so many a minute from one address.
    pub fn naming(&self, from: IpAddr) -> Result<Naming<'_>, SessionError> {
        let counted = self.names.begin([(Network::from(from), NAMINGS)])?;
        Ok(Naming { from, counted })
    }

    /// Gives a visitor a name that nothing proves: in the session that the cookies name, or in a new one. Its id is new in
    /// any case, since whoever knows the cookies may have planted them; they lead there for a while, for who comes from the
    /// same place: the visitor's page connects while it tells the name. Whether the name is an account's is for others to say.
    pub async fn name_visitor(
        &self,
        naming: Naming<'_>,
        cookies: &str,
        user: String,
    ) -> Result<Session, SessionError> {
        let id = self.unused();
        let network = Network::from(naming.from);
        let given = self.seal.ids(cookies).next();
        let given = given.map(|given| self.seal.bound(&given, network));
        if let Some(mut session) = self.of(cookies, naming.from).await? {
            session.record.user = Some(user.clone());
            let former = match &given {
                // What led there goes on doing so.
                Some(given) if session.is_late => given.clone(),
                _ => self.seal.bound(&session.id.text, network),
            };
            let (store, record) = (&self.store, &session.record);
            if (store.rename(&session.id, record, &id.text, &former)).await? {
                session.id.text = id.text;
                return Ok(session);
            }
        }
        let record = Record {
            user: Some(user),
            ..Record::default()
        };
        self.begin_as(id, record, given.as_deref()).await
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
        let new = cookie::random_id().into();
        let text = self.store.renew(&session.id, new).await?;
        Ok(SessionId { text, login })
    }

    /// Ends a session, and with it all that watches it.
    pub async fn end(&self, id: &SessionId) -> Result<(), SessionError> {
        self.store.remove(id).await?;
        self.has_ended(id.login);
        Ok(())
    }

    /// Ends a session and all others of its account.
    pub async fn end_everywhere(&self, session: &Session) -> Result<(), SessionError> {
        if let Some(mail) = &session.record.mail {
            let ended = self.store.remove_all_of(mail).await?;
            ended.into_iter().for_each(|login| self.has_ended(login));
        }
        self.end(&session.id).await
    }

    /// Calls `end` when the session is ended, whoever does it; at once where it was ended lately. Not any more once
    /// the [`Watch`] is dropped. A session that is watched does not expire.
    pub fn watch(&self, id: &SessionId, end: impl FnOnce() + Send + 'static) -> Watch {
        self.watched.clone().watch(id, Box::new(end))
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
        self.seal.set(&id.text, self.lifetime.cookie, secure)
    }

    /// The `Set-Cookie` header that has a browser forget its session.
    pub fn forget_cookie(&self, secure: bool) -> String {
        self.seal.forget(secure)
    }

    /// Notes what was used, drops what expired and hears what other replicas ended, for as long as it runs.
    pub async fn keep_time(self: Arc<Self>) {
        let tidying = async {
            loop {
                tokio::time::sleep(TIDY_PERIOD).await;
                self.tidy().await;
            }
        };
        match &self.shared {
            Some(redis) => {
                tokio::join!(tidying, redis::hear(&self, redis));
            }
            None => tidying.await,
        }
    }

    /// Notes what was used last, and closes the store.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.tidy()).await;
        self.store.close().await;
    }

    /// Ends what there is no more, too: who else shares the store may have ended it. False where that is not known.
    async fn tidy(&self) -> bool {
        self.watched.forget_ended();
        let used = self.used.lock().take();
        let watched = self.watched.sessions().into_iter();
        let mut noted: HashMap<_, _> = watched.map(|id| (id.login, id.text)).collect();
        // Theirs are the newer ids.
        noted.extend(used);
        if noted.is_empty() && self.shared.is_some() {
            return true;
        }
        let noted = noted.into_iter();
        let noted = noted.map(|(login, text)| SessionId { login, text });
        match self.store.tidy(noted.collect()).await {
            Ok(gone) => {
                gone.into_iter().for_each(|login| self.has_ended(login));
                true
            }
            Err(error) => {
                error.log("could not tidy up sessions, trying again later");
                self.used.lock().put_back();
                false
            }
        }
    }

    fn has_ended(&self, login: Login) {
        self.used.lock().remove(&login);
        self.watched.end(login);
    }

    async fn begin_as(
        &self,
        id: SessionId,
        record: Record,
        former: Option<&str>,
    ) -> Result<Session, SessionError> {
        self.store.begin(&id, &record, former).await?;
        Ok(Session {
            id,
            record,
            is_late: false,
        })
    }
}

impl Used {
    fn contains(&self, login: &Login) -> bool {
        self.lately.contains_key(login) || self.before.contains_key(login)
    }

    /// What is to be noted now.
    fn take(&mut self) -> HashMap<Login, Box<str>> {
        self.before = std::mem::take(&mut self.lately);
        self.before.clone()
    }

    /// It could not be noted.
    fn put_back(&mut self) {
        let newer = std::mem::take(&mut self.lately);
        self.lately = std::mem::take(&mut self.before);
        self.lately.extend(newer);
    }

    fn remove(&mut self, login: &Login) {
        self.lately.remove(login);
        self.before.remove(login);
    }
}

impl Rules {
    fn lifetime(&self) -> Lifetime {
        Lifetime {
            cookie: self.max_age,
        }
    }
}

impl Login {
    fn random() -> Self {
        let mut bytes = [0; 8];
        cookie::draw(&mut bytes);
        Self(i64::from_le_bytes(bytes))
    }
}
