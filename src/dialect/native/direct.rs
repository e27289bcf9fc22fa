//! Direct messages in our own words: what a peer that proved who it is may ask, and what it is told.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    HISTORY_LIMIT,
    answer::{Answer, Problem, fields, parse},
};
use crate::{
    chat::{
        Chat,
        direct::{Correspondent, Delivery, Seat},
        log::{Became, Conversation, Mark, Receipt},
        message::{AuthorName, Direct, Message, MessageId, RoomName, UserId},
        peer::{self, Goodbye, Outlet, PeerId},
    },
    dialect::{Event, iso, json},
};

/// Conversations that a list of them names at most.
const CONVERSATIONS_LISTED: usize = 200;

/// Characters that such a list shows of each newest message.
const EXCERPT: usize = 100;

/// What a peer has that proved who it is. Dropped, it is told nothing more.
pub(super) struct Correspondence {
    chat: Arc<Chat>,
    user: UserId,
    remote: IpAddr,
    _seat: Seat,
}

impl Correspondence {
    /// From now on the peer is told what waits for the user, and what is new.
    pub fn open(chat: Arc<Chat>, user: UserId, peer: Arc<dyn Outlet>) -> Self {
        let remote = peer.remote();
        let told = Arc::new(Told {
            peer,
            user: user.clone(),
        });
        Self {
            _seat: chat.direct.open(user.clone(), told),
            chat,
            user,
            remote,
        }
    }

    pub fn user(&self) -> &UserId {
        &self.user
    }

    pub async fn write(&self, name: AuthorName, event: &Event) -> Result<Receipt, Problem> {
        #[derive(Deserialize)]
        struct Write {
            to: serde_json::Value,
            text: String,
            key: Option<String>,
        }
        let Write { to, text, key } = parse(event)?;
        let to = user_id(to)?;
        let key = key.map(|key| key.parse()).transpose();
        let key = key
            .map_err(|_| Problem::BadRequest("`key` is not 1 to 64 printable ASCII characters"))?;
        let between = (self.user.clone(), to);
        Ok(self.chat.write(between, Some(name), text, key).await?)
    }

    pub async fn list(&self) -> Result<Answer, Problem> {
        #[derive(Serialize)]
        struct Listed<'a> {
            with: &'a str,
            unread: u64,
            last: Option<Written<'a>>,
        }
        let conversations = self.chat.conversations(&self.user, CONVERSATIONS_LISTED);
        let conversations = conversations.await?;
        let listed = |of: &'_ Conversation| {
            serde_json::to_value(Listed {
                with: of.with.as_str(),
                unread: of.unread,
                last: of.last.as_deref().and_then(Written::excerpt),
            })
        };
        let conversations: Result<Vec<_>, _> = conversations.iter().map(listed).collect();
        let conversations = conversations.expect("plain data encodes as JSON");
        Ok(fields(
            serde_json::json!({ "conversations": conversations }),
        ))
    }

    pub async fn page(&self, event: &Event) -> Result<Answer, Problem> {
        #[derive(Deserialize)]
        struct Page {
            with: serde_json::Value,
            before: Option<String>,
            limit: Option<usize>,
        }
        let Page {
            with,
            before,
            limit,
        } = parse(event)?;
        let with = user_id(with)?;
        let before = before.map(|id| message_id(&id, "`before` is not a message id"));
        let limit = limit.unwrap_or(HISTORY_LIMIT);
        if !(1..=HISTORY_LIMIT).contains(&limit) {
            return Err(Problem::BadRequest("`limit` is not between 1 and 100"));
        }
        let room = RoomName::direct(&self.user, &with);
        let page = (self.chat).before(&room, before.transpose()?, limit, self.remote);
        let (messages, more) = page.await?;
        let standing = self.chat.standing(&self.user, &with).await?;
        let messages: Vec<_> = messages
            .iter()
            .filter_map(|message| Written::new(message))
            .collect();
        Ok(fields(serde_json::json!({
            "messages": messages,
            "more": more,
            "delivered": standing.delivered.map(|id| id.to_string()),
            "read": standing.read.map(|id| id.to_string()),
        })))
    }

    pub async fn read(&self, event: &Event) -> Result<Answer, Problem> {
        #[derive(Deserialize)]
        struct Read {
            with: serde_json::Value,
            id: String,
        }
        let Read { with, id } = parse(event)?;
        let with = user_id(with)?;
        let id = message_id(&id, "`id` is not a message id")?;
        let unread = self.chat.read(&self.user, &with, id).await?;
        let unread = unread.ok_or(Problem::BadRequest("`id` names no message that is kept"))?;
        Ok(fields(serde_json::json!({ "unread": unread })))
    }
}

/// An id of a string or a whole number; anything else is of the wrong shape.
fn user_id(id: serde_json::Value) -> Result<UserId, Problem> {
    match id {
        serde_json::Value::String(id) => id.parse().map_err(Problem::BadUser),
        number => serde_json::from_value(number)
            .map_err(|_| Problem::BadRequest("user is neither a string nor a whole number")),
    }
}

fn message_id(id: &str, problem: &'static str) -> Result<MessageId, Problem> {
    id.parse().map_err(|_| Problem::BadRequest(problem))
}

/// A peer, as the user's box sees it.
struct Told {
    peer: Arc<dyn Outlet>,
    user: UserId,
}

impl Correspondent for Told {
    fn id(&self) -> PeerId {
        self.peer.id()
    }

    fn show(&self, message: &Arc<Message>, delivery: Option<Delivery>) {
        let Some(written) = Written::new(message) else {
            return;
        };
        let payload = json(&written);
        match delivery {
            None => self.peer.emit("direct", &payload),
            Some(delivery) => {
                let acknowledged = Box::new(move |answer: peer::Answer| {
                    if answer.is_ok() {
                        delivery.acknowledge();
                    }
                });
                self.peer.ask("direct", &payload, acknowledged);
            }
        }
    }

    fn break_off(&self) {
        self.peer.close(Goodbye::FellBehind);
    }

    fn mark(&self, mark: &Mark) {
        let (from, to) = (mark.from.as_str(), mark.to.as_str());
        let id = mark.id.to_string();
        match mark.what {
            Became::Delivered { .. } => {
                let delivered = serde_json::json!({ "with": to, "id": id });
                self.peer.emit("delivered", &json(&delivered));
            }
            Became::Read => {
                let with = if mark.from == self.user { to } else { from };
                let read = serde_json::json!({ "with": with, "by": to, "id": id });
                self.peer.emit("read", &json(&read));
            }
        }
    }
}

/// A direct message as it goes to the page.
#[derive(Serialize)]
struct Written<'a> {
    id: String,
    from: &'a str,
    to: &'a str,
    name: Option<&'a str>,
    text: &'a str,
    time: String,
    replica: &'a str,
}

impl<'a> Written<'a> {
    fn new(message: &'a Message) -> Option<Self> {
        let Direct { from, to, .. } = message.direct.as_deref()?;
        Some(Self {
            id: message.id.to_string(),
            from: from.as_str(),
            to: to.as_str(),
            name: message.author.as_ref().map(AuthorName::as_str),
            text: &message.text,
            time: iso(message.time),
            replica: &message.replica,
        })
    }

    /// The first words of it: a list of many has to be one answer.
    fn excerpt(message: &'a Message) -> Option<Self> {
        let mut written = Self::new(message)?;
        let end = written.text.char_indices().nth(EXCERPT);
        written.text = &written.text[..end.map_or(written.text.len(), |(at, _)| at)];
        Some(written)
    }
}
