//! Retention. From time to time the writer sweeps over all rooms, in steps that are short enough
//! to come between two batches of posts.

use std::{future, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};
use tokio::time::{Instant, sleep_until};

use super::{Retain, inboxes, row::stored};

/// Rooms that one step looks at.
const STEP_ROOMS: i64 = 100;

/// Messages that one step deletes.
const STEP_MESSAGES: i64 = 2000;

/// Messages after which a sweep is due before its time.
const SWEEP_AFTER: usize = 1000;

const ROOMS: &str = "SELECT id, first, next FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2";
const OLDEST: &str = "SELECT seq, time FROM messages WHERE room = ?1 AND seq >= ?2 ORDER BY seq";
const DELETE: &str = "DELETE FROM messages WHERE room = ?1 AND seq < ?2";
const ROOM_SHRANK: &str = "UPDATE rooms SET first = ?2 WHERE id = ?1";

pub(super) struct Pruner {
    messages_per_room: Option<i64>,
    /// In ms.
    age: Option<i64>,
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
            due: (!keeps_all).then(Instant::now),
            swept: 0,
            grown: 0,
        }
    }

    /// Waits until a step is due.
    pub async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => future::pending().await,
        }
    }

    pub fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Takes note of new messages.
    pub fn grown_by(&mut self, messages: usize) {
        self.grown += messages;
        if self.grown >= SWEEP_AFTER && self.due.is_some() {
            self.due = Some(Instant::now());
        }
    }

    /// One step of the sweep; the next is due at once until all rooms have been seen.
    pub fn step(&mut self, conn: &mut Connection) {
        match self.sweep_on(conn, Timestamp::now().as_millisecond()) {
            Ok(Some(room)) => self.swept = room,
            Ok(None) => self.rest(),
            Err(error) => {
                tracing::warn!(%error, "old messages could not be deleted, trying again later");
                self.rest();
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
                tx.prepare_cached(DELETE)?
                    .execute(params![room.id, first])?;
                tx.prepare_cached(ROOM_SHRANK)?
                    .execute(params![room.id, first])?;
                lost += inboxes::lose(&tx, room.id, first)?;
                left -= first - room.first;
            }
            if left == 0 {
                // There may be more in this room.
                swept = Some(room.id - 1);
                break;
            }
        }
        tx.commit()?;
        if lost > 0 {
            tracing::warn!(
                messages = lost,
                "direct messages grew too old before anybody acknowledged them"
            );
        }
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

fn rooms_after(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<Vec<Room>> {
    let mut rooms = tx.prepare_cached(ROOMS)?;
    let rooms = rooms.query_map(params![id, STEP_ROOMS], |row| {
        Ok(Room {
            id: row.get(0)?,
            first: row.get(1)?,
            next: row.get(2)?,
        })
    })?;
    rooms.collect()
}
