//! Messages as the scripts give them out: an id `<seq>-0`, and names and values of fields. `t` is the
//! time, `a` the author, `x` the text, `h` the replica, `k` the key; of a direct message `f` and `o` are
//! whom it is from and for (JSON), `p` is its place in the inbox; `b` the bridge, where it came from one.

use std::sync::Arc;

use jiff::Timestamp;
use redis::{ErrorKind, FromRedisValue, RedisError, Value};

use crate::chat::message::{BridgeName, Direct, Epoch, Message, MessageId, RoomName, UserId};

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

    /// The message of an entry in a room's stream, or in that of all rooms.
    pub fn message(
        &self,
        room: Option<&RoomName>,
        seq: u64,
        epoch: Epoch,
    ) -> Result<Message, RedisError> {
        let direct = self.direct()?;
        let room = match (&direct, room) {
            (Some(direct), _) => RoomName::direct(&direct.from, &direct.to),
            (None, Some(room)) => room.clone(),
            (None, None) => {
                let room = self.text("r")?.parse();
                room.map_err(|_| unreadable("its room has no name"))?
            }
        };
        let author = match self.text("a")? {
            "" => None,
            name => Some(
                name.parse()
                    .map_err(|_| unreadable("its author is no name"))?,
            ),
        };
        Ok(Message {
            room,
            id: MessageId { seq, epoch },
            author,
            text: self.text("x")?.into(),
            time: time(self.number("t")?)?,
            replica: self.text("h")?.into(),
            bridge: self
                .has("b")
                .then(|| self.text("b"))
                .transpose()?
                .map(BridgeName::new),
            direct: direct.map(Box::new),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| **known == *name)
    }

    fn direct(&self) -> Result<Option<Direct>, RedisError> {
        if !self.has("f") {
            return Ok(None);
        }
        let key = match self.text("k")? {
            "" => None,
            key => Some(key.parse().map_err(|_| unreadable("its key is none"))?),
        };
        Ok(Some(Direct {
            from: user(self.text("f")?)?,
            to: user(self.text("o")?)?,
            place: self.number("p")?,
            key,
        }))
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

pub(super) fn messages(
    entries: Vec<Entry>,
    room: Option<&RoomName>,
    epoch: Epoch,
) -> Result<Vec<Arc<Message>>, RedisError> {
    let message = |entry: &Entry| entry.message(room, entry.number, epoch);
    entries
        .iter()
        .map(|entry| message(entry).map(Arc::new))
        .collect()
}

/// A user id, kept as JSON, which tells 7 from "7".
pub(super) fn user(json: &str) -> Result<UserId, RedisError> {
    serde_json::from_str(json).map_err(|_| unreadable("a user has no id"))
}

/// A user id for Redis.
pub(super) fn stored_user(id: &UserId) -> String {
    serde_json::to_string(id).expect("a string or a number encodes as JSON")
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
