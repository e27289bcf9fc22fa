//! A message as a row of the file. Statements that read messages select its columns in the order of
//! [`message`]: seq, time, author, text, replica, sender, recipient, place, key, bridge.

use std::error::Error;

use jiff::Timestamp;
use rusqlite::{Row, types::Type};

use crate::chat::message::{BridgeName, Direct, Epoch, Message, MessageId, RoomName, UserId};

/// How many columns [`message`] reads: what a statement selects besides comes after them.
pub(super) const COLUMNS: usize = 10;

pub(super) fn message(row: &Row<'_>, room: &RoomName, epoch: Epoch) -> rusqlite::Result<Message> {
    let author: Option<Box<str>> = row.get(2)?;
    let author = author.map(|name| name.parse()).transpose();
    let bridge: Option<Box<str>> = row.get(9)?;
    Ok(Message {
        room: room.clone(),
        id: MessageId {
            seq: seq(row.get(0)?),
            epoch,
        },
        author: author.map_err(|error| unreadable(2, error))?,
        text: row.get(3)?,
        time: time(row, 1)?,
        replica: row.get(4)?,
        bridge: bridge.map(|name| BridgeName::new(&name)),
        direct: direct(row)?.map(Box::new),
    })
}

/// A direct message, whose room is that of both.
pub(super) fn direct_message(row: &Row<'_>, epoch: Epoch) -> rusqlite::Result<Message> {
    let room = RoomName::direct(&user(row, 5)?, &user(row, 6)?);
    message(row, &room, epoch)
}

fn direct(row: &Row<'_>) -> rusqlite::Result<Option<Direct>> {
    if row.get::<_, Option<Box<str>>>(5)?.is_none() {
        return Ok(None);
    }
    let key: Option<Box<str>> = row.get(8)?;
    let key = key.map(|key| key.parse()).transpose();
    Ok(Some(Direct {
        from: user(row, 5)?,
        to: user(row, 6)?,
        place: seq(row.get(7)?),
        key: key.map_err(|error| unreadable(8, error))?,
    }))
}

/// A user id, kept as JSON.
pub(super) fn user(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    let id: Box<str> = row.get(column)?;
    serde_json::from_str(&id).map_err(|error| unreadable(column, error))
}

/// A user id for the file.
pub(super) fn stored_user(id: &UserId) -> String {
    serde_json::to_string(id).expect("a string or a number encodes as JSON")
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(column)?).map_err(|error| unreadable(column, error))
}

pub(super) fn room_name(row: &Row<'_>, column: usize) -> rusqlite::Result<RoomName> {
    let name: Box<str> = row.get(column)?;
    name.parse().map_err(|error| unreadable(column, error))
}

/// A seq of the file, where numbers have a sign.
pub(super) fn seq(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// A number of ours for the file; what is too large for it is as good as the largest.
pub(super) fn stored<T>(number: T) -> i64
where
    i64: TryFrom<T>,
{
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unreadable(column: usize, error: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
