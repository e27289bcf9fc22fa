//! The directory of live replicas: each has an id, with which the ids of its sessions begin, and an
//! address where the others reach it. Every replica keeps its entry alive by a lease, and knows the
//! others from the same exchange. Only Redis' clock counts, so a replica's own may be wrong.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use super::{
    clock::Clock,
    directory::{Directory, DirectoryError},
};

/// How long an entry lives without being renewed: a crashed replica is gone after this.
pub const LEASE: Duration = Duration::from_secs(6);

/// How often an entry is renewed; two renewals may fail.
const RENEWAL: Duration = Duration::from_secs(2);

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The shortest time between two exchanges, however many ask for a replica that is not known.
const PAUSE: Duration = Duration::from_millis(100);

/// Replicas that were looked for in vain and are remembered, so that not each request looks again.
const MOST_GONE: usize = 1_000;

/// Names a replica for as long as it lives: 8 characters, 48 random bits, so that none is drawn twice.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(Box<str>);

impl ReplicaId {
    /// Characters of an id, which the ids of sessions begin with.
    pub const LENGTH: usize = 8;

    fn draw() -> Result<Self, getrandom::Error> {
        let mut id = [0; Self::LENGTH / 4 * 3];
        getrandom::fill(&mut id)?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(id).into()))
    }

    /// Of the replica that a session lives on, as its id says; `None` for what is no id of ours.
    fn of_session(session: &str) -> Option<Self> {
        let id = session.get(..Self::LENGTH)?;
        let rest = &session[Self::LENGTH..];
        let is_part = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        (!rest.is_empty() && session.bytes().all(is_part)).then(|| Self(id.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A replica, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub id: ReplicaId,
    /// Where it listens for the others, if it does.
    pub address: Option<SocketAddr>,
    /// When it started, ISO 8601.
    pub started: String,
    pub version: String,
    /// Its name, as pages show it.
    pub host: String,
    /// Sessions that it has.
    pub sessions: usize,
}

/// Another replica, and where it is reached.
pub struct Other {
    pub id: ReplicaId,
    pub address: SocketAddr,
}

/// The live replicas, as far as this one knows.
pub struct Replicas {
    directory: Directory,
    me: Replica,
    known: watch::Sender<HashMap<ReplicaId, Option<SocketAddr>>>,
    /// Somebody wants to know more.
    asked: Notify,
    /// Exchanges with the directory that have begun.
    begun: AtomicU64,
    /// Those that have ended, well or not.
    ended: watch::Sender<u64>,
    is_lapsed: AtomicBool,
    /// Replicas that were looked for in vain. None of them comes again under its id, but who was thought dead.
    gone: Mutex<HashSet<ReplicaId>>,
    clock: Clock,
}

impl Replicas {
    /// Draws an id. Nobody knows of it before [`Replicas::keep`] has entered it.
    pub fn new(
        directory: Directory,
        address: Option<SocketAddr>,
        host: String,
    ) -> Result<Arc<Self>, getrandom::Error> {
        Ok(Arc::new(Self {
            directory,
            me: Replica {
                id: ReplicaId::draw()?,
                address,
                started: Timestamp::now().to_string(),
                version: env!("CARGO_PKG_VERSION").into(),
                host,
                sessions: 0,
            },
            known: watch::Sender::default(),
            asked: Notify::new(),
            begun: AtomicU64::new(0),
            ended: watch::Sender::default(),
            is_lapsed: AtomicBool::new(false),
            gone: Mutex::default(),
            clock: Clock::default(),
        }))
    }

    pub fn id(&self) -> &ReplicaId {
        &self.me.id
    }

    /// Whether the others do not know that this replica lives.
    pub fn is_lapsed(&self) -> bool {
        self.is_lapsed.load(Ordering::Relaxed) || self.known.borrow().is_empty()
    }

    /// How many replicas live, this one included.
    pub fn count(&self) -> usize {
        self.known.borrow().len()
    }

    /// The replica that a session lives on; `None` where that is this one, or none that lives.
    pub async fn owner_of(&self, session: &str) -> Option<Other> {
        let id = ReplicaId::of_session(session)?;
        if id == self.me.id {
            return None;
        }
        if !self.knows(&id) && !self.gone.lock().contains(&id) {
            // It may have come just now.
            self.look_again().await;
            if !self.knows(&id) {
                let mut gone = self.gone.lock();
                if gone.len() >= MOST_GONE {
                    gone.clear();
                }
                gone.insert(id.clone());
            }
        }
        let address = self.known.borrow().get(&id).copied().flatten()?;
        Some(Other { id, address })
    }

    /// Whether the id of a session says that it began on this replica.
    pub fn is_own(&self, session: &str) -> bool {
        ReplicaId::of_session(session).is_some_and(|id| id == self.me.id)
    }

    /// The replica that takes over a session whose own is gone, not one of `but`; `None` where that is this one, or there
    /// is no other. All replicas that know of the same ones answer the same, and few sessions change it when one comes.
    pub fn heir_of(&self, session: &str, but: &[ReplicaId]) -> Option<Other> {
        let known = self.known.borrow();
        let mine = [(&self.me.id, &self.me.address)];
        let all = known.iter().filter(|(id, _)| **id != self.me.id);
        let fit = (all.chain(mine))
            .filter(|(id, address)| !but.contains(id) && (address.is_some() || **id == self.me.id));
        let (id, address) = fit.max_by_key(|(id, _)| rank(session, id))?;
        let address = (*id != self.me.id).then_some(*address)??;
        let id = id.clone();
        Some(Other { id, address })
    }

    fn knows(&self, id: &ReplicaId) -> bool {
        self.known.borrow().contains_key(id)
    }

    /// Some other replica.
    pub fn another(&self) -> Option<Other> {
        let known = self.known.borrow();
        let others = known.iter().filter(|(id, _)| **id != self.me.id);
        let others: Vec<_> = others
            .filter_map(|(id, address)| Some((id, (*address)?)))
            .collect();
        let lot = getrandom::u32().unwrap_or_default() as usize;
        let (id, address) = others.get(lot % others.len().max(1))?;
        Some(Other {
            id: (*id).clone(),
            address: *address,
        })
    }

    /// Returns when a replica has left the directory. One that lives is back within a lease, should Redis have lost the
    /// directory.
    pub async fn gone(&self, id: &ReplicaId) {
        let mut known = self.known.subscribe();
        loop {
            // An error means that nobody is left to say so; that is this.
            let _ = known.wait_for(|known| !known.contains_key(id)).await;
            let back = known.wait_for(|known| known.contains_key(id));
            if timeout(LEASE, back).await.is_err() {
                return;
            }
        }
    }

    /// The other replicas that live.
    pub fn others(&self) -> Vec<ReplicaId> {
        let known = self.known.borrow();
        let others = known.keys().filter(|id| **id != self.me.id);
        others.cloned().collect()
    }

    /// Has the directory asked soon: a replica in it did not answer.
    pub fn doubt(&self) {
        self.asked.notify_one();
    }

    /// Renews the lease and learns of the others, until the task is dropped. `sessions` counts those of
    /// this replica.
    pub async fn keep(self: Arc<Self>, sessions: impl Fn() -> usize) {
        let mut renewed = Instant::now();
        loop {
            match self.exchange(sessions()).await {
                Ok(()) => {
                    renewed = Instant::now();
                    if self.is_lapsed.swap(false, Ordering::Relaxed) {
                        tracing::info!(id = %self.id(), "the other replicas know of this one again");
                    }
                }
                Err(error) if renewed.elapsed() > LEASE => {
                    if !self.is_lapsed.swap(true, Ordering::Relaxed) {
                        tracing::error!(%error, "could not renew the lease of this replica: the others send its clients to begin anew");
                    }
                }
                Err(error) => tracing::debug!(%error, "could not renew the lease of this replica"),
            }
            tokio::time::sleep(PAUSE).await;
            // An error means that the time is over.
            let _ = timeout(RENEWAL - PAUSE, self.asked.notified()).await;
        }
    }

    /// Gives the entry up, so that nobody is sent here any more.
    pub async fn leave(&self) {
        // Boxed: the client library's futures are deep.
        let left = Box::pin(self.directory.leave(self.id()));
        match timeout(PATIENCE, left).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "could not give up the lease; it ends by itself")
            }
            Err(_) => tracing::warn!("could not give up the lease in time; it ends by itself"),
        }
    }

    /// Waits for an exchange that begins from now on.
    async fn look_again(&self) {
        let begun = self.begun.load(Ordering::Acquire);
        let mut ended = self.ended.subscribe();
        self.asked.notify_one();
        let another = ended.wait_for(|ended| *ended > begun);
        let _ = timeout(PATIENCE, another).await;
    }

    async fn exchange(&self, sessions: usize) -> Result<(), DirectoryError> {
        self.begun.fetch_add(1, Ordering::AcqRel);
        let me = Replica {
            sessions,
            ..self.me.clone()
        };
        let renewed = Box::pin(self.directory.renew(&me));
        let renewed = timeout(PATIENCE, renewed)
            .await
            .unwrap_or(Err(DirectoryError::Slow(PATIENCE)));
        let result = renewed.map(|(now, replicas)| {
            self.clock.compare(Timestamp::now(), now);
            let replicas = replicas
                .into_iter()
                .map(|replica| (replica.id, replica.address));
            let replicas: HashMap<_, _> = replicas.collect();
            self.known.send_if_modified(|known| {
                let is_news = *known != replicas;
                *known = replicas;
                is_news
            });
        });
        self.ended.send_modify(|ended| *ended += 1);
        result
    }
}

/// How well a replica suits a session; the hash of both, so that each session has an order of its own.
fn rank(session: &str, replica: &ReplicaId) -> [u8; 32] {
    Sha256::new()
        .chain_update(session)
        .chain_update(replica.as_str())
        .finalize()
        .into()
}
