//! What this replica knows of the history in Redis, and how it begins work on a new connection: a
//! Redis that lost messages which anybody saw starts a new epoch, before anything is appended to it.

use parking_lot::Mutex;
use redis::{ErrorKind, RedisResult, Script, ServerErrorKind, aio::MultiplexedConnection};

use crate::{chat::message::Epoch, redis::Redis};

/// Versions of Redis before this one lack what the scripts use (`XTRIM MINID`).
const OLDEST_REDIS: (u32, u32) = (6, 2);

/// The history, as far as this replica has seen it.
pub(super) struct History {
    pub redis: Redis,
    enter: Script,
    seen: Mutex<Option<Place>>,
}

/// A place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub epoch: Epoch,
    /// Names the process of Redis where it was seen, and the role in which that ran.
    pub token: String,
    /// The message's number in the tail.
    pub number: u64,
}

impl History {
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            enter: Script::new(include_str!("enter.lua")),
            seen: Mutex::default(),
        }
    }

    /// Begins work on a new connection. Returns where the history ends at this moment.
    pub async fn enter(&self, connection: &mut MultiplexedConnection) -> RedisResult<Place> {
        let token = token(connection).await?;
        let seen = self.seen.lock().clone();
        let drawn = getrandom::u32().map_err(std::io::Error::other)?;
        let mut enter = self.enter.prepare_invoke();
        for key in ["history", "processes", "tail"] {
            enter.key(self.redis.key(key));
        }
        enter.arg(&token).arg(drawn);
        match seen {
            Some(seen) => enter.arg(seen.epoch.0).arg(seen.token).arg(seen.number),
            None => enter.arg("").arg("").arg(0),
        };
        let (epoch, number, lost): (u32, u64, bool) = enter.invoke_async(connection).await?;
        if lost {
            tracing::error!(
                "redis has lost messages that were kept; ids get a new epoch, and clients start anew"
            );
        }
        let place = Place {
            epoch: Epoch(epoch),
            token,
            number,
        };
        *self.seen.lock() = Some(place.clone());
        Ok(place)
    }

    /// Takes note of how far the history was seen to reach.
    pub fn saw(&self, place: Place) {
        let mut seen = self.seen.lock();
        let further = seen
            .as_ref()
            .is_some_and(|seen| seen.epoch == place.epoch && seen.number < place.number);
        if further {
            *seen = Some(place);
        }
    }

    /// How far the history was seen to reach.
    pub fn seen(&self) -> Option<Place> {
        self.seen.lock().clone()
    }
}

/// Names the process of Redis that a connection leads to, and its role, which changes with a failover.
async fn token(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    let info: (String, String) = redis::pipe()
        .cmd("INFO")
        .arg("server")
        .cmd("INFO")
        .arg("replication")
        .query_async(connection)
        .await?;
    let field = |name: &str| {
        let mut lines = info.0.lines().chain(info.1.lines());
        lines
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or_default()
    };
    let mut version = field("redis_version").split('.').map(str::parse::<u32>);
    if let (Some(Ok(major)), Some(Ok(minor))) = (version.next(), version.next())
        && (major, minor) < OLDEST_REDIS
    {
        let found = format!("{major}.{minor}, and 6.2 or later is needed");
        return Err((ErrorKind::Client, "redis is too old", found).into());
    }
    if field("role") != "master" {
        let role = ErrorKind::Server(ServerErrorKind::ReadOnly);
        return Err((role, "it is a replica of another redis").into());
    }
    Ok(format!("{}.{}", field("run_id"), field("master_replid")))
}
