//! Counts failures and refuses more of them for a while. An attempt counts from its beginning, so that many at
//! once are no more than many in a row; one that ends well is taken back. The table is bounded: when it is
//! full, the count that would end first goes.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Keys that are counted at once.
pub(super) const ROWS: usize = 65_536;

/// Who is at an address: the address itself, or the /64 that one customer of IPv6 has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address => address,
        })
    }
}

/// Counts of the last `window`, by key.
pub(super) struct Attempts<K> {
    window: Duration,
    capacity: usize,
    table: Mutex<Table<K>>,
}

struct Table<K> {
    rows: HashMap<K, Row>,
    /// Rows in the order in which they end. What is here and not in `rows` with the same end is gone.
    order: VecDeque<(Instant, K)>,
}

#[derive(Clone, Copy)]
struct Row {
    failed: u32,
    under_way: u32,
    ends: Instant,
}

/// Why there is no attempt now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// So many failed that the next may begin only after this time.
    TooMany(Duration),
    /// Those that are under way might all fail: what they bring is known soon.
    TooManyAtOnce,
}

/// An attempt that is under way. Dropped, it has failed: who hangs up early guesses no more often.
pub(super) struct Attempt<'a, K: Clone + Eq + Hash> {
    attempts: &'a Attempts<K>,
    keys: Vec<K>,
}

impl<K: Clone + Eq + Hash> Attempts<K> {
    pub(super) fn new(window: Duration) -> Self {
        Self::bounded(window, ROWS)
    }

    fn bounded(window: Duration, capacity: usize) -> Self {
        let table = Table {
            rows: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            window,
            capacity,
            table: Mutex::new(table),
        }
    }

    /// Begins an attempt that counts for each of these keys, none of which may have failed so often as it says.
    /// Refused, it counts for none.
    pub(super) fn begin<const N: usize>(
        &self,
        keys: [(K, u32); N],
    ) -> Result<Attempt<'_, K>, Refused> {
        self.begin_at(Instant::now(), keys)
    }

    fn begin_at<const N: usize>(
        &self,
        now: Instant,
        keys: [(K, u32); N],
    ) -> Result<Attempt<'_, K>, Refused> {
        let mut table = self.table.lock();
        table.forget_what_ended(now);
        let mut refused = None;
        for (key, most) in &keys {
            let Some(row) = table.rows.get(key) else {
                continue;
            };
            if row.failed >= *most {
                let wait = row.ends.saturating_duration_since(now);
                refused = Some(match refused {
                    Some(Refused::TooMany(longest)) => Refused::TooMany(wait.max(longest)),
                    _ => Refused::TooMany(wait),
                });
            } else if row.failed.saturating_add(row.under_way) >= *most {
                refused = refused.or(Some(Refused::TooManyAtOnce));
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let keys = keys.map(|(key, _)| key);
        for key in &keys {
            table.begin(key, now + self.window, self.capacity);
        }
        Ok(Attempt {
            attempts: self,
            keys: keys.into(),
        })
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn begin(&mut self, key: &K, ends: Instant, capacity: usize) {
        if let Some(row) = self.rows.get_mut(key) {
            row.under_way += 1;
            return;
        }
        while self.rows.len() >= capacity {
            let Some((ends, key)) = self.order.pop_front() else {
                break;
            };
            self.forget(&key, ends);
        }
        if self.order.len() >= 2 * capacity {
            self.order
                .retain(|(ends, key)| self.rows.get(key).is_some_and(|row| row.ends == *ends));
        }
        let row = Row {
            failed: 0,
            under_way: 1,
            ends,
        };
        self.rows.insert(key.clone(), row);
        self.order.push_back((ends, key.clone()));
    }

    fn forget_what_ended(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(ends, _)| *ends <= now) {
            if let Some((ends, key)) = self.order.pop_front() {
                self.forget(&key, ends);
            }
        }
    }

    fn forget(&mut self, key: &K, ends: Instant) {
        if self.rows.get(key).is_some_and(|row| row.ends == ends) {
            self.rows.remove(key);
        }
    }

    /// A row that is gone meanwhile is not made again.
    fn end(&mut self, key: &K, failed: bool) {
        let Some(row) = self.rows.get_mut(key) else {
            return;
        };
        row.under_way = row.under_way.saturating_sub(1);
        row.failed = row.failed.saturating_add(u32::from(failed));
        if row.failed == 0 && row.under_way == 0 {
            self.rows.remove(key);
        }
    }
}

impl<K: Clone + Eq + Hash> Attempt<'_, K> {
    /// It ended well, or through no fault of who attempted it.
    pub(super) fn forgive(mut self) {
        let mut table = self.attempts.table.lock();
        for key in self.keys.drain(..) {
            table.end(&key, false);
        }
    }
}

impl<K: Clone + Eq + Hash> Drop for Attempt<'_, K> {
    fn drop(&mut self) {
        let mut table = self.attempts.table.lock();
        for key in self.keys.drain(..) {
            table.end(&key, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn so_many_fail_and_then_the_wait_is_the_rest_of_the_window() {
        let attempts = Attempts::new(WINDOW);
        let start = Instant::now();
        for _ in 0..3 {
            drop(attempts.begin_at(start, [("ann", 3)]).unwrap());
        }
        let later = start + Duration::from_secs(20);
        let wait = WINDOW - Duration::from_secs(20);
        let refused = attempts.begin_at(later, [("ann", 3)]).err();
        assert_eq!(refused, Some(Refused::TooMany(wait)));
        attempts.begin_at(later, [("bob", 3)]).unwrap().forgive();
        attempts
            .begin_at(start + WINDOW, [("ann", 3)])
            .unwrap()
            .forgive();
    }

    #[test]
    fn what_is_forgiven_does_not_count_and_what_is_under_way_does() {
        let attempts = Attempts::new(WINDOW);
        for _ in 0..10 {
            attempts.begin([("ann", 2)]).unwrap().forgive();
        }
        let first = attempts.begin([("ann", 2)]).unwrap();
        let second = attempts.begin([("ann", 2)]).unwrap();
        assert_eq!(
            attempts.begin([("ann", 2)]).err(),
            Some(Refused::TooManyAtOnce)
        );
        first.forgive();
        drop(attempts.begin([("ann", 2)]).unwrap());
        drop(second);
        assert!(matches!(
            attempts.begin([("ann", 2)]),
            Err(Refused::TooMany(_))
        ));
    }

    #[test]
    fn one_key_that_is_refused_leaves_the_other_uncounted() {
        let attempts = Attempts::new(WINDOW);
        drop(attempts.begin([("address", 1)]).unwrap());
        for _ in 0..10 {
            assert!(attempts.begin([("ann", 1), ("address", 1)]).is_err());
        }
        attempts.begin([("ann", 1)]).unwrap().forgive();
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_count_goes_first() {
        let attempts = Attempts::bounded(WINDOW, 100);
        for key in 0..1000 {
            drop(attempts.begin([(key, 1)]).unwrap());
        }
        for key in 0..10_000 {
            attempts.begin([(1000 + key % 7, 1)]).unwrap().forgive();
        }
        let table = attempts.table.lock();
        assert!(table.rows.len() <= 100, "{}", table.rows.len());
        assert!(table.order.len() <= 200, "{}", table.order.len());
        assert!(table.rows.contains_key(&999));
    }

    #[test]
    fn an_address_of_ipv6_is_counted_with_its_network() {
        let network = |address: &str| Network::from(address.parse::<IpAddr>().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::2"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
