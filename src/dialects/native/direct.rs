//! Direct messages in our own words: what a socket that proved who it is may ask, and what it is told.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Problem, fields, history_limit, parse};
use crate::{
    chat::{
        Chat,
        direct::{Delivery, InboxReader, Subscription},
        message::{AuthorName, Direct, Message, MessageId, RoomName, UserId},
        socket::{self, CloseReason, Socket, SocketId},
        store::{Appended, Receipt, ReceiptKind, Thread},
    },
    dialects::{Event, iso, json},
};

/// Conversations that a list of them names at most.
const CONVERSATIONS_LISTED: usize = 200;

/// Characters that such a list shows of each newest message.
const EXCERPT: usize = 100;

/// What a socket has that proved who it is. Dropped, it is told nothing more.
pub(super) struct DirectMessages {
    chat: Arc<Chat>,
    user: UserId,
    remote: IpAddr,
    _seat: Subscription,
}

impl DirectMessages {
    /// From now on the socket is told what waits for the user, and what is new.
    pub fn open(chat: Arc<Chat>, user: UserId, socket: Arc<dyn Socket>) -> Self {
        let remote = socket.remote();
        let told = Arc::new(Reader {
            socket,
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

    pub async fn write(&self, name: AuthorName, event: &Event) -> Result<Appended, Problem> {
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
        let threads = self.chat.threads(&self.user, CONVERSATIONS_LISTED);
        let threads = threads.await?;
        let listed = |of: &'_ Thread| {
            serde_json::to_value(Listed {
                with: of.with.as_str(),
                unread: of.unread,
                last: of.last.as_deref().and_then(Written::excerpt),
            })
        };
        let threads: Result<Vec<_>, _> = threads.iter().map(listed).collect();
        let threads = threads.expect("plain data encodes as JSON");
        Ok(fields(serde_json::json!({ "conversations": threads })))
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
        let limit = history_limit(limit)?;
        let room = RoomName::direct(&self.user, &with);
        let page = (self.chat).before(&room, before.transpose()?, limit, self.remote);
        let (messages, more) = page.await?;
        let thread_state = self.chat.thread_state(&self.user, &with).await?;
        let messages: Vec<_> = messages
            .iter()
            .filter_map(|message| Written::new(message))
            .collect();
        Ok(fields(serde_json::json!({
            "messages": messages,
            "more": more,
            "delivered": thread_state.delivered.map(|id| id.to_string()),
            "read": thread_state.read.map(|id| id.to_string()),
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

/// A socket, as the user's inbox sees it.
struct Reader {
    socket: Arc<dyn Socket>,
    user: UserId,
}

impl InboxReader for Reader {
    fn id(&self) -> SocketId {
        self.socket.id()
    }

    fn show(&self, message: &Arc<Message>, delivery: Option<Delivery>) {
        let Some(written) = Written::new(message) else {
            return;
        };
        let payload = json(&written);
        match delivery {
            None => self.socket.emit("direct", &payload),
            Some(delivery) => {
                let acknowledged = Box::new(move |answer: socket::Answer| {
                    if answer.is_ok() {
                        delivery.acknowledge();
                    }
                });
                self.socket.ask("direct", &payload, acknowledged);
                // `read`, from a client that shows it at once.
                self.socket.expect(1);
            }
        }
    }

    fn break_off(&self) {
        self.socket.close(CloseReason::FellBehind);
    }

    fn receipt(&self, receipt: &Receipt) {
        let (from, to) = (receipt.from.as_str(), receipt.to.as_str());
        let id = receipt.id.to_string();
        match receipt.what {
            ReceiptKind::Delivered { .. } => {
                let delivered = serde_json::json!({ "with": to, "id": id });
                self.socket.emit("delivered", &json(&delivered));
            }
            ReceiptKind::Read => {
                let with = if receipt.from == self.user { to } else { from };
                let read = serde_json::json!({ "with": with, "by": to, "id": id });
                self.socket.emit("read", &json(&read));
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
