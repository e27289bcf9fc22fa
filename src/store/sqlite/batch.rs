//! One transaction of the writer: many posts become messages, and receipts are set, or none is.
//! What it knows of a room it reads from the file and forgets at the end, so that there is nothing
//! to take back when the transaction fails.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{
    inboxes::{self, Slot},
    row::{self, stored},
    schema::MESSAGE_OVERHEAD,
};
use crate::chat::{
    message::{Direct, Epoch, Message, MessageId, Post, RoomName, UserId},
    store::Receipt,
};

const ROOM: &str = "SELECT id, next, time FROM rooms WHERE name = ?1";
const NEW_ROOM: &str = "INSERT INTO rooms (name, first, next, time, direct)
    SELECT ?1, value, value, 0, ?2 FROM meta WHERE name = 'floor' RETURNING id, next";
const ROOM_GREW: &str = "UPDATE rooms SET next = ?2, time = ?3, bytes = bytes + ?4 WHERE id = ?1";
const INSERT: &str = "INSERT INTO messages
    (room, seq, time, author, text, replica, key, sender, recipient, place, received, neighbour, number)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const NOTE: &str = "INSERT INTO bookmarks (name, value) VALUES (?1, ?2)
    ON CONFLICT DO UPDATE SET value = ?2";
const NOTE_FIRST: &str =
    "INSERT INTO bookmarks (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
pub(super) const SAME_KEY: &str =
    "SELECT seq, time, author, text, replica, sender, recipient, place, key, neighbour
    FROM messages WHERE room = ?1 AND key = ?2";

/// What the writer is asked to do.
pub(super) enum Task {
    Keep(Post),
    Acknowledge {
        user: UserId,
        places: Vec<u64>,
    },
    Read {
        reader: UserId,
        other: UserId,
        id: MessageId,
    },
    Note(Note),
}

/// Something to be noted under a name.
pub(super) struct Note {
    pub name: String,
    pub value: String,
    /// Only where nothing is noted.
    pub first: bool,
}

impl Task {
    /// In bytes, more or less.
    pub fn size(&self) -> usize {
        match self {
            Self::Keep(post) => post.text.len(),
            Self::Acknowledge { places, .. } => places.len() * size_of::<u64>(),
            Self::Read { .. } => 0,
            Self::Note(Note { name, value, .. }) => name.len() + value.len(),
        }
    }
}

/// What a task that did not fail is answered.
pub(super) enum Outcome {
    Kept(Arc<Message>),
    InboxFull(usize),
    Acknowledged,
    /// How many messages are unread now; none where the id names no message.
    Read(Option<u64>),
    Noted,
}

/// What became of a batch.
pub(super) struct Done {
    /// For each task its outcome.
    pub outcomes: Vec<Outcome>,
    /// The messages that were not there before.
    pub new: Vec<Arc<Message>>,
    pub receipts: Vec<Receipt>,
}

/// A room while the transaction lasts.
struct Room {
    id: i64,
    next: i64,
    /// Of the newest message, ms since 1970.
    time: i64,
    /// By how many bytes it grew.
    grew: i64,
}

/// Does all of the tasks. Posts are said at `now` or, in a room whose newest message is later than that
/// because the clock was set back, together with that one.
pub(super) fn perform(
    conn: &mut Connection,
    tasks: Vec<Task>,
    epoch: Epoch,
    now: Timestamp,
) -> rusqlite::Result<Done> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut rooms = Rooms::default();
    let mut done = Done {
        outcomes: Vec::with_capacity(tasks.len()),
        new: Vec::with_capacity(tasks.len()),
        receipts: Vec::new(),
    };
    for task in tasks {
        let outcome = match task {
            Task::Keep(post) => keep(&tx, &mut rooms, post, epoch, now, &mut done.new)?,
            Task::Acknowledge { user, places } => {
                let delivered = inboxes::acknowledge(&tx, &user, &places, epoch)?;
                done.receipts.extend(delivered);
                Outcome::Acknowledged
            }
            Task::Read { reader, other, id } => {
                let read = inboxes::read(&tx, &reader, &other, id, epoch)?;
                let (unread, mark) = read.unzip();
                done.receipts.extend(mark.flatten());
                Outcome::Read(unread)
            }
            Task::Note(Note { name, value, first }) => {
                let sql = if first { NOTE_FIRST } else { NOTE };
                tx.prepare_cached(sql)?.execute([name, value])?;
                Outcome::Noted
            }
        };
        done.outcomes.push(outcome);
    }
    let mut grew = tx.prepare_cached(ROOM_GREW)?;
    for room in rooms.values().filter(|room| room.grew > 0) {
        grew.execute(params![room.id, room.next, room.time, room.grew])?;
    }
    drop(grew);
    tx.commit()?;
    Ok(done)
}

/// The rooms of the batch so far; their rows are written at its end.
type Rooms = HashMap<RoomName, Room>;

fn keep(
    tx: &Transaction<'_>,
    rooms: &mut Rooms,
    post: Post,
    epoch: Epoch,
    now: Timestamp,
    new: &mut Vec<Arc<Message>>,
) -> rusqlite::Result<Outcome> {
    let room = match rooms.entry(post.room.clone()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => {
            let room = room(tx, unknown.key(), post.direct.is_some())?;
            unknown.insert(room)
        }
    };
    if let Some(earlier) = earlier(tx, room, &post, epoch)? {
        return Ok(Outcome::Kept(Arc::new(earlier)));
    }
    let time = now.as_millisecond().max(room.time);
    let slot = match &post.direct {
        None => None,
        Some(envelope) => match inboxes::file(tx, room.id, room.next, time, envelope)? {
            None => return Ok(Outcome::InboxFull(envelope.box_size)),
            slot => slot,
        },
    };
    let message = Arc::new(place(tx, room, post, slot, epoch, time)?);
    new.push(Arc::clone(&message));
    Ok(Outcome::Kept(message))
}

/// The room's row, created when nothing was said in it yet.
fn room(tx: &Transaction<'_>, name: &RoomName, direct: bool) -> rusqlite::Result<Room> {
    let known = tx
        .prepare_cached(ROOM)?
        .query_row([name.as_str()], |row| {
            Ok(Room {
                id: row.get(0)?,
                next: row.get(1)?,
                time: row.get(2)?,
                grew: 0,
            })
        })
        .optional()?;
    if let Some(room) = known {
        return Ok(room);
    }
    tx.prepare_cached(NEW_ROOM)?
        .query_row(params![name.as_str(), direct], |row| {
            Ok(Room {
                id: row.get(0)?,
                next: row.get(1)?,
                time: 0,
                grew: 0,
            })
        })
}

/// The message that a post of the same key became, in this transaction or before.
fn earlier(
    tx: &Transaction<'_>,
    room: &Room,
    post: &Post,
    epoch: Epoch,
) -> rusqlite::Result<Option<Message>> {
    let Some(key) = &post.key else {
        return Ok(None);
    };
    tx.prepare_cached(SAME_KEY)?
        .query_row(params![room.id, key.as_str()], |row| {
            row::message(row, &post.room, epoch)
        })
        .optional()
}

/// Gives the post the next place in its room.
fn place(
    tx: &Transaction<'_>,
    room: &mut Room,
    post: Post,
    slot: Option<Slot>,
    epoch: Epoch,
    time: i64,
) -> rusqlite::Result<Message> {
    let seq = room.next;
    let envelope = post.direct.as_ref();
    tx.prepare_cached(INSERT)?.execute(params![
        room.id,
        seq,
        time,
        post.author.as_ref().map(|author| author.as_str()),
        post.text,
        post.replica,
        post.key.as_ref().map(|key| key.as_str()),
        envelope.map(|envelope| row::stored_user(&envelope.from)),
        envelope.map(|envelope| row::stored_user(&envelope.to)),
        slot.as_ref().map(|slot| slot.place),
        slot.as_ref().map(|slot| slot.received),
        post.bridge.as_ref().map(|bridge| bridge.as_str()),
        slot.as_ref().map(|slot| slot.number),
    ])?;
    *room = Room {
        id: room.id,
        next: seq + 1,
        time,
        grew: room.grew + stored(post.text.len()) + MESSAGE_OVERHEAD,
    };
    let direct = post.direct.zip(slot).map(|(envelope, slot)| Direct {
        from: envelope.from,
        to: envelope.to,
        place: row::seq(slot.place),
        key: post.key,
    });
    Ok(Message {
        room: post.room,
        id: MessageId {
            seq: row::seq(seq),
            epoch,
        },
        author: post.author,
        text: post.text,
        // Not out of range: both it was made of are times.
        time: Timestamp::from_millisecond(time).unwrap_or_default(),
        replica: post.replica,
        bridge: post.bridge,
        direct: direct.map(Box::new),
    })
}
