//! Reads, over one shared connection.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use redis::{Cmd, FromRedisValue, Script, ScriptInvocation};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    failure,
    history::{History, Place},
    row::{self, Entry},
};
use crate::{
    chat::{
        message::{Epoch, Message, MessageId, RoomName},
        store::{After, Limit, RoomActivity, StoreError},
    },
    redis::{Link, Retry, is_away},
};

/// Reads at a time.
const READERS: u32 = 64;

/// What reads, and how long it may take.
pub(super) struct Reader {
    pub link: Link,
    pub history: Arc<History>,
    script: Script,
    start: Script,
    places: Semaphore,
    /// The tail has begun: what is read from now on joins on to it.
    started: CancellationToken,
    patience: Duration,
}

/// What Redis is asked.
#[derive(Clone, Copy)]
pub(super) enum Question<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
}

/// A part of a room.
enum Part {
    Last,
    Before(MessageId),
    After(MessageId),
}

impl Reader {
    pub fn new(history: Arc<History>, started: CancellationToken, patience: Duration) -> Self {
        Self {
            link: Link::new(history.redis.clone(), "log reader"),
            history,
            script: Script::new(include_str!("read.lua")),
            start: Script::new(include_str!("start.lua")),
            places: Semaphore::new(READERS as usize),
            started,
            patience,
        }
    }

    pub async fn last(
        &self,
        room: &RoomName,
        limit: Limit,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        let messages = self.read(room, Part::Last, limit).await?;
        Ok(reversed(messages))
    }

    pub async fn before(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: Limit,
    ) -> Result<Vec<Arc<Message>>, StoreError> {
        let messages = self.read(room, Part::Before(id), limit).await?;
        Ok(reversed(messages))
    }

    pub async fn after(
        &self,
        room: &RoomName,
        id: MessageId,
        limit: Limit,
    ) -> Result<After, StoreError> {
        let messages = self.read(room, Part::After(id), limit).await?;
        Ok(messages.map_or(After::Gap, After::Complete))
    }

    pub async fn start_of_last(&self, room: &RoomName, count: usize) -> Result<u64, StoreError> {
        let redis = &self.history.redis;
        let mut start = self.start.prepare_invoke();
        start
            .key(redis.key("places"))
            .key(redis.key(format_args!("room:{room}")))
            .arg(room.as_str())
            .arg(stored(count));
        self.ask(Question::Script(&start)).await
    }

    pub async fn rooms(&self, limit: usize) -> Result<Vec<RoomActivity>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("ZREVRANGE");
        command
            .arg(self.history.redis.key("rooms"))
            .arg(0)
            .arg(stored(limit - 1))
            .arg("WITHSCORES");
        let rooms = self
            .ask::<Vec<(String, f64)>>(Question::Command(&command))
            .await?;
        rooms
            .into_iter()
            .map(|(room, time)| {
                let room = room
                    .parse()
                    .map_err(|_| row::unreadable("a room has no name"));
                Ok(RoomActivity {
                    room: room.map_err(failure)?,
                    last: row::time(time as u64).map_err(failure)?,
                })
            })
            .collect()
    }

    /// By the clock of Redis, which dates messages: those of replicas may be wrong.
    pub async fn lately(&self, ago: Duration) -> Result<Timestamp, StoreError> {
        let time = redis::cmd("TIME");
        let (seconds, micros) = self.ask::<(u64, u64)>(Question::Command(&time)).await?;
        let now = row::time(seconds * 1000 + micros / 1000).map_err(failure)?;
        Ok(now.checked_sub(ago).unwrap_or(Timestamp::MIN))
    }

    pub async fn bookmark(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.on_bookmarks("HGET", &[name]).await
    }

    pub async fn set_bookmark(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.on_bookmarks("HSET", &[name, value]).await
    }

    pub async fn first_bookmark(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let () = self.on_bookmarks("HSETNX", &[name, value]).await?;
        self.on_bookmarks("HGET", &[name]).await
    }

    async fn on_bookmarks<T: FromRedisValue>(
        &self,
        verb: &str,
        args: &[&str],
    ) -> Result<T, StoreError> {
        let mut command = redis::cmd(verb);
        command.arg(self.history.redis.key("bookmarks")).arg(args);
        self.ask(Question::Command(&command)).await
    }

    /// Waits for the reads under way; those that come later are refused.
    pub async fn close(&self) {
        let _all = self.places.acquire_many(READERS).await;
        self.places.close();
    }

    /// In the order in which the script gives them; none where what follows is not known.
    async fn read(
        &self,
        room: &RoomName,
        part: Part,
        limit: Limit,
    ) -> Result<Option<Vec<Arc<Message>>>, StoreError> {
        let (which, id) = match part {
            Part::Last => ("last", None),
            Part::Before(id) => ("before", Some(id)),
            Part::After(id) => ("after", Some(id)),
        };
        let redis = &self.history.redis;
        let mut read = self.script.prepare_invoke();
        read.key(redis.key("history"))
            .key(redis.key("places"))
            .key(redis.key(format_args!("room:{room}")))
            .arg(room.as_str())
            .arg(which)
            .arg(id.map_or(0, |id| id.epoch.0))
            .arg(id.map_or(0, |id| id.seq))
            .arg(stored(limit.messages))
            .arg(stored(limit.bytes));
        let (epoch, token, number, entries) = self
            .ask::<(String, String, u64, Found)>(Question::Script(&read))
            .await?;
        let Ok(epoch) = epoch.parse().map(Epoch) else {
            // Redis was emptied a moment ago, and nobody has begun a new history.
            return Ok(matches!(part, Part::Last | Part::Before(_)).then(Vec::new));
        };
        self.history.saw(Place {
            epoch,
            token,
            number,
        });
        entries
            .0
            .map(|entries| row::messages(entries, Some(room), epoch))
            .transpose()
            .map_err(failure)
    }

    /// Asks until there is an answer, as long as that may take.
    pub async fn ask<T: FromRedisValue>(&self, question: Question<'_>) -> Result<T, StoreError> {
        let asking = async {
            let _place = self
                .places
                .acquire()
                .await
                .map_err(|_| StoreError::Closed)?;
            self.started.cancelled().await;
            // The link itself says when Redis goes and comes.
            let mut retry = Retry::quiet();
            loop {
                let answer = match question {
                    Question::Command(command) => self.link.query(command).await,
                    Question::Script(script) => self.link.invoke(script).await,
                };
                match answer {
                    Err(error) if is_away(&error) => retry.pause(&error).await,
                    answer => return answer.map_err(failure),
                }
            }
        };
        timeout(self.patience, asking)
            .await
            .map_err(|_| StoreError::Busy)?
    }
}

/// Entries, or that they are not known.
struct Found(Option<Vec<Entry>>);

impl FromRedisValue for Found {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        match value {
            redis::Value::Nil => Ok(Self(None)),
            entries => redis::from_redis_value(entries).map(|entries| Self(Some(entries))),
        }
    }
}

fn reversed(messages: Option<Vec<Arc<Message>>>) -> Vec<Arc<Message>> {
    let mut messages = messages.unwrap_or_default();
    messages.reverse();
    messages
}

/// A count as Redis takes it; what is too large for that is as good as the largest.
pub(super) fn stored(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
