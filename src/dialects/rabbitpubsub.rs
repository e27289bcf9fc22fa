//! The words of `rabbitpubsub`: events `join` and `chat`, whose arguments are strings of JSON both ways. The page
//! shows `{action, user, msg}` as plain text.

use serde::{Deserialize, Serialize};

use super::{
    Event,
    by_session::{Id, News, PageEvents, Refused, Said, in_a_string},
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

/// What somebody is told whose name was not taken: the page does not show what its form was answered.
const NO_NAME: &str =
    "a name has 1 to 40 characters, and is nobody else's who has an account; load the page again";

/// See the module.
pub struct RabbitPubSub;

/// What the page shows.
#[derive(Serialize)]
struct Shown<'a> {
    action: &'static str,
    user: &'a str,
    msg: &'a str,
    #[serde(flatten)]
    id: Option<Id>,
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
                // Whoever joins by pressing Enter sends an empty line with it.
                Ok(if msg.is_empty() {
                    Said::Nothing
                } else {
                    Said::Text(msg)
                })
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
            id: None,
        })
    }

    fn nobody_joins(&self) -> &'static str {
        NO_NAME
    }

    fn tell_refused(&self, what: Refused, reason: &str) -> Rendered {
        chat(&Shown {
            action: "control",
            user: what.heading(),
            msg: reason,
            id: None,
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
            id: Some(Id::of(message)),
        })
    }
}

fn chat(shown: &Shown<'_>) -> Rendered {
    Rendered {
        event: "chat",
        payload: in_a_string(shown),
    }
}
