//! Who is here: the people and guests of each room, and what changed since it was last told.
//! Changes are gathered and told together, so that a thousand arrivals cost one event, not a million.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::{
    message::{AuthorName, RoomName, UserId},
    peer::PeerId,
};

/// Everybody who is in a room on this replica.
#[derive(Default)]
pub struct Presence {
    rooms: Mutex<HashMap<RoomName, Here>>,
}

#[derive(Default)]
struct Here {
    people: IndexMap<PeerId, (AuthorName, Option<UserId>)>,
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
        match name {
            Some(name) => self.enter_as(room, peer, name, None),
            None => {
                let mut rooms = self.rooms.lock();
                let here = rooms.entry(room.clone()).or_default();
                here.guests.insert(peer);
                here.guests_changed = true;
                drop(rooms);
                self.stay(room, peer)
            }
        }
    }

    /// Enters a room under a name, as somebody who proved to be this user where there is one.
    pub fn enter_as(
        self: &Arc<Self>,
        room: RoomName,
        peer: PeerId,
        name: AuthorName,
        user: Option<UserId>,
    ) -> Stay {
        let mut rooms = self.rooms.lock();
        let here = rooms.entry(room.clone()).or_default();
        here.people.insert(peer, (name, user));
        here.untold.insert(peer, ());
        drop(rooms);
        self.stay(room, peer)
    }

    fn stay(self: &Arc<Self>, room: RoomName, peer: PeerId) -> Stay {
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
                .map(|(id, (name, user))| Person {
                    id: *id,
                    name: name.clone(),
                    user: user.clone(),
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
                Some((name, user)) => {
                    self.told.insert(peer);
                    joined.push(Person {
                        id: peer,
                        name: name.clone(),
                        user: user.clone(),
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
    /// Goes by another name from now on, and as another user; is a guest no more.
    pub fn rename(&self, name: AuthorName, user: Option<UserId>) {
        let mut rooms = self.presence.rooms.lock();
        if let Some(here) = rooms.get_mut(&self.room) {
            if here.guests.remove(&self.peer) {
                here.guests_changed = true;
            }
            here.people.insert(self.peer, (name, user));
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

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: usize = 200;

    fn room() -> RoomName {
        RoomName::lobby()
    }

    fn name(name: &str) -> Option<AuthorName> {
        Some(name.parse().unwrap())
    }

    fn names(people: &[Person]) -> Vec<&str> {
        people.iter().map(|person| person.name.as_str()).collect()
    }

    /// The one change there is.
    fn change(presence: &Presence) -> Change {
        let mut changes = presence.changes(NAMED);
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes.remove(0)
    }

    #[test]
    fn arrivals_and_departures_are_told_once() {
        let presence = Presence::new();
        let (ann, bob) = (PeerId::next(), PeerId::next());
        let _ann = presence.enter(room(), ann, name("ann"));
        let leaves = presence.enter(room(), bob, name("bob"));
        assert_eq!(names(&change(&presence).joined), ["ann", "bob"]);
        assert_eq!(presence.changes(NAMED), []);
        drop(leaves);
        let told = change(&presence);
        assert_eq!(
            (names(&told.joined), told.left, told.total),
            (vec![], vec![bob], 1)
        );
        assert_eq!(presence.changes(NAMED), []);
    }

    #[test]
    fn a_guest_who_takes_a_name_is_counted_once() {
        let presence = Presence::new();
        let ann = presence.enter(room(), PeerId::next(), None);
        presence.changes(NAMED);
        ann.rename(name("ann").unwrap(), None);
        let told = change(&presence);
        assert_eq!(
            (names(&told.joined), told.guests, told.total),
            (vec!["ann"], 0, 1)
        );
        drop(ann);
        assert_eq!(change(&presence).total, 0);
    }

    #[test]
    fn who_comes_and_goes_between_two_tellings_is_not_told() {
        let presence = Presence::new();
        drop(presence.enter(room(), PeerId::next(), name("hasty")));
        assert_eq!(presence.changes(NAMED), []);
        assert_eq!(presence.rooms(), [], "an empty room is held");
    }

    #[test]
    fn who_leaves_and_comes_back_between_two_tellings_is_told_as_there() {
        let presence = Presence::new();
        let ann = PeerId::next();
        let stay = presence.enter(room(), ann, name("ann"));
        change(&presence);
        drop(stay);
        let _stay = presence.enter(room(), ann, name("ann"));
        let told = change(&presence);
        assert_eq!((names(&told.joined), told.left), (vec!["ann"], vec![]));
    }

    #[test]
    fn a_new_name_is_told_as_joining_and_counts_once() {
        let presence = Presence::new();
        let stay = presence.enter(room(), PeerId::next(), name("ann"));
        change(&presence);
        stay.rename("anna".parse().unwrap(), None);
        let told = change(&presence);
        assert_eq!((names(&told.joined), told.total), (vec!["anna"], 1));
        assert_eq!(names(&presence.roll(&room(), NAMED).people), ["anna"]);
    }

    #[test]
    fn who_proved_to_be_a_user_is_told_as_that_user() {
        let presence = Presence::new();
        let user = |id: &str| id.parse::<UserId>().ok();
        let ann = "ann".parse().unwrap();
        let stay = presence.enter_as(room(), PeerId::next(), ann, user("7"));
        assert_eq!(change(&presence).joined[0].user, user("7"));
        stay.rename("ann".parse().unwrap(), user("8"));
        assert_eq!(change(&presence).joined[0].user, user("8"));
        assert_eq!(presence.roll(&room(), NAMED).people[0].user, user("8"));
    }

    #[test]
    fn guests_are_counted_and_not_named() {
        let presence = Presence::new();
        let guest = presence.enter(room(), PeerId::next(), None);
        let told = change(&presence);
        assert_eq!((told.joined.len(), told.guests, told.total), (0, 1, 1));
        drop(guest);
        let told = change(&presence);
        assert_eq!((told.left.len(), told.guests, told.total), (0, 0, 0));
        assert_eq!(presence.rooms(), [], "an empty room is held");
    }

    #[test]
    fn only_so_many_are_named_and_all_are_counted() {
        let presence = Presence::new();
        let stays: Vec<_> = (0..5)
            .map(|n| presence.enter(room(), PeerId::next(), name(&n.to_string())))
            .collect();
        let roll = presence.roll(&room(), 2);
        assert_eq!((names(&roll.people), roll.total), (vec!["0", "1"], 5));
        let told = presence.changes(2).remove(0);
        assert_eq!((names(&told.joined), told.total), (vec!["0", "1"], 5));
        drop(stays);
        let told = presence.changes(2).remove(0);
        assert_eq!((told.left.len(), told.total), (5, 0));
    }

    #[test]
    fn leaving_one_room_is_not_told_in_another() {
        let presence = Presence::new();
        let ann = PeerId::next();
        let other: RoomName = "other".parse().unwrap();
        let leaves = presence.enter(room(), ann, name("ann"));
        let _stays = presence.enter(other.clone(), ann, name("ann"));
        presence.changes(NAMED);
        drop(leaves);
        assert_eq!(change(&presence).room, room());
        assert_eq!(presence.rooms(), [(other, 1)]);
    }
}
