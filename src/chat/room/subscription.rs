//! A reader's way into a room: at the door ([`PendingSubscription`]) it is known where it starts, then it is given
//! what it missed, no faster than it takes it (`pace`), and takes its [`Subscription`]. While it waits nothing is read or held
//! for it.

use std::{net::IpAddr, sync::Arc};

use super::{
    Render, Rendered, Room, Rooms,
    pace::{AT_MOST, May, Pace},
};
use crate::chat::{
    message::{Epoch, Message, MessageId, RoomName},
    socket::{CloseReason, Socket, SocketId},
    store::{After, Limit, StoreError},
};

/// Text that a reader who takes its seat is given at one go. Whoever misses more is given it before it is seated.
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
        let (room, count) = all
            .entry(name.clone())
            .or_insert_with(|| (Room::new(&rooms.held), 0));
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
    place: Place,
    /// The reader's address.
    client: IpAddr,
    /// The last message that the reader has.
    cursor: u64,
    /// Messages that follow it.
    due: u64,
    is_reset: bool,
}

/// What a reader is sent next.
enum Next {
    /// Nothing more, its room is over.
    Over,
    /// It has everything, and has this seat.
    Seated(u64),
    /// These.
    Page(Vec<Arc<Message>>),
    /// What the store has of this history.
    Stored(Epoch),
    /// Nothing now.
    Not(May),
}

impl PendingSubscription {
    pub(super) fn new(place: Place, client: IpAddr, cursor: u64, is_reset: bool) -> Self {
        let newest = place.room.state.lock().recent.newest();
        Self {
            due: newest.map_or(0, |newest| newest.seq.saturating_sub(cursor)),
            place,
            client,
            cursor,
            is_reset,
        }
    }

    /// What the reader had is not known any more: it has to start anew with what it is sent now.
    pub fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// How many messages were due when it entered.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// The last message before those that the reader is sent; `None` where the room holds none.
    pub fn before(&self) -> Option<MessageId> {
        let newest = self.place.room.state.lock().recent.newest()?;
        Some(MessageId {
            seq: self.cursor,
            ..newest
        })
    }

    /// Takes what is due first, oldest first, up to so many bytes of text, for a dialect that has words of its own for
    /// it: it is to be sent before [`PendingSubscription::follow`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn take_first(&mut self, bytes: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        let epoch = {
            let recent = &self.place.room.state.lock().recent;
            match recent.reaches_back_to(self.cursor) {
                true => Err(first_of(recent.since(self.cursor), bytes)),
                false => Ok(recent.oldest().map_or(Epoch(0), |oldest| oldest.epoch)),
            }
        };
        let first = match epoch {
            Err(first) => first,
            Ok(epoch) => {
                let messages = usize::try_from(self.due).unwrap_or(usize::MAX);
                let (seq, limit) = (self.cursor, Limit { messages, bytes });
                let id = MessageId { seq, epoch };
                let rooms = &self.place.rooms;
                match rooms.page(&self.place, id, limit, self.client).await? {
                    After::Complete(messages) => messages,
                    // Found out anew, and told, by whoever follows.
                    After::Gap => Vec::new(),
                }
            }
        };
        if let Some(last) = first.last() {
            self.cursor = last.id.seq;
        }
        Ok(first)
    }

    /// Sends what is due, then everything new, until the seat is dropped.
    ///
    /// # Errors
    ///
    /// Those of the store, and [`StoreError::Busy`] where the reader had no turn to ask it.
    pub async fn follow(
        self,
        reader: Arc<dyn Socket>,
        words: Arc<dyn Render>,
    ) -> Result<Subscription, StoreError> {
        let mut catching_up = CatchingUp {
            cursor: self.cursor,
            pace: Pace::default(),
            reader,
            words,
        };
        let subscription = loop {
            if catching_up.reader.backlog().is_none() {
                break None;
            }
            let next = catching_up.take_seat(&self.place.room);
            let page = match next {
                Next::Seated(subscription) => break Some(subscription),
                Next::Page(page) => page,
                Next::Stored(epoch) => {
                    let seq = catching_up.cursor;
                    let limit = catching_up.pace.page(&*catching_up.reader);
                    let id = MessageId { seq, epoch };
                    let rooms = &self.place.rooms;
                    match rooms.page(&self.place, id, limit, self.client).await? {
                        After::Complete(messages) => messages,
                        After::Gap => {
                            catching_up.reader.close(CloseReason::FellBehind);
                            break None;
                        }
                    }
                }
                Next::Over => {
                    catching_up.reader.close(CloseReason::FellBehind);
                    break None;
                }
                Next::Not(May::Stop) => break None,
                Next::Not(_) => {
                    catching_up.wait().await;
                    continue;
                }
            };
            let may = catching_up.send_all(&page);
            // What does not fit is not held while the reader takes its time.
            drop(page);
            match may {
                May::Send => {}
                May::Wait => catching_up.wait().await,
                May::Stop => break None,
            }
        };
        Ok(Subscription {
            place: self.place,
            reader: catching_up.reader.id(),
            subscription,
        })
    }
}

/// A reader on its way to its seat.
struct CatchingUp {
    /// The last message that it was sent.
    cursor: u64,
    pace: Pace,
    reader: Arc<dyn Socket>,
    words: Arc<dyn Render>,
}

impl CatchingUp {
    /// Seats the reader if it misses little; the lock is held, so that nothing new comes in between.
    fn take_seat(&mut self, room: &Room) -> Next {
        let mut state = room.state.lock();
        if state.is_over {
            return Next::Over;
        }
        if !state.recent.reaches_back_to(self.cursor) {
            let epoch = state
                .recent
                .oldest()
                .map_or(Epoch(0), |oldest| oldest.epoch);
            return Next::Stored(epoch);
        }
        let missed = first_of(state.recent.since(self.cursor), AT_MOST);
        if missed
            .iter()
            .map(|message| message.text.len())
            .sum::<usize>()
            > SUBSCRIBE_BYTES
        {
            return Next::Page(missed);
        }
        match self.send_all(&missed) {
            May::Send => {
                Next::Seated(state.subscribe(self.reader.clone(), &self.words, self.cursor))
            }
            not => Next::Not(not),
        }
    }

    /// Waits until the reader may be sent more, or is gone.
    async fn wait(&mut self) {
        self.pace.wait(&*self.reader).await;
    }

    /// Sends messages as long as the reader may be sent more.
    fn send_all(&mut self, messages: &[Arc<Message>]) -> May {
        for message in messages {
            let Rendered { event, payload } = self.words.render(message);
            let may = self.pace.may_send(&*self.reader, payload.get().len());
            if may != May::Send {
                return may;
            }
            self.reader.show(message.id, event, &payload);
            self.cursor = message.id.seq;
        }
        May::Send
    }
}

/// The first of these up to so many bytes of text; one at least.
fn first_of<'a>(
    messages: impl Iterator<Item = &'a Arc<Message>>,
    bytes: usize,
) -> Vec<Arc<Message>> {
    let mut taken = 0;
    let fits = messages.take_while(|message| {
        let is_first = taken == 0;
        taken += message.text.len();
        is_first || taken <= bytes
    });
    fits.cloned().collect()
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
