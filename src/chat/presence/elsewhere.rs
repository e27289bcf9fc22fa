//! The part of presence that replicas tell each other: who is on this one, and who on each other one. Carried by
//! `cluster::presence`.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use super::{Here, Person, Presence, RoomName, Somebody};
use crate::chat::socket::SocketId;

/// One replica's part of a room: what changed there, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub room: RoomName,
    /// Who came or goes by another name.
    pub people: Vec<Person>,
    pub left: Vec<SocketId>,
    /// How many guests are there now.
    pub guests: usize,
}

impl Part {
    /// How many people it names.
    pub fn named(&self) -> usize {
        self.people.len() + self.left.len()
    }
}

impl Presence {
    /// Keeps in mind what changes on this replica, for [`Presence::own_changes`].
    pub fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// What changed on this replica since the last call.
    pub fn own_changes(&self) -> Vec<Part> {
        let mut rooms = self.rooms.lock();
        let changed = rooms.iter_mut().filter(|(_, here)| here.is_unshared());
        changed
            .map(|(room, here)| {
                let mut part = here.own_part(room);
                for (socket, ()) in std::mem::take(&mut here.unshared) {
                    match here.people.get(&socket) {
                        Some(somebody) => part.people.push(somebody.person(socket)),
                        None => part.left.push(socket),
                    }
                }
                here.guests_unshared = false;
                part
            })
            .collect()
    }

    /// All who are on this replica; what changed before need not be told any more.
    pub fn own(&self) -> Vec<Part> {
        let mut rooms = self.rooms.lock();
        let parts = rooms.iter_mut().map(|(room, here)| {
            here.unshared.clear();
            here.guests_unshared = false;
            let mut part = here.own_part(room);
            let own = (here.people.iter()).filter(|(_, somebody)| somebody.replica.is_none());
            part.people = own.map(|(id, somebody)| somebody.person(*id)).collect();
            part
        });
        parts
            .filter(|part| !part.people.is_empty() || part.guests > 0)
            .collect()
    }

    /// Takes what changed on another replica.
    pub fn learn(&self, replica: &str, parts: Vec<Part>) {
        let replica: Arc<str> = replica.into();
        let mut rooms = self.rooms.lock();
        for part in parts {
            let here = rooms.entry(part.room).or_default();
            for Person { id, name, user } in part.people {
                let replica = Some(replica.clone());
                let somebody = Somebody {
                    name,
                    user,
                    replica,
                };
                here.people.insert(id, somebody);
                here.untold.insert(id, ());
            }
            for socket in part.left {
                here.remove(socket, &replica);
            }
            here.count_guests(&replica, part.guests);
        }
    }

    /// Takes who is on another replica in the place of all that was known of it.
    pub fn replace(&self, replica: &str, mut parts: Vec<Part>) {
        let mut known: HashMap<_, _> = HashMap::new();
        {
            let rooms = self.rooms.lock();
            for (room, here) in rooms.iter() {
                let there: HashMap<_, _> = (here.people.iter())
                    .filter(|(_, somebody)| somebody.is_on(replica))
                    .map(|(id, somebody)| (*id, somebody.person(*id)))
                    .collect();
                if !there.is_empty() || here.guests_elsewhere.contains_key(replica) {
                    known.insert(room.clone(), there);
                }
            }
        }
        for part in &mut parts {
            let before = known.remove(&part.room).unwrap_or_default();
            let now: HashSet<_> = part.people.iter().map(|person| person.id).collect();
            let gone = before.keys().filter(|socket| !now.contains(socket));
            part.left = gone.copied().collect();
            part.people
                .retain(|person| before.get(&person.id) != Some(person));
        }
        let emptied = known.into_iter().map(|(room, before)| Part {
            room,
            people: Vec::new(),
            left: before.into_keys().collect(),
            guests: 0,
        });
        parts.extend(emptied);
        self.learn(replica, parts);
    }

    /// The replica is gone, and all who were on it.
    pub fn forget(&self, replica: &str) {
        self.replace(replica, Vec::new());
    }
}

impl Somebody {
    fn is_on(&self, replica: &str) -> bool {
        self.replica.as_deref() == Some(replica)
    }
}

impl Here {
    pub(super) fn is_unshared(&self) -> bool {
        self.guests_unshared || !self.unshared.is_empty()
    }

    /// Without the people.
    fn own_part(&self, room: &RoomName) -> Part {
        Part {
            room: room.clone(),
            people: Vec::new(),
            left: Vec::new(),
            guests: self.guests.len(),
        }
    }

    fn remove(&mut self, socket: SocketId, replica: &str) {
        if self
            .people
            .get(&socket)
            .is_some_and(|somebody| somebody.is_on(replica))
        {
            self.people.shift_remove(&socket);
            self.untold.insert(socket, ());
        }
    }

    fn count_guests(&mut self, replica: &Arc<str>, guests: usize) {
        let before = match guests {
            0 => self.guests_elsewhere.remove(replica),
            _ => self.guests_elsewhere.insert(replica.clone(), guests),
        };
        self.guests_changed |= before.unwrap_or(0) != guests;
    }
}
