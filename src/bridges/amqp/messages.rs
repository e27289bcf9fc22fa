//! Exchange `messages` of `talk` and `chat-scaling`: the body is the payload of their event, which their servers
//! hand to their pages as it is. Pages take the text for HTML, so ours goes out with `<` as `&lt;`.

use std::borrow::Cow;

use lapin::ExchangeKind;
use serde::{Deserialize, Serialize};

use super::{
    exchange::Exchange,
    fanout::Format,
    intake::{Said, Unreadable, parse},
};
use crate::{
    chat::message::{Message, RoomName},
    dialects::{escape, iso},
};

pub(super) static EXCHANGE: Exchange = Exchange {
    name: "messages",
    kind: ExchangeKind::Fanout,
    auto_delete: false,
};

/// See the module.
pub(super) struct Messages;

impl Format for Messages {
    fn exchange(&self) -> &'static Exchange {
        &EXCHANGE
    }

    fn content_type(&self) -> Option<&'static str> {
        None
    }

    fn write(&self, message: &Message) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            text: Cow<'a, str>,
            date: String,
            ip: Cow<'a, str>,
            /// Where one is known; the old servers have none.
            #[serde(skip_serializing_if = "Option::is_none")]
            author: Option<Cow<'a, str>>,
        }
        let body = Body {
            text: escape(&message.text),
            date: iso(message.time),
            // Another bridge may have named it.
            ip: escape(&message.replica),
            author: message.author.as_ref().map(|name| escape(name.as_str())),
        };
        serde_json::to_vec(&body).expect("strings encode as JSON")
    }

    /// Who said it is not asked: nobody there is known.
    fn read(&self, body: &[u8]) -> Result<Option<Said>, Unreadable> {
        #[derive(Deserialize)]
        struct Body {
            text: String,
            ip: Option<String>,
        }
        let Body { text, ip } = parse(body, "it is {text, date, ip}, the text a string")?;
        Ok(Some(Said {
            room: RoomName::lobby(),
            author: None,
            text,
            replica: ip,
            direct: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::message::testing::said_by;

    #[test]
    fn a_body_is_what_the_pages_are_told_with_no_markup_of_ours() {
        let body = Messages.write(&said_by(None, "a<b>\"c"));
        let expected =
            "{\"text\":\"a&lt;b>\\\"c\",\"date\":\"2026-01-02T03:04:05.678Z\",\"ip\":\"host\"}";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        let mut message = said_by(Some("<ann>"), "hi");
        message.replica = "<img>".into();
        let body = String::from_utf8(Messages.write(&message)).unwrap();
        let told = r#""ip":"&lt;img>","author":"&lt;ann>"}"#;
        assert!(body.ends_with(told), "{body}");
    }

    #[test]
    fn bodies_of_both_chats_are_read() {
        let read = |body: &str| Messages.read(body.as_bytes()).map(Option::unwrap);
        let said =
            read(r#"{"text":"<b>","date":"2026-01-02T03:04:05.678Z","ip":"node-1"}"#).unwrap();
        assert_eq!(
            (&*said.text, said.replica.as_deref()),
            ("<b>", Some("node-1"))
        );
        assert_eq!(said.room, RoomName::lobby());
        let said = read(r#"{"text":"hi","date":"2026-01-02T03:04:05.678Z"}"#).unwrap();
        assert_eq!((said.replica, said.author), (None, None));
    }

    #[test]
    fn what_is_no_message_is_told_apart() {
        let refused = |body: &[u8]| Messages.read(body).err().unwrap().to_string();
        assert_eq!(refused(b"hello"), "a body of 5 bytes is not JSON");
        assert_eq!(refused(b"\xff"), "a body of 1 bytes is not JSON");
        for body in ["7", "[]", "{}", r#"{"text":7}"#, r#"{"text":"a","ip":{}}"#] {
            assert!(refused(body.as_bytes()).contains("another shape"), "{body}");
        }
    }
}
