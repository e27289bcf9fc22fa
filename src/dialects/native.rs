//! Our own words, namespace `/chat`; docs/native.md is their contract. Names, rooms, posts with
//! idempotency keys, scrollback, who is here, who is typing; direct messages (`direct`).

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use async_trait::async_trait;
use serde::Deserialize;

pub use self::events::tell_presence;
use self::{
    answer::{
        Answer, Problem, ROOMS_JOINED, fields, history_limit, parse, place, reply, room_name,
    },
    direct::DirectMessages,
    events::{PEOPLE_NAMED, PersonWords, Renderer, Said},
    identity::Proof,
};
use super::{Ack, Dialect, Event, Handler, Handshake, Refusal, Volatile, iso, json};
use crate::account::{names::Names, tokens::Tokens};
use crate::chat::{
    Chat,
    message::{AuthorName, MessageId, RoomName, UserId},
    presence::Stay,
    room::{PendingSubscription, Render, Rendered, Start, Subscription},
    socket::{CloseReason, Socket},
    store::Appended,
};

mod answer;
mod direct;
mod events;
mod identity;

/// Rooms that a list of rooms names at most.
const ROOMS_LISTED: usize = 200;

/// The dialect of namespace `/chat`.
pub struct Native {
    chat: Arc<Chat>,
    words: Arc<dyn Render>,
    volatile: Arc<dyn Volatile>,
    tokens: Option<Arc<Tokens>>,
    names: Arc<Names>,
    rate: Option<NonZeroU32>,
}

impl Native {
    /// `tokens` checks who somebody is; without it nobody is anybody to the application. `names` decides about names
    /// that no token gives. `rate` is how many packets per second the transports read from one connection, where that is
    /// limited: clients are told, so that they keep within it.
    pub fn new(
        chat: Arc<Chat>,
        volatile: Arc<dyn Volatile>,
        tokens: Option<Arc<Tokens>>,
        names: Arc<Names>,
        rate: Option<NonZeroU32>,
    ) -> Self {
        Self {
            chat,
            tokens,
            names,
            rate,
            words: Arc::new(Renderer),
            volatile,
        }
    }
}

impl Dialect for Native {
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        Ok(Box::new(Talking {
            chat: self.chat.clone(),
            words: self.words.clone(),
            volatile: self.volatile.clone(),
            socket,
            name: None,
            proof: Proof::new(self.tokens.clone(), self.names.clone(), handshake),
            rate: self.rate,
            direct_messages: None,
            rooms: HashMap::new(),
        }))
    }

    fn close_notice(&self, why: CloseReason) -> Option<Rendered> {
        Some(events::close_notice(why))
    }
}

struct Talking {
    chat: Arc<Chat>,
    words: Arc<dyn Render>,
    volatile: Arc<dyn Volatile>,
    socket: Arc<dyn Socket>,
    name: Option<AuthorName>,
    proof: Proof,
    rate: Option<NonZeroU32>,
    direct_messages: Option<DirectMessages>,
    rooms: HashMap<RoomName, Joined>,
}

/// Both are given up when it is dropped.
struct Joined {
    subscription: Option<Subscription>,
    stay: Stay,
}

#[async_trait]
impl Handler for Talking {
    async fn open(&mut self) {}

    async fn handle(&mut self, mut event: Event) {
        let ack = event.ack.take();
        let answer = match &*event.name {
            "hello" => {
                let answer = self.hello(&event).await;
                let is_known = answer.is_ok();
                reply(&*self.socket, &event, ack, answer);
                // What waits for the user comes after the answer.
                if is_known {
                    self.correspond();
                }
                return;
            }
            "join" => match self.enter(&event).await {
                Ok((answer, room, entry)) => {
                    // The answer says whether what follows replaces what the client had.
                    reply(&*self.socket, &event, ack, Ok(answer));
                    return self.follow(room, entry).await;
                }
                Err(problem) => Err(problem),
            },
            "leave" => self.leave(&event),
            "post" => match self.post(&event).await {
                Ok(receipt) => return self.answer_when_kept(receipt, event, ack),
                Err(problem) => Err(problem),
            },
            "direct" => match self.write(&event).await {
                Ok(receipt) => return self.answer_when_kept(receipt, event, ack),
                Err(problem) => Err(problem),
            },
            "conversations" => match self.direct_messages() {
                Ok(direct_messages) => direct_messages.list().await,
                Err(problem) => Err(problem),
            },
            "conversation" => match self.direct_messages() {
                Ok(direct_messages) => direct_messages.page(&event).await,
                Err(problem) => Err(problem),
            },
            "read" => match self.direct_messages() {
                Ok(direct_messages) => direct_messages.read(&event).await,
                Err(problem) => Err(problem),
            },
            "history" => self.history(&event).await,
            "rooms" => self.list_rooms().await,
            "typing" => self.typing(&event).await,
            _ => Err(Problem::BadRequest("no such event")),
        };
        reply(&*self.socket, &event, ack, answer);
    }

    async fn close(&mut self) {
        self.rooms.clear();
        self.direct_messages = None;
    }
}

impl Talking {
    async fn hello(&mut self, event: &Event) -> Result<Answer, Problem> {
        #[derive(Deserialize)]
        struct Hello {
            name: Option<String>,
            token: Option<String>,
        }
        let Hello { name, token } = parse(event)?;
        let proved = self.proof.check(&self.socket, token).await?;
        let name = self
            .proof
            .called(&self.socket, proved.as_ref(), name)
            .await?;
        if let Some(identity) = proved {
            self.proof.accept(&self.socket, identity);
        }
        for joined in self.rooms.values() {
            joined.stay.rename(name.clone(), self.proof.user());
        }
        let answer = fields(serde_json::json!({
            "id": self.socket.id(),
            "name": name.as_str(),
            "user": self.proof.user().as_ref().map(UserId::as_str),
            "history": self.chat.limits().history,
            "maxText": self.chat.limits().text,
            "rate": self.rate,
        }));
        self.name = Some(name);
        Ok(answer)
    }

    /// Begins to tell the user its messages, or ends telling whoever it was before.
    fn correspond(&mut self) {
        let user = self.proof.user();
        let before = self.direct_messages.as_ref().map(DirectMessages::user);
        if before != user.as_ref() {
            // First: one socket has one place in a box.
            self.direct_messages = None;
            self.direct_messages =
                user.map(|user| DirectMessages::open(self.chat.clone(), user, self.socket.clone()));
        }
    }

    fn direct_messages(&self) -> Result<&DirectMessages, Problem> {
        self.named()?;
        self.direct_messages.as_ref().ok_or(Problem::NoIdentity)
    }

    async fn write(&self, event: &Event) -> Result<Appended, Problem> {
        self.direct_messages()?.write(self.named()?, event).await
    }

    /// The next event need not wait until this one is kept.
    fn answer_when_kept(&self, receipt: Appended, event: Event, ack: Option<Ack>) {
        let socket = self.socket.clone();
        tokio::spawn(async move {
            let kept = receipt.await.map_err(Problem::from);
            reply(&*socket, &event, ack, kept.map(|message| place(&message)));
        });
    }

    async fn enter(
        &mut self,
        event: &Event,
    ) -> Result<(Answer, RoomName, PendingSubscription), Problem> {
        #[derive(Deserialize)]
        struct Join {
            room: String,
            after: Option<String>,
        }
        let Join { room, after } = parse(event)?;
        let room = room_name(&room)?;
        let name = self.named()?;
        if self.rooms.len() >= ROOMS_JOINED && !self.rooms.contains_key(&room) {
            return Err(Problem::TooManyRooms);
        }
        let history = self.chat.limits().history;
        let from = match after.map(|id| id.parse()) {
            None => Start::Last(history),
            Some(Ok(id)) => Start::After(id, history),
            Some(Err(_)) => return Err(Problem::BadRequest("`after` is not a message id")),
        };
        let (rooms, client) = (&self.chat.rooms, self.socket.remote());
        let entry = rooms.enter(room.clone(), from, client).await?;
        // Joining again starts anew from `after`.
        self.rooms.remove(&room);
        let stay =
            self.chat
                .presence
                .enter_as(room.clone(), self.socket.id(), name, self.proof.user());
        self.socket.join(room.as_str());
        let roll = self.chat.presence.roll(&room, PEOPLE_NAMED);
        let answer = fields(serde_json::json!({
            "room": room.as_str(),
            "reset": entry.is_reset(),
            "people": roll.people.iter().map(PersonWords::from).collect::<Vec<_>>(),
            "guests": roll.guests,
            "total": roll.total,
        }));
        self.rooms.insert(
            room.clone(),
            Joined {
                subscription: None,
                stay,
            },
        );
        Ok((answer, room, entry))
    }

    async fn follow(&mut self, room: RoomName, entry: PendingSubscription) {
        match entry.follow(self.socket.clone(), self.words.clone()).await {
            Ok(subscription) => {
                if let Some(joined) = self.rooms.get_mut(&room) {
                    joined.subscription = Some(subscription);
                }
            }
            Err(error) => {
                crate::log_limit::log_limited!(error, socket = %self.socket.id(), %error, "could not read the room");
                self.socket.close(CloseReason::Unavailable);
            }
        }
    }

    fn leave(&mut self, event: &Event) -> Result<Answer, Problem> {
        #[derive(Deserialize)]
        struct Leave {
            room: String,
        }
        let room = room_name(&parse::<Leave>(event)?.room)?;
        self.named()?;
        self.rooms.remove(&room);
        self.socket.leave(room.as_str());
        Ok(Answer::new())
    }

    async fn post(&mut self, event: &Event) -> Result<Appended, Problem> {
        #[derive(Deserialize)]
        struct Post {
            room: String,
            text: String,
            key: Option<String>,
        }
        let Post { room, text, key } = parse(event)?;
        let (room, name) = self.joined(&room)?;
        let may_post = self.chat.may_post(&room, self.socket.remote());
        may_post.then_some(()).ok_or(Problem::TooManyNewRooms)?;
        let key = key.map(|key| key.parse()).transpose();
        let key = key
            .map_err(|_| Problem::BadRequest("`key` is not 1 to 64 printable ASCII characters"))?;
        Ok(self.chat.post(room, Some(name), text, key).await?)
    }

    async fn history(&self, event: &Event) -> Result<Answer, Problem> {
        #[derive(Deserialize)]
        struct History {
            room: String,
            before: String,
            limit: Option<usize>,
        }
        let History {
            room,
            before,
            limit,
        } = parse(event)?;
        let room = room_name(&room)?;
        self.named()?;
        let before: MessageId = before
            .parse()
            .map_err(|_| Problem::BadRequest("`before` is not a message id"))?;
        let limit = history_limit(limit)?;
        let client = self.socket.remote();
        let (messages, more) = (self.chat.before(&room, Some(before), limit, client)).await?;
        let messages: Vec<_> = messages
            .iter()
            .map(|message| Said::from(&**message))
            .collect();
        Ok(fields(
            serde_json::json!({ "messages": messages, "more": more }),
        ))
    }

    async fn list_rooms(&self) -> Result<Answer, Problem> {
        self.named()?;
        let presence = &self.chat.presence;
        let active = (self.chat.active_rooms(ROOMS_LISTED, self.socket.remote())).await?;
        let mut rooms: Vec<_> = active
            .iter()
            .map(|active| {
                let people = presence.total(&active.room);
                serde_json::json!({ "room": active.room.as_str(), "people": people, "last": iso(active.last) })
            })
            .collect();
        let left = ROOMS_LISTED - rooms.len().min(ROOMS_LISTED);
        let known = active.into_iter().map(|active| active.room).collect();
        let silent = presence.rooms_besides(&known, left).into_iter();
        rooms.extend(silent.map(|(room, people)| serde_json::json!({ "room": room.as_str(), "people": people, "last": null })));
        Ok(fields(serde_json::json!({ "rooms": rooms })))
    }

    async fn typing(&self, event: &Event) -> Result<Answer, Problem> {
        #[derive(Deserialize)]
        struct Typing {
            room: String,
            on: bool,
        }
        let Typing { room, on } = parse(event)?;
        let (room, name) = self.joined(&room)?;
        let typing = serde_json::json!({ "room": room.as_str(), "id": self.socket.id(), "name": name.as_str(), "on": on });
        self.volatile
            .tell(room.as_str(), "typing", json(&typing))
            .await;
        Ok(Answer::new())
    }

    fn named(&self) -> Result<AuthorName, Problem> {
        self.name.clone().ok_or(Problem::HelloFirst)
    }

    fn joined(&self, room: &str) -> Result<(RoomName, AuthorName), Problem> {
        let room = room_name(room)?;
        let name = self.named()?;
        if self.rooms.contains_key(&room) {
            Ok((room, name))
        } else {
            Err(Problem::NotJoined)
        }
    }
}
