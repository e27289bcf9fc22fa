//! Direct messages on their way to one person, as the writer records them: what waits in whose inbox,
//! what was acknowledged, how far a thread was read.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::row::{self, stored, stored_user};
use crate::chat::{
    message::{Envelope, Epoch, MessageId, RoomName, UserId},
    store::{Receipt, ReceiptKind},
};

const BOX: &str = "SELECT id, next, waiting FROM boxes WHERE user = ?1";
const NEW_BOX: &str = "INSERT INTO boxes (user, next, waiting) VALUES (?1, 1, 0)";
const BOX_GREW: &str = "UPDATE boxes SET next = next + 1, waiting = waiting + 1 WHERE id = ?1";
const BOX_SHRANK: &str = "UPDATE boxes SET waiting = waiting - ?2 WHERE id = ?1";
const WAITS: &str = "INSERT INTO pending (box, place, room, seq) VALUES (?1, ?2, ?3, ?4)";
const TAKEN: &str = "DELETE FROM pending WHERE box = ?1 AND place = ?2 RETURNING room, seq";
const DELIVERED: &str = "SELECT sender, recipient, time FROM messages WHERE room = ?1 AND seq = ?2";
/// `?4` is 1 for a message that this person received, 0 for one that it wrote.
const TALKED: &str = "INSERT INTO conversations (box, room, other, received, read, read_seq, time)
    VALUES (?1, ?2, ?3, ?4, 0, 0, ?5)
    ON CONFLICT DO UPDATE SET other = ?3, received = received + ?4, time = ?5
    RETURNING received";
const VIEW: &str =
    "SELECT received, read, read_seq FROM conversations WHERE box = ?1 AND room = ?2";
const ROOM: &str = "SELECT id FROM rooms WHERE name = ?1";
const READ_UP_TO: &str =
    "SELECT recipient, received, time FROM messages WHERE room = ?1 AND seq = ?2";
const HAS_READ: &str =
    "UPDATE conversations SET read = ?3, read_seq = ?4 WHERE box = ?1 AND room = ?2";
const LOST: &str = "SELECT box, count(*) FROM pending WHERE room = ?1 AND seq < ?2 GROUP BY box";
const LOSE: &str = "DELETE FROM pending WHERE room = ?1 AND seq < ?2";

const LETTER: &str = "UPDATE meta SET value = value + 1 WHERE name = 'letters' RETURNING value";

/// What a message was given in its recipient's inbox.
pub(super) struct Slot {
    /// Its number among all direct messages.
    pub number: i64,
    pub place: i64,
    /// How many messages of the thread the recipient has been sent with this one.
    pub received: i64,
}

struct PersonsBox {
    id: i64,
    next: i64,
    waiting: i64,
}

/// Puts the message to come of a room into its recipient's inbox; none where that is full.
pub(super) fn file(
    tx: &Transaction<'_>,
    room: i64,
    seq: i64,
    time: i64,
    envelope: &Envelope,
) -> rusqlite::Result<Option<Slot>> {
    let Envelope { from, to, box_size } = envelope;
    let to_box = open_box(tx, to)?;
    if to_box.waiting >= stored(*box_size) {
        return Ok(None);
    }
    let place = to_box.next;
    tx.prepare_cached(BOX_GREW)?.execute([to_box.id])?;
    tx.prepare_cached(WAITS)?
        .execute(params![to_box.id, place, room, seq])?;
    let mut talked = tx.prepare_cached(TALKED)?;
    let mut talked = |person: i64, other, received: i64| {
        talked.query_row(
            params![person, room, stored_user(other), received, time],
            |row| row.get(0),
        )
    };
    if from != to {
        talked(open_box(tx, from)?.id, to, 0)?;
    }
    let received = talked(to_box.id, from, 1)?;
    let number = tx.prepare_cached(LETTER)?.query_row([], |row| row.get(0))?;
    Ok(Some(Slot {
        number,
        place,
        received,
    }))
}

/// The person's inbox, new where there was none.
fn open_box(tx: &Transaction<'_>, user: &UserId) -> rusqlite::Result<PersonsBox> {
    if let Some(known) = known_box(tx, user)? {
        return Ok(known);
    }
    let id = tx.prepare_cached(NEW_BOX)?.insert([user.as_str()])?;
    Ok(PersonsBox {
        id,
        next: 1,
        waiting: 0,
    })
}

fn known_box(tx: &Transaction<'_>, user: &UserId) -> rusqlite::Result<Option<PersonsBox>> {
    let read = |row: &Row<'_>| {
        Ok(PersonsBox {
            id: row.get(0)?,
            next: row.get(1)?,
            waiting: row.get(2)?,
        })
    };
    tx.prepare_cached(BOX)?
        .query_row([user.as_str()], read)
        .optional()
}

/// Takes messages out of the inbox, and says which.
pub(super) fn acknowledge(
    tx: &Transaction<'_>,
    user: &UserId,
    places: &[u64],
    epoch: Epoch,
) -> rusqlite::Result<Vec<Receipt>> {
    let Some(of) = known_box(tx, user)? else {
        return Ok(Vec::new());
    };
    let mut taken = tx.prepare_cached(TAKEN)?;
    let mut delivered = tx.prepare_cached(DELIVERED)?;
    let mut receipts = Vec::with_capacity(places.len());
    for place in places {
        let message: Option<(i64, i64)> = taken
            .query_row(params![of.id, stored(*place)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((room, seq)) = message else {
            continue;
        };
        receipts.push(delivered.query_row([room, seq], |row| {
            Ok(Receipt {
                from: row::user(row, 0)?,
                to: row::user(row, 1)?,
                id: id(seq, epoch),
                time: row::time(row, 2)?,
                what: ReceiptKind::Delivered { place: *place },
            })
        })?);
    }
    tx.prepare_cached(BOX_SHRANK)?
        .execute(params![of.id, stored(receipts.len())])?;
    Ok(receipts)
}

/// Moves the reader's mark up to a message, and answers how many are unread; the mark where it moved.
pub(super) fn read(
    tx: &Transaction<'_>,
    reader: &UserId,
    other: &UserId,
    up_to: MessageId,
    epoch: Epoch,
) -> rusqlite::Result<Option<(u64, Option<Receipt>)>> {
    let name = RoomName::direct(reader, other);
    let room: Option<i64> = tx
        .prepare_cached(ROOM)?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?;
    let (Some(room), Some(of), true) = (room, known_box(tx, reader)?, up_to.epoch == epoch) else {
        return Ok(None);
    };
    let seq = stored(up_to.seq);
    let message: Option<(UserId, i64, Timestamp)> = tx
        .prepare_cached(READ_UP_TO)?
        .query_row([room, seq], |row| {
            Ok((row::user(row, 0)?, row.get(1)?, row::time(row, 2)?))
        })
        .optional()?;
    let Some((recipient, count, time)) = message else {
        return Ok(None);
    };
    let (received, read, read_seq): (i64, i64, i64) =
        tx.prepare_cached(VIEW)?.query_row([of.id, room], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    if seq <= read_seq {
        return Ok(Some((row::seq(received - read), None)));
    }
    // Every message of the room is for one of the two.
    let now_read = if recipient == *reader {
        count
    } else {
        seq - count
    };
    tx.prepare_cached(HAS_READ)?
        .execute([of.id, room, now_read, seq])?;
    let mark = Receipt {
        from: other.clone(),
        to: reader.clone(),
        id: up_to,
        time,
        what: ReceiptKind::Read,
    };
    Ok(Some((row::seq(received - now_read), Some(mark))))
}

/// Lets go of what waits of a room's messages before `first`. Returns how many did.
pub(super) fn lose(tx: &Transaction<'_>, room: i64, first: i64) -> rusqlite::Result<i64> {
    let mut lost = 0;
    let mut of_boxes = tx.prepare_cached(LOST)?;
    let mut of_boxes = of_boxes.query([room, first])?;
    while let Some(row) = of_boxes.next()? {
        let (person, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        tx.prepare_cached(BOX_SHRANK)?.execute([person, count])?;
        lost += count;
    }
    if lost > 0 {
        tx.prepare_cached(LOSE)?.execute([room, first])?;
    }
    Ok(lost)
}

fn id(seq: i64, epoch: Epoch) -> MessageId {
    MessageId {
        seq: row::seq(seq),
        epoch,
    }
}
