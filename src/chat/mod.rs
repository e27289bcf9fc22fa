//! What a chat decides: who may say what, who reads which room from where on, who is here, what waits for
//! whom. Knows no front end's words and no transport; asks a store to keep what is said.

pub mod direct;
pub mod message;
mod new_rooms;
pub mod presence;
pub mod room;
pub mod socket;
pub mod store;
mod turns;

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    direct::Inboxes,
    message::{AuthorName, Envelope, IdempotencyKey, Message, MessageId, Post, RoomName, UserId},
    new_rooms::NewRooms,
    presence::Presence,
    room::{Rooms, Start},
    store::{Appended, Limit, RoomActivity, Store, StoreError, Tail, Thread, ThreadState},
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
    store: Arc<dyn Store>,
    turns: Turns,
    new_rooms: NewRooms,
    pub rooms: Arc<Rooms>,
    pub direct: Arc<Inboxes>,
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
    /// Rooms that an address may open in an hour; `None` for no limit.
    pub new_rooms: Option<NonZeroU32>,
}

/// Why a message was not taken. Nothing was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    #[error("text is empty")]
    Empty,
    #[error("text is longer than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Chat {
    pub fn new(store: Arc<dyn Store>, replica: Arc<str>, limits: Limits) -> Arc<Self> {
        let turns = Turns::new();
        Arc::new(Self {
            rooms: Rooms::new(store.clone(), turns.clone()),
            turns,
            new_rooms: NewRooms::new(limits.new_rooms),
            direct: Inboxes::new(store.clone()),
            store,
            presence: Presence::new(),
            replica,
            limits,
        })
    }

    /// Hands what the store keeps to the readers, until the store closes.
    pub async fn run(self: Arc<Self>, tail: Tail) {
        let receipts = self.store.receipts();
        tokio::select! {
            () = self.rooms.clone().deliver(tail, self.direct.clone()) => {}
            () = self.direct.clone().tell(receipts) => {}
        }
    }

    /// Says something in a room. What one caller says is kept in that order; the receipt tells when.
    pub async fn post(
        &self,
        room: RoomName,
        author: Option<AuthorName>,
        text: String,
        key: Option<IdempotencyKey>,
    ) -> Result<Appended, Refused> {
        self.accept(room, author, text, key, None).await
    }

    /// Writes to one person, as [`Chat::post`] does to a room.
    pub async fn write(
        &self,
        (from, to): (UserId, UserId),
        author: Option<AuthorName>,
        text: String,
        key: Option<IdempotencyKey>,
    ) -> Result<Appended, Refused> {
        let room = RoomName::direct(&from, &to);
        let box_size = self.limits.pending;
        let envelope = Envelope { from, to, box_size };
        self.accept(room, author, text, key, Some(envelope)).await
    }

    /// Whether a client at this address may post to a room that it is in: to one that holds no message only if it has not
    /// opened too many.
    pub fn may_post(&self, room: &RoomName, client: IpAddr) -> bool {
        let holds_messages = self.rooms.newest(room).is_some();
        holds_messages || self.new_rooms.may_open(room, client, Instant::now())
    }

    /// Takes in what a bridge was told, as it is: its author and replica are not ours.
    pub async fn relay(&self, post: Post) -> Result<Appended, Refused> {
        if post.text.trim().is_empty() {
            return Err(Refused::Empty);
        }
        if post.text.len() > self.limits.text {
            return Err(Refused::TooLong(self.limits.text));
        }
        Ok(self.store.accept(post).await?)
    }

    async fn accept(
        &self,
        room: RoomName,
        author: Option<AuthorName>,
        text: String,
        key: Option<IdempotencyKey>,
        direct: Option<Envelope>,
    ) -> Result<Appended, Refused> {
        let post = Post {
            room,
            author,
            text: text.into(),
            key,
            replica: self.replica.clone(),
            bridge: None,
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
    ) -> Result<(Vec<Arc<Message>>, bool), StoreError> {
        let _turn = self.turns.take(client).await?;
        let most = Limit {
            messages: limit,
            bytes: PAGE_BYTES,
        };
        let messages = match id {
            Some(id) => self.store.before(room, id, most).await?,
            None => self.store.last(room, most).await?,
        };
        let more = match messages.first() {
            Some(oldest) => !self
                .store
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
        let Ok(moment) = self.store.lately(ago).await else {
            return Start::Last(limit);
        };
        let (mut left, mut oldest) = (limit, None);
        while left > 0 {
            let page = Limit::messages(left);
            let read = match oldest {
                Some(id) => self.store.before(room, id, page).await,
                None => self.store.last(room, page).await,
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
    ) -> Result<Vec<RoomActivity>, StoreError> {
        let _turn = self.turns.take(client).await?;
        self.store.rooms(limit).await
    }

    /// The threads of a user, the most recently used first, at most `limit`.
    pub async fn threads(&self, user: &UserId, limit: usize) -> Result<Vec<Thread>, StoreError> {
        self.store.threads(user, limit).await
    }

    /// How the thread of `user` with `other` stands.
    pub async fn thread_state(
        &self,
        user: &UserId,
        other: &UserId,
    ) -> Result<ThreadState, StoreError> {
        self.store.thread_state(user, other).await
    }

    /// Records that `reader` has read its thread with `other` up to `id`, and answers how many
    /// messages are unread; none where the id names no message of it.
    pub async fn read(
        &self,
        reader: &UserId,
        other: &UserId,
        id: MessageId,
    ) -> Result<Option<u64>, StoreError> {
        self.store.read(reader, other, id).await
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
        self.store.close().await;
    }
}
