//! Follows what all replicas append, from where this one left off, for ever. A message that it cannot
//! tell is told as a gap, never left out in silence.

use std::{sync::Arc, time::Duration};

use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::{
    history::{History, Place},
    row::Entry,
};
use crate::{
    chat::{
        message::{Epoch, Message},
        store::TailItem,
    },
    redis::Retry,
};

/// How long a read waits for something to tell. Then it is looked whether this still is the same
/// history: what is kept in another one does not end the waiting.
const WAIT: Duration = Duration::from_secs(1);

/// Messages in one batch.
const BATCH: usize = 64;

pub(super) struct Follower {
    pub history: Arc<History>,
    pub tail: Sender<TailItem>,
    /// TailItem once the first place is known.
    pub started: CancellationToken,
    /// Nothing more is appended by this replica: what it appended is still told.
    pub finishing: CancellationToken,
    /// Nothing more is waited for.
    pub abandoned: CancellationToken,
    pub retry: Retry,
    /// The last message that was told.
    pub told: Option<Place>,
    /// What follows that one cannot be told.
    pub hole: bool,
}

/// Why following a connection ended.
enum End {
    /// The history is not what it was, or not told without a hole: it has to be entered again.
    Elsewhere,
    /// There is nothing left to tell, or nobody to tell.
    Done,
}

impl Follower {
    /// Runs until the store is closed, or nobody reads the tail.
    pub async fn run(mut self) {
        let (tail, abandoned) = (self.tail.clone(), self.abandoned.clone());
        tokio::select! {
            () = self.follow_for_ever() => {}
            () = tail.closed() => {}
            () = abandoned.cancelled() => {}
        }
        // Who is told nothing misses nothing.
        self.started.cancel();
    }

    async fn follow_for_ever(&mut self) {
        loop {
            match self.follow().await {
                Ok(End::Elsewhere) => {}
                Ok(End::Done) => return,
                Err(error) => self.retry.pause(&error).await,
            }
        }
    }

    /// Follows on a new connection until it breaks.
    async fn follow(&mut self) -> RedisResult<End> {
        let mut connection = self.history.redis.connect_waiting(WAIT).await?;
        let entered = self.history.enter(&mut connection).await?;
        match &mut self.told {
            Some(told)
                if !self.hole && told.epoch == entered.epoch && told.number <= entered.number =>
            {
                told.token.clone_from(&entered.token);
            }
            Some(_) => {
                // After it is known where to go on: whoever asks the store from now on finds all up to there.
                if self.tail.send(TailItem::Gap).await.is_err() {
                    return Ok(End::Done);
                }
                self.told = Some(entered);
                self.hole = false;
            }
            None => {
                self.told = Some(entered);
                self.started.cancel();
            }
        }
        self.retry.succeeded();
        loop {
            // Before it is read, so that what waits to be told waits in Redis.
            let Ok(place) = self.tail.clone().reserve_owned().await else {
                return Ok(End::Done);
            };
            let finishing = self.finishing.clone();
            let entries = tokio::select! {
                biased;
                entries = self.read(&mut connection) => entries?,
                () = finishing.cancelled() => {
                    if self.has_told_all() {
                        return Ok(End::Done);
                    }
                    self.read(&mut connection).await?
                }
            };
            let Some(entries) = entries else {
                return Ok(End::Elsewhere);
            };
            let messages = self.take(entries);
            if !messages.is_empty() {
                place.send(TailItem::Kept(messages));
            }
            if self.hole {
                return Ok(End::Elsewhere);
            }
        }
    }

    /// What follows the last message told; nothing where this is another history by now.
    async fn read(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Option<Vec<Entry>>> {
        type Streams = Vec<(String, Vec<Entry>)>;
        let Some(told) = &self.told else {
            return Ok(None);
        };
        let redis = &self.history.redis;
        let (now, streams): ((Option<u32>, Option<String>), Option<Streams>) = redis::pipe()
            .cmd("HMGET")
            .arg(redis.key("history"))
            .arg("epoch")
            .arg("token")
            .cmd("XREAD")
            .arg("COUNT")
            .arg(BATCH)
            .arg("BLOCK")
            .arg(WAIT.as_millis() as u64)
            .arg("STREAMS")
            .arg(redis.key("tail"))
            .arg(format!("{}-0", told.number))
            .query_async(connection)
            .await?;
        let same = now.0.map(Epoch) == Some(told.epoch) && now.1.as_deref() == Some(&told.token);
        let streams = streams.unwrap_or_default();
        Ok(same.then(|| {
            streams
                .into_iter()
                .flat_map(|(_, entries)| entries)
                .collect()
        }))
    }

    /// The messages that follow the last one told, up to a hole.
    fn take(&mut self, entries: Vec<Entry>) -> Vec<Arc<Message>> {
        let mut messages = Vec::with_capacity(entries.len());
        let Some(told) = &mut self.told else {
            return messages;
        };
        for entry in &entries {
            match read_entry(entry, told) {
                Ok(Some(message)) => messages.push(Arc::new(message)),
                Ok(None) => {
                    tracing::warn!("behind by more than the tail holds: readers come back for it");
                    self.hole = true;
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "could not read the tail: readers come back for it");
                    self.hole = true;
                    break;
                }
            }
            told.number = entry.number;
        }
        self.history.saw(told.clone());
        messages
    }

    fn has_told_all(&self) -> bool {
        let seen = self.history.seen();
        match (&self.told, &seen) {
            (Some(told), Some(seen)) => told.epoch != seen.epoch || told.number >= seen.number,
            _ => true,
        }
    }
}

/// The message of an entry, if it is the next one.
fn read_entry(entry: &Entry, told: &Place) -> RedisResult<Option<Message>> {
    let is_next = entry.number == told.number + 1;
    if !is_next || entry.number("e")? != u64::from(told.epoch.0) {
        return Ok(None);
    }
    entry
        .message(None, entry.number("s")?, told.epoch)
        .map(Some)
}
