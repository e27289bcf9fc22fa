//! The words of `infinite-chat`, over a bare WebSocket: no login, one room. The page sends
//! `{username, msg}`, everybody is sent arrays of `{username, msg, date}`: one with the history when
//! a connection opens, then one for each message. The page shows text as text, so it leaves as it was typed.

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use serde::Deserialize;

use self::lines::{HISTORY_BYTES, MESSAGES};
pub use self::lines::{Line, NOBODY, Renderer};
use super::{Dialect, Event, Handler, Handshake, Refusal};
use crate::log_limit::log_limited;
use crate::{
    account::{
        names::{NameRefused, Names},
        sessions::Watch,
    },
    chat::{
        Chat, Refused,
        message::{AuthorName, InvalidName, RoomName},
        presence::Stay,
        room::{Rendered, Start, Subscription},
        socket::{CloseReason, Socket},
        store::{Appended, StoreError},
    },
};

mod lines;

/// The dialect of connections without Socket.IO.
pub struct Infinite {
    chat: Arc<Chat>,
    words: Arc<Renderer>,
    names: Arc<Names>,
}

impl Infinite {
    /// Dates are shown in this time zone; `names` decides what somebody may be called.
    pub fn new(chat: Arc<Chat>, zone: TimeZone, names: Arc<Names>) -> Self {
        Self {
            chat,
            names,
            words: Arc::new(Renderer { zone }),
        }
    }
}

impl Dialect for Infinite {
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        Ok(Box::new(Talking {
            chat: self.chat.clone(),
            words: self.words.clone(),
            names: self.names.clone(),
            cookies: handshake.credentials.cookie.clone(),
            from: handshake.remote,
            socket,
            name: None,
            login: None,
            place: None,
        }))
    }

    fn close_notice(&self, why: CloseReason) -> Option<Rendered> {
        Some(Rendered {
            event: MESSAGES,
            payload: (self.words).by_the_system(&format!("Disconnected: {}", why.message())),
        })
    }
}

/// What the page sends.
#[derive(Deserialize)]
struct Said {
    username: String,
    msg: String,
}

/// Why something was not said. The page shows it as a line of the system's, to its sender alone.
#[derive(Debug, thiserror::Error)]
enum Unsaid {
    #[error("it is not JSON of the form {{\"username\": text, \"msg\": text}}")]
    Shape,
    #[error("{0}")]
    Name(InvalidName),
    #[error("{0}")]
    NameRefused(#[from] NameRefused),
    #[error("{0}")]
    Text(#[from] Refused),
    #[error("{0}")]
    Kept(#[from] StoreError),
}

struct Talking {
    chat: Arc<Chat>,
    words: Arc<Renderer>,
    names: Arc<Names>,
    cookies: Option<Box<str>>,
    from: IpAddr,
    socket: Arc<dyn Socket>,
    /// What it last called itself.
    name: Option<AuthorName>,
    /// Ends the connection with its login, where that is the name of the login's account.
    login: Option<Watch>,
    place: Option<Place>,
}

struct Place {
    stay: Stay,
    _seat: Subscription,
}

#[async_trait]
impl Handler for Talking {
    async fn open(&mut self) {
        match self.enter().await {
            Ok(subscription) => {
                let stay = (self.chat.presence).enter(RoomName::lobby(), self.socket.id(), None);
                self.place = Some(Place {
                    stay,
                    _seat: subscription,
                });
            }
            Err(error) => {
                log_limited!(error, socket = %self.socket.id(), %error, "could not read the room");
                self.socket.close(CloseReason::Unavailable);
            }
        }
    }

    async fn handle(&mut self, event: Event) {
        let receipt = match self.post(&event).await {
            Ok(receipt) => receipt,
            Err(unsaid) => return refuse(&*self.socket, &self.words, &unsaid),
        };
        // The next event need not wait until this one is kept.
        let (socket, words) = (self.socket.clone(), self.words.clone());
        tokio::spawn(async move {
            if let Err(error) = receipt.await {
                refuse(&*socket, &words, &error.into());
            }
            drop(event);
        });
    }

    async fn close(&mut self) {
        self.place = None;
    }
}

impl Talking {
    async fn enter(&self) -> Result<Subscription, StoreError> {
        let history = self.chat.limits().history;
        let (rooms, lobby) = (&self.chat.rooms, RoomName::lobby());
        let from = Start::Last(history);
        let mut entry = rooms.enter(lobby, from, self.socket.remote()).await?;
        let begins = entry.due() < history as u64;
        let first = entry.take_first(HISTORY_BYTES).await?;
        self.socket
            .emit(MESSAGES, &self.words.history(&first, begins));
        // A history of long messages goes on in arrays of one.
        entry.follow(self.socket.clone(), self.words.clone()).await
    }

    async fn post(&mut self, event: &Event) -> Result<Appended, Unsaid> {
        // What reads a struct would take an array of two texts as well.
        let said = event
            .args
            .first()
            .filter(|said| said.get().starts_with('{'));
        let said: Option<Said> = said.and_then(|said| serde_json::from_str(said.get()).ok());
        let Said { username, msg } = said.ok_or(Unsaid::Shape)?;
        let author = author(&username).map_err(Unsaid::Name)?;
        self.call(author.as_ref()).await?;
        let receipt = (self.chat)
            .post(RoomName::lobby(), author, msg, None)
            .await?;
        Ok(receipt)
    }

    /// Has the connection called that from now on, where it may be.
    async fn call(&mut self, name: Option<&AuthorName>) -> Result<(), NameRefused> {
        let Some(name) = name.filter(|name| self.name.as_ref() != Some(name)) else {
            return Ok(());
        };
        let came = self.cookies.as_deref().map(|cookies| (cookies, self.from));
        self.login = self.names.claim(name, came, &self.socket).await?;
        if let Some(place) = &self.place {
            place.stay.rename(name.clone(), None);
        }
        self.name = Some(name.clone());
        Ok(())
    }
}

/// Whose name it is; nobody's where it is empty or what the page makes of an empty one.
fn author(username: &str) -> Result<Option<AuthorName>, InvalidName> {
    match username.parse::<AuthorName>() {
        Err(InvalidName::Empty) => Ok(None),
        Ok(name) if name.as_str() == NOBODY => Ok(None),
        named => named.map(Some),
    }
}

fn refuse(socket: &dyn Socket, words: &Renderer, why: &Unsaid) {
    socket.emit(MESSAGES, &words.by_the_system(&format!("Not sent: {why}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_calls_nobody_is_no_name() {
        for nobody in ["", " ", "???", " ??? "] {
            assert_eq!(author(nobody), Ok(None), "{nobody:?}");
        }
        assert_eq!(author(" Ann ").unwrap().unwrap().as_str(), "Ann");
        assert_eq!(author(&"x".repeat(41)), Err(InvalidName::TooLong(40)));
        assert_eq!(author("a\u{202e}b"), Err(InvalidName::Control));
    }
}
