//! Who is to be told when a session ends: its sockets. An entry costs no task.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Login, SessionId};

/// How long a session that ended is remembered, for whoever looked it up before and watches it only now.
const REMEMBERED: Duration = Duration::from_secs(120);

type End = Box<dyn FnOnce() + Send>;

/// Everything that watches, by session.
#[derive(Default)]
pub(super) struct Watched(Mutex<State>);

#[derive(Default)]
struct State {
    live: HashMap<Login, Watchers>,
    next: u64,
    ended: VecDeque<(Instant, Login)>,
}

/// Those who watch one session.
struct Watchers {
    /// The id that it had when the first of them began.
    id: Box<str>,
    ends: HashMap<u64, End>,
}

/// Something is done when a session ends, until this is dropped.
#[must_use = "dropped, it watches no more"]
pub struct Watch {
    watched: Arc<Watched>,
    login: Login,
    number: u64,
}

impl Watched {
    pub fn watch(self: Arc<Self>, id: &SessionId, end: End) -> Watch {
        let login = id.login;
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        if state.ended.iter().any(|(_, ended)| *ended == login) {
            drop(state);
            end();
        } else {
            let watchers = state.live.entry(login).or_insert_with(|| Watchers {
                id: id.text.clone(),
                ends: HashMap::new(),
            });
            watchers.ends.insert(number, end);
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
        for end in told.into_iter().flat_map(|told| told.ends.into_values()) {
            end();
        }
    }

    /// Every session that somebody watches.
    pub fn sessions(&self) -> Vec<SessionId> {
        let state = self.0.lock();
        let watched = state.live.iter().map(|(login, watchers)| SessionId {
            login: *login,
            text: watchers.id.clone(),
        });
        watched.collect()
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
            let Some(watchers) = state.live.get_mut(&self.login) else {
                return;
            };
            let end = watchers.ends.remove(&self.number);
            if watchers.ends.is_empty() {
                state.live.remove(&self.login);
            }
            end
        };
        // What it holds may hold a watch.
        drop(dropped);
    }
}
