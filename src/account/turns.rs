//! Who may hash a password, and when: few at once, and those who wait take turns by address, and by account within an
//! address. Places in the queue are bounded; whoever holds many gets another only while many are free, so that no
//! address and no account keeps all others out.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{attempts::Network, passwords::Memory, users::Key};

/// Places for each one that hashes, besides its own.
pub(super) const WAITING: usize = 32;

/// All places and turns.
pub(super) struct Turns {
    at_once: usize,
    places: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: HashMap<Network, HashMap<Key, usize>>,
    all_held: usize,
    hashing: usize,
    /// Those with lines of their own, in the order in which they come next.
    networks: VecDeque<Network>,
    lines: HashMap<Network, Line>,
}

/// Who waits at one address.
#[derive(Default)]
struct Line {
    /// In the order in which they come next.
    accounts: VecDeque<Key>,
    waiting: HashMap<Key, VecDeque<oneshot::Sender<Turn>>>,
}

/// The right to one hash, soon.
pub(super) struct Place {
    turns: Arc<Turns>,
    network: Network,
    account: Key,
}

/// The right to one hash, now. The memory that hashing takes goes from turn to turn, and back to the system with the last one.
pub(super) struct Turn {
    /// None once it is handed on.
    turns: Option<Arc<Turns>>,
    pub memory: Memory,
}

impl Turns {
    pub(super) fn new(at_once: NonZeroUsize) -> Arc<Self> {
        let at_once = at_once.get();
        Arc::new(Self {
            at_once,
            places: at_once * (1 + WAITING),
            state: Mutex::default(),
        })
    }

    /// A place in the queue; nothing where all are held, or where this account and this address hold as many as there are free ones.
    pub(super) fn place(self: &Arc<Self>, network: Network, account: &Key) -> Option<Place> {
        let mut state = self.state.lock();
        let free = self.places - state.all_held;
        let accounts = state.held.get(&network);
        let of_network: usize = accounts.map_or(0, |accounts| accounts.values().sum());
        let of_account = accounts.and_then(|accounts| accounts.get(account));
        let of_account = of_account.copied().unwrap_or_default();
        // Whoever holds `k` times as many as another leaves the other room.
        if of_network + of_account >= free {
            return None;
        }
        let accounts = state.held.entry(network).or_default();
        *accounts.entry(account.clone()).or_default() += 1;
        state.all_held += 1;
        Some(Place {
            turns: self.clone(),
            network,
            account: account.clone(),
        })
    }
}

impl Place {
    /// Waits until it is its turn.
    pub(super) async fn turn(&self) -> Turn {
        let waiting = {
            let mut state = self.turns.state.lock();
            if state.hashing < self.turns.at_once {
                state.hashing += 1;
                None
            } else {
                let (turn, waiting) = oneshot::channel();
                state.wait(self.network, &self.account, turn);
                Some(waiting)
            }
        };
        let new = || Turn {
            turns: Some(self.turns.clone()),
            memory: Memory::default(),
        };
        match waiting {
            None => new(),
            // Turns are handed on until nobody waits.
            Some(waiting) => waiting.await.expect("a turn is handed on"),
        }
    }
}

impl State {
    fn wait(&mut self, network: Network, account: &Key, turn: oneshot::Sender<Turn>) {
        let line = self.lines.entry(network).or_insert_with(|| {
            self.networks.push_back(network);
            Line::default()
        });
        let waiting = line.waiting.entry(account.clone()).or_insert_with(|| {
            line.accounts.push_back(account.clone());
            VecDeque::new()
        });
        waiting.push_back(turn);
    }

    /// Whose turn it is. The address, and the account, are at the end of their lines then.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let network = self.networks.pop_front()?;
        let line = self.lines.get_mut(&network)?;
        let account = line.accounts.pop_front()?;
        let waiting = line.waiting.get_mut(&account)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            line.waiting.remove(&account);
        } else {
            line.accounts.push_back(account);
        }
        if line.accounts.is_empty() {
            self.lines.remove(&network);
        } else {
            self.networks.push_back(network);
        }
        next
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        state.all_held -= 1;
        let Some(accounts) = state.held.get_mut(&self.network) else {
            return;
        };
        if let Some(held) = accounts.get_mut(&self.account) {
            *held -= 1;
            if *held == 0 {
                accounts.remove(&self.account);
            }
        }
        if accounts.is_empty() {
            state.held.remove(&self.network);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else {
            return;
        };
        let mut memory = std::mem::take(&mut self.memory);
        loop {
            let mut state = turns.state.lock();
            let Some(next) = state.next() else {
                state.hashing -= 1;
                return;
            };
            drop(state);
            let turn = Turn {
                turns: Some(turns.clone()),
                memory,
            };
            // Whoever waited may be gone.
            let Err(mut unwanted) = next.send(turn) else {
                return;
            };
            unwanted.turns = None;
            memory = std::mem::take(&mut unwanted.memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn at(address: u8) -> Network {
        Network::from(IpAddr::V4(Ipv4Addr::new(192, 0, 2, address)))
    }

    fn turns() -> Arc<Turns> {
        Turns::new(NonZeroUsize::MIN)
    }

    /// As many places as there are for these, one after the other.
    fn all_for(turns: &Arc<Turns>, who: &[(Network, Key)]) -> Vec<Place> {
        let all = who.iter().cycle();
        all.map_while(|(network, account)| turns.place(*network, account))
            .collect()
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let turns = turns();
        let crowd: Vec<_> = (0..100).map(|n| (at(n), Key::of("ann"))).collect();
        for _ in 0..2 {
            assert_eq!(all_for(&turns, &crowd).len(), 1 + WAITING);
        }
        assert!(turns.state.lock().held.is_empty());
    }

    #[test]
    fn neither_an_address_nor_an_account_takes_the_places_of_all_others() {
        let turns = turns();
        let accounts: Vec<_> = (0..5).map(|n| (at(1), Key::of(&n.to_string()))).collect();
        let flood = all_for(&turns, &accounts);
        assert!(flood.len() <= WAITING.div_ceil(2), "{}", flood.len());
        let _same_address = turns.place(at(1), &Key::of("ann")).unwrap();
        let _other_address = turns.place(at(2), &Key::of("ann")).unwrap();
        let more = all_for(&turns, &accounts);
        assert_eq!(more.len(), 0);
    }

    #[tokio::test]
    async fn those_who_wait_take_turns_by_address_and_by_account() {
        let turns = turns();
        let order = Arc::new(Mutex::new(Vec::new()));
        let place = |address, account: &str| turns.place(at(address), &Key::of(account)).unwrap();
        let first = place(1, "flood").turn().await;
        let mut waiting = Vec::new();
        for (address, account, who) in [
            (1, "flood", "flood 1"),
            (1, "flood", "flood 2"),
            (1, "flood", "flood 3"),
            (1, "ann", "ann at the same address"),
            (2, "bob", "bob elsewhere"),
        ] {
            let (place, order) = (place(address, account), order.clone());
            let mut turn = Box::pin(async move {
                let turn = place.turn().await;
                order.lock().push(who);
                drop(turn);
            });
            // Waits from now on.
            assert!(futures_util::poll!(&mut turn).is_pending());
            waiting.push(turn);
        }
        drop(first);
        futures_util::future::join_all(waiting).await;
        let expected = [
            "flood 1",
            "bob elsewhere",
            "ann at the same address",
            "flood 2",
            "flood 3",
        ];
        assert_eq!(*order.lock(), expected);
    }

    #[tokio::test]
    async fn a_turn_that_nobody_wants_any_more_is_handed_on() {
        let turns = turns();
        let first = turns.place(at(1), &Key::of("ann")).unwrap().turn().await;
        let [gone, late, stays] = [2, 3, 4].map(|n| turns.place(at(n), &Key::of("ann")).unwrap());
        let (mut gone, mut late) = (Box::pin(gone.turn()), Box::pin(late.turn()));
        let mut stays = Box::pin(stays.turn());
        for turn in [&mut gone, &mut late, &mut stays] {
            assert!(futures_util::poll!(turn).is_pending());
        }
        drop(gone);
        drop(first);
        // It has been handed the turn, and does not take it.
        drop(late);
        drop(stays.await);
        assert_eq!(turns.state.lock().hashing, 0);
    }
}
