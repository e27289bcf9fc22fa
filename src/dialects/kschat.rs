//! The words of `kschat`: namespace `/kschat`, two users, each known by a token. The page calls the
//! acknowledgement of every event without looking whether there is one, so all of them ask for it; and it
//! puts texts into the document as HTML, so `<` leaves as `&lt;`. `client` shows messages to the page, once it
//! listens (`listening`).

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{json as object, value::RawValue};

use self::client::{Client, Page, Sent};
use super::{Ack, Dialect, Event, Handler, Handshake, Refusal, log_refused};
use crate::{
    account::tokens::{Tokens, Watch},
    chat::{
        Chat, Refused,
        direct::Subscription,
        message::{Message, MessageId, RoomName, UserId},
        socket::Socket,
        store::StoreError,
    },
};

mod client;
mod listening;

/// What every refusal is called.
const REFUSAL: Refusal = Refusal("Authentication error");

/// Messages of a handler among which one is looked for that a client says it has read and that this
/// connection has not shown it.
const LOOKED_BACK: usize = 100;

/// The longest mark of a client on its message that it is given back, bytes of JSON.
const LONGEST_MARK: usize = 200;

/// The dialect of namespace `/kschat`.
pub struct Kschat {
    chat: Arc<Chat>,
    tokens: Option<Arc<Tokens>>,
}

impl Kschat {
    /// Without tokens everybody is refused.
    pub fn new(chat: Arc<Chat>, tokens: Option<Arc<Tokens>>) -> Self {
        Self { chat, tokens }
    }
}

impl Dialect for Kschat {
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        let refused = |reason: &dyn std::fmt::Display| {
            tracing::warn!(socket = %socket.id(), %reason, "refused a token");
            REFUSAL
        };
        let tokens = (self.tokens.as_ref()).ok_or_else(|| refused(&"no token is taken here"))?;
        let token = handshake.token().map_err(|error| refused(&error))?;
        let token = token.ok_or_else(|| refused(&"there is none"))?;
        let identity = (tokens.verify(&token)).map_err(|error| refused(&error.detail()))?;
        Ok(Box::new(Talking {
            chat: self.chat.clone(),
            _watch: tokens.watch(&socket, &identity),
            client: Arc::new(Client::new(socket, identity.user)),
            subscription: None,
        }))
    }
}

struct Talking {
    chat: Arc<Chat>,
    client: Arc<Client>,
    subscription: Option<Subscription>,
    _watch: Watch,
}

/// Why a message was not sent: `ER` of the answer. The page shows none of them.
#[derive(Clone, Copy)]
enum Failure {
    /// In the name of somebody else.
    NotYou = 1,
    /// It could not be kept now.
    Unavailable = 2,
    /// Too many messages wait for the other.
    InboxFull = 3,
    /// Of the wrong shape, empty, or too long.
    Bad = 4,
}

#[async_trait]
impl Handler for Talking {
    async fn open(&mut self) {
        let user = self.client.user().clone();
        self.subscription = Some(
            self.chat
                .direct
                .open(user, Arc::new(Page(self.client.clone()))),
        );
    }

    async fn handle(&mut self, event: Event) {
        match &*event.name {
            "Send" => self.send(event).await,
            "MsgStatus" => self.has_read(event).await,
            "Logout" => self.log_out(event),
            _ => log_refused(self.client.socket(), &event.name, &"no such event"),
        }
    }

    async fn close(&mut self) {
        self.subscription = None;
    }
}

impl Talking {
    async fn send(&mut self, mut event: Event) {
        #[derive(Deserialize)]
        struct Send {
            #[serde(rename = "uId")]
            from: UserId,
            #[serde(rename = "pId")]
            to: UserId,
            msg: String,
            rno: Option<Box<RawValue>>,
        }
        let Some(Send {
            from,
            to,
            msg,
            rno: receipt,
        }) = event.arg()
        else {
            return self.not_sent(&event, Failure::Bad, &"payload has the wrong shape");
        };
        if from != *self.client.user() || self.subscription.is_none() {
            return self.not_sent(&event, Failure::NotYou, &"in the name of somebody else");
        }
        let receipt = receipt.filter(|receipt| receipt.get().len() <= LONGEST_MARK);
        let ack = event.ack.take();
        // Noted before it is kept: it may come round before the receipt does.
        let key = self.client.expect(Sent { receipt });
        let between = (from.clone(), to);
        let receipt = match self.chat.write(between, None, msg, Some(key.clone())).await {
            Ok(receipt) => receipt,
            Err(refused) => {
                self.client.expect_no_more(&key);
                return self.not_sent(&event, Failure::from(&refused), &refused);
            }
        };
        // The next event need not wait until this one is kept.
        let client = self.client.clone();
        tokio::spawn(async move {
            match receipt.await {
                Ok(message) => {
                    answer(ack, "Send Emit is success.", &from);
                    if client.is_logged_out.load(Ordering::Acquire) {
                        client.show_sent(&message);
                    }
                }
                Err(error) => {
                    client.expect_no_more(&key);
                    not_sent(&client, &event, Failure::from(&error), &error);
                }
            }
        });
    }

    fn not_sent(&self, event: &Event, failure: Failure, reason: &dyn std::fmt::Display) {
        not_sent(&self.client, event, failure, reason);
    }

    /// The page says so of every message that it shows. Nobody's page is told by an event that it
    /// would answer in turn.
    async fn has_read(&mut self, mut event: Event) {
        #[derive(Deserialize)]
        struct Status {
            #[serde(rename = "uId")]
            reader: UserId,
            #[serde(rename = "pId")]
            writer: UserId,
            #[serde(rename = "msgTime")]
            time: i64,
            #[serde(rename = "rStatus")]
            status: u8,
        }
        let refused = |reason: &dyn std::fmt::Display| {
            log_refused(self.client.socket(), "MsgStatus", reason);
        };
        let Some(Status {
            reader,
            writer,
            time,
            status,
        }) = event.arg()
        else {
            return refused(&"payload has the wrong shape");
        };
        if reader != *self.client.user() || self.subscription.is_none() {
            return refused(&"in the name of somebody else");
        }
        if status != client::READ {
            return refused(&"no such status");
        }
        let id = match self.find(&writer, time).await {
            Ok(Some(id)) => id,
            Ok(None) => return refused(&"no such message"),
            Err(error) => return refused(&error),
        };
        match self.chat.read(&reader, &writer, id).await {
            Ok(Some(_)) => answer(event.ack.take(), "MsgStatus Emit is success.", &reader),
            Ok(None) => refused(&"no such message"),
            Err(error) => refused(&error),
        }
    }

    /// The message that somebody wrote to this user at this time, in ms since 1970.
    async fn find(&self, writer: &UserId, time: i64) -> Result<Option<MessageId>, StoreError> {
        if let Some(id) = self.client.shown_at(writer, time) {
            return Ok(Some(id));
        }
        let room = RoomName::direct(self.client.user(), writer);
        let (messages, _) =
            (self
                .chat
                .before(&room, None, LOOKED_BACK, self.client.socket().remote()))
            .await?;
        let is_it = |message: &Message| {
            message.time.as_millisecond() == time
                && (message.direct.as_ref()).is_some_and(|direct| direct.from == *writer)
        };
        let found = messages.iter().rev().find(|message| is_it(message));
        Ok(found.map(|message| message.id))
    }

    fn log_out(&mut self, event: Event) {
        #[derive(Deserialize)]
        struct Logout {
            #[serde(rename = "uId")]
            user: Option<UserId>,
        }
        let user = event.arg().and_then(|Logout { user }| user);
        let user = user.as_ref().unwrap_or(self.client.user());
        answer(event.ack, "Logout Emit is success.", user);
        self.client.is_logged_out.store(true, Ordering::Release);
        self.subscription = None;
        self.client.listening.stop();
        (self.client).ask("RESPLOGOUT", &object!({ "RC": 1, "ERR": 0 }), || {});
    }
}

/// The client keeps what was typed: only the acknowledgement has the page clear it.
fn not_sent(client: &Client, event: &Event, failure: Failure, reason: &dyn std::fmt::Display) {
    log_refused(client.socket(), &event.name, reason);
    let failed = object!({ "RC": 1, "ER": failure as u8 });
    client.ask("RESPSEND", &failed, || {});
}

fn answer(ack: Option<Ack>, response: &str, user: &UserId) {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(rename = "RESPONSE")]
        response: &'a str,
        #[serde(rename = "uId")]
        user: &'a UserId,
    }
    if let Some(ack) = ack {
        ack.send(&Answer { response, user });
    }
}

impl From<&Refused> for Failure {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Empty | Refused::TooLong(_) => Self::Bad,
            Refused::Store(error) => error.into(),
        }
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::InboxFull(_) => Self::InboxFull,
            StoreError::Busy
            | StoreError::Unknown
            | StoreError::Closed
            | StoreError::Storage(_) => Self::Unavailable,
        }
    }
}
