//! Retention. From time to time one of the replicas sweeps over all rooms, in steps that are short
//! enough for Redis to serve others between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{RedisResult, Script};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::reader::Reader;
use crate::store::sqlite::Retain;

/// Messages that one step deletes.
const STEP_MESSAGES: u32 = 200;

/// Posts of this replica after which a sweep is due before its time.
const SWEEP_AFTER: u64 = 1000;

/// How often it is looked whether a sweep is due.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

pub(super) struct Pruner {
    pub reader: Arc<Reader>,
    pub retain: Retain,
    /// Posts kept since the start.
    pub kept: Arc<AtomicU64>,
}

impl Pruner {
    /// Sweeps for ever; returns at once where everything is kept.
    pub async fn run(self) {
        if self.retain == Retain::default() {
            return;
        }
        let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(60));
        let rest = (self.retain.age).map_or(longest, |age| (age / 10).clamp(shortest, longest));
        let mut looks = interval(LOOK_PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut swept, mut kept) = (None::<Instant>, 0);
        loop {
            looks.tick().await;
            let now = self.kept.load(Ordering::Relaxed);
            let rested = swept.is_none_or(|swept| swept.elapsed() >= rest);
            if !rested && now - kept < SWEEP_AFTER {
                continue;
            }
            match self.sweep().await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    tracing::warn!(%error, "old messages could not be deleted, trying again later");
                }
            }
            (swept, kept) = (Some(Instant::now()), now);
        }
    }

    /// One sweep; false where another replica began one a moment ago.
    async fn sweep(&self) -> RedisResult<bool> {
        let redis = self.reader.link.redis();
        let mut alone = redis::cmd("SET");
        // Taken for the shortest time between sweeps, and not given back: that is what it stands for.
        alone
            .arg(redis.key("sweep"))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(LOOK_PERIOD.as_millis() as u64);
        let taken: Option<String> = self.reader.link.query(&alone).await?;
        if taken.is_none() {
            return Ok(false);
        }
        let step = Script::new(include_str!("prune.lua"));
        let mut cursor = String::from("0");
        loop {
            let mut step = step.prepare_invoke();
            step.key(redis.key("rooms"))
                .key(redis.key("places"))
                .arg(redis.key(""))
                .arg(&cursor)
                .arg(
                    self.retain
                        .messages_per_room
                        .map_or(String::new(), |most| most.to_string()),
                )
                .arg(
                    self.retain
                        .age
                        .map_or(String::new(), |age| age.as_millis().to_string()),
                )
                .arg(STEP_MESSAGES);
            let is_over;
            (cursor, is_over) = self.reader.link.invoke::<(String, bool)>(&step).await?;
            if is_over {
                return Ok(true);
            }
        }
    }
}
