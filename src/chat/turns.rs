//! Whose turn it is to read the store. A few reads at once are enough to keep it busy; clients that want to read
//! meanwhile wait, and one address after the other has its turn. So whoever asks for much waits behind itself,
//! and everybody else waits for one read or two.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use super::store::StoreError;

/// Reads at once.
const READS: usize = 8;

/// How long a client waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The reads of all clients.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    /// Reads that may begin at once.
    free: usize,
    /// Who waits, by address; none of the queues is empty.
    waiting: HashMap<IpAddr, VecDeque<oneshot::Sender<Turn>>>,
    /// The addresses that wait, in the order of their turns.
    order: VecDeque<IpAddr>,
}

/// The right to read. The next one has it when it is dropped.
pub(super) struct Turn(Turns);

impl Turns {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            free: READS,
            waiting: HashMap::new(),
            order: VecDeque::new(),
        })))
    }

    /// Waits for a turn of the client at this address.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] where it does not come in five seconds.
    pub async fn take(&self, client: IpAddr) -> Result<Turn, StoreError> {
        let turn = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Turn(self.clone()));
            }
            state.wait(network(client))
        };
        timeout(PATIENCE, turn)
            .await
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Busy)
    }
}

impl State {
    fn wait(&mut self, client: IpAddr) -> oneshot::Receiver<Turn> {
        let (sender, turn) = oneshot::channel();
        let queue = self.waiting.entry(client).or_default();
        if queue.is_empty() {
            self.order.push_back(client);
        }
        queue.push_back(sender);
        turn
    }

    /// Who waits next, of those that have not given up.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(client) = self.order.pop_front() {
            let queue = self.waiting.get_mut(&client)?;
            let next = loop {
                match queue.pop_front() {
                    Some(sender) if sender.is_closed() => {}
                    next => break next,
                }
            };
            if queue.is_empty() {
                self.waiting.remove(&client);
            } else {
                self.order.push_back(client);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.0.lock();
            let next = state.next();
            if next.is_none() {
                state.free += 1;
            }
            next
        };
        if let Some(next) = next {
            // Given up meanwhile, it comes back here and goes to the one after that.
            let _ = next.send(Self(self.0.clone()));
        }
    }
}

/// What counts as one client: a host has all addresses of its IPv6 network.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn client(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Takes all turns that there are.
    async fn all(turns: &Turns) -> Vec<Turn> {
        let mut taken = Vec::new();
        for _ in 0..READS {
            taken.push(turns.take(client(0)).await.unwrap());
        }
        taken
    }

    #[tokio::test]
    async fn addresses_that_wait_have_turns_one_after_the_other() {
        let turns = Turns::new();
        let mut taken = all(&turns).await;
        let (served, mut order) = tokio::sync::mpsc::channel(7);
        for client_of in [1, 1, 1, 1, 2, 2, 3] {
            let (asking, served) = (turns.clone(), served.clone());
            let before = turns.0.lock().waiting.values().flatten().count();
            tokio::spawn(async move {
                let turn = asking.take(client(client_of)).await.unwrap();
                served.send((client_of, turn)).await.ok();
            });
            while turns.0.lock().waiting.values().flatten().count() == before {
                tokio::task::yield_now().await;
            }
        }
        drop(taken.pop());
        let mut seen = Vec::new();
        for _ in 0..7 {
            let (client, turn) = order.recv().await.unwrap();
            seen.push(client);
            drop(turn);
        }
        assert_eq!(seen, [1, 2, 3, 1, 2, 1, 1]);
        drop(taken);
        let state = turns.0.lock();
        assert_eq!((state.free, state.waiting.len()), (READS, 0));
    }

    #[tokio::test]
    async fn who_gives_up_takes_no_turn_away() {
        let turns = Turns::new();
        let taken = all(&turns).await;
        for _ in 0..3 {
            let mut waiting = std::pin::pin!(turns.take(client(1)));
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let mut waiting = std::pin::pin!(turns.take(client(2)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(taken);
        waiting.await.unwrap();
        assert_eq!(turns.0.lock().free, READS);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_turn_for_long_is_told_that_the_log_is_busy() {
        let turns = Turns::new();
        let _taken = all(&turns).await;
        let late = turns.take(client(1)).await;
        assert!(matches!(late, Err(StoreError::Busy)));
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one_client() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            network(address("2001:db8::1")),
            network(address("2001:db8::ffff:1"))
        );
        assert_ne!(
            network(address("2001:db8:0:1::1")),
            network(address("2001:db8::1"))
        );
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
        assert_ne!(network(client(1)), network(client(2)));
    }
}
