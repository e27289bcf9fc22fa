//! Something that only one of several replicas does at a time: whoever holds the lease in Redis does it, and
//! another goes on when the holder is gone. A holder that cannot renew it stops before anybody else may begin.

use std::{sync::Arc, time::Duration};

use redis::{RedisResult, Script};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::redis::{Link, Retry};

/// How long a lease is good for after it was renewed: as long a killed holder keeps it.
const TERM: Duration = Duration::from_secs(6);

/// How often a holder renews it.
const RENEWAL: Duration = Duration::from_millis(1500);

/// How much earlier than the others a holder takes its lease for run out.
const MARGIN: Duration = Duration::from_millis(1500);

/// How often it is looked whether a lease that somebody else holds has become free.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// How long giving it back may take; it runs out otherwise.
const GIVING_BACK: Duration = Duration::from_secs(1);

const TAKE: &str = "
    local holder = redis.call('GET', KEYS[1])
    if holder and holder ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1";

const GIVE_BACK: &str = "
    if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
    return 1";

/// A lease, held or not.
pub struct Lease(Option<Shared>);

/// One that several replicas want.
struct Shared {
    link: Arc<Link>,
    key: String,
    /// Tells this process from the others.
    token: String,
    take: Script,
    give_back: Script,
}

impl Lease {
    /// One that nobody else wants: there is one replica only.
    pub fn alone() -> Self {
        Self(None)
    }

    /// One of the replicas that share this Redis holds it.
    pub fn shared(link: Arc<Link>, name: &str) -> Result<Self, getrandom::Error> {
        Ok(Self(Some(Shared {
            key: link.redis().key(format_args!("lease:{name}")),
            link,
            token: format!("{:016x}", getrandom::u64()?),
            take: Script::new(TAKE),
            give_back: Script::new(GIVE_BACK),
        })))
    }

    /// Waits until this replica has it, then does the work, and gives it back. `None` where it was lost
    /// meanwhile: the work was dropped in the middle.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let Some(shared) = &self.0 else {
            return Some(work.await);
        };
        let taken = shared.wait().await;
        shared.hold(taken, work).await
    }

    /// The same where nobody else has it at this moment; else `None`.
    pub async fn while_held_now<T>(&self, work: impl Future<Output = T>) -> Option<Option<T>> {
        let Some(shared) = &self.0 else {
            return Some(Some(work.await));
        };
        let taken = Instant::now();
        match shared.ask(&shared.take).await {
            Ok(true) if taken.elapsed() < TERM - MARGIN => Some(shared.hold(taken, work).await),
            _ => None,
        }
    }
}

impl Shared {
    async fn hold<T>(&self, taken: Instant, work: impl Future<Output = T>) -> Option<T> {
        // Looked at first: who stood still for a while must not go on before it finds out.
        let done = tokio::select! {
            biased;
            () = self.lost(taken) => None,
            done = work => Some(done),
        };
        let _ = timeout(GIVING_BACK, self.ask(&self.give_back)).await;
        done
    }

    /// Returns when it was asked for the time that it was had: the term begins then, at the latest.
    async fn wait(&self) -> Instant {
        // The link itself says when Redis goes and comes.
        let mut retry = Retry::quiet();
        loop {
            let asked = Instant::now();
            match self.ask(&self.take).await {
                Ok(true) if asked.elapsed() < TERM - MARGIN => return asked,
                Ok(_) => sleep(LOOK_PERIOD).await,
                Err(error) => retry.pause(&error).await,
            }
        }
    }

    /// Renews it, until that fails for too long.
    async fn lost(&self, mut taken: Instant) {
        loop {
            sleep(RENEWAL).await;
            let asked = Instant::now();
            match timeout_at(taken + TERM - MARGIN, self.ask(&self.take)).await {
                Ok(Ok(true)) => taken = asked,
                Ok(Err(_)) if taken.elapsed() + RENEWAL < TERM - MARGIN => {}
                _ => return,
            }
        }
    }

    async fn ask(&self, script: &Script) -> RedisResult<bool> {
        let mut ask = script.key(&self.key);
        ask.arg(&self.token).arg(TERM.as_millis() as u64);
        self.link.invoke(&ask).await
    }
}
