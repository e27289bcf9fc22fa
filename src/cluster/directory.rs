//! The entries of live replicas in Redis: one hash, changed by one script, so that renewing, learning of
//! the others and forgetting the dead are one step by one clock.

use jiff::Timestamp;
use redis::{RedisError, Script};

use super::replicas::{LEASE, Replica, ReplicaId};
use crate::redis::{Link, Redis};

/// `KEYS[1]` the hash; `ARGV` id, entry, lease in milliseconds. A field is `<end of the lease> <entry>`.
/// Returns the time in ms, and the entries that live.
const RENEW: &str = r"
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now + ARGV[3], ARGV[2]))
local alive = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends, entry = string.match(all[i + 1], '^(%d+) (.*)$')
  if ends and tonumber(ends) > now then
    alive[#alive + 1] = entry
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { now, alive }
";

/// Where leases are kept.
pub struct Directory {
    link: Link,
    key: String,
    renew: Script,
}

/// Why the directory did not do it.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("no answer within {0:?}")]
    Slow(std::time::Duration),
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl Directory {
    pub fn new(redis: Redis) -> Self {
        Self {
            key: redis.key("members"),
            link: Link::new(redis, "members"),
            renew: Script::new(RENEW),
        }
    }

    /// Keeps an entry for [`LEASE`] and returns what time it is there, and all that live. What is no entry of this
    /// version's is left out.
    pub(super) async fn renew(
        &self,
        entry: &Replica,
    ) -> Result<(Timestamp, Vec<Replica>), DirectoryError> {
        let mut renewal = self.renew.prepare_invoke();
        renewal
            .key(&self.key)
            .arg(entry.id.as_str())
            .arg(serde_json::to_string(entry).expect("plain data encodes as JSON"))
            .arg(LEASE.as_millis() as u64);
        let (now, entries): (i64, Vec<String>) = self.link.invoke(&renewal).await?;
        let entries = entries.iter();
        let alive = entries.filter_map(|entry| serde_json::from_str(entry).ok());
        Ok((
            Timestamp::from_millisecond(now).unwrap_or_default(),
            alive.collect(),
        ))
    }

    /// Gives an entry up.
    pub(super) async fn leave(&self, id: &ReplicaId) -> Result<(), DirectoryError> {
        let mut command = redis::cmd("HDEL");
        command.arg(&self.key).arg(id.as_str());
        Ok(self.link.query(&command).await?)
    }
}
