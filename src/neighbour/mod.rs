//! A neighbour is another chat server's bus: its messages are said here too, and ours there. Each bus is
//! known by one file; `outbox` and `inbox` are what all of them stand on, `status` says how they are.
//! Only one replica at a time works on a bus (`cluster::lease`); the log tells it what others were told.

pub mod inbox;
pub mod new_msg;
pub mod outbox;
pub mod pubsub;
pub mod socketio_redis;
pub mod status;

use std::{sync::Arc, time::Duration};

use tokio::{sync::OnceCell, time::sleep};

use self::status::Status;
use crate::{
    chat::{Chat, log::Log},
    cluster::lease::Lease,
    redis::Redis,
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
    redis: Option<Redis>,
    mark: OnceCell<Box<str>>,
}

impl Site {
    pub fn new(chat: Arc<Chat>, log: Arc<dyn Log>, redis: Option<Redis>) -> Arc<Self> {
        Arc::new(Self {
            chat,
            log,
            redis,
            mark: OnceCell::new(),
        })
    }

    /// The lease of the replica that works on a bus.
    pub fn lease(&self, bus: &Status) -> Result<Lease, getrandom::Error> {
        match &self.redis {
            Some(redis) => Lease::shared(redis.clone(), bus.name().as_str()),
            None => Ok(Lease::alone()),
        }
    }

    /// What marks our messages on a bus, the same for all replicas: 16 hexadecimal digits, drawn once and
    /// noted beside the log. Waits for a log that is away.
    pub async fn mark(&self) -> &str {
        let draw = async || loop {
            let drawn = match getrandom::u64() {
                Ok(drawn) => format!("{drawn:016x}"),
                Err(error) => {
                    tracing::error!(%error, "the system gives no random numbers, trying again");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match self.log.first_bookmark(MARK, &drawn).await {
                Ok(mark) => return mark.into(),
                Err(error) => {
                    tracing::debug!(%error, "the mark of our messages could not be read yet");
                    sleep(PAUSE).await;
                }
            }
        };
        self.mark.get_or_init(draw).await
    }
}
