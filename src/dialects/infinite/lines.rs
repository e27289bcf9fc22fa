//! What `infinite-chat`'s page is sent: arrays of lines, each message rendered once for everybody.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    chat::{
        message::{AuthorName, Message},
        room::{Render, Rendered},
    },
    dialects::json,
};

/// What everything that is sent is called; the wire has no names.
pub(super) const MESSAGES: &str = "messages";

/// What the page calls somebody who has given no name. So is everybody else who has none.
pub const NOBODY: &str = "???";

/// Whose lines are the server's own.
const SYSTEM: &str = "System";

/// The first line of a history that goes back to the beginning.
const BEGINNING: &str = "Start Chatting!";

/// Text in the array with a newcomer's history, in bytes; one message at least. What does not fit follows.
pub(super) const HISTORY_BYTES: usize = 64 * 1024;

/// `LLL` of moment.js in English.
const DATE: &str = "%B %-d, %Y %-I:%M %p";

/// Renderer for people who live in this time zone.
pub struct Renderer {
    pub zone: TimeZone,
}

/// One line of the page.
#[derive(Serialize)]
pub struct Line<'a> {
    username: &'a str,
    msg: &'a str,
    date: String,
}

impl Render for Renderer {
    fn render(&self, message: &Message) -> Rendered {
        Rendered {
            event: MESSAGES,
            payload: json(&[self.line(message)]),
        }
    }
}

impl Renderer {
    /// The first of a newcomer's history; `begins` says that it goes back to the beginning. Nobody's page stays empty.
    pub(super) fn history(&self, page: &[Arc<Message>], begins: bool) -> Box<RawValue> {
        let mut lines = Vec::new();
        if begins {
            let began = page.first().map_or_else(Timestamp::now, |first| first.time);
            lines.push(self.system_line(BEGINNING, began));
        }
        lines.extend(page.iter().map(|message| self.line(message)));
        json(&lines)
    }

    /// One line, by the system.
    pub(super) fn by_the_system(&self, text: &str) -> Box<RawValue> {
        json(&[self.system_line(text, Timestamp::now())])
    }

    /// A message's line.
    pub fn line<'a>(&self, message: &'a Message) -> Line<'a> {
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
    use crate::chat::message::{Epoch, MessageId, testing::said_by};

    fn words(zone: &str) -> Renderer {
        Renderer {
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn message(seq: u64, author: Option<&str>, text: &str) -> Arc<Message> {
        Arc::new(Message {
            id: MessageId {
                seq,
                epoch: Epoch(1),
            },
            time: "2022-07-04T13:30:00Z".parse().unwrap(),
            ..said_by(author, text)
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
        let alone = words.history(&[], true);
        assert_eq!(texts(&alone), [BEGINNING]);
        let fewer = words.history(&page[..2], true);
        assert_eq!(texts(&fewer), [BEGINNING, "1", "2"]);
        assert!(fewer.get().contains(r#""date":"July 4, 2022 1:30 PM"},{"#));
        let full = words.history(&page, false);
        assert_eq!(texts(&full).len(), 25);
        assert_eq!(texts(&full)[0], "1");
        assert_eq!(words.history(&[], false).get(), "[]");
    }
}
