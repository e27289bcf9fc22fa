//! One page of a front end whose people are known by their login: it reads the lobby, its user is seen
//! there, and what it says is said in the name of its session, whatever it claims.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinHandle},
};

use super::{News, PageEvents, Refused, Said, Shared};
use crate::{
    account::sessions::{SessionId, Watch},
    chat::{
        message::{AuthorName, MessageId, RoomName},
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

/// How long a page may have been away of which it is not known what it shows: these front ends try for twenty seconds to
/// come back, and it may take a while until they notice.
const ABSENCE: Duration = Duration::from_secs(60);

/// Messages that a page may miss that has shown none, since there were none in the room.
const UNSHOWN: usize = 200;

/// What is known of what a page shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begins {
    /// It says that it joins where it was just opened.
    WillSay,
    /// It was just opened, and shows nothing.
    Opened,
    /// It shows what was said up to this message; nothing where there was none.
    GoesOn(Option<MessageId>),
}

/// One page.
pub(super) struct Page {
    shared: Arc<Shared>,
    socket: Arc<dyn Socket>,
    words: Arc<dyn PageEvents>,
    author: AuthorName,
    reading: Option<Reading>,
    login: i64,
    _stay: Stay,
    _watch: Watch,
    goes_on: bool,
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
        Self {
            reading: None,
            login: login.login().number(),
            _stay: stay,
            _watch: watch,
            goes_on: false,
            has_joined: false,
            has_left: false,
            last: None,
            shared,
            socket,
            words,
            author,
        }
    }

    /// Begins to read: where it is known what the page shows at once, else when the page has said whether it was just
    /// opened, or has not said so for a while.
    pub(super) fn begin(mut self, begins: Begins) -> Self {
        if let Begins::WillSay = begins {
            let (opened, is_opened) = oneshot::channel();
            self.read(async {
                match tokio::time::timeout(NEWS, is_opened).await {
                    Ok(Ok(true)) => Begins::Opened,
                    _ => Begins::WillSay,
                }
            });
            if let Some(reading) = &mut self.reading {
                reading.opened = Some(opened);
            }
        } else {
            self.goes_on = true;
            self.read(std::future::ready(begins));
        }
        self
    }

    fn read(&mut self, begins: impl Future<Output = Begins> + Send + 'static) {
        // First: what it was being told is not to come in between.
        self.reading = None;
        let place = Arc::new(Mutex::new(Place::OnTheWay));
        let (shared, socket) = (self.shared.clone(), self.socket.clone());
        let (words, author, login) = (self.words.clone(), self.author.clone(), self.login);
        let taken = place.clone();
        let task = tokio::spawn(async move {
            let begins = begins.await;
            let (lobby, history) = (RoomName::lobby(), shared.chat.limits().history);
            let start = match begins {
                Begins::Opened => Start::Last(history),
                Begins::GoesOn(Some(shown)) => Start::After(shown, history),
                Begins::GoesOn(None) => Start::Last(UNSHOWN),
                // It said nothing: it connects again, and cannot say what it shows.
                Begins::WillSay => shared.chat.lately(&lobby, ABSENCE, history).await,
            };
            let subscription = async {
                let (rooms, client) = (&shared.chat.rooms, socket.remote());
                let entry = rooms.enter(lobby, start, client).await?;
                socket.keep_place(login, entry.before());
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
            if let Begins::Opened = begins {
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
                if self.goes_on {
                    // It was opened elsewhere, and shows what was said before.
                    self.shared.tell_all(&self.author, News::Joined).await;
                } else if !was_waited_for {
                    self.read(std::future::ready(Begins::Opened));
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
            Ok(Said::Nothing) => {}
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
            Err(refused) => return refuse(&*socket, &*words, event, Refused::Sending, &refused),
        };
        // The next event need not wait until this one is kept.
        self.last = Some(tokio::spawn(async move {
            match receipt.await {
                Ok(message) => event.answer(&message.id.to_string()),
                Err(error) => refuse(&*socket, &*words, event, Refused::Sending, &error),
            }
        }));
    }

    pub(super) fn close(&mut self) {
        self.reading = None;
    }
}

/// Tells a page that something was not done.
pub(super) fn refuse(
    socket: &dyn Socket,
    words: &dyn PageEvents,
    event: Event,
    what: Refused,
    reason: &dyn std::fmt::Display,
) {
    let told = words.tell_refused(what, &reason.to_string());
    socket.emit(told.event, &told.payload);
    dialects::refuse(socket, event, reason);
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
        *self.place.lock() = Place::GivenUp;
    }
}
