//! Ends connections whose token has run out. One task looks once a second at who is next: a connection
//! costs an entry, and no timer of its own. The wall clock counts, as tokens do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::chat::socket::{CloseReason, Socket};

const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Everybody who is here on a token.
#[derive(Default)]
pub(super) struct Expiries(Mutex<Ends>);

#[derive(Default)]
struct Ends {
    next: u64,
    /// The soonest first; the number tells those of one moment apart.
    peers: BTreeMap<(Timestamp, u64), Weak<dyn Socket>>,
}

impl Expiries {
    pub(super) fn watch(self: &Arc<Self>, peer: &Arc<dyn Socket>, end: Timestamp) -> Watch {
        let mut ends = self.0.lock();
        let key = (end, ends.next);
        ends.next += 1;
        ends.peers.insert(key, Arc::downgrade(peer));
        Watch {
            expiries: self.clone(),
            key,
        }
    }

    /// Goes on until the task is dropped.
    pub(super) async fn keep(&self) {
        let mut period = tokio::time::interval(LOOK_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            self.end_those_due(Timestamp::now());
        }
    }

    pub(super) fn end_those_due(&self, now: Timestamp) {
        let due = {
            let mut ends = self.0.lock();
            let later = ends.peers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut ends.peers, later)
        };
        for peer in due.into_values().filter_map(|peer| peer.upgrade()) {
            peer.close(CloseReason::TokenExpired);
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().peers.len()
    }
}

/// As long as it is kept, its socket's connection ends with the token.
pub struct Watch {
    expiries: Arc<Expiries>,
    key: (Timestamp, u64),
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.expiries.0.lock().peers.remove(&self.key);
    }
}
