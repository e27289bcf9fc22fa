//! How many rooms an address opens. A room that holds a message is kept as long as that, so that whoever could open
//! any number would fill the store and everybody's list of rooms.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{message::RoomName, turns::network};

/// How long a room counts.
const PERIOD: Duration = Duration::from_secs(3600);

/// Addresses that are counted at once. Of more, those that have waited longest are let go.
const ADDRESSES: usize = 65_536;

/// The rooms that addresses have opened lately.
pub(super) struct NewRooms {
    most: Option<NonZeroU32>,
    opened: Mutex<HashMap<IpAddr, Opened>>,
}

/// What one address has opened, oldest first.
type Opened = VecDeque<(Instant, RoomName)>;

impl NewRooms {
    pub fn new(most: Option<NonZeroU32>) -> Self {
        Self {
            most,
            opened: Mutex::default(),
        }
    }

    /// Whether a client at this address may open the room; if so, it counts, once.
    pub fn may_open(&self, room: &RoomName, client: IpAddr, now: Instant) -> bool {
        let Some(most) = self.most else { return true };
        let mut all = self.opened.lock();
        if all.len() >= ADDRESSES {
            all.retain(|_, opened| (opened.back()).is_some_and(|(last, _)| now < *last + PERIOD));
        }
        let client = network(client);
        if all.len() >= ADDRESSES && !all.contains_key(&client) {
            let longest = all
                .iter()
                .min_by_key(|(_, opened)| opened.back().map(|(last, _)| *last));
            let longest = longest.map(|(address, _)| *address);
            longest.map(|address| all.remove(&address));
        }
        let opened = all.entry(client).or_default();
        while (opened.front()).is_some_and(|(first, _)| now >= *first + PERIOD) {
            opened.pop_front();
        }
        if opened.iter().any(|(_, known)| known == room) {
            return true;
        }
        if opened.len() >= most.get() as usize {
            return false;
        }
        opened.push_back((now, room.clone()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(n: usize) -> RoomName {
        format!("room {n}").parse().unwrap()
    }

    #[test]
    fn an_address_opens_so_many_rooms_in_an_hour_and_others_open_theirs() {
        let rooms = NewRooms::new(NonZeroU32::new(3));
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let start = Instant::now();
        for n in 0..3 {
            assert!(rooms.may_open(&room(n), one, start));
            assert!(rooms.may_open(&room(n), one, start), "it counts once");
        }
        assert!(!rooms.may_open(&room(3), one, start + PERIOD / 2));
        assert!(rooms.may_open(&room(3), other, start + PERIOD / 2));
        assert!(rooms.may_open(&room(3), one, start + PERIOD));
    }

    #[test]
    fn addresses_that_are_counted_are_bounded() {
        let rooms = NewRooms::new(NonZeroU32::new(1));
        let start = Instant::now();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..=ADDRESSES as u32 {
            assert!(rooms.may_open(
                &room(0),
                address(n),
                start + Duration::from_millis(n.into())
            ));
        }
        assert_eq!(rooms.opened.lock().len(), ADDRESSES);
        assert!(rooms.opened.lock().contains_key(&address(ADDRESSES as u32)));
        assert!(!rooms.opened.lock().contains_key(&address(0)));
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let rooms = NewRooms::new(None);
        for n in 0..1000 {
            assert!(rooms.may_open(&room(n), [192, 0, 2, 1].into(), Instant::now()));
        }
        assert!(rooms.opened.lock().is_empty());
    }
}
