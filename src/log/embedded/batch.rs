//! One transaction of the writer: many posts become messages, or none does.
//! What it knows of a room it reads from the file and forgets at the end, so that there is nothing
//! to take back when the transaction fails.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use jiff::Timestamp;
use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::row;
use crate::chat::message::{Epoch, Message, MessageId, Post, RoomName};

const ROOM: &str = "SELECT id, next, time FROM rooms WHERE name = ?1";
const NEW_ROOM: &str = "INSERT INTO rooms (name, first, next, time) VALUES (?1, 1, 1, 0)";
const ROOM_GREW: &str = "UPDATE rooms SET next = ?2, time = ?3 WHERE id = ?1";
const INSERT: &str = "INSERT INTO messages (room, seq, time, author, text, replica, key)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const SAME_KEY: &str = "SELECT seq, time, author, text, replica FROM messages
    WHERE room = ?1 AND key = ?2";

/// What became of a batch.
pub(super) struct Kept {
    /// For each post its message.
    pub answers: Vec<Arc<Message>>,
    /// The messages that were not there before.
    pub new: Vec<Arc<Message>>,
}

/// A room while the transaction lasts.
struct Room {
    id: i64,
    next: i64,
    /// Of the newest message, ms since 1970.
    time: i64,
    grew: bool,
}

/// Keeps all of the posts, said at `now` or, in a room whose newest message is later than that
/// because the clock was set back, together with that one.
pub(super) fn keep(
    conn: &mut Connection,
    posts: Vec<Post>,
    epoch: Epoch,
    now: Timestamp,
) -> rusqlite::Result<Kept> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut rooms: HashMap<RoomName, Room> = HashMap::new();
    let mut answers = Vec::with_capacity(posts.len());
    let mut new = Vec::with_capacity(posts.len());
    {
        let mut insert = tx.prepare_cached(INSERT)?;
        let mut same_key = tx.prepare_cached(SAME_KEY)?;
        for post in posts {
            let room = match rooms.entry(post.room.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let room = room(&tx, unknown.key())?;
                    unknown.insert(room)
                }
            };
            if let Some(earlier) = earlier(&mut same_key, room, &post, epoch)? {
                answers.push(Arc::new(earlier));
                continue;
            }
            let message = Arc::new(place(&mut insert, room, post, epoch, now)?);
            answers.push(Arc::clone(&message));
            new.push(message);
        }
        let mut grew = tx.prepare_cached(ROOM_GREW)?;
        for room in rooms.values().filter(|room| room.grew) {
            grew.execute(params![room.id, room.next, room.time])?;
        }
    }
    tx.commit()?;
    Ok(Kept { answers, new })
}

/// The room's row, created when nothing was said in it yet.
fn room(tx: &Transaction<'_>, name: &RoomName) -> rusqlite::Result<Room> {
    let known = tx
        .prepare_cached(ROOM)?
        .query_row([name.as_str()], |row| {
            Ok(Room {
                id: row.get(0)?,
                next: row.get(1)?,
                time: row.get(2)?,
                grew: false,
            })
        })
        .optional()?;
    if let Some(room) = known {
        return Ok(room);
    }
    let id = tx.prepare_cached(NEW_ROOM)?.insert([name.as_str()])?;
    Ok(Room {
        id,
        next: 1,
        time: 0,
        grew: false,
    })
}

/// The message that a post of the same key became, in this transaction or before.
fn earlier(
    same_key: &mut CachedStatement<'_>,
    room: &Room,
    post: &Post,
    epoch: Epoch,
) -> rusqlite::Result<Option<Message>> {
    let Some(key) = &post.key else {
        return Ok(None);
    };
    same_key
        .query_row(params![room.id, key.as_str()], |row| {
            row::message(row, &post.room, epoch)
        })
        .optional()
}

/// Gives the post the next place in its room.
fn place(
    insert: &mut CachedStatement<'_>,
    room: &mut Room,
    post: Post,
    epoch: Epoch,
    now: Timestamp,
) -> rusqlite::Result<Message> {
    let seq = room.next;
    let time = now.as_millisecond().max(room.time);
    insert.execute(params![
        room.id,
        seq,
        time,
        post.author.as_ref().map(|author| author.as_str()),
        post.text,
        post.replica,
        post.key.as_ref().map(|key| key.as_str()),
    ])?;
    *room = Room {
        id: room.id,
        next: seq + 1,
        time,
        grew: true,
    };
    Ok(Message {
        room: post.room,
        id: MessageId {
            seq: row::seq(seq),
            epoch,
        },
        author: post.author,
        text: post.text,
        // Not out of range: both it was made of are times.
        time: Timestamp::from_millisecond(time).unwrap_or(now),
        replica: post.replica,
    })
}
