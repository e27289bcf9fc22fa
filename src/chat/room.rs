//! Rooms: who reads what from where on. A room hands every message of the store to each reader once,
//! in order, without a seam between what was missed and what is new. Beside it: `store` (where
//! messages come from), `socket` (where they go), `dialects` (which renders them).

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::{OnceCell, watch};

use super::{
    direct::Inboxes,
    message::{Message, MessageId, RoomName},
    socket::{CloseReason, Socket, SocketId},
    store::{After, Store, StoreError, Tail, TailItem},
};

mod subscription;

use self::subscription::Place;
pub use self::subscription::{PendingSubscription, Subscription};

/// Messages of a room in use that are held in memory, so that newcomers and those who come back
/// after a short absence cost the store nothing.
const RECENT_MESSAGES: usize = 256;

/// The same, in bytes of text.
const RECENT_BYTES: usize = 256 * 1024;

/// Messages read from the store at once for a reader that is further behind.
const PAGE: usize = 200;

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
    rooms: Mutex<HashMap<RoomName, (Arc<Room>, usize)>>,
    /// How many batches passed the tail.
    passed: watch::Sender<u64>,
}

struct Room {
    loaded: OnceCell<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    recent: VecDeque<Arc<Message>>,
    recent_bytes: usize,
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
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            rooms: Mutex::default(),
            passed: watch::Sender::default(),
        })
    }

    /// Finds out where a reader starts, before anything is sent to it.
    pub async fn enter(
        self: &Arc<Self>,
        name: RoomName,
        from: Start,
    ) -> Result<PendingSubscription, StoreError> {
        let place = Place::take(self, name);
        place.room.load(&*self.store, &place.name).await?;
        let (first_page, reset) = match from {
            Start::Last(count) => (self.last(&place, count).await?, false),
            Start::After(id, count) => match self.after(&place, id).await? {
                After::Complete(messages) => (messages, false),
                After::Gap => (self.last(&place, count).await?, true),
            },
        };
        let cursor = match (first_page.last(), from, reset) {
            (Some(message), ..) => message.id.seq,
            (None, Start::After(id, _), false) => id.seq,
            (None, Start::Last(0) | Start::After(_, 0), _) => place.room.newest(),
            // Nothing was there a moment ago; what is there by now is new.
            (None, ..) => 0,
        };
        Ok(PendingSubscription {
            place,
            first_page,
            cursor,
            reset,
        })
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
        state.recent.back().map(|message| message.id)
    }

    /// Changes whenever messages have passed the tail, of whatever room.
    pub fn passed(&self) -> watch::Receiver<u64> {
        self.passed.subscribe()
    }

    /// How many rooms are held in memory.
    pub fn in_use(&self) -> usize {
        self.rooms.lock().len()
    }

    async fn last(&self, place: &Place, count: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        match place.room.recent_last(count) {
            Some(messages) => Ok(messages),
            None => self.store.last(&place.name, count).await,
        }
    }

    async fn after(&self, place: &Place, id: MessageId) -> Result<After, StoreError> {
        match place.room.recent_after(id) {
            Some(messages) => Ok(After::Complete(messages)),
            None => self.store.after(&place.name, id, PAGE).await,
        }
    }
}

impl Room {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            loaded: OnceCell::new(),
            state: Mutex::default(),
        })
    }

    /// Reads the newest messages once. What arrives meanwhile is put behind them.
    async fn load(&self, store: &dyn Store, name: &RoomName) -> Result<(), StoreError> {
        let load = async || {
            let kept = store.last(name, RECENT_MESSAGES).await?;
            let mut state = self.state.lock();
            let newest = kept.last().map_or(0, |message| message.id.seq);
            let mut arrived = std::mem::take(&mut state.recent);
            state.recent_bytes = 0;
            arrived.retain(|message| message.id.seq > newest);
            // So much arrived that memory let go of the first of it: what was read does not join on.
            let joins_on = arrived
                .front()
                .is_none_or(|first| first.id.seq == newest + 1);
            let kept = kept.into_iter().filter(|_| joins_on);
            for message in kept.chain(arrived) {
                state.remember(message);
            }
            Ok(())
        };
        self.loaded.get_or_try_init(load).await.map(|_| ())
    }

    fn newest(&self) -> u64 {
        self.state
            .lock()
            .recent
            .back()
            .map_or(0, |message| message.id.seq)
    }

    /// The last `count` messages, where memory holds them all.
    fn recent_last(&self, count: usize) -> Option<Vec<Arc<Message>>> {
        let state = self.state.lock();
        let reaches_back = state.recent.len() >= count
            || state.recent.front().is_none_or(|first| first.id.seq == 1);
        reaches_back.then(|| {
            state
                .recent
                .iter()
                .skip(state.recent.len().saturating_sub(count))
                .cloned()
                .collect()
        })
    }

    /// What follows `id`, where memory holds it all.
    fn recent_after(&self, id: MessageId) -> Option<Vec<Arc<Message>>> {
        let state = self.state.lock();
        let (first, last) = (state.recent.front()?.id, state.recent.back()?.id);
        // A client may ask for any number: that it is not beyond the newest comes before the sum.
        let covers =
            id.epoch == first.epoch && id.seq <= last.seq && first.seq <= id.seq.saturating_add(1);
        covers.then(|| state.since(id.seq).cloned().collect())
    }

    /// Returns how many readers got it.
    fn deliver(&self, message: Arc<Message>) -> usize {
        let mut state = self.state.lock();
        if state
            .recent
            .back()
            .is_some_and(|newest| message.id.seq <= newest.id.seq)
        {
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
        state.remember(message);
        delivered
    }
}

impl State {
    fn remember(&mut self, message: Arc<Message>) {
        self.recent_bytes += message.text.len();
        self.recent.push_back(message);
        while self.recent.len() > RECENT_MESSAGES
            || (self.recent_bytes > RECENT_BYTES && self.recent.len() > 1)
        {
            if let Some(oldest) = self.recent.pop_front() {
                self.recent_bytes -= oldest.text.len();
            }
        }
    }

    fn since(&self, seq: u64) -> impl Iterator<Item = &Arc<Message>> {
        self.recent
            .iter()
            .skip_while(move |message| message.id.seq <= seq)
    }

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
