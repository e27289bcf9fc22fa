//! A neighbour is another chat server's bus: its messages are said here too, and ours there. Each bus is
//! known by one file; `amqp` has those of a RabbitMQ, `pubsub` is for those on channels of a Redis (`new_msg`, `socketio_redis`);
//! `outbox` and `inbox` are what all of them stand on, `status` says how they are.
//! Only one replica at a time works on a bus (`cluster::lease`); the log tells it what others were told.

pub mod amqp;
pub mod inbox;
pub mod new_msg;
pub mod outbox;
pub mod pubsub;
pub mod socketio_redis;
pub mod status;

use std::{sync::Arc, time::Duration};

use tokio::{sync::OnceCell, time::sleep};

use crate::{
    chat::{
        Chat,
        log::{Log, LogError},
    },
    cluster::lease::Lease,
    redis::{Link, Redis},
};

/// Under this name the mark is noted beside the log.
const MARK: &str = "cluster";

/// How long a log that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Where neighbours work: what they are given of the house.
pub struct Site {
    pub chat: Arc<Chat>,
    pub log: Arc<dyn Log>,
    /// Where there may be other replicas.
    leases: Option<Arc<Link>>,
    /// Our mark, if no replica has noted one.
    drawn: u64,
    mark: OnceCell<String>,
}

impl Site {
    pub fn new(
        chat: Arc<Chat>,
        log: Arc<dyn Log>,
        redis: Option<Redis>,
    ) -> Result<Arc<Self>, getrandom::Error> {
        Ok(Arc::new(Self {
            chat,
            log,
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

    /// What marks our messages on a bus, the same for all replicas: 16 hexadecimal digits, drawn once and
    /// noted beside the log. Waits for a log that is away; an error says that it is closed.
    pub async fn mark(&self) -> Result<&str, LogError> {
        let drawn = format!("{:016x}", self.drawn);
        let noted = again(|| self.log.first_bookmark(MARK, &drawn));
        let mark = self.mark.get_or_try_init(|| noted).await?;
        Ok(mark)
    }
}

/// Asks a log until it answers. An error says that it is closed.
async fn again<T, F>(mut ask: impl FnMut() -> F) -> Result<T, LogError>
where
    F: Future<Output = Result<T, LogError>>,
{
    let mut is_failing = false;
    loop {
        match ask().await {
            Err(LogError::Closed) => return Err(LogError::Closed),
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "a neighbour waits for the log");
                }
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}
