//! Where accounts have been logged in from. Whoever comes from there is counted apart by `accounts`. Bounded; known to
//! this replica and until it ends.

use std::collections::{HashSet, VecDeque};

use super::{attempts::Network, users::Key};

/// Places that are remembered.
const PLACES: usize = 65_536;

/// Accounts and networks; the oldest are forgotten first.
#[derive(Default)]
pub(super) struct Places {
    known: HashSet<(Key, Network)>,
    order: VecDeque<(Key, Network)>,
}

impl Places {
    pub(super) fn has(&self, account: &Key, network: Network) -> bool {
        self.known.contains(&(account.clone(), network))
    }

    pub(super) fn add(&mut self, account: Key, network: Network) {
        let place = (account, network);
        if self.known.contains(&place) {
            return;
        }
        if self.order.len() >= PLACES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(place.clone());
        self.known.insert(place);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn the_oldest_place_is_forgotten_first() {
        let mut places = Places::default();
        let network = Network::from(IpAddr::from([127, 0, 0, 1]));
        let key = |n: usize| Key::of(&n.to_string());
        for n in 0..=PLACES {
            places.add(key(n), network);
            places.add(key(n), network);
        }
        assert!(!places.has(&key(0), network));
        assert!(places.has(&key(1), network) && places.has(&key(PLACES), network));
        assert_eq!((places.known.len(), places.order.len()), (PLACES, PLACES));
    }
}
