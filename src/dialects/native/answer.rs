//! How a request is answered: `{"ok": true, …}`, or the problem with its code. The codes are the
//! contract's.

use serde::de::DeserializeOwned;

use crate::{
    account::{names::NameRefused, tokens::TokenError},
    chat::{
        Refused,
        message::{InvalidName, Message, RoomName},
        socket::Socket,
        store::StoreError,
    },
    dialects::{Ack, Event, iso, log_refused},
    log_limit::log_limited,
};

/// Rooms that one connection may be in.
pub(super) const ROOMS_JOINED: usize = 50;

/// Messages in one page of a room or a thread.
const HISTORY_LIMIT: usize = 100;

/// What an answer holds besides `ok`.
pub(super) type Answer = serde_json::Map<String, serde_json::Value>;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("say hello first")]
    HelloFirst,
    #[error("{0}")]
    BadName(InvalidName),
    #[error("{0}")]
    NameRefused(NameRefused),
    #[error("{0}")]
    BadRoom(InvalidName),
    #[error("the token has expired")]
    TokenExpired,
    #[error("{0}")]
    TokenInvalid(TokenError),
    #[error("more than one token was given")]
    SeveralTokens,
    #[error("this server takes no tokens")]
    NoTokens,
    #[error("direct messages need a hello with a token")]
    NoIdentity,
    #[error("user: {0}")]
    BadUser(InvalidName),
    #[error("too many messages wait for this person")]
    InboxFull,
    #[error("room was not joined")]
    NotJoined,
    #[error("more than {ROOMS_JOINED} rooms joined")]
    TooManyRooms,
    #[error("too many new rooms from this address, try again later")]
    TooManyNewRooms,
    #[error("text is empty")]
    Empty,
    #[error("text is longer than {0} bytes")]
    TooLong(usize),
    #[error("not possible now, try again")]
    Unavailable(StoreError),
}

impl Problem {
    fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::HelloFirst => "hello_first",
            Self::NameRefused(NameRefused::Unavailable(_)) => "unavailable",
            Self::BadName(_) | Self::NameRefused(_) => "bad_name",
            Self::BadRoom(_) => "bad_room",
            Self::TokenExpired => "token_expired",
            Self::TokenInvalid(_) | Self::SeveralTokens => "token_invalid",
            Self::NoTokens => "no_tokens",
            Self::NoIdentity => "no_identity",
            Self::BadUser(_) => "bad_user",
            Self::InboxFull => "box_full",
            Self::NotJoined => "not_joined",
            Self::TooManyRooms => "too_many_rooms",
            Self::TooManyNewRooms => "too_many_new_rooms",
            Self::Empty => "empty",
            Self::TooLong(_) => "too_long",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn retry(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::InboxFull
                | Self::TooManyNewRooms
                | Self::NameRefused(NameRefused::Unavailable(_))
        )
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Empty => Self::Empty,
            Refused::TooLong(most) => Self::TooLong(most),
            Refused::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InboxFull(_) => Self::InboxFull,
            error => Self::Unavailable(error),
        }
    }
}

/// Sends the answer, or logs the problem where the client did not ask for one.
pub(super) fn reply(
    socket: &dyn Socket,
    event: &Event,
    ack: Option<Ack>,
    answer: Result<Answer, Problem>,
) {
    match (answer, ack) {
        (Ok(mut answer), Some(ack)) => {
            answer.insert("ok".into(), true.into());
            ack.send(&answer);
        }
        (Ok(_), None) => {}
        (Err(problem), ack) => {
            match &problem {
                Problem::Unavailable(error) => {
                    log_limited!(error, socket = %socket.id(), %error, "the store did not answer");
                }
                Problem::NameRefused(NameRefused::Unavailable(error)) => {
                    let error: &dyn std::error::Error = error;
                    log_limited!(error, socket = %socket.id(), error, "a name could not be checked");
                }
                _ => {}
            }
            match ack {
                Some(ack) => ack.send(&serde_json::json!({ "ok": false, "error": {
                    "code": problem.code(),
                    "message": problem.to_string(),
                    "retry": problem.retry(),
                }})),
                None => log_refused(socket, &event.name, &problem),
            }
        }
    }
}

/// How many messages a request wants in one page.
pub(super) fn history_limit(wanted: Option<usize>) -> Result<usize, Problem> {
    Some(wanted.unwrap_or(HISTORY_LIMIT))
        .filter(|limit| (1..=HISTORY_LIMIT).contains(limit))
        .ok_or(Problem::BadRequest("`limit` is not between 1 and 100"))
}

/// The payload of a request.
pub(super) fn parse<T: DeserializeOwned>(event: &Event) -> Result<T, Problem> {
    event
        .arg()
        .ok_or(Problem::BadRequest("payload has the wrong shape"))
}

pub(super) fn room_name(name: &str) -> Result<RoomName, Problem> {
    name.parse().map_err(Problem::BadRoom)
}

/// The fields of an object literal.
pub(super) fn fields(object: serde_json::Value) -> Answer {
    match object {
        serde_json::Value::Object(fields) => fields,
        _ => Answer::new(),
    }
}

/// Where a post found its place.
pub(super) fn place(message: &Message) -> Answer {
    fields(serde_json::json!({ "id": message.id.to_string(), "time": iso(message.time) }))
}
