//! Retention. From time to time one of the replicas sweeps over all rooms, in steps that are short
//! enough for Redis to serve others between them.

use std::{
    cmp::Reverse,
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

/// The largest rooms, of those that a sweep measures.
const LARGEST: usize = 256;

/// How long after a sweep the next one is due where anything was posted and all that is kept is bounded.
const REST: Duration = Duration::from_secs(5);

/// How often it is said that Redis holds as much as it may.
const SAID_EVERY: Duration = Duration::from_secs(3600);

/// Rooms, and the bytes of memory that each takes.
type Sizes = Vec<(String, u64)>;

/// Where a sweep goes on, whether it is at its end, and what was measured.
type Step = (String, bool, Sizes);

pub(super) struct Pruner {
    pub reader: Arc<Reader>,
    pub retain: Retain,
    /// Posts kept since the start.
    pub kept: Arc<AtomicU64>,
    /// When it was last said that Redis holds as much as it may.
    pub said: Option<Instant>,
}

impl Pruner {
    /// Sweeps for ever; returns at once where everything is kept.
    pub async fn run(mut self) {
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
            let bounded = self.retain.bytes.is_some() && now > kept;
            let grew = bounded && swept.is_none_or(|swept| swept.elapsed() >= REST);
            if !rested && !grew && now - kept < SWEEP_AFTER {
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
    async fn sweep(&mut self) -> RedisResult<bool> {
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
        let script = Script::new(include_str!("prune.lua"));
        let (mut cursor, mut all, mut largest) = (String::from("0"), 0, Vec::new());
        loop {
            let is_over;
            let sizes;
            (cursor, is_over, sizes) = self.step(&script, &cursor, "").await?;
            all += sizes.iter().map(|(_, size)| size).sum::<u64>();
            largest.extend(sizes);
            largest.sort_unstable_by_key(|(_, size)| Reverse(*size));
            largest.truncate(LARGEST);
            if is_over {
                self.shrink(&script, all, largest).await?;
                return Ok(true);
            }
        }
    }

    /// Deletes the oldest messages of the largest rooms until all that were measured are within the limit.
    async fn shrink(
        &mut self,
        script: &Script,
        mut all: u64,
        mut largest: Sizes,
    ) -> RedisResult<()> {
        let Some(most) = self.retain.bytes.filter(|most| all > *most) else {
            return Ok(());
        };
        if self.said.is_none_or(|said| said.elapsed() > SAID_EVERY) {
            self.said = Some(Instant::now());
            tracing::warn!(
                bytes = most,
                "the store holds as much as --retain allows: the oldest messages of the largest rooms are deleted"
            );
        }
        while all > most
            && let Some((room, size)) = largest.iter_mut().max_by_key(|(_, size)| *size)
            && *size > 0
        {
            let (_, _, measured) = self.step(script, "0", room).await?;
            let left = measured.first().map_or(0, |(_, left)| *left).min(*size);
            all = all.saturating_sub(*size - left);
            *size = left;
        }
        Ok(())
    }

    /// One step of a sweep, or, with a room, of shrinking that.
    async fn step(&self, script: &Script, cursor: &str, room: &str) -> RedisResult<Step> {
        let redis = self.reader.link.redis();
        let Retain {
            bytes,
            messages_per_room,
            age,
        } = self.retain;
        let mut step = script.prepare_invoke();
        step.key(redis.key("rooms"))
            .key(redis.key("places"))
            .arg(redis.key(""))
            .arg(cursor)
            .arg(messages_per_room.map_or(String::new(), |most| most.to_string()))
            .arg(age.map_or(String::new(), |age| age.as_millis().to_string()))
            .arg(STEP_MESSAGES)
            .arg(u8::from(bytes.is_some()))
            .arg(room);
        self.reader.link.invoke(&step).await
    }
}
