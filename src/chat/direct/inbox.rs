//! One user's inbox, as far as it is in memory: what its sockets were shown and none has acknowledged, and
//! what is to be asked of the store next.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::{Hold, InboxReader};
use crate::chat::{
    message::{Direct, Message},
    socket::SocketId,
    store::{Limit, Receipt, Waiting},
};

/// Messages that are shown to a user's sockets and not acknowledged, at most.
pub(super) const WINDOW: usize = 32;

/// The same, in bytes of text; one message at least.
pub(super) const WINDOW_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Default)]
struct State {
    sockets: IndexMap<SocketId, Arc<dyn InboxReader>>,
    /// Shown and not acknowledged, in the order of their places.
    window: VecDeque<Arc<Message>>,
    bytes: usize,
    /// Acknowledged, and not recorded yet.
    acknowledged: BTreeSet<u64>,
    /// The last place that was shown or is known not to wait; nothing at or before it is shown again but
    /// from the window.
    shown: u64,
    /// Passed the tail and was not shown, by place. Another replica's socket may acknowledge it before it is read, and
    /// those here are to have it too. At most twice as many as the window holds; the store has the others.
    came: BTreeMap<u64, Came>,
    /// There is nothing in the store after `shown` that has not passed the tail.
    is_whole: bool,
    is_reading: bool,
    is_at_work: bool,
    /// What waits could not be read, and the sockets have been told.
    is_in_trouble: bool,
}

#[derive(Clone)]
struct Came {
    message: Arc<Message>,
    /// Nobody has acknowledged it.
    waits: bool,
}

impl Came {
    fn new(message: &Arc<Message>) -> Self {
        Self {
            message: message.clone(),
            waits: true,
        }
    }
}

/// What is to be asked of the store.
pub(super) enum Step {
    Acknowledge(Vec<u64>),
    Read { after: u64, limit: Limit },
}

impl Inbox {
    /// Takes a socket in, and shows it what the others have not acknowledged.
    pub fn subscribe(&self, hold: &Hold, socket: Arc<dyn InboxReader>) {
        let mut state = self.0.lock();
        for message in &state.window {
            socket.show(message, Some(hold.delivery(place(message))));
        }
        if state.is_in_trouble {
            socket.trouble();
        }
        state.sockets.insert(socket.id(), socket);
    }

    pub fn unsubscribe(&self, socket: SocketId) {
        self.0.lock().sockets.shift_remove(&socket);
    }

    /// Returns how many sockets were shown it.
    pub fn show_sent(&self, message: &Arc<Message>) -> usize {
        self.0.lock().tell(message)
    }

    /// A message passed the tail. Returns how many sockets were shown it.
    pub fn arrive(&self, hold: &Hold, message: &Arc<Message>, place: u64) -> usize {
        let mut state = self.0.lock();
        if place <= state.shown {
            return 0;
        }
        let is_next = state.is_whole && !state.is_reading && place == state.shown + 1;
        if is_next && state.has_room() {
            return state.show(hold, message);
        }
        state.is_whole = false;
        if !state.sockets.is_empty() && state.came.len() < WINDOW {
            state.came.insert(place, Came::new(message));
        }
        0
    }

    /// What waits was read. None where it could not be.
    pub fn read(&self, hold: &Hold, waiting: Option<&Waiting>) {
        let mut state = self.0.lock();
        if !std::mem::take(&mut state.is_reading) {
            // Begun before everything started anew.
            return;
        }
        let Some(waiting) = waiting else {
            state.is_whole = false;
            if !std::mem::replace(&mut state.is_in_trouble, true) {
                state.sockets.values().for_each(|socket| socket.trouble());
            }
            return;
        };
        state.is_in_trouble = false;
        let mut next: BTreeMap<_, _> = (waiting.messages.iter())
            .map(|message| (place(message), Came::new(message)))
            .collect();
        // What follows these has not been read.
        let read_to = match waiting.messages.last().filter(|_| waiting.more) {
            Some(last) => place(last),
            None => u64::MAX,
        };
        state.is_whole &= read_to == u64::MAX;
        let (known, later) = std::mem::take(&mut state.came)
            .into_iter()
            .partition(|(place, _)| *place <= read_to);
        state.came = later;
        next.extend::<BTreeMap<_, _>>(known);
        while let Some((place, came)) = next.pop_first() {
            if place <= state.shown {
                continue;
            }
            if !state.has_room() {
                state.is_whole = false;
                next.insert(place, came);
                state.came.append(&mut next);
                break;
            }
            if came.waits {
                state.show(hold, &came.message);
            } else {
                state.shown = place;
                state.tell(&came.message);
            }
        }
    }

    pub fn acknowledge(&self, place: u64) {
        let mut state = self.0.lock();
        // Another socket may have been quicker. What is beyond is of an inbox that was here before this one.
        if state.take(place) || place > state.shown {
            state.acknowledged.insert(place);
        }
    }

    /// These do not wait any more.
    pub fn forget(&self, places: &[u64]) {
        let mut state = self.0.lock();
        for place in places {
            state.acknowledged.remove(place);
            state.take(*place);
            if let Some(came) = state.came.get_mut(place) {
                came.waits = false;
            }
        }
    }

    pub fn receipt(&self, receipt: &Receipt) {
        for socket in self.0.lock().sockets.values() {
            socket.receipt(receipt);
        }
    }

    /// Whether somebody has to begin with [`Inbox::next_step`].
    pub fn begin_work(&self) -> bool {
        let mut state = self.0.lock();
        let begins = !state.is_at_work && state.has_work();
        state.is_at_work |= begins;
        begins
    }

    /// What is to be done next; none ends the work.
    pub fn next_step(&self) -> Option<Step> {
        let mut state = self.0.lock();
        state.is_at_work = state.has_work();
        if !state.is_at_work {
            return None;
        }
        if !state.acknowledged.is_empty() {
            return Some(Step::Acknowledge(
                state.acknowledged.iter().copied().collect(),
            ));
        }
        // What arrives while it is read may not be in it.
        (state.is_reading, state.is_whole) = (true, true);
        Some(Step::Read {
            after: state.shown,
            limit: Limit {
                messages: WINDOW - state.window.len(),
                bytes: WINDOW_BYTES,
            },
        })
    }

    /// What is known of places here is not true any more. Returns the sockets, who are shown nothing from now on.
    pub fn start_anew(&self) -> impl Iterator<Item = Arc<dyn InboxReader>> + use<> {
        let mut state = self.0.lock();
        state.window.clear();
        state.bytes = 0;
        state.acknowledged.clear();
        state.came.clear();
        state.shown = 0;
        (state.is_reading, state.is_whole) = (false, false);
        std::mem::take(&mut state.sockets).into_values()
    }

    /// The store is closed.
    pub fn give_up(&self) {
        let mut state = self.0.lock();
        state.acknowledged.clear();
        state.is_whole = true;
        state.is_at_work = false;
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.acknowledged.is_empty()
            || (!self.is_whole && !self.sockets.is_empty() && self.has_room())
    }

    fn has_room(&self) -> bool {
        self.window.len() + self.acknowledged.len() < WINDOW && self.bytes < WINDOW_BYTES
    }

    /// Shows a message that needs no answer. Returns how many sockets were shown it.
    fn tell(&self, message: &Arc<Message>) -> usize {
        for socket in self.sockets.values() {
            socket.show(message, None);
        }
        self.sockets.len()
    }

    /// Returns how many sockets were shown it.
    fn show(&mut self, hold: &Hold, message: &Arc<Message>) -> usize {
        self.shown = place(message);
        if self.acknowledged.contains(&self.shown) {
            return 0;
        }
        for socket in self.sockets.values() {
            socket.show(message, Some(hold.delivery(self.shown)));
        }
        self.bytes += message.text.len();
        self.window.push_back(message.clone());
        self.sockets.len()
    }

    /// Whether it was in the window.
    fn take(&mut self, place_: u64) -> bool {
        let Ok(at) = self
            .window
            .binary_search_by_key(&place_, |message| place(message))
        else {
            return false;
        };
        if let Some(message) = self.window.remove(at) {
            self.bytes -= message.text.len();
        }
        true
    }
}

fn place(message: &Message) -> u64 {
    message
        .direct
        .as_deref()
        .map_or(0, |Direct { place, .. }| *place)
}
