//! Reads of direct messages: what waits for a person, and how its threads stand.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    reader::within,
    row::{self, stored},
};
use crate::chat::{
    message::{Epoch, MessageId, RoomName, UserId},
    store::{DirectMessages, Limit, Thread, ThreadState, Waiting},
};

pub(super) const PENDING: &str =
    "SELECT m.seq, m.time, author, text, replica, sender, recipient, m.place, key, neighbour
    FROM pending JOIN messages m ON m.room = pending.room AND m.seq = pending.seq
    WHERE box = (SELECT id FROM boxes WHERE user = ?1) AND pending.place > ?2
    ORDER BY pending.place LIMIT ?3";
pub(super) const CONVERSATIONS: &str =
    "SELECT m.seq, m.time, author, text, replica, sender, recipient, place, key, neighbour,
        other, min(c.received - c.read, rooms.next - rooms.first)
    FROM conversations c JOIN rooms ON rooms.id = c.room
    LEFT JOIN messages m ON m.room = c.room AND m.seq = rooms.next - 1
    WHERE box = (SELECT id FROM boxes WHERE user = ?1)
    ORDER BY c.time DESC LIMIT ?2";
pub(super) const LETTERS: &str =
    "SELECT seq, time, author, text, replica, sender, recipient, place, key, neighbour, number
    FROM messages WHERE number > ?1 ORDER BY number LIMIT ?2";
const NEWEST_LETTER: &str = "SELECT value FROM meta WHERE name = 'letters'";
const ROOM: &str = "SELECT id, first, next FROM rooms WHERE name = ?1";
const FIRST_WAITING: &str = "SELECT min(seq) FROM pending
    WHERE room = ?1 AND box = (SELECT id FROM boxes WHERE user = ?2)";
const VIEW: &str = "SELECT received - read, read_seq FROM conversations
    WHERE box = (SELECT id FROM boxes WHERE user = ?2) AND room = ?1";

pub(super) fn pending(
    conn: &mut Connection,
    user: &UserId,
    after: u64,
    limit: Limit,
    epoch: Epoch,
) -> rusqlite::Result<Waiting> {
    let mut pending = conn.prepare_cached(PENDING)?;
    let range = params![user.as_str(), stored(after), stored(limit.messages)];
    let pending = pending.query_map(range, |row| row::direct_message(row, epoch).map(Arc::new))?;
    let (messages, cut) = within(limit, pending, |message| message)?;
    Ok(Waiting {
        // As many as were asked for: there may be more.
        more: cut || messages.len() >= limit.messages,
        messages,
    })
}

pub(super) fn direct_messages(
    conn: &mut Connection,
    after: u64,
    limit: Limit,
    epoch: Epoch,
) -> rusqlite::Result<DirectMessages> {
    let tx = conn.transaction()?;
    let newest: i64 = tx
        .prepare_cached(NEWEST_LETTER)?
        .query_row([], |row| row.get(0))?;
    let mut direct_messages = tx.prepare_cached(LETTERS)?;
    let direct_messages =
        direct_messages.query_map(params![stored(after), stored(limit.messages)], |row| {
            let number = row::seq(row.get(row::COLUMNS)?);
            Ok((number, Arc::new(row::direct_message(row, epoch)?)))
        })?;
    Ok(DirectMessages {
        newest: row::seq(newest),
        messages: within(limit, direct_messages, |(_, message)| message)?.0,
    })
}

pub(super) fn threads(
    conn: &mut Connection,
    user: &UserId,
    limit: usize,
    epoch: Epoch,
) -> rusqlite::Result<Vec<Thread>> {
    let mut threads = conn.prepare_cached(CONVERSATIONS)?;
    let range = params![user.as_str(), stored(limit)];
    let threads = threads.query_map(range, |row| {
        let is_kept = row.get::<_, Option<i64>>(0)?.is_some();
        let last = is_kept
            .then(|| row::direct_message(row, epoch))
            .transpose()?;
        Ok(Thread {
            with: row::user(row, row::COLUMNS)?,
            unread: row::seq(row.get(row::COLUMNS + 1)?),
            last: last.map(Arc::new),
        })
    })?;
    threads.collect()
}

pub(super) fn thread_state(
    conn: &mut Connection,
    user: &UserId,
    other: &UserId,
    epoch: Epoch,
) -> rusqlite::Result<ThreadState> {
    let tx = conn.transaction()?;
    let room = RoomName::direct(user, other);
    let room: Option<(i64, i64, i64)> = tx
        .prepare_cached(ROOM)?
        .query_row([room.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((room, first, next)) = room else {
        return Ok(ThreadState::default());
    };
    let first_waiting: Option<i64> = tx
        .prepare_cached(FIRST_WAITING)?
        .query_row(params![room, other.as_str()], |row| row.get(0))?;
    let mut view = tx.prepare_cached(VIEW)?;
    let mut view = |person: &UserId| {
        view.query_row(params![room, person.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
    };
    let ((unread, _), (_, read)) = (view(user)?, view(other)?);
    let id = |seq: i64| {
        (seq > 0).then(|| MessageId {
            seq: row::seq(seq),
            epoch,
        })
    };
    Ok(ThreadState {
        delivered: id(first_waiting.unwrap_or(next) - 1),
        read: id(read),
        unread: row::seq(unread.min(next - first)),
    })
}
