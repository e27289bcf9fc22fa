//! Volatile events for the sockets of all replicas: each is told here at once, and published for the
//! others over one channel of Redis. With Redis away they stay here, and how many did is counted.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redis::RedisResult;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{sync::mpsc, time::interval};

use crate::{
    dialects::Volatile,
    redis::{Channel, Redis, Retry},
};

/// Events that wait to be published, or to be told here. More than that are dropped.
const QUEUE: usize = 1024;

/// Events published at once.
const BATCH: usize = 64;

/// How often it is found out whether a connection on which nothing happens still works.
const CHECK_PERIOD: Duration = Duration::from_secs(5);

/// Who tells the sockets of each namespace.
pub type Namespaces = HashMap<&'static str, Arc<dyn Volatile>>;

/// Tells the sockets of this replica in one namespace, and those of all others.
struct Everywhere {
    namespace: &'static str,
    here: Arc<dyn Volatile>,
    queue: mpsc::Sender<Vec<u8>>,
    /// Tells what this process published from what others did.
    origin: Arc<str>,
    dropped: Arc<AtomicU64>,
}

/// Carries events between replicas.
pub struct Carrier {
    redis: Redis,
    here: Namespaces,
    queue: mpsc::Receiver<Vec<u8>>,
    origin: Arc<str>,
    dropped: Arc<AtomicU64>,
}

/// An event as it is published.
#[derive(Serialize, Deserialize)]
struct Published<'a> {
    origin: &'a str,
    namespace: &'a str,
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// Has what is told in the namespaces of this replica, `here`, told on all others. It goes no further until the
/// carrier runs.
pub fn everywhere(
    redis: Redis,
    here: Namespaces,
) -> Result<(Namespaces, Carrier), getrandom::Error> {
    let origin: Arc<str> = format!("{:016x}", getrandom::u64()?).into();
    let (queue, events) = mpsc::channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let everywhere = here.iter().map(|(namespace, here)| {
        let everywhere = Everywhere {
            namespace,
            here: here.clone(),
            queue: queue.clone(),
            origin: origin.clone(),
            dropped: dropped.clone(),
        };
        (*namespace, Arc::new(everywhere) as Arc<dyn Volatile>)
    });
    let everywhere = everywhere.collect();
    let carrier = Carrier {
        redis,
        here,
        queue: events,
        origin,
        dropped,
    };
    Ok((everywhere, carrier))
}

#[async_trait]
impl Volatile for Everywhere {
    async fn tell(&self, channel: &str, event: &str, payload: Box<RawValue>) {
        let published = Published {
            origin: &self.origin,
            namespace: self.namespace,
            channel: channel.into(),
            event: event.into(),
            payload: &payload,
        };
        let published = serde_json::to_vec(&published).unwrap_or_default();
        if self.queue.try_send(published).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.here.tell(channel, event, payload).await;
    }
}

impl Carrier {
    /// Runs until nobody can tell anything any more.
    pub async fn run(mut self) {
        let mut retry = Retry::new("volatile events");
        loop {
            let failed = tokio::select! {
                channel = self.redis.channel("fleeting", QUEUE) => match channel {
                    Ok(channel) => {
                        retry.succeeded();
                        self.say_what_was_dropped();
                        self.carry(channel).await
                    }
                    Err(error) => Err(error),
                },
                () = drop_all(&mut self.queue, &self.dropped) => return,
            };
            let Err(error) = failed else { return };
            tokio::select! {
                () = retry.pause(&error) => {}
                () = drop_all(&mut self.queue, &self.dropped) => return,
            }
        }
    }

    /// Publishes and hears until the connection fails.
    async fn carry(&mut self, mut channel: Channel) -> RedisResult<()> {
        let mut checks = interval(CHECK_PERIOD);
        checks.tick().await;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                heard = channel.hear() => self.tell(&heard?).await,
                events = self.queue.recv_many(&mut batch, BATCH) => {
                    if events == 0 {
                        return Ok(());
                    }
                    let published = channel.publish(&batch).await;
                    batch.clear();
                    if published.is_err() {
                        self.dropped.fetch_add(events as u64, Ordering::Relaxed);
                        return published;
                    }
                }
                _ = checks.tick() => {
                    self.dropped.fetch_add(channel.missed(), Ordering::Relaxed);
                    self.say_what_was_dropped();
                    channel.check().await?;
                }
            }
        }
    }

    /// Tells what another replica published.
    async fn tell(&self, published: &[u8]) {
        match serde_json::from_slice::<Published<'_>>(published) {
            Ok(event) if event.origin == &*self.origin => {}
            Ok(event) => {
                // A later version may have more namespaces.
                if let Some(here) = self.here.get(event.namespace) {
                    let payload = event.payload.to_owned();
                    here.tell(&event.channel, &event.event, payload).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a volatile event of another replica is unreadable")
            }
        }
    }

    fn say_what_was_dropped(&self) {
        let events = self.dropped.swap(0, Ordering::Relaxed);
        if events > 0 {
            tracing::warn!(events, "volatile events did not pass between replicas");
        }
    }
}

/// Counts what cannot be published, so that nothing old is published later.
async fn drop_all(queue: &mut mpsc::Receiver<Vec<u8>>, dropped: &AtomicU64) {
    while queue.recv().await.is_some() {
        dropped.fetch_add(1, Ordering::Relaxed);
    }
}
