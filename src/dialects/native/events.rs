//! How messages and people look to the page, and what it is told without asking.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    chat::{
        Chat,
        message::{AuthorName, Message, UserId},
        presence::Person,
        room::{Render, Rendered},
        socket::{CloseReason, SocketId},
    },
    dialects::{Volatile, iso, json},
};

/// People that one answer or event names at most; the counts tell of all.
pub(super) const PEOPLE_NAMED: usize = 200;

/// People whose leaving one event tells at most; that of the others is told by the next ones.
const PEOPLE_LEFT: usize = 1000;

/// How long changes of presence are gathered before they are told.
const PRESENCE_PERIOD: Duration = Duration::from_millis(250);

/// Tells who came and went, until the task is dropped.
pub async fn tell_presence(chat: Arc<Chat>, volatile: Arc<dyn Volatile>) {
    #[derive(Serialize)]
    struct People<'a> {
        room: &'a str,
        joined: Vec<PersonWords<'a>>,
        left: &'a [SocketId],
        guests: usize,
        total: usize,
    }
    let mut period = tokio::time::interval(PRESENCE_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        for change in chat.presence.changes(PEOPLE_NAMED, PEOPLE_LEFT) {
            let people = People {
                room: change.room.as_str(),
                joined: change.joined.iter().map(PersonWords::from).collect(),
                left: &change.left,
                guests: change.guests,
                total: change.total,
            };
            volatile
                .tell(change.room.as_str(), "people", json(&people))
                .await;
        }
    }
}

/// Why the connection ends.
pub(super) fn close_notice(why: CloseReason) -> Rendered {
    let told = serde_json::json!({
        "code": why.code(),
        "message": why.message(),
        "reconnect": why.reconnect(),
    });
    Rendered {
        event: "goodbye",
        payload: json(&told),
    }
}

/// Renders a message for everybody.
pub(super) struct Renderer;

impl Render for Renderer {
    fn render(&self, message: &Message) -> Rendered {
        Rendered {
            event: "message",
            payload: json(&Said::from(message)),
        }
    }
}

/// A message as it goes to the page.
#[derive(Serialize)]
pub(super) struct Said<'a> {
    room: &'a str,
    id: String,
    author: Option<&'a str>,
    text: &'a str,
    time: String,
    replica: &'a str,
}

impl<'a> From<&'a Message> for Said<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            room: message.room.as_str(),
            id: message.id.to_string(),
            author: message.author.as_ref().map(AuthorName::as_str),
            text: &message.text,
            time: iso(message.time),
            replica: &message.replica,
        }
    }
}

/// A person as the page knows one.
#[derive(Serialize)]
pub(super) struct PersonWords<'a> {
    id: SocketId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

impl<'a> From<&'a Person> for PersonWords<'a> {
    fn from(person: &'a Person) -> Self {
        Self {
            id: person.id,
            name: person.name.as_str(),
            user: person.user.as_ref().map(UserId::as_str),
        }
    }
}
