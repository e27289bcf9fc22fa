//! Exchange `chatExchange` of AMQPChat and `rabbitpubsub`, whose bodies differ: ours have the fields of both, and
//! each chat's page passes over the other's. Who joined and left is not kept, and does not pass.

use lapin::ExchangeKind;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    exchange::Exchange,
    fanout::Format,
    intake::{Said, Unreadable, parse},
};
use crate::{
    chat::{
        message::{Message, RoomName},
        room::Render,
    },
    dialects::{amqpchat::AmqpChat, rabbitpubsub::RabbitPubSub},
};

pub(super) static EXCHANGE: Exchange = Exchange {
    name: "chatExchange",
    kind: ExchangeKind::Fanout,
    auto_delete: true,
};

const SHAPE: &str = "it is {action, name, message} or {action, user, msg}, all of them strings";

/// See the module.
pub(super) struct ChatExchange;

impl Format for ChatExchange {
    fn exchange(&self) -> &'static Exchange {
        &EXCHANGE
    }

    /// Their library reads the body as JSON where it is said to be.
    fn content_type(&self) -> Option<&'static str> {
        Some("application/json")
    }

    fn write(&self, message: &Message) -> Vec<u8> {
        let mut body = shown(&AmqpChat, message);
        body.extend(shown(&RabbitPubSub, message));
        // Ours alone: the old servers hand the body to their pages as it is.
        body.remove("id");
        serde_json::to_vec(&body).expect("strings encode as JSON")
    }

    fn read(&self, body: &[u8]) -> Result<Option<Said>, Unreadable> {
        #[derive(Deserialize)]
        struct Body {
            action: String,
            name: Option<String>,
            message: Option<String>,
            user: Option<String>,
            msg: Option<String>,
        }
        let body: Body = parse(body, SHAPE)?;
        match &*body.action {
            "message" => {}
            "system" | "control" => return Ok(None),
            _ => return Err(Unreadable::Shape("its action is none of the old chats'")),
        }
        let (author, text) = match (body.name, body.message, body.user, body.msg) {
            (Some(name), Some(message), ..) => {
                let text = unmarked(&message, &name);
                (name, text)
            }
            (_, _, Some(user), Some(msg)) => (user, msg),
            _ => return Err(Unreadable::Shape(SHAPE)),
        };
        Ok(Some(Said {
            room: RoomName::lobby(),
            author: Some(author),
            text,
            replica: None,
            direct: None,
        }))
    }
}

/// What a front end's pages are told: a string that holds the object which is the body.
fn shown(format: &dyn Render, message: &Message) -> Map<String, Value> {
    let payload = format.render(message).payload;
    let object: String = serde_json::from_str(payload.get()).unwrap_or_default();
    serde_json::from_str(&object).unwrap_or_default()
}

/// AMQPChat's server puts markup around its sender's name; ours does so when it shows the text.
fn unmarked(message: &str, name: &str) -> String {
    message.replace(&format!("<b class=\"you\">{name}</b>"), name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::message::testing::said_by;

    #[test]
    fn a_body_is_what_the_pages_of_both_chats_are_told() {
        let body = ChatExchange.write(&said_by(Some("ann"), "ann <3"));
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "action": "message",
            "name": "ann", "message": "<b class=\"you\">ann</b> &lt;3",
            "user": "ann", "msg": "ann <3",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn bodies_of_both_chats_are_read() {
        let read = |body: &str| {
            let said = ChatExchange.read(body.as_bytes()).unwrap();
            said.map(|said| (said.author.unwrap(), said.text))
        };
        let marked =
            r#"{"action":"message","name":"ann","message":"I am <b class=\"you\">ann</b>"}"#;
        assert_eq!(read(marked), Some(("ann".into(), "I am ann".into())));
        let plain = r#"{"action":"message","user":"bob","msg":"/me waves"}"#;
        assert_eq!(read(plain), Some(("bob".into(), "/me waves".into())));
        let news = r#"{"action":"system","name":"ann","message":" joined the chat!"}"#;
        assert_eq!(read(news), None);
        assert_eq!(read(r#"{"action":"control","user":"bob","msg":"x"}"#), None);
    }

    #[test]
    fn what_we_write_is_read_as_it_was_said() {
        let body = ChatExchange.write(&said_by(Some("ann"), "hello, ann"));
        let said = ChatExchange.read(&body).unwrap().unwrap();
        assert_eq!(
            (said.author.as_deref(), &*said.text),
            (Some("ann"), "hello, ann")
        );
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for body in [
            "{}",
            r#"{"action":"message"}"#,
            r#"{"action":"message","name":"ann"}"#,
            r#"{"action":"message","name":"ann","message":7}"#,
            r#"{"action":"shutdown","name":"ann","message":"x"}"#,
            "chat",
        ] {
            assert!(ChatExchange.read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
