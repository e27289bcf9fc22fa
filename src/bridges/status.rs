//! The state of each bridge: logged once when it changes, and readable at any time.

use jiff::Timestamp;
use tokio::sync::watch;

use crate::chat::message::BridgeName;

/// The state of a bridge, as this replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started, or another replica holds the lease.
    StandingBy,
    Connected,
    /// Not reachable; tried again for ever.
    Away {
        since: Timestamp,
        why: Box<str>,
    },
    /// The exchange or queue has other properties than the old chat declares, so an operator has to change it. Tried again
    /// at long intervals.
    Misdeclared {
        why: Box<str>,
    },
}

/// A bridge's name and state.
pub struct Status {
    name: BridgeName,
    state: watch::Sender<State>,
}

/// A view of a bridge's state.
#[derive(Clone)]
pub struct Watched {
    pub name: BridgeName,
    pub state: watch::Receiver<State>,
}

impl Status {
    /// `name` is that of the bus: of its exchange, or its channel.
    pub fn new(name: &str) -> Self {
        Self {
            name: BridgeName::new(name),
            state: watch::Sender::new(State::StandingBy),
        }
    }

    pub fn name(&self) -> &BridgeName {
        &self.name
    }

    pub fn watch(&self) -> Watched {
        Watched {
            name: self.name.clone(),
            state: self.state.subscribe(),
        }
    }

    pub fn is_connected(&self) -> bool {
        matches!(*self.state.borrow(), State::Connected)
    }

    pub fn connected(&self) {
        match self.state.send_replace(State::Connected) {
            State::Connected => {}
            State::Away { since, .. } => {
                let after = Timestamp::now().duration_since(since).as_secs_f64();
                tracing::info!(bridge = %self.name, after = format!("{after:.1}s"), "bridge is back");
            }
            _ => tracing::info!(bridge = %self.name, "bridge is connected"),
        }
    }

    /// Another replica holds the lease now.
    pub fn standing_by(&self) {
        self.state.send_replace(State::StandingBy);
    }

    /// `why` must hold no secret.
    pub fn away(&self, why: &str) {
        self.state.send_modify(|state| match state {
            State::Away { why: before, .. } => {
                if **before == *why {
                    tracing::debug!(bridge = %self.name, why, "bridge is still away");
                } else {
                    tracing::warn!(bridge = %self.name, why, "bridge is still away");
                    *before = why.into();
                }
            }
            _ => {
                tracing::warn!(bridge = %self.name, why, "bridge is away; trying again until it is back");
                *state = State::Away {
                    since: Timestamp::now(),
                    why: why.into(),
                };
            }
        });
    }

    /// `why` says what is declared, what should be, and what to do.
    pub fn misdeclared(&self, why: &str) {
        let now = State::Misdeclared { why: why.into() };
        if self.state.send_replace(now.clone()) != now {
            tracing::error!(bridge = %self.name, why, "bridge has other properties than it should");
        }
    }
}
