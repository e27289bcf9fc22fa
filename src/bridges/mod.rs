//! A bridge copies messages between the lobby and another chat's bus, both ways. One file for each bus: `amqp` has the
//! exchanges of RabbitMQ, `pubsub` the channels of Redis (`new_msg`, `socketio_redis`). All of them use `sender` and
//! `receiver`; `status` holds their state. One replica at a time works on a bus (`cluster::lease`); bookmarks in the
//! store say how far the bus has been sent to.

pub mod amqp;
pub mod new_msg;
pub mod pubsub;
pub mod receiver;
pub mod sender;
pub mod socketio_redis;
pub mod status;

use std::{sync::Arc, time::Duration};

use tokio::{sync::OnceCell, time::sleep};

use crate::{
    chat::{
        Chat,
        store::{Store, StoreError},
    },
    cluster::lease::Lease,
    redis::{Link, Redis},
};

/// The bookmark that holds the tag of our messages.
const MARK: &str = "cluster";

/// The wait before a failed call of the store is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What every bridge needs.
pub struct BridgeContext {
    pub chat: Arc<Chat>,
    pub store: Arc<dyn Store>,
    /// Set where there may be other replicas.
    leases: Option<Arc<Link>>,
    /// Our tag, unless a replica has stored one already.
    drawn: u64,
    mark: OnceCell<String>,
}

impl BridgeContext {
    pub fn new(
        chat: Arc<Chat>,
        store: Arc<dyn Store>,
        redis: Option<Redis>,
    ) -> Result<Arc<Self>, getrandom::Error> {
        Ok(Arc::new(Self {
            chat,
            store,
            leases: redis.map(|redis| Arc::new(Link::new(redis, "leases"))),
            drawn: getrandom::u64()?,
            mark: OnceCell::new(),
        }))
    }

    /// The lease on a bus, or on a part of it. Only its holder works there.
    pub fn lease(&self, bus: &str) -> Result<Lease, getrandom::Error> {
        match &self.leases {
            Some(link) => Lease::shared(link.clone(), bus),
            None => Ok(Lease::alone()),
        }
    }

    /// The tag of our messages on a bus, the same for all replicas: 16 random hexadecimal digits, stored as a
    /// bookmark. Waits while the store fails.
    ///
    /// # Errors
    /// The store is closed.
    pub async fn mark(&self) -> Result<&str, StoreError> {
        let drawn = format!("{:016x}", self.drawn);
        let noted = again(|| self.store.first_bookmark(MARK, &drawn));
        let mark = self.mark.get_or_try_init(|| noted).await?;
        Ok(mark)
    }
}

/// Repeats a call of the store until it succeeds.
///
/// # Errors
/// The store is closed.
async fn again<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut is_failing = false;
    loop {
        match ask().await {
            Err(StoreError::Closed) => return Err(StoreError::Closed),
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "a bridge waits for the store");
                }
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}
