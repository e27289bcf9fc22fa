//! Who is to be told when a session ends: its sockets. An entry costs no task.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::Login;

/// How long a session that ended is remembered, for whoever looked it up before and watches it only now.
const REMEMBERED: Duration = Duration::from_secs(120);

type End = Box<dyn FnOnce() + Send>;

/// Everything that watches, by session.
#[derive(Default)]
pub(super) struct Watched(Mutex<State>);

#[derive(Default)]
struct State {
    live: HashMap<Login, HashMap<u64, End>>,
    next: u64,
    ended: VecDeque<(Instant, Login)>,
}

/// Something is done when a session ends, until this is dropped.
#[must_use = "dropped, it watches no more"]
pub struct Watch {
    watched: Arc<Watched>,
    login: Login,
    number: u64,
}

impl Watched {
    pub fn watch(self: Arc<Self>, login: Login, end: End) -> Watch {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        if state.ended.iter().any(|(_, ended)| *ended == login) {
            drop(state);
            end();
        } else {
            state.live.entry(login).or_default().insert(number, end);
            drop(state);
        }
        Watch {
            watched: self,
            login,
            number,
        }
    }

    pub fn end(&self, login: Login) {
        let told = {
            let mut state = self.0.lock();
            state.ended.push_back((Instant::now(), login));
            state.live.remove(&login)
        };
        // Whoever is told may let go of its watch, which takes the lock.
        for end in told.into_iter().flat_map(HashMap::into_values) {
            end();
        }
    }

    /// Every login that somebody watches.
    pub fn logins(&self) -> Vec<Login> {
        self.0.lock().live.keys().copied().collect()
    }

    pub fn forget_ended(&self) {
        let ended = &mut self.0.lock().ended;
        while ended
            .front()
            .is_some_and(|(time, _)| time.elapsed() > REMEMBERED)
        {
            ended.pop_front();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let dropped = {
            let mut state = self.watched.0.lock();
            let Some(watches) = state.live.get_mut(&self.login) else {
                return;
            };
            let end = watches.remove(&self.number);
            if watches.is_empty() {
                state.live.remove(&self.login);
            }
            end
        };
        // What it holds may hold a watch.
        drop(dropped);
    }
}
