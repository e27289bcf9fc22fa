//! Infinite Chat's channel `newMsg`: `{"username", "msg", "date", "socketId"}` as JSON. `socketId` is the UUID of
//! the process that published it. The old processes use it for nothing else, so it carries our tag.

use std::{borrow::Cow, error::Error};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pubsub::{Format, Said};
use crate::{
    chat::message::{AuthorName, Message},
    dialects::infinite::{self, Line, NOBODY},
};

/// The format of the channel.
pub struct NewMsg {
    format: infinite::Renderer,
    socket_id: String,
}

/// A message on the channel. The old servers leave a name out that a client did not send.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    msg: Cow<'a, str>,
    #[serde(borrow, rename = "socketId")]
    socket_id: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    #[serde(rename = "socketId")]
    socket_id: &'a str,
}

#[derive(Debug, thiserror::Error)]
#[error("it is not JSON of the form {{\"username\": text, \"msg\": text, \"socketId\": text}}")]
struct Misshapen;

impl NewMsg {
    /// Dates are written in this time zone. `mark` is the tag of our messages on all buses.
    pub fn new(zone: TimeZone, mark: &str) -> Self {
        Self {
            format: infinite::Renderer { zone },
            socket_id: uuid(mark),
        }
    }
}

impl Format for NewMsg {
    fn read(&self, body: &[u8]) -> Result<Option<Said>, Box<dyn Error>> {
        // What reads a struct would take an array of texts as well.
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let received: Option<Received<'_>> =
            serde_json::from_slice(body).ok().filter(|_| is_object);
        let received = received.ok_or(Misshapen)?;
        if received.socket_id.as_deref() == Some(&self.socket_id) {
            return Ok(None);
        }
        let author = received.username.as_deref().and_then(AuthorName::shortened);
        Ok(Some(Said {
            author: author.filter(|name| name.as_str() != NOBODY),
            text: received.msg.into_owned(),
            replica: None,
        }))
    }

    fn write(&self, message: &Message) -> Vec<u8> {
        let told = Told {
            line: self.format.line(message),
            socket_id: &self.socket_id,
        };
        serde_json::to_vec(&told).expect("plain data encodes as JSON")
    }
}

/// A UUID of the kind that each application fills in by itself (RFC 9562, version 8), always the same for a mark.
fn uuid(mark: &str) -> String {
    let mut bytes: [u8; 16] = Sha256::digest(mark)[..16]
        .try_into()
        .expect("16 of 32 bytes");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [
        &digits[..4],
        &digits[4..6],
        &digits[6..8],
        &digits[8..10],
        &digits[10..],
    ]
    .map(<[String]>::concat)
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::message::testing::said_by;

    fn new_msg() -> NewMsg {
        NewMsg::new(TimeZone::get("Europe/Berlin").unwrap(), "0123456789abcdef")
    }

    fn message(author: Option<&str>, text: &str) -> Message {
        Message {
            time: "2022-07-04T13:30:00Z".parse().unwrap(),
            ..said_by(author, text)
        }
    }

    fn read(body: &str) -> Said {
        new_msg().read(body.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn what_an_old_process_publishes_is_read() {
        let said = read(
            r#"{"username":" Zo\u00eb ","msg":"<b>\"hi\"\n","date":"July 4, 2022 3:30 PM","socketId":"b0d0a3b5-9c5c-4f4a-9b1d-6a4b9f2f6a11"}"#,
        );
        assert_eq!(said.author.unwrap().as_str(), "Zoë");
        assert_eq!((&*said.text, said.replica), ("<b>\"hi\"\n", None));
    }

    #[test]
    fn who_gave_no_name_has_none() {
        for body in [
            r#"{"username":"???","msg":"hi"}"#,
            r#"{"username":"  ","msg":"hi"}"#,
            r#"{"username":null,"msg":"hi"}"#,
            r#" {"msg":"hi","date":5}"#,
        ] {
            assert_eq!(read(body).author, None, "{body}");
        }
    }

    #[test]
    fn what_could_be_no_name_here_is_cut() {
        let body = format!(r#"{{"username":"\u202e{}","msg":"hi"}}"#, "x".repeat(100));
        assert_eq!(read(&body).author.unwrap().as_str(), "x".repeat(40));
    }

    #[test]
    fn ours_is_written_as_an_old_process_would_and_not_taken_for_anothers() {
        let told = new_msg().write(&message(Some("Zoë"), "<b>\"hi\"\n"));
        let id = "9f9f5111-f7b2-8a78-9f1f-1ddde5ebc2dd";
        let expected = format!(
            r#"{{"username":"Zoë","msg":"<b>\"hi\"\n","date":"July 4, 2022 3:30 PM","socketId":"{id}"}}"#
        );
        assert_eq!(String::from_utf8(told.clone()).unwrap(), expected);
        assert_eq!(new_msg().read(&told).unwrap(), None);
        let others = NewMsg::new(TimeZone::UTC, "fedcba9876543210");
        assert_eq!(others.read(&told).unwrap().unwrap().text, "<b>\"hi\"\n");
        let nobodys = new_msg().write(&message(None, "hi"));
        let nobodys = others.read(&nobodys).unwrap().unwrap();
        assert_eq!((nobodys.author, &*nobodys.text), (None, "hi"));
    }

    #[test]
    fn what_has_another_shape_is_refused() {
        let deep = format!("{{\"msg\":{}", "[".repeat(100_000));
        for body in [
            "",
            "hi",
            "null",
            "5",
            r#""hi""#,
            r#"["ann","hi",null]"#,
            "{}",
            r#"{"username":"ann"}"#,
            r#"{"username":"ann","msg":5}"#,
            r#"{"username":5,"msg":"hi"}"#,
            r#"{"username":"ann","msg":"hi","socketId":7}"#,
            r#"{"username":"ann","msg":"hi""#,
            r#"{"msg":"hi"}{"msg":"hi"}"#,
            r#"{"msg":"hi","msg":"ho"}"#,
            "{\"msg\":\"\u{0}\"}",
            &deep,
        ] {
            assert!(new_msg().read(body.as_bytes()).is_err(), "{body:.80}");
        }
        assert!(new_msg().read(b"{\"msg\":\"\xff\"}").is_err());
    }
}
