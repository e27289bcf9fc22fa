//! Several front ends in one namespace that are told apart by the login of who connects: a session that
//! one of them knows a name in speaks its words, whoever has none speaks another dialect. Says what
//! these front ends have in common; their words are `amqpchat` and `rabbitpubsub`.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::value::RawValue;

use self::page::{Begins, Page};
use super::{Dialect, Event, Handler, Handshake, Place, Refusal, Volatile};
use crate::{
    account::sessions::{Record, SessionError, Sessions},
    chat::{
        Chat,
        message::{AuthorName, Message, MessageId},
        room::{Render, Rendered},
        socket::{CloseReason, Socket},
    },
};

mod page;

/// Who joins and wants an answer gets the name of its login, or this.
const NOBODY: Option<&str> = None;

/// What is told to a page of somebody who may not speak.
const NOT_LOGGED_IN: &str = "nobody is logged in, load the page again";

/// How long a page that goes on waits until its login can be read: it would not survive being sent away.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries of that.
const PAUSE: Duration = Duration::from_secs(1);

/// The words of one of these front ends.
pub trait PageEvents: Render {
    /// The name of the front end, and of the channel where its pages are told who comes and goes.
    fn front_end(&self) -> &'static str;

    /// The name that its people go by, where this is a session of one of them.
    fn name_in<'a>(&self, record: &'a Record) -> Option<&'a str>;

    /// What a page says with an event, or what is wrong with it.
    fn understand(&self, event: &Event) -> Result<Said, &'static str>;

    /// What pages are told of somebody.
    fn tell(&self, whom: &AuthorName, what: News) -> Rendered;

    /// What a page shows to its user only, about what the user did. `what` was not done, for this reason.
    fn tell_refused(&self, what: Refused, reason: &str) -> Rendered;

    /// What somebody who joins without a name is told to do about it.
    fn nobody_joins(&self) -> &'static str {
        NOT_LOGGED_IN
    }
}

/// What a page can say.
pub enum Said {
    /// It was opened, and shows nothing yet.
    Joined,
    /// Its user goes.
    Left,
    Text(String),
    /// Its user did nothing; the page says so all the same.
    Nothing,
}

/// What was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Joining,
    Sending,
}

impl Refused {
    /// For people.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Joining => "Not joined:",
            Self::Sending => "Not sent:",
        }
    }
}

/// What happened to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Joined,
    Left,
}

/// The dialect of whoever has a session, or of whoever has none.
pub struct BySession {
    shared: Arc<Shared>,
    otherwise: Arc<dyn Dialect>,
}

/// What all handlers need.
struct Shared {
    chat: Arc<Chat>,
    sessions: Arc<Sessions>,
    /// The first that knows a name in a session's record is the one.
    all_words: Vec<Arc<dyn PageEvents>>,
    volatile: Arc<dyn Volatile>,
    strangers: Strangers,
}

/// Who came without a cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// Speaks the other dialect.
    Speak,
    /// May be a page of these front ends that has lost its login: reads what the other dialect tells, and may not speak.
    Listen,
}

impl BySession {
    /// `volatile` reaches the sockets of the namespace that this is mounted on.
    pub fn new(
        chat: Arc<Chat>,
        sessions: Arc<Sessions>,
        all_words: Vec<Arc<dyn PageEvents>>,
        otherwise: Arc<dyn Dialect>,
        volatile: Arc<dyn Volatile>,
        strangers: Strangers,
    ) -> Self {
        let shared = Arc::new(Shared {
            chat,
            sessions,
            all_words,
            volatile,
            strangers,
        });
        Self { shared, otherwise }
    }
}

impl Dialect for BySession {
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        Ok(Box::new(Talking {
            shared: self.shared.clone(),
            otherwise: self.otherwise.connect(socket.clone(), handshake)?,
            cookies: handshake.credentials.cookie.clone(),
            place: handshake.credentials.place,
            after: handshake.query("after").and_then(|id| id.parse().ok()),
            from: handshake.remote,
            speaks: Speaks::Otherwise,
            socket,
        }))
    }

    fn close_notice(&self, why: CloseReason) -> Option<Rendered> {
        self.otherwise.close_notice(why)
    }
}

struct Talking {
    shared: Arc<Shared>,
    socket: Arc<dyn Socket>,
    otherwise: Box<dyn Handler>,
    cookies: Option<Box<str>>,
    /// Where it goes on, if it does without connecting anew.
    place: Option<Place>,
    /// The last message that it was told, where its library says so when it connects again.
    after: Option<MessageId>,
    from: IpAddr,
    speaks: Speaks,
}

enum Speaks {
    Page(Page),
    /// It had a login, or must have one: it reads what the other dialect tells, and may not speak.
    Nobody,
    Otherwise,
}

#[async_trait]
impl Handler for Talking {
    async fn open(&mut self) {
        match self.look_up_patiently().await {
            Ok(Some(page)) => {
                let begins = match (self.place, self.after) {
                    (Some(place), _) => Begins::GoesOn(place.shown),
                    (None, Some(id)) => Begins::GoesOn(Some(id)),
                    (None, None) => Begins::WillSay,
                };
                self.speaks = Speaks::Page(page.begin(begins));
            }
            // Whoever it was is not logged in any more.
            Ok(None) if self.place.is_some() => self.socket.close(CloseReason::SignedOut),
            Ok(None) => {
                let cookies = self.cookies.as_deref();
                let had_one = cookies.is_some_and(|cookies| self.shared.sessions.know(cookies));
                if had_one || self.shared.strangers == Strangers::Listen {
                    self.speaks = Speaks::Nobody;
                }
                self.otherwise.open().await;
            }
            Err(error) => self.give_up(&error),
        }
    }

    async fn handle(&mut self, mut event: Event) {
        if let Speaks::Page(page) = &mut self.speaks {
            return page.handle(event).await;
        }
        if self.is_joining(&event) {
            // A page may connect first and give its name then.
            match self.look_up().await {
                Ok(Some(page)) => {
                    self.otherwise.close().await;
                    let mut page = page.begin(Begins::WillSay);
                    page.handle(event).await;
                    self.speaks = Speaks::Page(page);
                    return;
                }
                Ok(None) => {
                    if let Some(ack) = event.ack.take() {
                        return ack.send(&NOBODY);
                    }
                    if matches!(self.speaks, Speaks::Nobody) {
                        return self.refuse_joining(event);
                    }
                }
                Err(error) => return self.give_up(&error),
            }
        }
        match self.speaks {
            Speaks::Nobody => self.refuse(event),
            _ => self.otherwise.handle(event).await,
        }
    }

    async fn close(&mut self) {
        match &mut self.speaks {
            Speaks::Page(page) => page.close(),
            _ => self.otherwise.close().await,
        }
    }
}

impl Talking {
    /// As [`Talking::look_up`]. Where a page goes on, what cannot be read now is waited for.
    async fn look_up_patiently(&mut self) -> Result<Option<Page>, SessionError> {
        let begun = Instant::now();
        loop {
            match self.look_up().await {
                Err(error) if self.place.is_some() && begun.elapsed() < PATIENCE => {
                    tracing::debug!(%error, "could not read the session of a page that goes on");
                    tokio::time::sleep(PAUSE).await;
                }
                looked_up => return looked_up,
            }
        }
    }

    /// The page that the socket's session makes of it.
    async fn look_up(&mut self) -> Result<Option<Page>, SessionError> {
        let Some(cookies) = &self.cookies else {
            return Ok(None);
        };
        let Some(session) = self.shared.sessions.of(cookies, self.from).await? else {
            return Ok(None);
        };
        let login = session.id.login().number();
        if self.place.is_some_and(|place| place.login != login) {
            return Ok(None);
        }
        let named = self.shared.all_words.iter().find_map(|words| {
            let name = words.name_in(&session.record)?;
            Some((words.clone(), AuthorName::shortened(name)?))
        });
        Ok(named.map(|(words, author)| {
            let (shared, socket) = (self.shared.clone(), self.socket.clone());
            Page::new(shared, socket, words, author, &session.id)
        }))
    }

    fn is_joining(&self, event: &Event) -> bool {
        let mut all = self.shared.all_words.iter();
        all.any(|words| matches!(words.understand(event), Ok(Said::Joined)))
    }

    fn refuse_joining(&self, event: Event) {
        let joins =
            |words: &&Arc<dyn PageEvents>| matches!(words.understand(&event), Ok(Said::Joined));
        if let Some(words) = self.shared.all_words.iter().find(joins) {
            let reason = words.nobody_joins();
            page::refuse(&*self.socket, &**words, event, Refused::Joining, &reason);
        }
    }

    /// In the words of the first front end that knows such an event.
    fn refuse(&self, event: Event) {
        let mut all = self.shared.all_words.iter();
        match all.find(|words| words.understand(&event).is_ok()) {
            Some(words) => page::refuse(
                &*self.socket,
                &**words,
                event,
                Refused::Sending,
                &NOT_LOGGED_IN,
            ),
            None => super::refuse(&*self.socket, event, &NOT_LOGGED_IN),
        }
    }

    fn give_up(&self, error: &SessionError) {
        error.log("could not read a session");
        self.socket.close(CloseReason::Unavailable);
    }
}

impl Shared {
    /// Tells the pages of all these front ends, each in its words.
    async fn tell_all(&self, whom: &AuthorName, what: News) {
        for words in &self.all_words {
            let told = words.tell(whom, what);
            self.volatile
                .tell(words.front_end(), told.event, told.payload)
                .await;
        }
    }
}

/// The id of a message, for a library that has its page ask for what follows.
#[derive(Serialize)]
pub(super) struct Id {
    id: String,
}

impl Id {
    pub(super) fn of(message: &Message) -> Self {
        Self {
            id: message.id.to_string(),
        }
    }
}

/// The payload of the one event that these front ends know: a string that holds JSON.
pub(super) fn in_a_string(value: &impl Serialize) -> Box<RawValue> {
    super::json(&super::json(value).get())
}
