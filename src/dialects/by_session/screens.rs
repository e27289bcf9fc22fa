//! What pages show, as far as it is known: a page that lost its connection keeps what it shows, and when
//! it comes back it cannot say what that was. So the server remembers, for each login, how far the
//! pages that are connected or left lately were told.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    account::sessions::Login,
    chat::{
        Chat,
        message::{MessageId, RoomName},
        room::Start,
        socket::{Socket, SocketId},
    },
};

/// How long a page that is away may come back: these try for twenty seconds, and it may take a while until
/// they notice.
const ABSENCE: Duration = Duration::from_secs(60);

/// Pages of one login that are remembered; of more, those that left first are forgotten.
const SCREENS: usize = 8;

/// Logins that are remembered.
const LOGINS: usize = 10_000;

/// How far the pages of each login were told.
#[derive(Clone)]
pub(super) struct Screens(Arc<Inner>);

struct Inner {
    chat: Arc<Chat>,
    shown: Mutex<HashMap<Login, Vec<Shown>>>,
}

struct Shown {
    id: SocketId,
    state: State,
}

enum State {
    Connected(Arc<dyn Socket>),
    Away {
        since: Instant,
        last: Option<MessageId>,
    },
}

/// One connected page's, until it is closed.
pub(super) struct Screen {
    screens: Screens,
    login: Login,
    id: SocketId,
}

/// Where a page that comes back goes on.
pub(super) struct Back {
    screens: Screens,
    login: Login,
    id: SocketId,
}

impl Screens {
    pub(super) fn new(chat: Arc<Chat>) -> Self {
        Self(Arc::new(Inner {
            chat,
            shown: Mutex::default(),
        }))
    }

    pub(super) fn open(&self, login: Login, socket: Arc<dyn Socket>) -> Screen {
        let mut shown = self.0.shown.lock();
        if shown.len() >= LOGINS {
            shown.retain(|_, screens| {
                screens.retain(Shown::may_come_back);
                !screens.is_empty()
            });
        }
        let id = socket.id();
        // With more logins than that at once, a page that comes back is told by time alone.
        if shown.len() < LOGINS || shown.contains_key(&login) {
            let screens = shown.entry(login).or_default();
            screens.retain(Shown::may_come_back);
            let state = State::Connected(socket);
            screens.push(Shown { id, state });
            if screens.len() > SCREENS {
                screens.remove(0);
            }
        }
        Screen {
            screens: self.clone(),
            login,
            id,
        }
    }

    /// How far a connection was told, as far as is known.
    fn told(&self, socket: &dyn Socket) -> Option<MessageId> {
        let newest = self.0.chat.rooms.newest(&RoomName::lobby())?;
        let seq = newest.seq.saturating_sub(socket.waiting() as u64);
        Some(MessageId { seq, ..newest })
    }
}

impl Shown {
    fn may_come_back(&self) -> bool {
        match self.state {
            State::Connected(_) => true,
            State::Away { since, .. } => since.elapsed() < ABSENCE,
        }
    }
}

impl Screen {
    pub(super) fn back(&self) -> Back {
        Back {
            screens: self.screens.clone(),
            login: self.login,
            id: self.id,
        }
    }

    /// The page's connection is gone. Its user may have closed it, or it comes back.
    pub(super) fn close(&self) {
        let mut shown = self.screens.0.shown.lock();
        let screens = shown.get_mut(&self.login);
        let mine = screens.and_then(|screens| screens.iter_mut().find(|it| it.id == self.id));
        if let Some(Shown { state, .. }) = mine
            && let State::Connected(socket) = state
        {
            *state = State::Away {
                since: Instant::now(),
                last: self.screens.told(&**socket),
            };
        }
    }
}

impl Back {
    /// After the least that any page of the login was told: which of them it is nobody knows, and nothing is to be
    /// missed. Where none is known, what was said lately.
    pub(super) async fn start(&self, history: usize) -> Start {
        match self.least() {
            Some(id) => Start::After(id, history),
            None => {
                let chat = &self.screens.0.chat;
                chat.lately(&RoomName::lobby(), ABSENCE, history).await
            }
        }
    }

    fn least(&self) -> Option<MessageId> {
        let mut shown = self.screens.0.shown.lock();
        let screens = shown.get_mut(&self.login)?;
        screens.retain(Shown::may_come_back);
        let (at, least) = (screens.iter().enumerate())
            .filter(|(_, shown)| shown.id != self.id)
            .filter_map(|(at, shown)| {
                let last = match &shown.state {
                    State::Connected(socket) => self.screens.told(&**socket),
                    State::Away { last, .. } => *last,
                };
                Some((at, last?))
            })
            .min_by_key(|(_, id)| id.seq)?;
        // It has come back.
        if matches!(screens[at].state, State::Away { .. }) {
            screens.remove(at);
        }
        Some(least)
    }
}
