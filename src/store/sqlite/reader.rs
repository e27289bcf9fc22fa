//! Reads, each in a snapshot of its own, next to the writer and never in its way.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Transaction, params};
use tokio::{sync::Semaphore, task, time::timeout};

use super::row::{self, stored};
use crate::chat::{
    message::{Epoch, Message, MessageId, RoomName},
    store::{After, Limit, RoomActivity, StoreError},
};

/// Reads at a time.
const READERS: u32 = 4;

const ROOM: &str = "SELECT id, first, next FROM rooms WHERE name = ?1";
/// Where a room begins in which nothing was said yet.
const FLOOR: &str = "SELECT value FROM meta WHERE name = 'floor'";
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
    limit: Limit,
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
    let (room_id, first, next): (Option<i64>, i64, i64) = match bounds {
        Some(bounds) => bounds,
        None if id.seq == 0 => return Ok(After::Complete(Vec::new())),
        None => {
            let floor = tx.prepare_cached(FLOOR)?.query_row([], |row| row.get(0))?;
            (None, floor, floor)
        }
    };
    let seq = stored(id.seq);
    if seq >= next || seq + 1 < first {
        return Ok(After::Gap);
    }
    let range = params![room_id, seq, stored(limit.messages)];
    messages(&tx, AFTER, range, room, epoch, limit).map(After::Complete)
}

pub(super) fn before(
    conn: &mut Connection,
    room: &RoomName,
    epoch: Epoch,
    id: MessageId,
    limit: Limit,
) -> rusqlite::Result<Vec<Arc<Message>>> {
    if id.epoch != epoch {
        return Ok(Vec::new());
    }
    let tx = conn.transaction()?;
    let room_id: Option<i64> = tx
        .prepare_cached(ROOM)?
        .query_row([room.as_str()], |row| row.get(0))
        .optional()?;
    let range = params![room_id, stored(id.seq), stored(limit.messages)];
    let mut messages = messages(&tx, BEFORE, range, room, epoch, limit)?;
    messages.reverse();
    Ok(messages)
}

pub(super) fn start_of_last(
    conn: &mut Connection,
    room: &RoomName,
    count: usize,
) -> rusqlite::Result<u64> {
    let start = conn
        .prepare_cached(ROOM)?
        .query_row([room.as_str()], |row| {
            let (first, next): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(first.max(next.saturating_sub(stored(count))) - 1)
        })
        .optional()?;
    Ok(start.map_or(0, row::seq))
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
    limit: Limit,
) -> rusqlite::Result<Vec<Arc<Message>>> {
    let mut rows = tx.prepare_cached(sql)?;
    let rows = rows.query_map(range, |row| row::message(row, room, epoch).map(Arc::new))?;
    Ok(within(limit, rows, |message| message)?.0)
}

/// Takes rows up to the limit's bytes, and says whether there was another one. Text of rows beyond that is
/// not read from the file.
pub(super) fn within<T>(
    limit: Limit,
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    message: impl Fn(&T) -> &Arc<Message>,
) -> rusqlite::Result<(Vec<T>, bool)> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += message(&row).text.len();
        if bytes > limit.bytes && !taken.is_empty() {
            return Ok((taken, true));
        }
        taken.push(row);
    }
    Ok((taken, false))
}
