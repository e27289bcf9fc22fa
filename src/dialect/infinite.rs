//! The words of `infinite-chat`, over a bare WebSocket: no login, one room. The page sends
//! `{username, msg}`, everybody is sent arrays of `{username, msg, date}`: one with the history when
//! a connection opens, then one for each message. The page shows text as text, so it leaves as it was typed.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Conversation, Dialect, Event, Handshake, Refusal, json};
use crate::chat::{
    Chat, Refused,
    log::{LogError, Receipt},
    message::{AuthorName, InvalidName, Message, RoomName},
    peer::{Goodbye, Outlet},
    presence::Stay,
    room::{Render, Rendered, Seat, Start},
};

/// What everything that is sent is called; the wire has no names.
const MESSAGES: &str = "messages";

/// What the page calls somebody who has given no name. So is everybody else who has none.
const NOBODY: &str = "???";

/// Whose lines are the server's own.
const SYSTEM: &str = "System";

/// The first line of a history that goes back to the beginning.
const BEGINNING: &str = "Start Chatting!";

/// Text in one array of history, in bytes; one message at least. Only a history of long messages takes
/// more than one.
const HISTORY_BYTES: usize = 64 * 1024;

/// `LLL` of moment.js in English.
const DATE: &str = "%B %-d, %Y %-I:%M %p";

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
            Err(unsaid) => return self.words.refuse(&*self.peer, &unsaid),
        };
        // The next event need not wait until this one is kept.
        let (peer, words) = (self.peer.clone(), self.words.clone());
        tokio::spawn(async move {
            if let Err(error) = receipt.await {
                words.refuse(&*peer, &error.into());
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
        let from = Start::Last(history);
        let mut entry = self.chat.rooms.enter(RoomName::lobby(), from).await?;
        let page = entry.take_first_page();
        for array in self.words.history(&page, history) {
            self.peer.drained().await;
            self.peer.emit(MESSAGES, &array);
        }
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
            place.stay.rename(name.clone());
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

struct Words {
    zone: TimeZone,
}

/// One line of the page.
#[derive(Serialize)]
struct Line<'a> {
    username: &'a str,
    msg: &'a str,
    date: String,
}

impl Render for Words {
    fn render(&self, message: &Message) -> Rendered {
        Rendered {
            event: MESSAGES,
            payload: json(&[self.line(message)]),
        }
    }
}

impl Words {
    /// A newcomer's history in arrays, one where it is not very long. Nobody's page stays empty.
    fn history(&self, page: &[Arc<Message>], limit: usize) -> Vec<Box<RawValue>> {
        let mut lines = Vec::new();
        if page.len() < limit {
            let began = page.first().map_or_else(Timestamp::now, |first| first.time);
            lines.push(self.system_line(BEGINNING, began));
        }
        let (mut arrays, mut bytes) = (Vec::new(), 0);
        for message in page {
            bytes += message.text.len();
            if bytes > HISTORY_BYTES && !lines.is_empty() {
                arrays.push(json(&std::mem::take(&mut lines)));
                bytes = message.text.len();
            }
            lines.push(self.line(message));
        }
        arrays.push(json(&lines));
        arrays
    }

    fn refuse(&self, peer: &dyn Outlet, why: &Unsaid) {
        peer.emit(MESSAGES, &self.by_the_system(&format!("Not sent: {why}")));
    }

    fn by_the_system(&self, text: &str) -> Box<RawValue> {
        json(&[self.system_line(text, Timestamp::now())])
    }

    fn line<'a>(&self, message: &'a Message) -> Line<'a> {
        Line {
            username: (message.author.as_ref()).map_or(NOBODY, AuthorName::as_str),
            msg: &message.text,
            date: self.date(message.time),
        }
    }

    fn system_line<'a>(&self, msg: &'a str, time: Timestamp) -> Line<'a> {
        Line {
            username: SYSTEM,
            msg,
            date: self.date(time),
        }
    }

    fn date(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone()).strftime(DATE).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::message::{Epoch, MessageId};

    fn words(zone: &str) -> Words {
        Words {
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn message(seq: u64, author: Option<&str>, text: &str) -> Arc<Message> {
        Arc::new(Message {
            room: RoomName::lobby(),
            id: MessageId {
                seq,
                epoch: Epoch(1),
            },
            author: author.map(|name| name.parse().unwrap()),
            text: text.into(),
            time: "2022-07-04T13:30:00Z".parse().unwrap(),
            replica: "a".into(),
        })
    }

    fn texts(array: &RawValue) -> Vec<String> {
        let lines: Vec<serde_json::Value> = serde_json::from_str(array.get()).unwrap();
        let text = |line: &serde_json::Value| line["msg"].as_str().unwrap().to_owned();
        lines.iter().map(text).collect()
    }

    #[test]
    fn dates_are_written_as_moment_writes_them() {
        for (zone, time, date) in [
            (
                "Europe/Berlin",
                "2022-07-04T13:30:00Z",
                "July 4, 2022 3:30 PM",
            ),
            (
                "America/New_York",
                "2022-07-04T13:30:00Z",
                "July 4, 2022 9:30 AM",
            ),
            (
                "UTC",
                "2023-12-31T00:05:59.9Z",
                "December 31, 2023 12:05 AM",
            ),
            ("UTC", "2024-02-29T12:00:00Z", "February 29, 2024 12:00 PM"),
            (
                "Asia/Kathmandu",
                "2024-01-01T18:14:00Z",
                "January 1, 2024 11:59 PM",
            ),
            (
                "Asia/Kathmandu",
                "2024-01-01T18:15:00Z",
                "January 2, 2024 12:00 AM",
            ),
        ] {
            assert_eq!(
                words(zone).date(time.parse().unwrap()),
                date,
                "{zone} {time}"
            );
        }
    }

    #[test]
    fn a_message_is_an_array_of_one_as_it_was_typed() {
        let words = words("UTC");
        let rendered = words.render(&message(1, Some("Zoë <b>"), "<script>\"&'\n"));
        assert_eq!(
            rendered.payload.get(),
            r#"[{"username":"Zoë <b>","msg":"<script>\"&'\n","date":"July 4, 2022 1:30 PM"}]"#
        );
        let rendered = words.render(&message(2, None, "hi"));
        assert!(rendered.payload.get().contains(r#""username":"???""#));
    }

    #[test]
    fn a_history_that_goes_back_to_the_beginning_begins_with_the_system() {
        let words = words("UTC");
        let page: Vec<_> = (1..=25)
            .map(|seq| message(seq, None, &seq.to_string()))
            .collect();
        let alone = words.history(&[], 25);
        assert_eq!(alone.len(), 1);
        assert_eq!(texts(&alone[0]), [BEGINNING]);
        let fewer = words.history(&page[..2], 25);
        assert_eq!(texts(&fewer[0]), [BEGINNING, "1", "2"]);
        assert!(
            fewer[0]
                .get()
                .contains(r#""date":"July 4, 2022 1:30 PM"},{"#)
        );
        let full = words.history(&page, 25);
        assert_eq!(full.len(), 1);
        assert_eq!(texts(&full[0]).len(), 25);
        assert_eq!(texts(&full[0])[0], "1");
        assert_eq!(words.history(&[], 0)[0].get(), "[]");
    }

    #[test]
    fn a_history_of_long_messages_comes_in_parts_of_bounded_size() {
        let long = "x".repeat(HISTORY_BYTES / 2);
        let page: Vec<_> = (1..=5).map(|seq| message(seq, None, &long)).collect();
        let parts: Vec<_> = (words("UTC").history(&page, 5).iter())
            .map(|array| texts(array).len())
            .collect();
        assert_eq!(parts, [2, 2, 1]);
        let larger = message(1, None, &"x".repeat(HISTORY_BYTES + 1));
        let parts: Vec<_> = (words("UTC").history(&[larger.clone(), larger], 2).iter())
            .map(|array| texts(array).len())
            .collect();
        assert_eq!(parts, [1, 1]);
    }

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
