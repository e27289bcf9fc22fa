//! Broadcasts of Socket.IO servers in Node that meet in Redis (socket.io-redis 5.x, @socket.io/redis-adapter 6 to 8): the event
//! `message` of talk and chat-scaling, to everybody in the default namespace. To Node we are one more process whose sockets
//! are in no rooms. We never join the channel on which processes ask each other: who does has to answer.

mod packet;

use std::error::Error;

use rmpv::Value;

use self::packet::{Broadcast, field, text};
use super::pubsub::{Format, Said};
use crate::{
    chat::{
        message::{AuthorName, Message},
        room::Render,
    },
    dialects::talk,
};

/// The only event that is a message.
const MESSAGE: &str = "message";

/// The only namespace that is bridged.
const NAMESPACE: &str = "/";

/// The format of the channel.
pub struct SocketIoRedis {
    uid: String,
    format: talk::Renderer,
}

#[derive(Debug, thiserror::Error)]
#[error("its `message` is neither a text nor has it one in `text`")]
struct Textless;

/// The channel of broadcasts to everybody; `key` is what the adapters have it from.
pub fn channel(key: &str) -> String {
    format!("{key}#{NAMESPACE}#")
}

impl SocketIoRedis {
    /// `mark` is the tag of our messages on all buses.
    pub fn new(mark: &str) -> Self {
        Self {
            uid: uid(mark),
            format: talk::Renderer,
        }
    }
}

impl Format for SocketIoRedis {
    fn read(&self, body: &[u8]) -> Result<Option<Said>, Box<dyn Error>> {
        let Broadcast {
            uid,
            namespace,
            to_rooms,
            event,
            args,
        } = packet::read(body)?;
        // None of our sockets is in a room of theirs, nor excluded by one.
        if uid == self.uid || namespace != NAMESPACE || to_rooms || event != MESSAGE {
            return Ok(None);
        }
        Ok(Some(said(args.first()).ok_or(Textless)?))
    }

    fn write(&self, message: &Message) -> Vec<u8> {
        let rendered = self.format.render(message);
        packet::write(&self.uid, rendered.event, &rendered.payload)
    }
}

/// The payload of talk's and chat-scaling's event, or a bare text.
fn said(payload: Option<&Value>) -> Option<Said> {
    let payload = payload?;
    let part = |name| field(payload, name).and_then(text);
    Some(Said {
        author: part("author").as_deref().and_then(AuthorName::shortened),
        text: text(payload).or_else(|| part("text"))?,
        replica: part("ip"),
    })
}

/// Node's processes have ids of six characters (letters, digits, `-`, `_`), so ours cannot be mistaken for one.
fn uid(mark: &str) -> String {
    format!("~{}", mark.chars().take(5).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;
    use crate::chat::message::testing::said_by;

    fn ours() -> SocketIoRedis {
        SocketIoRedis::new("0123456789abcdef")
    }

    fn read(payload: &serde_json::Value) -> Result<Option<Said>, String> {
        let body = packet::write("mhPqYr", "message", &to_raw_value(payload).unwrap());
        ours().read(&body).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_old_servers_tell_is_read() {
        let payload = json!({ "text": "<b>hi", "date": "2022-07-04T13:30:00.000Z", "ip": "old" });
        let said = read(&payload).unwrap().unwrap();
        assert_eq!((said.author, &*said.text), (None, "<b>hi"));
        assert_eq!(said.replica.as_deref(), Some("old"));
        let said = read(&json!("hi")).unwrap().unwrap();
        assert_eq!((&*said.text, said.replica), ("hi", None));
        let said = read(&json!({ "text": "hi", "ip": 7, "author": " Ann " }))
            .unwrap()
            .unwrap();
        assert_eq!((said.author.unwrap().as_str(), said.replica), ("Ann", None));
    }

    #[test]
    fn what_has_no_text_is_refused() {
        for payload in [
            json!(null),
            json!(5),
            json!(["hi"]),
            json!({}),
            json!({ "text": 5 }),
            json!({ "text": null }),
            json!({ "msg": "hi" }),
        ] {
            let error = read(&payload).unwrap_err();
            assert!(error.contains("neither a text"), "{payload}: {error}");
        }
    }

    #[test]
    fn what_is_not_said_to_everybody_is_nothing_to_us() {
        let payload = to_raw_value("hi").unwrap();
        let body = packet::write("mhPqYr", "typing", &payload);
        assert_eq!(ours().read(&body).unwrap(), None);
        let elsewhere = packet::write("mhPqYr", "message", &payload);
        let at = elsewhere
            .windows(2)
            .position(|pair| pair == b"\xa1/")
            .unwrap();
        let elsewhere = [&elsewhere[..at], b"\xa2/x", &elsewhere[at + 2..]].concat();
        assert_eq!(ours().read(&elsewhere).unwrap(), None);
        let to_all = packet::write("mhPqYr", "message", &payload);
        let at = to_all
            .windows(6)
            .position(|word| word == b"\xa5rooms")
            .unwrap();
        let to_room = [&to_all[..at + 6], b"\x91\xa1r", &to_all[at + 7..]].concat();
        assert_eq!(ours().read(&to_room).unwrap(), None);
        // To everybody but the socket that said it, whichever that is.
        let at = to_all
            .windows(7)
            .position(|word| word == b"\xa6except")
            .unwrap();
        let to_others = [&to_all[..at + 7], b"\x91\xa1s", &to_all[at + 8..]].concat();
        assert_eq!(ours().read(&to_others).unwrap().unwrap().text, "hi");
    }

    #[test]
    fn ours_is_told_as_pages_are_and_not_taken_for_anothers() {
        let message = said_by(Some("Ann"), "<b>hi");
        let body = ours().write(&message);
        assert_eq!(ours().read(&body).unwrap(), None);
        let read = packet::read(&body).unwrap();
        assert_eq!((&*read.uid, &*read.namespace), ("~01234", "/"));
        let payload: serde_json::Value = rmpv::ext::from_value(read.args[0].clone()).unwrap();
        let expected = json!({
            "text": "&lt;b>hi", "date": "2026-01-02T03:04:05.678Z", "ip": "host", "id": "1-00000001", "author": "Ann"
        });
        assert_eq!(payload, expected);
        let others = SocketIoRedis::new("fedcba9876543210");
        assert_eq!(
            others.read(&body).unwrap().unwrap().replica.as_deref(),
            Some("host")
        );
    }
}
