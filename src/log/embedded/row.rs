//! A message as a row of the file. Statements that read messages select [`row`](message)'s columns
//! in its order: seq, time, author, text, replica.

use std::error::Error;

use jiff::Timestamp;
use rusqlite::{Row, types::Type};

use crate::chat::message::{Epoch, Message, MessageId, RoomName};

pub(super) fn message(row: &Row<'_>, room: &RoomName, epoch: Epoch) -> rusqlite::Result<Message> {
    let author: Option<Box<str>> = row.get(2)?;
    let author = author.map(|name| name.parse()).transpose();
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
    })
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
