//! The words of `infinite-chat`, over a bare WebSocket: no login, one room. The page sends
//! `{username, msg}`, everybody is sent arrays of `{username, msg, date}`: one with the history when
//! a connection opens, then one for each message. The page shows text as text, so it leaves as it was typed.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use serde::Deserialize;

use self::words::{HISTORY_BYTES, MESSAGES};
pub use self::words::{Line, NOBODY, Words};
use super::{Conversation, Dialect, Event, Handshake, Refusal};
use crate::chat::{
    Chat, Refused,
    log::{LogError, Receipt},
    message::{AuthorName, InvalidName, RoomName},
    peer::{Goodbye, Outlet},
    presence::Stay,
    room::{Rendered, Seat, Start},
};

mod words;

/// The dialect of connections without Socket.IO.
pub struct Infinite {
    chat: Arc<Chat>,
    words: Arc<Words>,
}

impl Infinite {
    /// Dates are shown in this time zone.
    pub fn new(chat: Arc<Chat>, zone: TimeZone) -> Self {
        Self {
            chat,
            words: Arc::new(Words { zone }),
        }
    }
}

impl Dialect for Infinite {
    fn greet(
        &self,
        peer: Arc<dyn Outlet>,
        _: &Handshake,
    ) -> Result<Box<dyn Conversation>, Refusal> {
        Ok(Box::new(Talking {
            chat: self.chat.clone(),
            words: self.words.clone(),
            peer,
            place: None,
        }))
    }

    fn goodbye(&self, why: Goodbye) -> Option<Rendered> {
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
    Text(#[from] Refused),
    #[error("{0}")]
    Kept(#[from] LogError),
}

struct Talking {
    chat: Arc<Chat>,
    words: Arc<Words>,
    peer: Arc<dyn Outlet>,
    place: Option<Place>,
}

struct Place {
    stay: Stay,
    /// What it last called itself.
    name: Option<AuthorName>,
    _seat: Seat,
}

#[async_trait]
impl Conversation for Talking {
    async fn open(&mut self) {
        match self.enter().await {
            Ok(seat) => {
                let stay = (self.chat.presence).enter(RoomName::lobby(), self.peer.id(), None);
                self.place = Some(Place {
                    stay,
                    name: None,
                    _seat: seat,
                });
            }
            Err(error) => {
                tracing::error!(peer = %self.peer.id(), %error, "could not read the room");
                self.peer.close(Goodbye::Unavailable);
            }
        }
    }

    async fn hear(&mut self, event: Event) {
        let receipt = match self.post(&event).await {
            Ok(receipt) => receipt,
            Err(unsaid) => return refuse(&*self.peer, &self.words, &unsaid),
        };
        // The next event need not wait until this one is kept.
        let (peer, words) = (self.peer.clone(), self.words.clone());
        tokio::spawn(async move {
            if let Err(error) = receipt.await {
                refuse(&*peer, &words, &error.into());
            }
            drop(event);
        });
    }

    async fn close(&mut self) {
        self.place = None;
    }
}

impl Talking {
    async fn enter(&self) -> Result<Seat, LogError> {
        let history = self.chat.limits().history;
        let (rooms, lobby) = (&self.chat.rooms, RoomName::lobby());
        let from = Start::Last(history);
        let mut entry = rooms.enter(lobby, from, self.peer.remote()).await?;
        let begins = entry.due() < history as u64;
        let first = entry.take_first(HISTORY_BYTES).await?;
        self.peer
            .emit(MESSAGES, &self.words.history(&first, begins));
        // A history of long messages goes on in arrays of one.
        entry.follow(self.peer.clone(), self.words.clone()).await
    }

    async fn post(&mut self, event: &Event) -> Result<Receipt, Unsaid> {
        // What reads a struct would take an array of two texts as well.
        let said = event
            .args
            .first()
            .filter(|said| said.get().starts_with('{'));
        let said: Option<Said> = said.and_then(|said| serde_json::from_str(said.get()).ok());
        let Said { username, msg } = said.ok_or(Unsaid::Shape)?;
        let author = author(&username).map_err(Unsaid::Name)?;
        let receipt = (self.chat)
            .post(RoomName::lobby(), author.clone(), msg, None)
            .await?;
        if let (Some(place), Some(name)) = (&mut self.place, author)
            && place.name.as_ref() != Some(&name)
        {
            place.stay.rename(name.clone(), None);
            place.name = Some(name);
        }
        Ok(receipt)
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

fn refuse(peer: &dyn Outlet, words: &Words, why: &Unsaid) {
    peer.emit(MESSAGES, &words.by_the_system(&format!("Not sent: {why}")));
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
