//! How a bridge is, for whoever watches the server: told once, when it changes, and kept for who asks.

use jiff::Timestamp;
use tokio::sync::watch;

use crate::chat::message::BridgeName;

/// How a bus is, seen from this replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not begun, or another of our replicas works on it.
    StandingBy,
    Connected,
    /// It is tried again, for ever.
    Away {
        since: Timestamp,
        why: Box<str>,
    },
    /// What is there is not what the old chat declares: somebody has to change it. It is tried again, seldom.
    Misdeclared {
        why: Box<str>,
    },
}

/// One bus, and how it is.
pub struct Status {
    name: BridgeName,
    state: watch::Sender<State>,
}

/// Who watches it.
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

    /// Another replica works on it from now on.
    pub fn standing_by(&self) {
        self.state.send_replace(State::StandingBy);
    }

    /// `why` is free of secrets.
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

    /// `why` says what is there, what should be, and what to do.
    pub fn misdeclared(&self, why: &str) {
        let now = State::Misdeclared { why: why.into() };
        if self.state.send_replace(now.clone()) != now {
            tracing::error!(bridge = %self.name, why, "bridge is not what it should be");
        }
    }
}
