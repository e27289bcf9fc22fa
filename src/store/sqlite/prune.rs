//! Retention. From time to time the writer sweeps over all rooms, and while the file holds more than it may it
//! shrinks the largest of them, in steps that are short enough to come between two batches of posts.

use std::{future, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tokio::time::{Instant, sleep_until};

use super::{Retain, inboxes, row::stored, schema::MESSAGE_OVERHEAD};
use crate::chat::message::RoomName;

/// Rooms that one step looks at.
const STEP_ROOMS: i64 = 100;

/// Messages that one step deletes.
const STEP_MESSAGES: i64 = 2000;

/// Bytes of text that one step deletes because the file holds too much, about.
const STEP_BYTES: i64 = 8 << 20;

/// How often it is said that the file holds as much as it may.
const SAID_EVERY: Duration = Duration::from_secs(3600);

/// Messages after which a sweep is due before its time.
const SWEEP_AFTER: usize = 1000;

const ROOMS: &str = "SELECT id, first, next FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2";
const OLDEST: &str = "SELECT seq, time FROM messages WHERE room = ?1 AND seq >= ?2 ORDER BY seq";
const DELETE: &str = "DELETE FROM messages WHERE room = ?1 AND seq < ?2";
const ROOM_SHRANK: &str = "UPDATE rooms SET first = ?2, bytes = max(0, bytes - ?3) WHERE id = ?1";
const SIZES: &str =
    "SELECT seq, octet_length(text) FROM messages WHERE room = ?1 ORDER BY seq LIMIT ?2";
const SIZE: &str = "SELECT count(*) * ?3 + coalesce(sum(octet_length(text)), 0) FROM messages
    WHERE room = ?1 AND seq < ?2";
pub(super) const LARGEST: &str = "SELECT id, first, next FROM rooms ORDER BY bytes DESC LIMIT 1";
const USED: &str = "SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size";

/// Rooms of which nothing is kept are forgotten, but for threads of two, which somebody has in a list, and the
/// lobby. No room to come gives out their ids again.
const RAISE_FLOOR: &str = "UPDATE meta SET value = max(value, (
        SELECT coalesce(max(next), 0) FROM rooms
        WHERE id > ?1 AND id <= ?2 AND first = next AND direct = 0 AND name != ?3
    )) WHERE name = 'floor'";
const FORGET: &str = "DELETE FROM rooms
    WHERE id > ?1 AND id <= ?2 AND first = next AND direct = 0 AND name != ?3";

pub(super) struct Pruner {
    messages_per_room: Option<i64>,
    /// In ms.
    age: Option<i64>,
    /// Bytes of the file.
    most: Option<i64>,
    /// The file holds more than that.
    is_over: bool,
    /// When it was last said.
    said: Option<Instant>,
    interval: Duration,
    /// When the next step is; none when everything is kept.
    due: Option<Instant>,
    /// The last room that the sweep is through with.
    swept: i64,
    grown: usize,
}

/// A room of which not everything is kept for ever.
struct Room {
    id: i64,
    first: i64,
    next: i64,
}

impl Pruner {
    pub fn new(retain: Retain) -> Self {
        let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(60));
        let keeps_all = retain == Retain::default();
        Self {
            messages_per_room: retain.messages_per_room.map(stored),
            age: retain.age.map(|age| stored(age.as_millis())),
            interval: retain
                .age
                .map_or(longest, |age| (age / 10).clamp(shortest, longest)),
            most: retain.bytes.map(stored),
            is_over: false,
            said: None,
            due: (!keeps_all).then(Instant::now),
            swept: 0,
            grown: 0,
        }
    }

    /// Waits until a step is due.
    pub async fn due(&self) {
        match self.due {
            _ if self.is_over => {}
            Some(due) => sleep_until(due).await,
            None => future::pending().await,
        }
    }

    pub fn is_due(&self) -> bool {
        self.is_over || self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Takes note of new messages.
    pub fn grown_by(&mut self, messages: usize, conn: &Connection) {
        self.grown += messages;
        self.measure(conn);
        if self.grown >= SWEEP_AFTER && self.due.is_some() {
            self.due = Some(Instant::now());
        }
    }

    /// Finds out whether the file holds too much.
    fn measure(&mut self, conn: &Connection) {
        let Some(most) = self.most else { return };
        match used(conn) {
            Ok(used) => self.is_over = used > most,
            Err(error) => tracing::warn!(%error, "the size of the store could not be found out"),
        }
    }

    /// One step; the next is due at once while the file holds too much, and until a sweep has seen all rooms.
    pub fn step(&mut self, conn: &mut Connection) {
        if self.is_over {
            return self.shrink(conn);
        }
        match self.sweep_on(conn, Timestamp::now().as_millisecond()) {
            Ok(Some(room)) => self.swept = room,
            Ok(None) => self.rest(),
            Err(error) => {
                tracing::warn!(%error, "old messages could not be deleted, trying again later");
                self.rest();
            }
        }
    }

    /// Deletes the oldest messages of the largest room.
    fn shrink(&mut self, conn: &mut Connection) {
        if self.said.is_none_or(|said| said.elapsed() > SAID_EVERY) {
            self.said = Some(Instant::now());
            tracing::warn!(
                bytes = self.most,
                "the store holds as much as --retain allows: the oldest messages of the largest rooms are deleted"
            );
        }
        match shrink_largest(conn) {
            // There is nothing but what the file is made of.
            Ok(0) => self.is_over = false,
            Ok(_) => self.measure(conn),
            Err(error) => {
                tracing::warn!(%error, "old messages could not be deleted, trying again later");
                // With the next posts.
                self.is_over = false;
            }
        }
    }

    fn rest(&mut self) {
        self.swept = 0;
        self.grown = 0;
        self.due = Some(Instant::now() + self.interval);
    }

    /// The room to go on after, none at the end of the sweep.
    fn sweep_on(&self, conn: &mut Connection, now: i64) -> rusqlite::Result<Option<i64>> {
        let tx = conn.transaction()?;
        let rooms = rooms_after(&tx, self.swept)?;
        let mut swept = rooms.last().map(|room| room.id);
        let mut left = STEP_MESSAGES;
        let mut lost = 0;
        for room in rooms {
            let first = self.first_kept(&tx, &room, now, left)?;
            if first > room.first {
                lost += delete(&tx, &room, first)?;
                left -= first - room.first;
            }
            if left == 0 {
                // There may be more in this room.
                swept = Some(room.id - 1);
                break;
            }
        }
        if let Some(swept) = swept {
            let lobby = RoomName::lobby();
            let seen = params![self.swept, swept, lobby.as_str()];
            tx.prepare_cached(RAISE_FLOOR)?.execute(seen)?;
            tx.prepare_cached(FORGET)?.execute(seen)?;
        }
        tx.commit()?;
        say_lost(lost);
        Ok(swept)
    }

    /// The oldest message to stay, when at most `most` may go.
    fn first_kept(
        &self,
        tx: &Transaction<'_>,
        room: &Room,
        now: i64,
        most: i64,
    ) -> rusqlite::Result<i64> {
        let most = room.next.min(room.first + most);
        let mut first = room.first;
        if let Some(messages) = self.messages_per_room {
            first = first.max(room.next.saturating_sub(messages)).min(most);
        }
        if let Some(age) = self.age {
            let said_after = now.saturating_sub(age);
            let mut oldest = tx.prepare_cached(OLDEST)?;
            let mut oldest = oldest.query(params![room.id, first])?;
            while first < most
                && let Some(row) = oldest.next()?
                && row.get::<_, i64>(1)? < said_after
            {
                first = row.get::<_, i64>(0)? + 1;
            }
        }
        Ok(first)
    }
}

/// Deletes the oldest messages of the room that takes most. Returns how many.
fn shrink_largest(conn: &mut Connection) -> rusqlite::Result<i64> {
    let tx = conn.transaction()?;
    let room = tx
        .prepare_cached(LARGEST)?
        .query_row([], read_room)
        .optional()?;
    let Some(room) = room else { return Ok(0) };
    let mut first = room.first;
    {
        let mut sizes = tx.prepare_cached(SIZES)?;
        let mut sizes = sizes.query(params![room.id, STEP_MESSAGES])?;
        let mut bytes = 0;
        while bytes < STEP_BYTES
            && let Some(row) = sizes.next()?
        {
            first = row.get::<_, i64>(0)? + 1;
            bytes += row.get::<_, i64>(1)?;
        }
    }
    let lost = delete(&tx, &room, first)?;
    tx.commit()?;
    say_lost(lost);
    Ok(first - room.first)
}

/// Deletes a room's messages before `first`. Returns how many of them waited for somebody.
fn delete(tx: &Transaction<'_>, room: &Room, first: i64) -> rusqlite::Result<i64> {
    let size: i64 = tx
        .prepare_cached(SIZE)?
        .query_row(params![room.id, first, MESSAGE_OVERHEAD], |row| row.get(0))?;
    tx.prepare_cached(DELETE)?
        .execute(params![room.id, first])?;
    tx.prepare_cached(ROOM_SHRANK)?
        .execute(params![room.id, first, size])?;
    inboxes::lose(tx, room.id, first)
}

fn say_lost(messages: i64) {
    if messages > 0 {
        tracing::warn!(
            messages,
            "direct messages grew too old before anybody acknowledged them"
        );
    }
}

/// Bytes of the file that are in use.
fn used(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached(USED)?.query_row([], |row| row.get(0))
}

fn read_room(row: &Row<'_>) -> rusqlite::Result<Room> {
    Ok(Room {
        id: row.get(0)?,
        first: row.get(1)?,
        next: row.get(2)?,
    })
}

fn rooms_after(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Vec<Room>> {
    let mut rooms = tx.prepare_cached(ROOMS)?;
    let rooms = rooms.query_map(params![id, STEP_ROOMS], read_room)?;
    rooms.collect()
}
