//! Who is here: the people and guests of each room, and what changed since it was last told.
//! Changes are gathered and told together, so that a thousand arrivals cost one event, not a million.
//! Those on other replicas are here as well; `elsewhere` learns of them, and says who is on this one.

mod elsewhere;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use indexmap::IndexMap;
use parking_lot::Mutex;

pub use self::elsewhere::Part;
use super::{
    message::{AuthorName, RoomName, UserId},
    socket::SocketId,
};

/// Everybody who is in a room.
#[derive(Default)]
pub struct Presence {
    rooms: Mutex<HashMap<RoomName, Here>>,
    /// Other replicas want to know who is on this one.
    is_shared: AtomicBool,
}

#[derive(Default)]
struct Here {
    people: IndexMap<SocketId, Somebody>,
    guests: HashSet<SocketId>,
    guests_elsewhere: HashMap<Arc<str>, usize>,
    /// What other replicas have not been told of this one's.
    unshared: IndexMap<SocketId, ()>,
    guests_unshared: bool,
    /// Whose arrival, new name or leaving has not been told yet.
    untold: IndexMap<SocketId, ()>,
    /// Who was named to anybody: its leaving is told.
    told: HashSet<SocketId>,
    /// How many were there when changes were told last.
    told_total: usize,
    guests_changed: bool,
}

struct Somebody {
    name: AuthorName,
    user: Option<UserId>,
    /// The replica that the connection is on; `None` is this one.
    replica: Option<Arc<str>>,
}

/// A person and the name it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: SocketId,
    pub name: AuthorName,
    /// Who it proved to be, where it did.
    pub user: Option<UserId>,
}

/// A room's people at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    pub people: Vec<Person>,
    pub guests: usize,
    pub total: usize,
}

/// What changed in a room. The counts are of all, and may run ahead of the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub room: RoomName,
    pub joined: Vec<Person>,
    pub left: Vec<SocketId>,
    pub guests: usize,
    pub total: usize,
}

impl Presence {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Enters a room; entering again under another name renames.
    pub fn enter(
        self: &Arc<Self>,
        room: RoomName,
        socket: SocketId,
        name: Option<AuthorName>,
    ) -> Stay {
        match name {
            Some(name) => self.enter_as(room, socket, name, None),
            None => {
                let mut rooms = self.rooms.lock();
                let here = rooms.entry(room.clone()).or_default();
                here.guests.insert(socket);
                here.guests_changed(self.is_shared());
                drop(rooms);
                self.stay(room, socket)
            }
        }
    }

    /// Enters a room under a name, as somebody who proved to be this user where there is one.
    pub fn enter_as(
        self: &Arc<Self>,
        room: RoomName,
        socket: SocketId,
        name: AuthorName,
        user: Option<UserId>,
    ) -> Stay {
        let mut rooms = self.rooms.lock();
        let here = rooms.entry(room.clone()).or_default();
        here.people.insert(socket, Somebody::on_this(name, user));
        here.changed(socket, self.is_shared());
        drop(rooms);
        self.stay(room, socket)
    }

    fn stay(self: &Arc<Self>, room: RoomName, socket: SocketId) -> Stay {
        Stay {
            presence: self.clone(),
            room,
            socket,
        }
    }

    /// The people of a room, at most `limit` of them by name, and the counts of all.
    pub fn roll(&self, room: &RoomName, limit: usize) -> Roll {
        let mut rooms = self.rooms.lock();
        let Some(here) = rooms.get_mut(room) else {
            return Roll::default();
        };
        let people = here.people.iter().take(limit);
        let people: Vec<_> = people.map(|(id, somebody)| somebody.person(*id)).collect();
        here.told.extend(people.iter().map(|person| person.id));
        Roll {
            people,
            guests: here.guests(),
            total: here.total(),
        }
    }

    /// How many are in a room.
    pub fn total(&self, room: &RoomName) -> usize {
        self.rooms.lock().get(room).map_or(0, Here::total)
    }

    /// At most so many of the rooms that somebody is in, these ones apart, and how many are there.
    pub fn rooms_besides(&self, known: &HashSet<RoomName>, limit: usize) -> Vec<(RoomName, usize)> {
        let rooms = self.rooms.lock();
        let others = rooms.iter().filter(|(room, _)| !known.contains(*room));
        let totals = others.map(|(room, here)| (room, here.total()));
        let some = totals.filter(|(_, total)| *total > 0).take(limit);
        some.map(|(room, total)| (room.clone(), total)).collect()
    }

    /// What changed since the last call, for each room at most so many who `joined`, and who `left`. Of more who joined
    /// only the number is ever told; who else was named before is told with the next call.
    pub fn changes(&self, joined: usize, left: usize) -> Vec<Change> {
        let mut rooms = self.rooms.lock();
        let changes = rooms
            .iter_mut()
            .filter_map(|(room, here)| here.change(room, joined, left))
            .collect();
        rooms.retain(|_, here| here.total() > 0 || here.is_unshared());
        changes
    }

    fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }
}

impl Somebody {
    fn on_this(name: AuthorName, user: Option<UserId>) -> Self {
        Self {
            name,
            user,
            replica: None,
        }
    }

    fn person(&self, id: SocketId) -> Person {
        Person {
            id,
            name: self.name.clone(),
            user: self.user.clone(),
        }
    }
}

impl Here {
    fn guests(&self) -> usize {
        self.guests.len() + self.guests_elsewhere.values().sum::<usize>()
    }

    fn total(&self) -> usize {
        self.people.len() + self.guests()
    }

    /// Somebody on this replica came, went, or goes by another name.
    fn changed(&mut self, socket: SocketId, is_shared: bool) {
        self.untold.insert(socket, ());
        if is_shared {
            self.unshared.insert(socket, ());
        }
    }

    /// A guest of this replica came or went.
    fn guests_changed(&mut self, is_shared: bool) {
        self.guests_changed = true;
        self.guests_unshared |= is_shared;
    }

    fn change(&mut self, room: &RoomName, joined_most: usize, left_most: usize) -> Option<Change> {
        let (mut joined, mut left) = (Vec::new(), Vec::new());
        for (socket, ()) in std::mem::take(&mut self.untold) {
            match self.people.get(&socket) {
                Some(somebody) if joined.len() < joined_most => {
                    self.told.insert(socket);
                    joined.push(somebody.person(socket));
                }
                None if left.len() < left_most && self.told.remove(&socket) => left.push(socket),
                _ if self.told.contains(&socket) => _ = self.untold.insert(socket, ()),
                // Nobody was told a name that would have to be changed or taken back.
                _ => {}
            }
        }
        let total = self.total();
        let changed = std::mem::take(&mut self.guests_changed)
            || std::mem::replace(&mut self.told_total, total) != total
            || !(joined.is_empty() && left.is_empty());
        changed.then(|| Change {
            room: room.clone(),
            joined,
            left,
            guests: self.guests(),
            total,
        })
    }
}

/// A socket's stay in a room. Dropping it leaves.
pub struct Stay {
    presence: Arc<Presence>,
    room: RoomName,
    socket: SocketId,
}

impl Stay {
    /// Goes by another name from now on, and as another user; is a guest no more.
    pub fn rename(&self, name: AuthorName, user: Option<UserId>) {
        let mut rooms = self.presence.rooms.lock();
        if let Some(here) = rooms.get_mut(&self.room) {
            if here.guests.remove(&self.socket) {
                here.guests_changed(self.presence.is_shared());
            }
            here.people
                .insert(self.socket, Somebody::on_this(name, user));
            here.changed(self.socket, self.presence.is_shared());
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut rooms = self.presence.rooms.lock();
        let is_shared = self.presence.is_shared();
        if let Some(here) = rooms.get_mut(&self.room) {
            if here.people.shift_remove(&self.socket).is_some() {
                here.changed(self.socket, is_shared);
            }
            if here.guests.remove(&self.socket) {
                here.guests_changed(is_shared);
            }
        }
    }
}
