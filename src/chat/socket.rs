//! One connection, as the chat and the dialects see it. The transports implement it; nothing on
//! this side of it knows bytes.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::ParseIntError,
    str::FromStr,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::message::MessageId;

/// A connection's public id. Says nothing about the transport session, whose id is a credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(u64);

impl SocketId {
    /// An id that no other connection of this process has, and hardly one of another process.
    pub fn next() -> Self {
        static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("peer"));
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // An odd factor makes the numbers look unlike a count and keeps them distinct.
        Self(
            START.wrapping_add(
                COUNT
                    .fetch_add(1, Ordering::Relaxed)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ),
        )
    }
}

impl FromStr for SocketId {
    type Err = ParseIntError;

    fn from_str(id: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(id, 16).map(Self)
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SocketId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why the server ends a connection. The transport decides how its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CloseReason {
    /// More was waiting to be sent to it than a connection may hold.
    SlowPeer,
    /// It accepted no byte for the stall timeout.
    Stalled,
    /// It was slowed down for the flood timeout, and went on sending faster than the event rate.
    Flooding,
    /// It sent what its protocol does not allow.
    BadPacket,
    /// It sent a message that is larger than the limit.
    TooLarge,
    /// What it is to read cannot be read now.
    Unavailable,
    /// What it still had to be told is no longer kept; it starts anew when it comes back.
    FellBehind,
    /// The token that it came with has expired.
    TokenExpired,
    /// The login that it came with was ended.
    SignedOut,
    /// The server is going down.
    Shutdown,
}

impl CloseReason {
    /// Every reason, for counters.
    pub const ALL: [Self; 10] = [
        Self::SlowPeer,
        Self::Stalled,
        Self::Flooding,
        Self::BadPacket,
        Self::TooLarge,
        Self::Unavailable,
        Self::FellBehind,
        Self::TokenExpired,
        Self::SignedOut,
        Self::Shutdown,
    ];

    /// The name in logs, metrics and messages to clients.
    pub fn code(self) -> &'static str {
        match self {
            Self::SlowPeer => "slow_peer",
            Self::Stalled => "stalled",
            Self::Flooding => "flooding",
            Self::BadPacket => "bad_packet",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
            Self::FellBehind => "fell_behind",
            Self::TokenExpired => "token_expired",
            Self::SignedOut => "signed_out",
            Self::Shutdown => "shutdown",
        }
    }

    /// For people.
    pub fn message(self) -> &'static str {
        match self {
            Self::SlowPeer => "too much was waiting for this connection",
            Self::Stalled => "this connection took no data for too long",
            Self::Flooding => "too many events over a long time",
            Self::BadPacket => "the protocol was not kept",
            Self::TooLarge => "a message was larger than the limit",
            Self::Unavailable => "the room cannot be read now",
            Self::FellBehind => "this connection fell too far behind",
            Self::TokenExpired => "the token has expired",
            Self::SignedOut => "signed out",
            Self::Shutdown => "the server is being restarted",
        }
    }

    /// Whether the client does well to connect again by itself.
    pub fn reconnect(self) -> bool {
        !matches!(
            self,
            Self::Flooding | Self::BadPacket | Self::SignedOut | Self::TokenExpired
        )
    }

    /// Whether what the client says before it knows is still heard: it has done nothing wrong, and may not say it again.
    pub fn reads_on(self) -> bool {
        self == Self::Shutdown
    }

    /// It is no news to whoever watches the server, and says nothing against the client.
    pub fn is_ordinary(self) -> bool {
        matches!(self, Self::SignedOut | Self::TokenExpired | Self::Shutdown)
    }

    /// The connection takes no more data, or must not hold any: what waits for it is dropped.
    pub fn is_abrupt(self) -> bool {
        matches!(self, Self::SlowPeer | Self::Stalled)
    }
}

/// What a client answers to an event that asked for it: its arguments.
pub type Answer = Result<Vec<Box<RawValue>>, Unanswered>;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The socket was gone, or went without answering.
    #[error("the peer is gone")]
    Gone,
    /// None came in time; one that comes later is not looked at.
    #[error("no answer came in time")]
    Late,
    /// As many answers are waited for as may be. The event went out like any other, and what is answered
    /// to it is not looked at.
    #[error("too many answers of this peer are waited for")]
    TooMany,
    /// The event went out like any other: frames of a bare WebSocket have no answers.
    #[error("this kind of peer has no way to answer")]
    Mute,
}

/// How much is queued for a connection and not sent yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub bytes: usize,
    /// More than half of the bytes or packets that may be queued are.
    pub is_half_full: bool,
}

/// Where a socket's events go out.
#[async_trait]
pub trait Socket: Send + Sync + 'static {
    fn id(&self) -> SocketId;

    /// The address of the client; behind a trusted proxy the one that the proxy names.
    fn remote(&self) -> IpAddr;

    /// Queues one event with one argument. Never waits. A socket whose queue is full is cut off as
    /// [`CloseReason::SlowPeer`]: it is never left with a hole.
    fn emit(&self, event: &str, payload: &RawValue);

    /// Queues an event that shows message `id` of a room, as [`Socket::emit`] does. A socket whose client keeps how far
    /// it was shown the room ([`Socket::keep_place`]) notes the id.
    fn show(&self, id: MessageId, event: &str, payload: &RawValue) {
        let _ = id;
        self.emit(event, payload);
    }

    /// Has the client keep how far it was shown the room that it reads, so that it can go on from there on any replica
    /// without connecting anew. `login` is the one that may; `shown` is the last message before those that it is shown
    /// from now on, if there was any. A socket whose client cannot keep anything does nothing.
    fn keep_place(&self, login: i64, shown: Option<MessageId>) {
        let _ = (login, shown);
    }

    /// Queues one event as [`Socket::emit`] does, and asks for an answer, which does not count against what the client may
    /// send. `answered` is called once, whatever happens, in a task of its own: what it does costs the caller nothing.
    fn ask(&self, event: &str, payload: &RawValue, answered: Box<dyn FnOnce(Answer) + Send>);

    /// What was sent just now makes the client send so many packets, besides the answers that it was asked for: they do not
    /// count against what it may send. By default none are.
    fn expect(&self, _packets: u32) {}

    /// How many events are queued, or went out and are not known to have arrived. A socket that cannot tell answers 0.
    fn waiting(&self) -> usize {
        0
    }

    /// Joins a channel of volatile events.
    fn join(&self, channel: &str);

    /// Leaves a channel of volatile events.
    fn leave(&self, channel: &str);

    /// How much is queued and not sent yet, for all sockets of the connection together. `None` once the socket is
    /// gone, or about to be.
    fn backlog(&self) -> Option<Backlog>;

    /// Waits until at most half of what may be queued is, or the socket is gone.
    async fn drained(&self);

    /// Waits until the client has taken all that is queued, or the socket is gone. A client that polls takes
    /// nothing before it polls.
    async fn emptied(&self);

    /// Ends the connection; what is queued is still sent unless the reason is abrupt.
    fn close(&self, why: CloseReason);
}
