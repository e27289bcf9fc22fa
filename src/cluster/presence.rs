//! Who is on which replica. Each replica keeps its own people in Redis, in a hash that dies with its lease, and
//! publishes what changes there, with a number. The others apply that to what they know; who missed a number reads
//! the hash. Whether a replica lives says the directory (`replicas`), and nothing else.

mod entries;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{RedisResult, Script};
use tokio::time::{MissedTickBehavior, interval};

use self::entries::{Entries, Published};
use super::replicas::{LEASE, ReplicaId, Replicas};
use crate::{
    chat::presence::{Part, Presence},
    redis::{Channel, Link, Redis, Retry},
};

/// How long changes are gathered before the others are told.
const PERIOD: Duration = Duration::from_millis(250);

/// How often the hash is kept alive where nothing changes.
const RENEWAL: Duration = Duration::from_secs(2);

/// How often it is found out whether a connection on which nothing happens still works.
const CHECK_PERIOD: Duration = Duration::from_secs(5);

/// Published changes that wait to be heard. Of more than that the hashes tell.
const QUEUE: usize = 1024;

/// People that one publication names; where more came and went at once, the others read the hash.
const PUBLISHED: usize = 1000;

/// `KEYS[1]` the hash, `KEYS[2]` the channel; `ARGV` lease in milliseconds, the number that the hash is to have by
/// now (empty where it is to be made anew), the new number, what to publish, how many fields to set, these with their
/// values, fields to take away. Returns whether it was so.
const CHANGE: &str = r"
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
elseif redis.call('HGET', KEYS[1], 'number') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'number', ARGV[3])
local sets = tonumber(ARGV[5])
for i = 6, 5 + 2 * sets, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
for i = 6 + 2 * sets, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if ARGV[2] ~= ARGV[3] then
  redis.call('PUBLISH', KEYS[2], ARGV[4])
end
return 1
";

/// Tells the other replicas who is on this one, and learns who is on them.
pub struct Shared {
    redis: Redis,
    link: Link,
    change: Script,
    replicas: Arc<Replicas>,
    presence: Arc<Presence>,
    /// Of the last change of our own.
    number: u64,
    /// Redis does not have what we last told, as far as we know.
    is_anew: bool,
    renewed: Instant,
    /// Replicas whose people are known, up to which change.
    known: HashMap<ReplicaId, u64>,
    /// Replicas whose people are shown here.
    shown: HashSet<ReplicaId>,
}

impl Shared {
    /// To be made before anybody comes.
    pub fn new(redis: Redis, replicas: Arc<Replicas>, presence: Arc<Presence>) -> Self {
        presence.share();
        Self {
            link: Link::new(redis.clone(), "presence"),
            redis,
            change: Script::new(CHANGE),
            replicas,
            presence,
            number: 0,
            is_anew: true,
            renewed: Instant::now(),
            known: HashMap::new(),
            shown: HashSet::new(),
        }
    }

    /// Runs until the task is dropped.
    pub async fn run(mut self) {
        let mut retry = Retry::new("presence of other replicas");
        loop {
            // Boxed: the client library's futures are deep.
            let channel = Box::pin(self.redis.channel("presence", QUEUE)).await;
            let failed = match channel {
                Ok(channel) => {
                    retry.succeeded();
                    Box::pin(self.exchange(channel)).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = failed {
                retry.pause(&error).await;
            }
        }
    }

    /// Tells and learns until a connection fails.
    async fn exchange(&mut self, mut channel: Channel) -> RedisResult<()> {
        // What was published meanwhile nobody knows.
        self.known.clear();
        self.is_anew = true;
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checked = Instant::now();
        loop {
            tokio::select! {
                published = channel.hear() => self.hear(&published?).await?,
                _ = period.tick() => {
                    self.tell().await?;
                    self.look_around().await?;
                    if checked.elapsed() > CHECK_PERIOD {
                        checked = Instant::now();
                        if channel.missed() > 0 {
                            self.known.clear();
                        }
                        channel.check().await?;
                    }
                }
            }
        }
    }

    /// Tells the others what changed here, or that nothing did.
    async fn tell(&mut self) -> RedisResult<()> {
        let parts = if self.is_anew {
            self.presence.own()
        } else {
            self.presence.own_changes()
        };
        if parts.is_empty() && !self.is_anew && self.renewed.elapsed() < RENEWAL {
            return Ok(());
        }
        let number = self.number + u64::from(self.is_anew || !parts.is_empty());
        let is_kept = self.change(number, &parts).await?;
        // Where Redis lost what it had, all is told once more.
        self.is_anew = !is_kept;
        self.number = number;
        self.renewed = Instant::now();
        Ok(())
    }

    async fn change(&self, number: u64, parts: &[Part]) -> RedisResult<bool> {
        let before = if self.is_anew {
            String::new()
        } else {
            self.number.to_string()
        };
        let id = self.replicas.id();
        let named: usize = parts.iter().map(Part::named).sum();
        let told = (!self.is_anew && named <= PUBLISHED).then_some(parts);
        let entries = Entries::of(parts);
        let mut change = self.change.prepare_invoke();
        change
            .key(self.hash(id))
            .key(self.redis.key("presence"))
            .arg(LEASE.as_millis() as u64)
            .arg(before)
            .arg(number)
            .arg(Published::new(id, number, told).to_json())
            .arg(entries.set.len());
        for (field, value) in &entries.set {
            change.arg(field).arg(value);
        }
        for field in &entries.gone {
            change.arg(field);
        }
        self.link.invoke(&change).await
    }

    /// Forgets who was on replicas that are gone, and reads who is on those that came.
    async fn look_around(&mut self) -> RedisResult<()> {
        let live = self.replicas.others();
        self.known.retain(|id, _| live.contains(id));
        let presence = &self.presence;
        self.shown.retain(|id| {
            let lives = live.contains(id);
            if !lives {
                presence.forget(id.as_str());
            }
            lives
        });
        for id in live {
            if !self.known.contains_key(&id) {
                self.read(id).await?;
            }
        }
        Ok(())
    }

    async fn hear(&mut self, published: &[u8]) -> RedisResult<()> {
        let published = match Published::read(published) {
            Ok(published) => published,
            Err(error) => {
                tracing::warn!(%error, "what another replica says of its people is unreadable");
                return Ok(());
            }
        };
        if published.from == *self.replicas.id() {
            return Ok(());
        }
        let Some(known) = self.known.get_mut(&published.from) else {
            // Read as soon as the directory has it.
            self.replicas.doubt();
            return Ok(());
        };
        match published.parts() {
            _ if published.number <= *known => Ok(()),
            Some(parts) if published.number == *known + 1 => {
                *known = published.number;
                self.presence.learn(published.from.as_str(), parts);
                Ok(())
            }
            _ => self.read(published.from).await,
        }
    }

    /// Reads all who are on another replica.
    async fn read(&mut self, id: ReplicaId) -> RedisResult<()> {
        let mut read = redis::cmd("HGETALL");
        read.arg(self.hash(&id));
        let fields: HashMap<String, String> = self.link.query(&read).await?;
        let number = fields.get("number").and_then(|number| number.parse().ok());
        let parts = entries::read(&fields);
        self.presence.replace(id.as_str(), parts);
        self.shown.insert(id.clone());
        self.known.insert(id, number.unwrap_or(0));
        Ok(())
    }

    fn hash(&self, id: &ReplicaId) -> String {
        self.redis.key(format_args!("here:{id}"))
    }
}
