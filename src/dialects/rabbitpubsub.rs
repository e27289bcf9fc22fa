//! The words of `rabbitpubsub`: events `join` and `chat`, whose arguments are strings of JSON both ways. The page
//! shows `{action, user, msg}` as plain text.

use serde::{Deserialize, Serialize};

use super::{
    Event,
    by_session::{News, PageEvents, Said, in_a_string},
};
use crate::{
    account::sessions::Record,
    chat::{
        message::{AuthorName, Message},
        room::{Render, Rendered},
    },
};

/// Who speaks where nobody knows the name.
const GUEST: &str = "Guest";

/// See the module.
pub struct RabbitPubSub;

/// What the page shows.
#[derive(Serialize)]
struct Shown<'a> {
    action: &'static str,
    user: &'a str,
    msg: &'a str,
}

impl PageEvents for RabbitPubSub {
    fn front_end(&self) -> &'static str {
        "rabbitpubsub"
    }

    fn name_in<'a>(&self, record: &'a Record) -> Option<&'a str> {
        record.user.as_deref()
    }

    fn understand(&self, event: &Event) -> Result<Said, &'static str> {
        #[derive(Deserialize)]
        struct Typed {
            msg: String,
        }
        match &*event.name {
            "join" => Ok(Said::Joined),
            "chat" => {
                let typed: String = event.arg().ok_or("payload is not a string of JSON")?;
                let Typed { msg } =
                    serde_json::from_str(&typed).map_err(|_| "payload has no text `msg`")?;
                Ok(Said::Text(msg))
            }
            _ => Err("no such event"),
        }
    }

    fn tell(&self, whom: &AuthorName, what: News) -> Rendered {
        chat(&Shown {
            action: "control",
            user: whom.as_str(),
            msg: match what {
                News::Joined => " joined the channel",
                News::Left => " left the channel",
            },
        })
    }

    fn tell_refused(&self, reason: &str) -> Rendered {
        chat(&Shown {
            action: "control",
            user: "Not sent:",
            msg: reason,
        })
    }
}

impl Render for RabbitPubSub {
    fn render(&self, message: &Message) -> Rendered {
        let author = message.author.as_ref().map(AuthorName::as_str);
        chat(&Shown {
            action: "message",
            user: author.unwrap_or(GUEST),
            msg: &message.text,
        })
    }
}

fn chat(shown: &Shown<'_>) -> Rendered {
    Rendered {
        event: "chat",
        payload: in_a_string(shown),
    }
}
