//! What guards logins over all replicas that share a Redis: attempts count there as in `attempts`, and `places` are known
//! there, under a keyed hash that shows neither names nor addresses. While Redis is away, what this replica has counted
//! and remembers itself decides, so no limit is ever lost.

use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use redis::{FromRedisValue, RedisResult, Script};
use sha2::Sha256;
use tokio::time::timeout;

use super::attempts::{Attempt, Attempts, ROWS, Refused};
use crate::{
    log_limit::LogLimit,
    redis::{Link, Redis, is_away},
};

/// How long Redis may take before this replica decides alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Places that are remembered; the oldest go.
const PLACES: isize = 65_536;

/// How long they are, after the last one was added.
const PLACES_AGE: Duration = Duration::from_secs(90 * 86_400);

/// Bytes of a hash, of which there are twice as many digits.
const DIGEST: usize = 16;

/// Where replicas count together.
pub struct Shared {
    link: Link,
    script: Script,
    key: Hmac<Sha256>,
    log_limit: LogLimit,
}

impl Shared {
    /// Opens nothing yet. The same secret on all replicas.
    pub fn new(redis: Redis, secret: &str) -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(redis, "attempts to log in"),
            script: Script::new(include_str!("shared.lua")),
            key: Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length"),
            log_limit: LogLimit::default(),
        })
    }

    /// Whether any replica remembers a place.
    pub(super) async fn has(&self, place: &impl fmt::Display) -> bool {
        let mut ask = redis::cmd("ZSCORE");
        ask.arg(self.places()).arg(self.hide(place));
        let since: Option<Option<f64>> = self.answer(self.link.query(&ask)).await;
        since.flatten().is_some()
    }

    /// Has all replicas remember a place.
    pub(super) async fn add(&self, place: &impl fmt::Display) {
        let script = Script::new(
            "local now = redis.call('TIME')
            redis.call('ZADD', KEYS[1], now[1], ARGV[1])
            redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
            return redis.call('EXPIRE', KEYS[1], ARGV[3])",
        );
        let mut add = script.key(self.places());
        add.arg(self.hide(place)).arg(PLACES);
        add.arg(PLACES_AGE.as_secs());
        let _: Option<i64> = self.answer(self.link.invoke(&add)).await;
    }

    fn places(&self) -> String {
        self.link.redis().key("homes")
    }

    /// What it is called in Redis: nobody finds the address or name by trying who has not the secret.
    fn hide(&self, what: &impl fmt::Display) -> String {
        let mac = self.key.clone().chain_update(what.to_string()).finalize();
        let digest = &mac.into_bytes()[..DIGEST];
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Does something with counts of a kind; `None` where Redis does not.
    async fn count(&self, kind: &str, args: &[String]) -> Option<(String, u64)> {
        let mut call = self.script.prepare_invoke();
        let redis = self.link.redis();
        call.key(redis.key(format_args!("attempts:{kind}")));
        call.key(redis.key(format_args!("attempts:{kind}:ends")));
        call.arg(args);
        self.answer(self.link.invoke(&call)).await
    }

    async fn answer<T: FromRedisValue>(
        &self,
        asking: impl Future<Output = RedisResult<T>>,
    ) -> Option<T> {
        match timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => Some(answer),
            // The link itself says when Redis goes and comes.
            Ok(Err(error)) if is_away(&error) => None,
            Ok(Err(error)) => {
                if let Some(unsaid_before) = self.log_limit.due() {
                    tracing::warn!(%error, unsaid_before, "attempts to log in count on this replica alone");
                }
                None
            }
            Err(_) => None,
        }
    }
}

/// Counts attempts of one kind: here, and with the other replicas where they share a Redis.
pub(super) struct Limited<K> {
    kind: &'static str,
    window: Duration,
    here: Attempts<K>,
    shared: Option<Arc<Shared>>,
}

impl<K: Clone + Eq + Hash + fmt::Display> Limited<K> {
    pub(super) fn new(kind: &'static str, window: Duration) -> Self {
        Self {
            kind,
            window,
            here: Attempts::new(window),
            shared: None,
        }
    }

    pub(super) fn share(&mut self, shared: Arc<Shared>) {
        self.shared = Some(shared);
    }

    /// As [`Attempts::begin`], over all replicas.
    pub(super) async fn begin<const N: usize>(
        &self,
        keys: [(K, u32); N],
    ) -> Result<Counted<'_, K>, Refused> {
        let here = self.here.begin(keys.clone())?;
        let Some(shared) = &self.shared else {
            return Ok(Counted { here, there: None });
        };
        let hidden = keys.map(|(key, most)| [shared.hide(&key), most.to_string()]);
        let mut begin = vec![
            "begin".to_owned(),
            self.window.as_millis().to_string(),
            ROWS.to_string(),
        ];
        begin.extend(hidden.iter().flatten().cloned());
        // Whoever hangs up before Redis has answered has begun one, too.
        let mut there = There {
            shared: shared.clone(),
            kind: self.kind,
            keys: hidden.into_iter().map(|[key, _]| key).collect(),
        };
        let answer = shared.count(self.kind, &begin).await;
        if !matches!(&answer, Some((begun, _)) if begun == "begun") {
            there.keys.clear();
        }
        let refused = match answer {
            Some((wait, ms)) if wait == "wait" => Refused::TooMany(Duration::from_millis(ms)),
            Some((busy, _)) if busy == "busy" => Refused::TooManyAtOnce,
            _ => {
                return Ok(Counted {
                    here,
                    there: Some(there),
                });
            }
        };
        here.forgive();
        Err(refused)
    }
}

/// An attempt that is under way. Dropped, it has failed.
pub(super) struct Counted<'a, K: Clone + Eq + Hash> {
    here: Attempt<'a, K>,
    there: Option<There>,
}

impl<K: Clone + Eq + Hash> Counted<'_, K> {
    /// It ended well, or through no fault of who attempted it.
    pub(super) async fn forgive(self) {
        self.here.forgive();
        if let Some(there) = self.there {
            there.end("forgiven").await;
        }
    }

    /// It failed, and the next one is to know.
    pub(super) async fn fail(self) {
        drop(self.here);
        if let Some(there) = self.there {
            there.end("failed").await;
        }
    }
}

/// What counts in Redis.
struct There {
    shared: Arc<Shared>,
    kind: &'static str,
    /// None once it has ended, or where Redis was away when it began.
    keys: Vec<String>,
}

impl There {
    fn end(mut self, how: &str) -> impl Future<Output = ()> + Send + use<> {
        let (shared, kind) = (self.shared.clone(), self.kind);
        let keys = std::mem::take(&mut self.keys);
        let end = (!keys.is_empty()).then(|| [vec!["end".into(), how.into()], keys].concat());
        async move {
            if let Some(end) = end {
                // Where Redis is away now, it counts as under way until the window ends.
                shared.count(kind, &end).await;
            }
        }
    }
}

impl Drop for There {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (false, Ok(runtime)) = (self.keys.is_empty(), runtime) {
            // Whoever asked has hung up. There are no more of these than attempts may be under way.
            let failed = Self {
                shared: self.shared.clone(),
                kind: self.kind,
                keys: std::mem::take(&mut self.keys),
            };
            runtime.spawn(failed.end("failed"));
        }
    }
}
