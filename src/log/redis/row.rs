//! Messages as the scripts give them out: an id `<seq>-0`, and names and values of fields.

use std::sync::Arc;

use jiff::Timestamp;
use redis::{ErrorKind, FromRedisValue, RedisError, Value};

use crate::chat::message::{Epoch, Message, MessageId, RoomName};

/// An entry of a stream.
pub(super) struct Entry {
    /// The first half of its id.
    pub number: u64,
    fields: Vec<(Box<str>, Vec<u8>)>,
}

impl Entry {
    pub fn text(&self, name: &str) -> Result<&str, RedisError> {
        let field = self.fields.iter().find(|(known, _)| **known == *name);
        let (_, value) = field.ok_or_else(|| unreadable("it lacks a field"))?;
        std::str::from_utf8(value).map_err(|_| unreadable("it is not UTF-8"))
    }

    pub fn number(&self, name: &str) -> Result<u64, RedisError> {
        self.text(name)?
            .parse()
            .map_err(|_| unreadable("a number is none"))
    }

    pub fn message(&self, room: RoomName, seq: u64, epoch: Epoch) -> Result<Message, RedisError> {
        let said = Said {
            time: self.number("t")?,
            author: self.text("a")?,
            text: self.text("x")?,
            replica: self.text("h")?,
        };
        said.message(room, MessageId { seq, epoch })
    }
}

impl FromRedisValue for Entry {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let (id, fields): (String, Vec<(String, Vec<u8>)>) = redis::from_redis_value(value)?;
        let number = id.split('-').next().and_then(|number| number.parse().ok());
        Ok(Self {
            number: number.ok_or("an id is none")?,
            fields: fields
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        })
    }
}

/// What is said in a message, still as text.
pub(super) struct Said<'a> {
    /// Ms since 1970.
    pub time: u64,
    pub author: &'a str,
    pub text: &'a str,
    pub replica: &'a str,
}

impl Said<'_> {
    pub fn message(self, room: RoomName, id: MessageId) -> Result<Message, RedisError> {
        let author = match self.author {
            "" => None,
            name => Some(
                name.parse()
                    .map_err(|_| unreadable("its author is no name"))?,
            ),
        };
        Ok(Message {
            room,
            id,
            author,
            text: self.text.into(),
            time: time(self.time)?,
            replica: self.replica.into(),
        })
    }
}

pub(super) fn messages(
    entries: Vec<Entry>,
    room: &RoomName,
    epoch: Epoch,
) -> Result<Vec<Arc<Message>>, RedisError> {
    entries
        .iter()
        .map(|entry| {
            entry
                .message(room.clone(), entry.number, epoch)
                .map(Arc::new)
        })
        .collect()
}

pub(super) fn time(milliseconds: u64) -> Result<Timestamp, RedisError> {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|time| Timestamp::from_millisecond(time).ok())
        .ok_or_else(|| unreadable("its time is none"))
}

pub(super) fn unreadable(why: &'static str) -> RedisError {
    let what = "what is in redis is no message of ours; check that nobody else uses the prefix";
    (ErrorKind::UnexpectedReturnType, what, why.to_owned()).into()
}
