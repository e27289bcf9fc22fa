//! What goes out to a bridge: the store is the outbox. A bookmark beside it says how far a bus was told, so
//! nothing is left out whoever dies, and at most what was under way is told twice.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{BridgeContext, again};
use crate::chat::{
    message::{BridgeName, Message, MessageId, RoomName},
    store::{After, Limit, Store, StoreError},
};

/// How long it is relied on being told that something was said.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The bookmark of a room in which nothing was said yet.
const BEGINNING: &str = "0";

/// What a bridge has to be told of one room. A store that fails is waited for: an error says that it is closed.
pub struct Sender {
    store: Arc<dyn Store>,
    /// Changes when something may be there.
    passed: watch::Receiver<u64>,
    bridge: BridgeName,
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

impl Sender {
    /// Notes where a bridge begins to be told: at the end, the first time.
    pub async fn begin(
        context: &BridgeContext,
        bridge: &BridgeName,
        room: RoomName,
    ) -> Result<(), StoreError> {
        Self::open(context, bridge, room).await.map(|_| ())
    }

    /// Goes on at the bookmark.
    pub async fn open(
        context: &BridgeContext,
        bridge: &BridgeName,
        room: RoomName,
    ) -> Result<Self, StoreError> {
        let mut sender = Self {
            store: context.store.clone(),
            passed: context.chat.rooms.passed(),
            bridge: bridge.clone(),
            bookmark: format!("{bridge} out {room}"),
            room,
            place: Place::Beginning,
            given: None,
        };
        match again(|| sender.store.bookmark(&sender.bookmark))
            .await?
            .as_deref()
        {
            Some(BEGINNING) => {}
            Some(id) => match id.parse() {
                Ok(id) => sender.place = Place::After(id),
                Err(_) => {
                    tracing::error!(%bridge, id, "the bookmark is unreadable; going on at the end of the log");
                    sender.begin_at_the_end().await?;
                }
            },
            None => {
                // Of several replicas that start at the same time, one decides.
                let place = sender.end().await?;
                let first = || sender.store.first_bookmark(&sender.bookmark, &place);
                let noted = again(first).await?;
                sender.place = noted.parse().map_or(Place::Beginning, Place::After);
            }
        }
        Ok(sender)
    }

    /// What is to be told next, oldest first, at most `limit`; what came from this bridge is left out.
    /// Waits until there is something. The same again until [`Sender::sent`].
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        loop {
            self.passed.mark_unchanged();
            let mut messages = self.read(limit).await?;
            let Some(last) = messages.last() else {
                // Not told at all where another replica is the one that is told.
                let _ = timeout(LOOK_PERIOD, self.passed.changed()).await;
                continue;
            };
            self.given = Some(last.id);
            messages.retain(|message| message.bridge.as_ref() != Some(&self.bridge));
            if !messages.is_empty() {
                return Ok(messages);
            }
            self.sent().await?;
        }
    }

    /// All that was given out has been told.
    pub async fn sent(&mut self) -> Result<(), StoreError> {
        self.sent_until(None).await
    }

    /// All that was given out has been told, or, where there is an id, that message and those before it.
    pub async fn sent_until(&mut self, id: Option<MessageId>) -> Result<(), StoreError> {
        if let Some(sent) = id.or(self.given) {
            self.note(&sent.to_string()).await?;
            self.place = Place::After(sent);
        }
        Ok(())
    }

    async fn read(&mut self, limit: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        let after = match self.place {
            Place::After(id) => id,
            Place::Beginning => {
                let newest = again(|| self.store.last(&self.room, Limit::ONE)).await?;
                let Some(newest) = newest.first() else {
                    return Ok(Vec::new());
                };
                let epoch = newest.id.epoch;
                MessageId { seq: 0, epoch }
            }
        };
        match again(|| self.store.after(&self.room, after, Limit::messages(limit))).await? {
            After::Complete(messages) => Ok(messages),
            After::Gap => {
                self.skip(after).await?;
                Ok(Vec::new())
            }
        }
    }

    /// What follows the bookmark is not kept any more, or never was in this history.
    async fn skip(&mut self, after: MessageId) -> Result<(), StoreError> {
        let newest = again(|| self.store.last(&self.room, Limit::ONE)).await?;
        let newest = newest.first().map(|message| message.id);
        let Some(newest) = newest.filter(|newest| newest.epoch == after.epoch) else {
            tracing::error!(bridge = %self.bridge, "the log has another history: what of it was not told is not known; going on at its end");
            return self.begin_at_the_end().await;
        };
        // The oldest that is kept: all ids from the one before it on are known.
        let (mut unknown, mut known) = (after.seq, newest.seq);
        while unknown + 1 < known {
            let middle = MessageId {
                seq: unknown + (known - unknown) / 2,
                ..newest
            };
            match again(|| self.store.after(&self.room, middle, Limit::NOTHING)).await? {
                After::Gap => unknown = middle.seq,
                After::Complete(_) => known = middle.seq,
            }
        }
        let lost = known.saturating_sub(after.seq);
        tracing::error!(
            bridge = %self.bridge, messages = lost,
            "messages grew too old before the bridge was told of them"
        );
        self.place = Place::After(MessageId {
            seq: known,
            ..newest
        });
        Ok(())
    }

    async fn begin_at_the_end(&mut self) -> Result<(), StoreError> {
        let end = self.end().await?;
        self.note(&end).await?;
        self.place = end.parse().map_or(Place::Beginning, Place::After);
        Ok(())
    }

    /// The bookmark of whoever is told nothing of what was said until now.
    async fn end(&self) -> Result<String, StoreError> {
        let newest = again(|| self.store.last(&self.room, Limit::ONE)).await?;
        let newest = newest.first().map(|newest| newest.id.to_string());
        Ok(newest.unwrap_or_else(|| BEGINNING.into()))
    }

    async fn note(&self, place: &str) -> Result<(), StoreError> {
        again(|| self.store.set_bookmark(&self.bookmark, place)).await
    }
}
