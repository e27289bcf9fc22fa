//! Who is here: the people and guests of each room, and what changed since it was last told.
//! Changes are gathered and told together, so that a thousand arrivals cost one event, not a million.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::{
    message::{AuthorName, RoomName},
    peer::PeerId,
};

/// Everybody who is in a room on this replica.
#[derive(Default)]
pub struct Presence {
    rooms: Mutex<HashMap<RoomName, Here>>,
}

#[derive(Default)]
struct Here {
    people: IndexMap<PeerId, AuthorName>,
    guests: HashSet<PeerId>,
    /// Whose arrival, new name or leaving has not been told yet.
    untold: IndexMap<PeerId, ()>,
    /// Who is known to those who were told.
    told: HashSet<PeerId>,
    guests_changed: bool,
}

/// A person and the name it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: PeerId,
    pub name: AuthorName,
}

/// A room's people at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    pub people: Vec<Person>,
    pub guests: usize,
    pub total: usize,
}

/// What changed in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub room: RoomName,
    pub joined: Vec<Person>,
    pub left: Vec<PeerId>,
    pub guests: usize,
    pub total: usize,
}

impl Presence {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Enters a room; entering again under another name renames.
    pub fn enter(self: &Arc<Self>, room: RoomName, peer: PeerId, name: Option<AuthorName>) -> Stay {
        let mut rooms = self.rooms.lock();
        let here = rooms.entry(room.clone()).or_default();
        match name {
            Some(name) => {
                here.people.insert(peer, name);
                here.untold.insert(peer, ());
            }
            None => {
                here.guests.insert(peer);
                here.guests_changed = true;
            }
        }
        Stay {
            presence: self.clone(),
            room,
            peer,
        }
    }

    /// The people of a room, at most `limit` of them by name, and the counts of all.
    pub fn roll(&self, room: &RoomName, limit: usize) -> Roll {
        let rooms = self.rooms.lock();
        let Some(here) = rooms.get(room) else {
            return Roll::default();
        };
        let people = here.people.iter().take(limit);
        Roll {
            people: people
                .map(|(id, name)| Person {
                    id: *id,
                    name: name.clone(),
                })
                .collect(),
            guests: here.guests.len(),
            total: here.total(),
        }
    }

    /// The rooms that somebody is in, and how many are.
    pub fn rooms(&self) -> Vec<(RoomName, usize)> {
        self.rooms
            .lock()
            .iter()
            .map(|(room, here)| (room.clone(), here.total()))
            .collect()
    }

    /// What changed since the last call, at most `limit` people by name for each room.
    pub fn changes(&self, limit: usize) -> Vec<Change> {
        let mut rooms = self.rooms.lock();
        let changes = rooms
            .iter_mut()
            .filter_map(|(room, here)| here.change(room, limit))
            .collect();
        rooms.retain(|_, here| here.total() > 0);
        changes
    }
}

impl Here {
    fn total(&self) -> usize {
        self.people.len() + self.guests.len()
    }

    fn change(&mut self, room: &RoomName, limit: usize) -> Option<Change> {
        let (mut joined, mut left) = (Vec::new(), Vec::new());
        for (peer, ()) in std::mem::take(&mut self.untold) {
            match self.people.get(&peer) {
                Some(name) => {
                    self.told.insert(peer);
                    joined.push(Person {
                        id: peer,
                        name: name.clone(),
                    });
                }
                None if self.told.remove(&peer) => left.push(peer),
                // Came and went before anybody was told.
                None => {}
            }
        }
        let changed =
            std::mem::take(&mut self.guests_changed) || !joined.is_empty() || !left.is_empty();
        joined.truncate(limit);
        changed.then(|| Change {
            room: room.clone(),
            joined,
            left,
            guests: self.guests.len(),
            total: self.total(),
        })
    }
}

/// A peer's stay in a room. Dropping it leaves.
pub struct Stay {
    presence: Arc<Presence>,
    room: RoomName,
    peer: PeerId,
}

impl Stay {
    /// Goes by another name from now on.
    pub fn rename(&self, name: AuthorName) {
        let mut rooms = self.presence.rooms.lock();
        if let Some(here) = rooms.get_mut(&self.room) {
            here.people.insert(self.peer, name);
            here.untold.insert(self.peer, ());
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut rooms = self.presence.rooms.lock();
        if let Some(here) = rooms.get_mut(&self.room) {
            if here.people.shift_remove(&self.peer).is_some() {
                here.untold.insert(self.peer, ());
            }
            if here.guests.remove(&self.peer) {
                here.guests_changed = true;
            }
        }
    }
}
