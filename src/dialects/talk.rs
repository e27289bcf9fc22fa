//! The words of `talk` and `chat-scaling`: namespace `/`, no login, one room. `message` carries a
//! bare text to the server and `{text, date, ip, id}` to everybody (`author` too, where one is known). The pages put what they are told
//! into the document as HTML, so `<` leaves as `&lt;`.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Dialect, Event, Handler, Handshake, Refusal, escape, iso, json, refuse};
use crate::chat::{
    Chat,
    message::{Message, MessageId, RoomName},
    presence::Stay,
    room::{Render, Rendered, Start, Subscription},
    socket::{CloseReason, Socket},
};
use crate::log_limit::log_limited;

/// The dialect of namespace `/`.
pub struct Talk {
    chat: Arc<Chat>,
    words: Arc<dyn Render>,
}

impl Talk {
    pub fn new(chat: Arc<Chat>) -> Self {
        Self {
            chat,
            words: Arc::new(Renderer),
        }
    }
}

impl Dialect for Talk {
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        let after = match handshake.auth::<Auth>() {
            Some(Auth { after: Some(id) }) => Some(id),
            _ => handshake.query("after"),
        };
        Ok(Box::new(Talking {
            chat: self.chat.clone(),
            words: self.words.clone(),
            socket,
            after: after.and_then(|id| id.parse().ok()),
            subscription: None,
        }))
    }
}

/// What a client may send along with CONNECT.
#[derive(Deserialize)]
struct Auth {
    after: Option<String>,
}

struct Talking {
    chat: Arc<Chat>,
    words: Arc<dyn Render>,
    socket: Arc<dyn Socket>,
    after: Option<MessageId>,
    subscription: Option<(Subscription, Stay)>,
}

#[async_trait]
impl Handler for Talking {
    async fn open(&mut self) {
        #[derive(Serialize)]
        struct Host<'a> {
            #[serde(rename = "ipHost")]
            ip_host: &'a str,
        }
        self.socket.emit(
            "start",
            &json(&Host {
                ip_host: self.chat.replica(),
            }),
        );

        let room = RoomName::lobby();
        let history = self.chat.limits().history;
        let from = self
            .after
            .map_or(Start::Last(history), |id| Start::After(id, history));
        let subscription = async {
            let entry = (self
                .chat
                .rooms
                .enter(room.clone(), from, self.socket.remote()))
            .await?;
            entry.follow(self.socket.clone(), self.words.clone()).await
        };
        match subscription.await {
            Ok(subscription) => {
                let stay = self.chat.presence.enter(room, self.socket.id(), None);
                self.subscription = Some((subscription, stay));
            }
            Err(error) => {
                log_limited!(error, socket = %self.socket.id(), %error, "could not read the room");
                self.socket.close(CloseReason::Unavailable);
            }
        }
    }

    async fn handle(&mut self, event: Event) {
        if &*event.name != "message" {
            // The page has no way to show it; a message's id, the other answer, is a string.
            return refuse(&*self.socket, event, &"no such event");
        }
        let Some(text) = event.arg::<String>() else {
            return refuse(&*self.socket, event, &"text is not a string");
        };
        let receipt = match self.chat.post(RoomName::lobby(), None, text, None).await {
            Ok(receipt) => receipt,
            Err(refused) => return refuse(&*self.socket, event, &refused),
        };
        // The next event need not wait until this one is kept.
        let socket = self.socket.clone();
        tokio::spawn(async move {
            match receipt.await {
                Ok(message) => event.answer(&message.id.to_string()),
                Err(error) => refuse(&*socket, event, &error),
            }
        });
    }

    async fn close(&mut self) {
        self.subscription = None;
    }
}

/// What pages are told of a message.
pub struct Renderer;

impl Render for Renderer {
    fn render(&self, message: &Message) -> Rendered {
        #[derive(Serialize)]
        struct Said<'a> {
            text: Cow<'a, str>,
            date: String,
            ip: Cow<'a, str>,
            id: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            author: Option<Cow<'a, str>>,
        }
        let payload = json(&Said {
            text: escape(&message.text),
            date: iso(message.time),
            // A bridge may have named it.
            ip: escape(&message.replica),
            id: message.id.to_string(),
            author: message.author.as_ref().map(|name| escape(name.as_str())),
        });
        Rendered {
            event: "message",
            payload,
        }
    }
}
