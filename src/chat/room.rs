//! Rooms: who reads what from where on. A room hands every message of the store to each reader once,
//! in order, without a seam between what was missed and what is new. Beside it: `store` (where
//! messages come from), `socket` (where they go), `dialects` (which renders them).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, atomic::AtomicUsize},
};

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::{OnceCell, watch};

use super::{
    direct::Inboxes,
    message::{Message, MessageId, RoomName},
    socket::{CloseReason, Socket, SocketId},
    store::{After, Limit, Store, StoreError, Tail, TailItem},
    turns::Turns,
};

mod pace;
mod recent;
mod subscription;

pub use self::subscription::{PendingSubscription, Subscription};
use self::{recent::Recent, subscription::Place};

/// Deliveries, and bytes of text delivered, between two chances for other tasks to run: those that
/// write them out, first of all.
const DELIVERIES_PER_TURN: usize = 512;
const BYTES_PER_TURN: usize = 256 * 1024;

/// A message in one dialect's words.
#[derive(Debug)]
pub struct Rendered {
    pub event: &'static str,
    pub payload: Box<RawValue>,
}

/// A dialect's words for a message. Called once per message and replica, not per reader.
pub trait Render: Send + Sync + 'static {
    fn render(&self, message: &Message) -> Rendered;
}

/// From where on a reader wants a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The last so many messages, then what is said from now on.
    Last(usize),
    /// What follows this message; if that is not known any more, the last so many.
    After(MessageId, usize),
}

/// The rooms that somebody on this replica reads.
pub struct Rooms {
    store: Arc<dyn Store>,
    turns: Turns,
    /// Bytes of text that the rooms hold in memory.
    held: Arc<AtomicUsize>,
    rooms: Mutex<HashMap<RoomName, (Arc<Room>, usize)>>,
    /// How many batches passed the tail.
    passed: watch::Sender<u64>,
}

struct Room {
    loaded: OnceCell<()>,
    state: Mutex<State>,
}

struct State {
    recent: Recent,
    audiences: Vec<Audience>,
    /// How many seats were ever taken.
    subscriptions: u64,
    /// Nothing is delivered to this room any more.
    is_over: bool,
}

/// The readers who share one dialect.
struct Audience {
    words: Arc<dyn Render>,
    readers: IndexMap<SocketId, Reader>,
}

struct Reader {
    socket: Arc<dyn Socket>,
    /// Which of its seats this is: it may take another before it gives up the first.
    subscription: u64,
    /// The last message it was given before it took its seat. The store may have told it more than
    /// has passed the tail here.
    has: u64,
}

impl Rooms {
    pub(super) fn new(store: Arc<dyn Store>, turns: Turns) -> Arc<Self> {
        Arc::new(Self {
            store,
            turns,
            held: Arc::default(),
            rooms: Mutex::default(),
            passed: watch::Sender::default(),
        })
    }

    /// Finds out where a reader at this address starts, before anything is sent to it.
    ///
    /// # Errors
    ///
    /// Those of the store, and [`StoreError::Busy`] where the reader had no turn to ask it.
    pub async fn enter(
        self: &Arc<Self>,
        name: RoomName,
        from: Start,
        client: IpAddr,
    ) -> Result<PendingSubscription, StoreError> {
        let place = Place::take(self, name);
        self.load(&place, client).await?;
        let (start, is_reset) = match from {
            Start::Last(count) => (self.start_of_last(&place, count, client).await?, false),
            Start::After(id, count) => match self.knows(&place, id, client).await? {
                true => (id.seq, false),
                false => (self.start_of_last(&place, count, client).await?, true),
            },
        };
        Ok(PendingSubscription::new(place, client, start, is_reset))
    }

    /// Hands what passes the store's tail to the readers, and what is for one person to its inbox, until the
    /// log closes.
    pub async fn deliver(self: Arc<Self>, mut tail: Tail, direct: Arc<Inboxes>) {
        while let Some(told) = tail.recv().await {
            let batch = match told {
                TailItem::Kept(batch) => batch,
                TailItem::Gap => {
                    self.break_off();
                    direct.start_anew();
                    continue;
                }
            };
            let (mut deliveries, mut bytes) = (0, 0);
            for message in batch {
                let size = message.text.len();
                let readers = if message.direct.is_some() {
                    direct.deliver(&message)
                } else {
                    let rooms = self.rooms.lock();
                    let room = rooms.get(&message.room).map(|(room, _)| room.clone());
                    drop(rooms);
                    room.map_or(0, |room| room.deliver(message))
                };
                deliveries += readers;
                bytes += size * readers;
                if deliveries >= DELIVERIES_PER_TURN || bytes >= BYTES_PER_TURN {
                    (deliveries, bytes) = (0, 0);
                    tokio::task::yield_now().await;
                }
            }
            self.passed.send_modify(|passed| *passed += 1);
        }
    }

    /// Sends all readers away, to come back for what they missed, and forgets all rooms: what comes
    /// next does not join on to them.
    fn break_off(&self) {
        let rooms = std::mem::take(&mut *self.rooms.lock());
        for (room, _) in rooms.into_values() {
            let mut state = room.state.lock();
            state.is_over = true;
            for audience in std::mem::take(&mut state.audiences) {
                for reader in audience.readers.into_values() {
                    reader.socket.close(CloseReason::FellBehind);
                }
            }
        }
    }

    /// The newest message that the readers of a room were given; `None` where nobody reads it.
    pub fn newest(&self, name: &RoomName) -> Option<MessageId> {
        let room = self.rooms.lock().get(name).map(|(room, _)| room.clone())?;
        let state = room.state.lock();
        state.recent.newest()
    }

    /// Changes whenever messages have passed the tail, of whatever room.
    pub fn passed(&self) -> watch::Receiver<u64> {
        self.passed.subscribe()
    }

    /// How many rooms are held in memory.
    pub fn in_use(&self) -> usize {
        self.rooms.lock().len()
    }

    /// Reads the newest messages of a room once. What arrives meanwhile is put behind them.
    async fn load(&self, place: &Place, client: IpAddr) -> Result<(), StoreError> {
        let load = async || {
            let limit = Recent::most(&self.held);
            let _turn = self.turns.take(client).await?;
            let kept = self.store.last(&place.name, limit).await?;
            place.room.state.lock().recent.put_before(kept);
            Ok(())
        };
        place.room.loaded.get_or_try_init(load).await.map(|_| ())
    }

    /// The seq that the newest `count` messages follow.
    async fn start_of_last(
        &self,
        place: &Place,
        count: usize,
        client: IpAddr,
    ) -> Result<u64, StoreError> {
        if let Some(seq) = place.room.state.lock().recent.start_of_last(count) {
            return Ok(seq);
        }
        let _turn = self.turns.take(client).await?;
        self.store.start_of_last(&place.name, count).await
    }

    /// Whether it is known what follows this id.
    async fn knows(
        &self,
        place: &Place,
        id: MessageId,
        client: IpAddr,
    ) -> Result<bool, StoreError> {
        if place.room.state.lock().recent.covers(id) {
            return Ok(true);
        }
        Ok(matches!(
            self.page(place, id, Limit::NOTHING, client).await?,
            After::Complete(_)
        ))
    }

    /// Reads what follows an id, when it is the client's turn.
    async fn page(
        &self,
        place: &Place,
        id: MessageId,
        limit: Limit,
        client: IpAddr,
    ) -> Result<After, StoreError> {
        let _turn = self.turns.take(client).await?;
        self.store.after(&place.name, id, limit).await
    }
}

impl Room {
    fn new(held: &Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            loaded: OnceCell::new(),
            state: Mutex::new(State {
                recent: Recent::new(held),
                audiences: Vec::new(),
                subscriptions: 0,
                is_over: false,
            }),
        })
    }

    /// Returns how many readers got it.
    fn deliver(&self, message: Arc<Message>) -> usize {
        let mut state = self.state.lock();
        if (state.recent.newest()).is_some_and(|newest| message.id.seq <= newest.seq) {
            // Loading the room read it before it passed the tail: all readers have it.
            return 0;
        }
        let mut delivered = 0;
        for audience in &state.audiences {
            let rendered = audience.words.render(&message);
            for reader in audience
                .readers
                .values()
                .filter(|reader| reader.has < message.id.seq)
            {
                (reader.socket).show(message.id, rendered.event, &rendered.payload);
            }
            delivered += audience.readers.len();
        }
        state.recent.push(message);
        delivered
    }
}

impl State {
    /// Returns the number of the seat.
    fn subscribe(&mut self, socket: Arc<dyn Socket>, words: &Arc<dyn Render>, has: u64) -> u64 {
        let audience = match self
            .audiences
            .iter_mut()
            .position(|audience| Arc::ptr_eq(&audience.words, words))
        {
            Some(at) => &mut self.audiences[at],
            None => {
                self.audiences.push(Audience {
                    words: words.clone(),
                    readers: IndexMap::new(),
                });
                self.audiences.last_mut().expect("one was just pushed")
            }
        };
        self.subscriptions += 1;
        let subscription = self.subscriptions;
        let reader = Reader {
            socket,
            subscription,
            has,
        };
        audience.readers.insert(reader.socket.id(), reader);
        subscription
    }

    fn unsubscribe(&mut self, socket: SocketId, subscription: u64) {
        for audience in &mut self.audiences {
            let reader = audience.readers.get(&socket);
            if reader.is_some_and(|reader| reader.subscription == subscription) {
                audience.readers.swap_remove(&socket);
            }
        }
        self.audiences
            .retain(|audience| !audience.readers.is_empty());
    }
}

#[cfg(test)]
mod tests;
