//! The words of `kschat`: namespace `/kschat`, two users, each known by a token. The page calls the
//! acknowledgement of every event without looking whether there is one, so all of them ask for it; and it
//! puts texts into the document as HTML, so `<` leaves as `&lt;`. `client` shows messages to the page, once it
//! listens (`listening`).

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{json as object, value::RawValue};

use self::client::{Client, Page, Sent};
use super::{
    Ack, Dialect, Event, Handler, Handshake, Refusal, Rendered, escape, json, log_refused,
};
use crate::{
    account::tokens::{Tokens, Watch},
    chat::{
        Chat, Refused,
        direct::Subscription,
        message::{Message, MessageId, RoomName, UserId},
        socket::{CloseReason, Socket},
        store::StoreError,
    },
    log_limit::log_limited,
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

/// `ER` of what is told before the server ends the connection.
const ENDED: u8 = 5;

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
            log_limited!(warn, socket = %socket.id(), %reason, "refused a token");
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

    /// The page says nothing by itself about the end of its connection: it is told where the user has to do something about
    /// it.
    fn close_notice(&self, why: CloseReason) -> Option<Rendered> {
        let told = match why {
            CloseReason::TooLarge => format!("Not sent: {}", why.message()),
            why if why.reconnect() => return None,
            why => format!("Disconnected: {}. Load the page again.", why.message()),
        };
        let ended = object!({
            "RC": 1,
            "ER": ENDED,
            "MSG": told,
            "MSGTIME": Timestamp::now().as_millisecond(),
        });
        Some(Rendered {
            event: "RESPSEND",
            payload: json(&ended),
        })
    }

    fn asks_always(&self) -> bool {
        true
    }
}

struct Talking {
    chat: Arc<Chat>,
    client: Arc<Client>,
    subscription: Option<Subscription>,
    _watch: Watch,
}

/// What the page sends for a message.
#[derive(Deserialize)]
struct Send {
    #[serde(rename = "uId")]
    from: UserId,
    #[serde(rename = "pId")]
    to: UserId,
    msg: String,
    rno: Option<Box<RawValue>>,
}

/// Why a message was not sent. The page shows the text.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error("you are not logged in as its sender")]
    NotYou,
    #[error("it cannot be stored now")]
    Unavailable(#[source] StoreError),
    #[error("too many messages wait for the other")]
    InboxFull,
    #[error("it has the wrong shape")]
    Shape,
    #[error(transparent)]
    Text(Refused),
}

impl NotSent {
    /// `ER` of the answer.
    fn code(&self) -> u8 {
        match self {
            Self::NotYou => 1,
            Self::Unavailable(_) => 2,
            Self::InboxFull => 3,
            Self::Shape | Self::Text(_) => 4,
        }
    }
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
            _ => self.refuse(event, &"no such event"),
        }
    }

    async fn close(&mut self) {
        self.subscription = None;
    }
}

impl Talking {
    async fn send(&mut self, mut event: Event) {
        let ack = event.ack.take();
        let Some(mut asked) = event.arg::<Send>() else {
            return not_sent(&self.client, ack, None, &NotSent::Shape);
        };
        asked.rno = asked
            .rno
            .filter(|receipt| receipt.get().len() <= LONGEST_MARK);
        if asked.from != *self.client.user() || self.subscription.is_none() {
            return not_sent(&self.client, ack, Some(&asked), &NotSent::NotYou);
        }
        // Noted before it is kept: it may come round before the receipt does.
        let key = self.client.expect(Sent {
            receipt: asked.rno.clone(),
        });
        let between = (asked.from.clone(), asked.to.clone());
        let text = asked.msg.clone();
        let receipt = match self
            .chat
            .write(between, None, text, Some(key.clone()))
            .await
        {
            Ok(receipt) => receipt,
            Err(refused) => {
                self.client.expect_no_more(&key);
                return not_sent(&self.client, ack, Some(&asked), &refused.into());
            }
        };
        // The next event need not wait until this one is kept.
        let client = self.client.clone();
        tokio::spawn(async move {
            match receipt.await {
                Ok(message) => {
                    answer(ack, "Send Emit is success.", &asked.from);
                    if client.is_logged_out.load(Ordering::Acquire) {
                        client.show_sent(&message);
                    }
                }
                Err(error) => {
                    client.expect_no_more(&key);
                    not_sent(&client, ack, Some(&asked), &error.into());
                }
            }
            drop(event);
        });
    }

    /// The page says so of every message that it shows. Nobody's page is told by an event that it
    /// would answer in turn.
    async fn has_read(&mut self, event: Event) {
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
        let Some(Status {
            reader,
            writer,
            time,
            status,
        }) = event.arg()
        else {
            return self.refuse(event, &"payload has the wrong shape");
        };
        if reader != *self.client.user() || self.subscription.is_none() {
            return self.refuse(event, &"in the name of somebody else");
        }
        if status != client::READ {
            return self.refuse(event, &"no such status");
        }
        let id = match self.find(&writer, time).await {
            Ok(Some(id)) => id,
            Ok(None) => return self.refuse(event, &"no such message"),
            Err(error) => return self.refuse(event, &error),
        };
        match self.chat.read(&reader, &writer, id).await {
            Ok(Some(_)) => answer(event.ack, "MsgStatus Emit is success.", &reader),
            Ok(None) => self.refuse(event, &"no such message"),
            Err(error) => self.refuse(event, &error),
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

    /// What the page asks for otherwise is not shown there: who looks at the answer is told.
    fn refuse(&self, event: Event, reason: &dyn std::fmt::Display) {
        log_refused(self.client.socket(), &event.name, reason);
        let response = format!("Not done: {reason}.");
        answer(event.ack, &response, self.client.user());
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

/// The page shows a `RESPSEND` like a message whatever its `ER`, and on the sender's side where it names both; and it clears
/// what was typed as soon as the acknowledgement comes, whatever is in it. So the text goes back, with the reason.
fn not_sent(client: &Client, ack: Option<Ack>, asked: Option<&Send>, why: &NotSent) {
    match why {
        NotSent::Unavailable(error) => log_refused(client.socket(), "Send", error),
        why => log_refused(client.socket(), "Send", why),
    }
    let text = match asked.map(|asked| asked.msg.trim()) {
        None | Some("") => format!("Not sent: {why}"),
        Some(text) => format!("Not sent ({why}): {text}"),
    };
    let failed = object!({
        "RC": 1,
        "ER": why.code(),
        "SID": asked.map(|asked| &asked.from),
        "RID": asked.map(|asked| &asked.to),
        "MSG": escape(&text),
        "RANDOMNO": asked.and_then(|asked| asked.rno.as_ref()),
        "MSGTIME": Timestamp::now().as_millisecond(),
    });
    client.ask("RESPSEND", &failed, || {});
    answer(ack, &format!("Send Emit failed: {why}."), client.user());
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

impl From<Refused> for NotSent {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => error.into(),
            refused => Self::Text(refused),
        }
    }
}

impl From<StoreError> for NotSent {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InboxFull(_) => Self::InboxFull,
            error => Self::Unavailable(error),
        }
    }
}
