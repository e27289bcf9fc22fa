//! What goes out to a neighbour: the log is the outbox. A bookmark beside it says how far a bus was told, so
//! nothing is left out whoever dies, and at most what was under way is told twice.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{Site, again};
use crate::chat::{
    log::{After, Limit, Log, LogError},
    message::{Message, MessageId, NeighbourName, RoomName},
};

/// How long it is relied on being told that something was said.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The bookmark of a room in which nothing was said yet.
const BEGINNING: &str = "0";

/// What a neighbour has to be told of one room. A log that fails is waited for: an error says that it is closed.
pub struct Outbox {
    log: Arc<dyn Log>,
    /// Changes when something may be there.
    passed: watch::Receiver<u64>,
    neighbour: NeighbourName,
    room: RoomName,
    bookmark: String,
    place: Place,
    /// How far what was given out last reaches.
    given: Option<MessageId>,
}

/// How far the bus was told.
enum Place {
    /// Nothing had been said when it began.
    Beginning,
    After(MessageId),
}

impl Outbox {
    /// Notes where a neighbour begins to be told: at the end, the first time.
    pub async fn begin(
        site: &Site,
        neighbour: &NeighbourName,
        room: RoomName,
    ) -> Result<(), LogError> {
        Self::open(site, neighbour, room).await.map(|_| ())
    }

    /// Goes on at the bookmark.
    pub async fn open(
        site: &Site,
        neighbour: &NeighbourName,
        room: RoomName,
    ) -> Result<Self, LogError> {
        let mut outbox = Self {
            log: site.log.clone(),
            passed: site.chat.rooms.passed(),
            neighbour: neighbour.clone(),
            bookmark: format!("{neighbour} out {room}"),
            room,
            place: Place::Beginning,
            given: None,
        };
        match again(|| outbox.log.bookmark(&outbox.bookmark))
            .await?
            .as_deref()
        {
            Some(BEGINNING) => {}
            Some(id) => match id.parse() {
                Ok(id) => outbox.place = Place::After(id),
                Err(_) => {
                    tracing::error!(%neighbour, id, "the bookmark is unreadable; going on at the end of the log");
                    outbox.begin_at_the_end().await?;
                }
            },
            None => {
                // Of several replicas that start at the same time, one decides.
                let place = outbox.end().await?;
                let first = || outbox.log.first_bookmark(&outbox.bookmark, &place);
                let noted = again(first).await?;
                outbox.place = noted.parse().map_or(Place::Beginning, Place::After);
            }
        }
        Ok(outbox)
    }

    /// What is to be told next, oldest first, at most `limit`; what came from this neighbour is left out.
    /// Waits until there is something. The same again until [`Outbox::sent`].
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Arc<Message>>, LogError> {
        loop {
            self.passed.mark_unchanged();
            let mut messages = self.read(limit).await?;
            let Some(last) = messages.last() else {
                // Not told at all where another replica is the one that is told.
                let _ = timeout(LOOK_PERIOD, self.passed.changed()).await;
                continue;
            };
            self.given = Some(last.id);
            messages.retain(|message| message.neighbour.as_ref() != Some(&self.neighbour));
            if !messages.is_empty() {
                return Ok(messages);
            }
            self.sent().await?;
        }
    }

    /// All that was given out has been told.
    pub async fn sent(&mut self) -> Result<(), LogError> {
        self.sent_until(None).await
    }

    /// All that was given out has been told, or, where there is an id, that message and those before it.
    pub async fn sent_until(&mut self, id: Option<MessageId>) -> Result<(), LogError> {
        if let Some(sent) = id.or(self.given) {
            self.note(&sent.to_string()).await?;
            self.place = Place::After(sent);
        }
        Ok(())
    }

    async fn read(&mut self, limit: usize) -> Result<Vec<Arc<Message>>, LogError> {
        let after = match self.place {
            Place::After(id) => id,
            Place::Beginning => {
                let newest = again(|| self.log.last(&self.room, Limit::ONE)).await?;
                let Some(newest) = newest.first() else {
                    return Ok(Vec::new());
                };
                let epoch = newest.id.epoch;
                MessageId { seq: 0, epoch }
            }
        };
        match again(|| self.log.after(&self.room, after, Limit::messages(limit))).await? {
            After::Complete(messages) => Ok(messages),
            After::Gap => {
                self.skip(after).await?;
                Ok(Vec::new())
            }
        }
    }

    /// What follows the bookmark is not kept any more, or never was in this history.
    async fn skip(&mut self, after: MessageId) -> Result<(), LogError> {
        let newest = again(|| self.log.last(&self.room, Limit::ONE)).await?;
        let newest = newest.first().map(|message| message.id);
        let Some(newest) = newest.filter(|newest| newest.epoch == after.epoch) else {
            tracing::error!(neighbour = %self.neighbour, "the log has another history: what of it was not told is not known; going on at its end");
            return self.begin_at_the_end().await;
        };
        // The oldest that is kept: all ids from the one before it on are known.
        let (mut unknown, mut known) = (after.seq, newest.seq);
        while unknown + 1 < known {
            let middle = MessageId {
                seq: unknown + (known - unknown) / 2,
                ..newest
            };
            match again(|| self.log.after(&self.room, middle, Limit::NOTHING)).await? {
                After::Gap => unknown = middle.seq,
                After::Complete(_) => known = middle.seq,
            }
        }
        let lost = known.saturating_sub(after.seq);
        tracing::error!(
            neighbour = %self.neighbour, messages = lost,
            "messages grew too old before the neighbour was told of them"
        );
        self.place = Place::After(MessageId {
            seq: known,
            ..newest
        });
        Ok(())
    }

    async fn begin_at_the_end(&mut self) -> Result<(), LogError> {
        let end = self.end().await?;
        self.note(&end).await?;
        self.place = end.parse().map_or(Place::Beginning, Place::After);
        Ok(())
    }

    /// The bookmark of whoever is told nothing of what was said until now.
    async fn end(&self) -> Result<String, LogError> {
        let newest = again(|| self.log.last(&self.room, Limit::ONE)).await?;
        let newest = newest.first().map(|newest| newest.id.to_string());
        Ok(newest.unwrap_or_else(|| BEGINNING.into()))
    }

    async fn note(&self, place: &str) -> Result<(), LogError> {
        again(|| self.log.set_bookmark(&self.bookmark, place)).await
    }
}
