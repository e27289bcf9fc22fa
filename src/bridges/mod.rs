//! A bridge is another chat server's bus: its messages are said here too, and ours there. Each bus is
//! known by one file; `amqp` has those of a RabbitMQ, `pubsub` is for those on channels of a Redis (`new_msg`, `socketio_redis`);
//! `sender` and `receiver` are what all of them stand on, `status` says how they are.
//! Only one replica at a time works on a bus (`cluster::lease`); the log tells it what others were told.

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

/// Under this name the mark is noted beside the store.
const MARK: &str = "cluster";

/// How long a store that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Where bridges work: what they are given of the house.
pub struct BridgeContext {
    pub chat: Arc<Chat>,
    pub store: Arc<dyn Store>,
    /// Where there may be other replicas.
    leases: Option<Arc<Link>>,
    /// Our mark, if no replica has noted one.
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

    /// The lease of the replica that works on a bus, or on a part of it.
    pub fn lease(&self, bus: &str) -> Result<Lease, getrandom::Error> {
        match &self.leases {
            Some(link) => Lease::shared(link.clone(), bus),
            None => Ok(Lease::alone()),
        }
    }

    /// The tag of our messages on a bus, the same for all replicas: 16 hexadecimal digits, drawn once and
    /// noted beside the store. Waits for a store that is away; an error says that it is closed.
    pub async fn mark(&self) -> Result<&str, StoreError> {
        let drawn = format!("{:016x}", self.drawn);
        let noted = again(|| self.store.first_bookmark(MARK, &drawn));
        let mark = self.mark.get_or_try_init(|| noted).await?;
        Ok(mark)
    }
}

/// Asks a store until it answers. An error says that it is closed.
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
