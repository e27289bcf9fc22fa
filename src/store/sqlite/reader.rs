//! Reads, each in a snapshot of its own, next to the writer and never in its way.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Transaction, params};
use tokio::{sync::Semaphore, task, time::timeout};

use super::row::{self, stored};
use crate::chat::{
    message::{Epoch, Message, MessageId, RoomName},
    store::{After, RoomActivity, StoreError},
};

/// Reads at a time.
const READERS: u32 = 4;

const ROOM: &str = "SELECT id, first, next FROM rooms WHERE name = ?1";
pub(super) const AFTER: &str =
    "SELECT seq, time, author, text, replica, sender, recipient, place, key, neighbour
    FROM messages
    WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
pub(super) const BEFORE: &str =
    "SELECT seq, time, author, text, replica, sender, recipient, place, key, neighbour
    FROM messages
    WHERE room = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3";
pub(super) const ROOMS: &str = "SELECT name, time FROM rooms WHERE first < next AND direct = 0
    ORDER BY time DESC LIMIT ?1";

const BOOKMARK: &str = "SELECT value FROM bookmarks WHERE name = ?1";

/// The connections that read, opened when they are needed first.
pub(super) struct Readers {
    file: PathBuf,
    patience: Duration,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(file: PathBuf, patience: Duration) -> Self {
        Self {
            file,
            patience,
            places: Arc::new(Semaphore::new(READERS as usize)),
            idle: Mutex::default(),
        }
    }

    /// Runs a read where it may block.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = timeout(self.patience, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Closed)?;
        let readers = Arc::clone(self);
        let reading = task::spawn_blocking(move || {
            let idle = readers.idle.lock().pop();
            let mut conn = idle.map_or_else(|| readers.connect(), Ok)?;
            // Not on failure: a new connection has better chances.
            let found = read(&mut conn)?;
            readers.idle.lock().push(conn);
            drop(place);
            Ok(found)
        });
        reading
            .await
            .map_err(|error| StoreError::Storage(Arc::new(error)))?
            .map_err(|error: rusqlite::Error| StoreError::Storage(Arc::new(error)))
    }

    /// Waits for the reads under way; those that come later are refused.
    pub async fn close(&self) {
        let _all = self.places.acquire_many(READERS).await;
        self.places.close();
        self.idle.lock().clear();
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.file, flags)?;
        conn.busy_timeout(self.patience)?;
        conn.pragma_update(None, "cache_size", -4 * 1024)?;
        Ok(conn)
    }
}

pub(super) fn after(
    conn: &mut Connection,
    room: &RoomName,
    epoch: Epoch,
    id: MessageId,
    limit: usize,
) -> rusqlite::Result<After> {
    if id.epoch != epoch {
        return Ok(After::Gap);
    }
    let tx = conn.transaction()?;
    let bounds = tx
        .prepare_cached(ROOM)?
        .query_row([room.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    // A room in which nothing was said yet is one whose first message is to come.
    let (room_id, first, next): (Option<i64>, i64, i64) = bounds.unwrap_or((None, 1, 1));
    let seq = stored(id.seq);
    if seq >= next || seq + 1 < first {
        return Ok(After::Gap);
    }
    let range = params![room_id, seq, stored(limit)];
    messages(&tx, AFTER, range, room, epoch).map(After::Complete)
}

pub(super) fn before(
    conn: &mut Connection,
    room: &RoomName,
    epoch: Epoch,
    id: MessageId,
    limit: usize,
) -> rusqlite::Result<Vec<Arc<Message>>> {
    if id.epoch != epoch {
        return Ok(Vec::new());
    }
    let tx = conn.transaction()?;
    let room_id: Option<i64> = tx
        .prepare_cached(ROOM)?
        .query_row([room.as_str()], |row| row.get(0))
        .optional()?;
    let range = params![room_id, stored(id.seq), stored(limit)];
    let mut messages = messages(&tx, BEFORE, range, room, epoch)?;
    messages.reverse();
    Ok(messages)
}

pub(super) fn rooms(conn: &mut Connection, limit: usize) -> rusqlite::Result<Vec<RoomActivity>> {
    let mut rooms = conn.prepare_cached(ROOMS)?;
    let rooms = rooms.query_map([stored(limit)], |row| {
        Ok(RoomActivity {
            room: row::room_name(row, 0)?,
            last: row::time(row, 1)?,
        })
    })?;
    rooms.collect()
}

pub(super) fn bookmark(conn: &mut Connection, name: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached(BOOKMARK)?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn messages(
    tx: &Transaction<'_>,
    sql: &str,
    range: impl Params,
    room: &RoomName,
    epoch: Epoch,
) -> rusqlite::Result<Vec<Arc<Message>>> {
    let mut messages = tx.prepare_cached(sql)?;
    let messages = messages.query_map(range, |row| row::message(row, room, epoch).map(Arc::new))?;
    messages.collect()
}
