//! One page of a front end whose people are known by their login: it reads the lobby, its user is seen
//! there, and what it says is said in the name of its session, whatever it claims.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinHandle},
};

use super::{News, PageEvents, Said, Shared, screens::Screen};
use crate::{
    account::sessions::{SessionId, Watch},
    chat::{
        message::{AuthorName, RoomName},
        presence::Stay,
        room::{Render, Start, Subscription},
        socket::{CloseReason, Socket},
    },
    dialects::{self, Event},
    log_limit::log_limited,
};

/// How long a page that says nothing may be one that was just opened. These front ends say that they
/// join when they are opened, and nothing when they only connect again.
const NEWS: Duration = Duration::from_secs(2);

/// One page.
pub(super) struct Page {
    shared: Arc<Shared>,
    socket: Arc<dyn Socket>,
    words: Arc<dyn PageEvents>,
    author: AuthorName,
    reading: Option<Reading>,
    screen: Screen,
    _stay: Stay,
    _watch: Watch,
    has_joined: bool,
    has_left: bool,
    /// What it said last is being kept.
    last: Option<JoinHandle<()>>,
}

/// Reads the lobby until it is dropped.
struct Reading {
    task: AbortHandle,
    /// Says whether the page was just opened; taken once that is known.
    opened: Option<oneshot::Sender<bool>>,
    place: Arc<Mutex<Place>>,
}

enum Place {
    OnTheWay,
    Taken(#[expect(dead_code, reason = "it is there to be dropped")] Subscription),
    GivenUp,
}

impl Page {
    pub(super) fn new(
        shared: Arc<Shared>,
        socket: Arc<dyn Socket>,
        words: Arc<dyn PageEvents>,
        author: AuthorName,
        login: &SessionId,
    ) -> Self {
        socket.join(words.front_end());
        let stay = shared
            .chat
            .presence
            .enter(RoomName::lobby(), socket.id(), Some(author.clone()));
        let watch = {
            let socket = socket.clone();
            let end = move || socket.close(CloseReason::SignedOut);
            shared.sessions.watch(login, end)
        };
        let screen = shared.screens.open(login.login(), socket.clone());
        Self {
            reading: None,
            screen,
            _stay: stay,
            _watch: watch,
            has_joined: false,
            has_left: false,
            last: None,
            shared,
            socket,
            words,
            author,
        }
    }

    /// Begins to read when the page has said whether it was just opened, or has not said so for a while.
    pub(super) fn wait_for_news(mut self) -> Self {
        let (opened, is_opened) = oneshot::channel();
        self.read(async {
            let told = tokio::time::timeout(NEWS, is_opened).await;
            matches!(told, Ok(Ok(true)))
        });
        if let Some(reading) = &mut self.reading {
            reading.opened = Some(opened);
        }
        self
    }

    fn read(&mut self, is_opened: impl Future<Output = bool> + Send + 'static) {
        // First: what it was being told is not to come in between.
        self.reading = None;
        let place = Arc::new(Mutex::new(Place::OnTheWay));
        let (shared, socket) = (self.shared.clone(), self.socket.clone());
        let (words, author) = (self.words.clone(), self.author.clone());
        let (back, taken) = (self.screen.back(), place.clone());
        let task = tokio::spawn(async move {
            let is_opened = is_opened.await;
            let history = shared.chat.limits().history;
            let start = match is_opened {
                true => Start::Last(history),
                false => back.start(history).await,
            };
            let subscription = async {
                let (rooms, lobby) = (&shared.chat.rooms, RoomName::lobby());
                let entry = rooms.enter(lobby, start, socket.remote()).await?;
                let words: Arc<dyn Render> = words;
                entry.follow(socket.clone(), words).await
            };
            match subscription.await {
                Ok(subscription) => {
                    let mut place = taken.lock();
                    if matches!(*place, Place::OnTheWay) {
                        *place = Place::Taken(subscription);
                    }
                }
                Err(error) => {
                    log_limited!(error, socket = %socket.id(), %error, "could not read the room");
                    return socket.close(CloseReason::Unavailable);
                }
            }
            if is_opened {
                shared.tell_all(&author, News::Joined).await;
            }
        });
        self.reading = Some(Reading {
            task: task.abort_handle(),
            opened: None,
            place,
        });
    }

    pub(super) async fn handle(&mut self, mut event: Event) {
        let said = self.words.understand(&event);
        let is_opened = matches!(said, Ok(Said::Joined));
        // Before what was said: whoever asks who it is may begin with an empty page then.
        if is_opened && let Some(ack) = event.ack.take() {
            ack.send(&self.author.as_str());
        }
        let opened = self
            .reading
            .as_mut()
            .and_then(|reading| reading.opened.take());
        // Whoever says something else was opened before, and shows something.
        let was_waited_for = opened.is_some_and(|opened| opened.send(is_opened).is_ok());
        match said {
            Ok(Said::Joined) if self.has_joined => {}
            Ok(Said::Joined) => {
                self.has_joined = true;
                if !was_waited_for {
                    self.read(std::future::ready(true));
                }
            }
            Ok(Said::Left) if self.has_left => {}
            Ok(Said::Left) => {
                self.has_left = true;
                // What it said before comes first.
                if let Some(last) = self.last.take() {
                    let _ = last.await;
                }
                self.shared.tell_all(&self.author, News::Left).await;
            }
            Ok(Said::Text(text)) => return self.post(text, event).await,
            Err(reason) => return dialects::refuse(&*self.socket, event, &reason),
        }
        event.answer(&self.author.as_str());
    }

    async fn post(&mut self, text: String, event: Event) {
        let (socket, words) = (self.socket.clone(), self.words.clone());
        let author = Some(self.author.clone());
        let posted = self.shared.chat.post(RoomName::lobby(), author, text, None);
        let receipt = match posted.await {
            Ok(receipt) => receipt,
            Err(refused) => return refuse(&*socket, &*words, event, &refused),
        };
        // The next event need not wait until this one is kept.
        self.last = Some(tokio::spawn(async move {
            match receipt.await {
                Ok(message) => event.answer(&message.id.to_string()),
                Err(error) => refuse(&*socket, &*words, event, &error),
            }
        }));
    }

    pub(super) fn close(&mut self) {
        self.screen.close();
        self.reading = None;
    }
}

/// Tells a page that what it said was not taken.
pub(super) fn refuse(
    socket: &dyn Socket,
    words: &dyn PageEvents,
    event: Event,
    reason: &dyn std::fmt::Display,
) {
    let told = words.tell_refused(&reason.to_string());
    socket.emit(told.event, &told.payload);
    dialects::refuse(socket, event, reason);
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
        *self.place.lock() = Place::GivenUp;
    }
}
