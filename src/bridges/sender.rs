//! Reads what a bridge has to send from the store. A bookmark in the store says how far the bus has been sent to, so a
//! crash of any replica loses nothing, and sends at most the last batch twice.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{BridgeContext, again};
use crate::chat::{
    message::{BridgeName, Message, MessageId, RoomName},
    store::{After, Limit, Store, StoreError},
};

/// How often the store is read even without a notification.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The bookmark of a room without messages.
const BEGINNING: &str = "0";

/// The messages of one room that a bridge has not sent yet. Every method waits while the store fails; its error
/// means that the store is closed.
pub struct Sender {
    store: Arc<dyn Store>,
    /// Changes when a message may have been stored.
    passed: watch::Receiver<u64>,
    bridge: BridgeName,
    room: RoomName,
    bookmark: String,
    place: Place,
    /// The last message that [`Sender::next`] returned.
    given: Option<MessageId>,
}

/// How far the bus has been sent to.
enum Place {
    /// The room was empty when the bridge was set up.
    Beginning,
    After(MessageId),
}

impl Sender {
    /// Stores where a bridge begins to send, the first time it is set up: at the room's end.
    pub async fn begin(
        context: &BridgeContext,
        bridge: &BridgeName,
        room: RoomName,
    ) -> Result<(), StoreError> {
        Self::open(context, bridge, room).await.map(|_| ())
    }

    /// Continues at the bookmark.
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
                    tracing::error!(%bridge, id, "the bookmark is unreadable; going on at the end of the store");
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

    /// The next messages to send, oldest first, at most `limit`, without those that this bridge brought.
    /// Waits until there are some, and returns the same ones until [`Sender::sent`].
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        loop {
            self.passed.mark_unchanged();
            let mut messages = self.read(limit).await?;
            let Some(last) = messages.last() else {
                // There is no notification where another replica reads the tail.
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

    /// Moves the bookmark past everything that [`Sender::next`] returned.
    pub async fn sent(&mut self) -> Result<(), StoreError> {
        self.sent_until(None).await
    }

    /// Moves the bookmark to `id`, or past everything that [`Sender::next`] returned.
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

    /// Moves past messages that retention has removed, or to the end of a store with another epoch.
    async fn skip(&mut self, after: MessageId) -> Result<(), StoreError> {
        let newest = again(|| self.store.last(&self.room, Limit::ONE)).await?;
        let newest = newest.first().map(|message| message.id);
        let Some(newest) = newest.filter(|newest| newest.epoch == after.epoch) else {
            tracing::error!(bridge = %self.bridge, "the store has another epoch: messages that were not sent yet are unknown; going on at its end");
            return self.begin_at_the_end().await;
        };
        // Binary search for the oldest message that is still stored.
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
            "messages were removed by --retain before the bridge sent them"
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

    /// The bookmark at the room's end.
    async fn end(&self) -> Result<String, StoreError> {
        let newest = again(|| self.store.last(&self.room, Limit::ONE)).await?;
        let newest = newest.first().map(|newest| newest.id.to_string());
        Ok(newest.unwrap_or_else(|| BEGINNING.into()))
    }

    async fn note(&self, place: &str) -> Result<(), StoreError> {
        again(|| self.store.set_bookmark(&self.bookmark, place)).await
    }
}
