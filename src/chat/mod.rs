//! What a chat decides: who may say what, who reads which room from where on, who is here, what waits for
//! whom. Knows no front end's words and no transport; asks a log to keep what is said.

pub mod direct;
pub mod log;
pub mod message;
pub mod peer;
pub mod presence;
pub mod room;
mod turns;

use std::{net::IpAddr, sync::Arc, time::Duration};

use self::{
    direct::Mailboxes,
    log::{Conversation, Limit, Log, LogError, Receipt, RoomActivity, Standing, Tail},
    message::{AuthorName, Envelope, IdempotencyKey, Message, MessageId, Post, RoomName, UserId},
    presence::Presence,
    room::{Rooms, Start},
    turns::Turns,
};

/// Text in one page of scrollback, in bytes; one message at least. The page is one answer, and what
/// may wait for one connection is bounded.
const PAGE_BYTES: usize = 128 * 1024;

/// How long closing waits for acknowledgements that are being recorded; what they are for comes again
/// otherwise.
const SETTLING: Duration = Duration::from_secs(2);

/// The whole chat of one replica.
pub struct Chat {
    log: Arc<dyn Log>,
    turns: Turns,
    pub rooms: Arc<Rooms>,
    pub direct: Arc<Mailboxes>,
    pub presence: Arc<Presence>,
    replica: Arc<str>,
    limits: Limits,
}

/// What may be said.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest text, in bytes of UTF-8.
    pub text: usize,
    /// Messages that a newcomer to a room gets.
    pub history: usize,
    /// Direct messages that may wait for one person.
    pub pending: usize,
}

/// Why a message was not taken. Nothing was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    #[error("text is empty")]
    Empty,
    #[error("text is longer than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Chat {
    pub fn new(log: Arc<dyn Log>, replica: Arc<str>, limits: Limits) -> Arc<Self> {
        let turns = Turns::new();
        Arc::new(Self {
            rooms: Rooms::new(log.clone(), turns.clone()),
            turns,
            direct: Mailboxes::new(log.clone()),
            log,
            presence: Presence::new(),
            replica,
            limits,
        })
    }

    /// Hands what the log keeps to the readers, until the log closes.
    pub async fn run(self: Arc<Self>, tail: Tail) {
        let marks = self.log.marks();
        tokio::select! {
            () = self.rooms.clone().deliver(tail, self.direct.clone()) => {}
            () = self.direct.clone().tell(marks) => {}
        }
    }

    /// Says something in a room. What one caller says is kept in that order; the receipt tells when.
    pub async fn post(
        &self,
        room: RoomName,
        author: Option<AuthorName>,
        text: String,
        key: Option<IdempotencyKey>,
    ) -> Result<Receipt, Refused> {
        self.accept(room, author, text, key, None).await
    }

    /// Writes to one person, as [`Chat::post`] does to a room.
    pub async fn write(
        &self,
        (from, to): (UserId, UserId),
        author: Option<AuthorName>,
        text: String,
        key: Option<IdempotencyKey>,
    ) -> Result<Receipt, Refused> {
        let room = RoomName::direct(&from, &to);
        let box_size = self.limits.pending;
        let envelope = Envelope { from, to, box_size };
        self.accept(room, author, text, key, Some(envelope)).await
    }

    /// Takes in what a neighbour was told, as it is: its author and replica are not ours.
    pub async fn relay(&self, post: Post) -> Result<Receipt, Refused> {
        if post.text.trim().is_empty() {
            return Err(Refused::Empty);
        }
        if post.text.len() > self.limits.text {
            return Err(Refused::TooLong(self.limits.text));
        }
        Ok(self.log.accept(post).await?)
    }

    async fn accept(
        &self,
        room: RoomName,
        author: Option<AuthorName>,
        text: String,
        key: Option<IdempotencyKey>,
        direct: Option<Envelope>,
    ) -> Result<Receipt, Refused> {
        let post = Post {
            room,
            author,
            text: text.into(),
            key,
            replica: self.replica.clone(),
            neighbour: None,
            direct,
        };
        self.relay(post).await
    }

    /// The messages just before `id`, or the newest, oldest first, at most `limit` and a bounded number
    /// of bytes, and whether there are older ones; for a client at this address.
    pub async fn before(
        &self,
        room: &RoomName,
        id: Option<MessageId>,
        limit: usize,
        client: IpAddr,
    ) -> Result<(Vec<Arc<Message>>, bool), LogError> {
        let _turn = self.turns.take(client).await?;
        let most = Limit {
            messages: limit,
            bytes: PAGE_BYTES,
        };
        let messages = match id {
            Some(id) => self.log.before(room, id, most).await?,
            None => self.log.last(room, most).await?,
        };
        let more = match messages.first() {
            Some(oldest) => !self
                .log
                .before(room, oldest.id, Limit::ONE)
                .await?
                .is_empty(),
            None => false,
        };
        Ok((messages, more))
    }

    /// Where a reader starts that wants what was said in this time before now, the last `limit` at most. Where
    /// that cannot be read now, whoever follows finds out.
    pub async fn lately(&self, room: &RoomName, ago: Duration, limit: usize) -> Start {
        let Ok(moment) = self.log.lately(ago).await else {
            return Start::Last(limit);
        };
        let (mut left, mut oldest) = (limit, None);
        while left > 0 {
            let page = Limit::messages(left);
            let read = match oldest {
                Some(id) => self.log.before(room, id, page).await,
                None => self.log.last(room, page).await,
            };
            let read = read.unwrap_or_default();
            if let Some(before) = read.iter().rfind(|message| message.time < moment) {
                return Start::After(before.id, limit);
            }
            let Some(first) = read.first() else { break };
            (left, oldest) = (left - read.len(), Some(first.id));
        }
        Start::Last(limit)
    }

    /// The rooms that hold a message, the most recently used first, at most `limit`; for a client at this address.
    pub async fn active_rooms(
        &self,
        limit: usize,
        client: IpAddr,
    ) -> Result<Vec<RoomActivity>, LogError> {
        let _turn = self.turns.take(client).await?;
        self.log.rooms(limit).await
    }

    /// The conversations of a user, the most recently used first, at most `limit`.
    pub async fn conversations(
        &self,
        user: &UserId,
        limit: usize,
    ) -> Result<Vec<Conversation>, LogError> {
        self.log.conversations(user, limit).await
    }

    /// How the conversation of `user` with `other` stands.
    pub async fn standing(&self, user: &UserId, other: &UserId) -> Result<Standing, LogError> {
        self.log.standing(user, other).await
    }

    /// Records that `reader` has read its conversation with `other` up to `id`, and answers how many
    /// messages are unread; none where the id names no message of it.
    pub async fn read(
        &self,
        reader: &UserId,
        other: &UserId,
        id: MessageId,
    ) -> Result<Option<u64>, LogError> {
        self.log.read(reader, other, id).await
    }

    /// The name of this replica, as pages show it.
    pub fn replica(&self) -> &str {
        &self.replica
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Keeps what was accepted and takes nothing more.
    pub async fn close(&self) {
        if tokio::time::timeout(SETTLING, self.direct.settled())
            .await
            .is_err()
        {
            tracing::warn!("closing before every acknowledgement is recorded");
        }
        self.log.close().await;
    }
}
