//! A reader's way into a room: at the door ([`PendingSubscription`]) it is known where it starts, then it is given
//! what it missed, and takes its [`Subscription`].

use std::sync::Arc;

use super::{PAGE, Render, Room, Rooms};
use crate::chat::{
    message::{Message, MessageId, RoomName},
    socket::{CloseReason, Socket, SocketId},
    store::{After, StoreError},
};

/// Text that a reader who takes its seat is given at one go. Whoever misses more gets it as fast as it
/// reads, before it is seated.
pub(super) const SUBSCRIBE_BYTES: usize = 16 * 1024;

/// Keeps a room in memory for as long as somebody is in it or on the way in.
pub(super) struct Place {
    rooms: Arc<Rooms>,
    pub name: RoomName,
    pub room: Arc<Room>,
}

impl Place {
    pub fn take(rooms: &Arc<Rooms>, name: RoomName) -> Self {
        let mut all = rooms.rooms.lock();
        let (room, count) = all.entry(name.clone()).or_insert_with(|| (Room::new(), 0));
        *count += 1;
        let room = room.clone();
        drop(all);
        Self {
            rooms: rooms.clone(),
            name,
            room,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.rooms.rooms.lock();
        if let Some((room, count)) = all.get_mut(&self.name)
            && Arc::ptr_eq(room, &self.room)
        {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.name);
            }
        }
    }
}

/// A reader at the door: where it starts is known, nothing was sent yet.
pub struct PendingSubscription {
    pub(super) place: Place,
    pub(super) first_page: Vec<Arc<Message>>,
    /// The last message that the reader has, or is given with the first page.
    pub(super) cursor: u64,
    pub(super) reset: bool,
}

impl PendingSubscription {
    /// What the reader had is not known any more: it has to start anew with what it is sent now.
    pub fn is_reset(&self) -> bool {
        self.reset
    }

    /// The last message before those that the reader is sent; `None` where the room holds none.
    pub fn before(&self) -> Option<MessageId> {
        if let Some(first) = self.first_page.first() {
            let seq = first.id.seq.saturating_sub(1);
            return Some(MessageId { seq, ..first.id });
        }
        let newest = self.place.room.state.lock().recent.back()?.id;
        let seq = self.cursor;
        Some(MessageId { seq, ..newest })
    }

    /// Takes what is due first, oldest first, for a dialect that has words of its own for it: it is to be sent
    /// before [`PendingSubscription::follow`].
    pub fn take_first_page(&mut self) -> Vec<Arc<Message>> {
        std::mem::take(&mut self.first_page)
    }

    /// Sends what is due, then everything new, until the seat is dropped.
    pub async fn follow(
        self,
        reader: Arc<dyn Socket>,
        words: Arc<dyn Render>,
    ) -> Result<Subscription, StoreError> {
        let Self {
            place,
            mut first_page,
            mut cursor,
            ..
        } = self;
        let subscription = loop {
            for message in std::mem::take(&mut first_page) {
                cursor = message.id.seq;
                let rendered = words.render(&message);
                // A page may be more than may wait for one reader.
                reader.drained().await;
                reader.show(message.id, rendered.event, &rendered.payload);
            }
            let epoch = {
                let mut state = place.room.state.lock();
                if state.is_over {
                    reader.close(CloseReason::FellBehind);
                    break None;
                }
                if state
                    .recent
                    .front()
                    .is_none_or(|first| first.id.seq <= cursor.saturating_add(1))
                {
                    let rest: Vec<_> = state.since(cursor).cloned().collect();
                    if rest.iter().map(|message| message.text.len()).sum::<usize>()
                        > SUBSCRIBE_BYTES
                    {
                        first_page = rest;
                        continue;
                    }
                    for message in rest {
                        cursor = message.id.seq;
                        let rendered = words.render(&message);
                        reader.show(message.id, rendered.event, &rendered.payload);
                    }
                    break Some(state.subscribe(reader.clone(), &words, cursor));
                }
                state.recent.front().map(|first| first.id.epoch)
            };
            reader.drained().await;
            let Some(epoch) = epoch else { continue };
            match place
                .rooms
                .store
                .after(&place.name, MessageId { seq: cursor, epoch }, PAGE)
                .await?
            {
                After::Complete(messages) => first_page = messages,
                After::Gap => {
                    reader.close(CloseReason::FellBehind);
                    break None;
                }
            }
        };
        Ok(Subscription {
            place,
            reader: reader.id(),
            subscription,
        })
    }
}

/// A reader's place in a room. Dropping it ends the reading.
pub struct Subscription {
    place: Place,
    reader: SocketId,
    /// None where it was sent away at the door.
    subscription: Option<u64>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscription) = self.subscription {
            self.place
                .room
                .state
                .lock()
                .unsubscribe(self.reader, subscription);
        }
    }
}
