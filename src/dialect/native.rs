//! Our own words, namespace `/chat`; docs/native.md is their contract. Names, rooms, posts with
//! idempotency keys, scrollback, who is here, who is typing; direct messages (`direct`).

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use serde::Deserialize;

pub use self::words::tell_presence;
use self::{
    answer::{Answer, Problem, fields, parse, reply, room_name},
    direct::Correspondence,
    identity::Proof,
    words::{PersonWords, Said, Words},
};
use super::{Ack, Conversation, Dialect, Event, Fleeting, Handshake, Refusal, iso, json};
use crate::account::tokens::Tokens;
use crate::chat::{
    Chat,
    log::Receipt,
    message::{AuthorName, Message, MessageId, RoomName, UserId},
    peer::{Goodbye, Outlet},
    presence::Stay,
    room::{Entry, Render, Rendered, Seat, Start},
};

mod answer;
mod direct;
mod identity;
mod words;

/// People that one answer or event names at most; the counts tell of all.
const PEOPLE_NAMED: usize = 200;

/// People whose leaving one event tells at most; that of the others is told by the next ones.
const PEOPLE_LEFT: usize = 1000;

/// Rooms that one connection may be in.
const ROOMS_JOINED: usize = 50;

/// Rooms that a list of rooms names at most.
const ROOMS_LISTED: usize = 200;

/// Messages in one answer to `history`.
const HISTORY_LIMIT: usize = 100;

/// The dialect of namespace `/chat`.
pub struct Native {
    chat: Arc<Chat>,
    words: Arc<dyn Render>,
    fleeting: Arc<dyn Fleeting>,
    tokens: Option<Arc<Tokens>>,
}

impl Native {
    /// `tokens` checks who somebody is; without it nobody is anybody to the application.
    pub fn new(chat: Arc<Chat>, fleeting: Arc<dyn Fleeting>, tokens: Option<Arc<Tokens>>) -> Self {
        Self {
            chat,
            tokens,
            words: Arc::new(Words),
            fleeting,
        }
    }
}

impl Dialect for Native {
    fn greet(
        &self,
        peer: Arc<dyn Outlet>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Conversation>, Refusal> {
        Ok(Box::new(Talking {
            chat: self.chat.clone(),
            words: self.words.clone(),
            fleeting: self.fleeting.clone(),
            peer,
            name: None,
            proof: Proof::new(self.tokens.clone(), handshake),
            correspondence: None,
            rooms: HashMap::new(),
        }))
    }

    fn goodbye(&self, why: Goodbye) -> Option<Rendered> {
        Some(words::goodbye(why))
    }
}

struct Talking {
    chat: Arc<Chat>,
    words: Arc<dyn Render>,
    fleeting: Arc<dyn Fleeting>,
    peer: Arc<dyn Outlet>,
    name: Option<AuthorName>,
    proof: Proof,
    correspondence: Option<Correspondence>,
    rooms: HashMap<RoomName, Joined>,
}

/// Both are given up when it is dropped.
struct Joined {
    seat: Option<Seat>,
    stay: Stay,
}

#[async_trait]
impl Conversation for Talking {
    async fn open(&mut self) {}

    async fn hear(&mut self, mut event: Event) {
        let ack = event.ack.take();
        let answer = match &*event.name {
            "hello" => {
                let answer = self.hello(&event).await;
                let is_known = answer.is_ok();
                reply(&*self.peer, &event, ack, answer);
                // What waits for the user comes after the answer.
                if is_known {
                    self.correspond();
                }
                return;
            }
            "join" => match self.enter(&event).await {
                Ok((answer, room, entry)) => {
                    // The answer says whether what follows replaces what the client had.
                    reply(&*self.peer, &event, ack, Ok(answer));
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
            "conversations" => match self.correspondence() {
                Ok(correspondence) => correspondence.list().await,
                Err(problem) => Err(problem),
            },
            "conversation" => match self.correspondence() {
                Ok(correspondence) => correspondence.page(&event).await,
                Err(problem) => Err(problem),
            },
            "read" => match self.correspondence() {
                Ok(correspondence) => correspondence.read(&event).await,
                Err(problem) => Err(problem),
            },
            "history" => self.history(&event).await,
            "rooms" => self.list_rooms().await,
            "typing" => self.typing(&event).await,
            _ => Err(Problem::BadRequest("no such event")),
        };
        reply(&*self.peer, &event, ack, answer);
    }

    async fn close(&mut self) {
        self.rooms.clear();
        self.correspondence = None;
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
        let proved = self.proof.check(&self.peer, token).await?;
        let given = match &proved {
            Some(identity) => identity.name.clone(),
            None => self.proof.name(),
        };
        let name = match given {
            Some(name) => name,
            None => name
                .ok_or(Problem::BadRequest("`name` is missing"))?
                .parse()
                .map_err(Problem::BadName)?,
        };
        if let Some(identity) = proved {
            self.proof.accept(&self.peer, identity);
        }
        for joined in self.rooms.values() {
            joined.stay.rename(name.clone(), self.proof.user());
        }
        let answer = fields(serde_json::json!({
            "id": self.peer.id(),
            "name": name.as_str(),
            "user": self.proof.user().as_ref().map(UserId::as_str),
            "history": self.chat.limits().history,
            "maxText": self.chat.limits().text,
        }));
        self.name = Some(name);
        Ok(answer)
    }

    /// Begins to tell the user its messages, or ends telling whoever it was before.
    fn correspond(&mut self) {
        let user = self.proof.user();
        let before = self.correspondence.as_ref().map(Correspondence::user);
        if before != user.as_ref() {
            // First: one peer has one place in a box.
            self.correspondence = None;
            self.correspondence =
                user.map(|user| Correspondence::open(self.chat.clone(), user, self.peer.clone()));
        }
    }

    fn correspondence(&self) -> Result<&Correspondence, Problem> {
        self.named()?;
        self.correspondence.as_ref().ok_or(Problem::NoIdentity)
    }

    async fn write(&self, event: &Event) -> Result<Receipt, Problem> {
        self.correspondence()?.write(self.named()?, event).await
    }

    /// The next event need not wait until this one is kept.
    fn answer_when_kept(&self, receipt: Receipt, event: Event, ack: Option<Ack>) {
        let peer = self.peer.clone();
        tokio::spawn(async move {
            let kept = receipt.await.map_err(Problem::from);
            reply(&*peer, &event, ack, kept.map(|message| place(&message)));
        });
    }

    async fn enter(&mut self, event: &Event) -> Result<(Answer, RoomName, Entry), Problem> {
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
        let entry = self
            .chat
            .rooms
            .enter(room.clone(), from, self.peer.remote())
            .await?;
        // Joining again starts anew from `after`.
        self.rooms.remove(&room);
        let stay =
            self.chat
                .presence
                .enter_as(room.clone(), self.peer.id(), name, self.proof.user());
        self.peer.join(room.as_str());
        let roll = self.chat.presence.roll(&room, PEOPLE_NAMED);
        let answer = fields(serde_json::json!({
            "room": room.as_str(),
            "reset": entry.is_reset(),
            "people": roll.people.iter().map(PersonWords::from).collect::<Vec<_>>(),
            "guests": roll.guests,
            "total": roll.total,
        }));
        self.rooms.insert(room.clone(), Joined { seat: None, stay });
        Ok((answer, room, entry))
    }

    async fn follow(&mut self, room: RoomName, entry: Entry) {
        match entry.follow(self.peer.clone(), self.words.clone()).await {
            Ok(seat) => {
                if let Some(joined) = self.rooms.get_mut(&room) {
                    joined.seat = Some(seat);
                }
            }
            Err(error) => {
                tracing::error!(peer = %self.peer.id(), %error, "could not read the room");
                self.peer.close(Goodbye::Unavailable);
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
        self.peer.leave(room.as_str());
        Ok(Answer::new())
    }

    async fn post(&mut self, event: &Event) -> Result<Receipt, Problem> {
        #[derive(Deserialize)]
        struct Post {
            room: String,
            text: String,
            key: Option<String>,
        }
        let Post { room, text, key } = parse(event)?;
        let (room, name) = self.joined(&room)?;
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
        let limit = limit.unwrap_or(HISTORY_LIMIT);
        if !(1..=HISTORY_LIMIT).contains(&limit) {
            return Err(Problem::BadRequest("`limit` is not between 1 and 100"));
        }
        let (messages, more) = (self
            .chat
            .before(&room, Some(before), limit, self.peer.remote()))
        .await?;
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
        let active = (self.chat.active_rooms(ROOMS_LISTED, self.peer.remote())).await?;
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
        let typing = serde_json::json!({ "room": room.as_str(), "id": self.peer.id(), "name": name.as_str(), "on": on });
        self.fleeting
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

/// Where a post found its place.
fn place(message: &Message) -> Answer {
    fields(serde_json::json!({ "id": message.id.to_string(), "time": iso(message.time) }))
}
