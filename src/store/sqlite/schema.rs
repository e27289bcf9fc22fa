//! What is in the file, and how files of earlier versions become files of this one.

use rusqlite::{Connection, TransactionBehavior};

/// Receipts the file as ours: "HSLG".
pub(super) const APPLICATION_ID: i32 = 0x4853_4c47;

/// The version that this program writes, one for each migration.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// Each takes a file from the version of its index to the next. One that was released is never
/// changed again.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    INSERT INTO meta VALUES ('epoch', random() & 0xffffffff), ('closed', 1);

    -- A room outlives its messages, so that no id is given out twice.
    CREATE TABLE rooms (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        first INTEGER NOT NULL, -- seq of the oldest message that is kept; equals next when none is
        next INTEGER NOT NULL,  -- seq of the message to come
        time INTEGER NOT NULL   -- of the newest message, ms since 1970
    ) STRICT;

    CREATE INDEX rooms_by_time ON rooms (time) WHERE first < next;

    CREATE TABLE messages (
        room INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time INTEGER NOT NULL,  -- ms since 1970
        author TEXT,
        text TEXT NOT NULL,
        replica TEXT NOT NULL,
        key TEXT,
        PRIMARY KEY (room, seq)
    ) STRICT, WITHOUT ROWID;

    CREATE UNIQUE INDEX messages_by_key ON messages (room, key) WHERE key IS NOT NULL;
", "
    -- Of direct messages only; user ids as JSON, which tells 7 from '7'.
    ALTER TABLE messages ADD COLUMN sender TEXT;
    ALTER TABLE messages ADD COLUMN recipient TEXT;
    ALTER TABLE messages ADD COLUMN place INTEGER;    -- in the recipient's box
    ALTER TABLE messages ADD COLUMN received INTEGER; -- how many of its room the recipient had by then

    ALTER TABLE rooms ADD COLUMN direct INTEGER NOT NULL DEFAULT 0; -- 1: a conversation of two
    DROP INDEX rooms_by_time;
    CREATE INDEX rooms_by_time ON rooms (time) WHERE first < next AND direct = 0;

    -- One for each person who ever wrote or was written to.
    CREATE TABLE boxes (
        id INTEGER PRIMARY KEY,
        user TEXT NOT NULL UNIQUE, -- the id as a string, by which persons are told apart
        next INTEGER NOT NULL,     -- place of the message to come
        waiting INTEGER NOT NULL   -- its rows in pending
    ) STRICT;

    CREATE TABLE pending (
        box INTEGER NOT NULL,
        place INTEGER NOT NULL,
        room INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (box, place)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX pending_by_room ON pending (room, box, seq);

    -- A room of two as one of them sees it.
    CREATE TABLE conversations (
        box INTEGER NOT NULL,
        room INTEGER NOT NULL,
        other TEXT NOT NULL,       -- user id as JSON
        received INTEGER NOT NULL, -- messages from the other, ever
        read INTEGER NOT NULL,     -- so many of these are read
        read_seq INTEGER NOT NULL, -- the message up to which it has read
        time INTEGER NOT NULL,     -- of the newest message, ms since 1970
        PRIMARY KEY (box, room)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX conversations_by_time ON conversations (box, time);
", "
    ALTER TABLE messages ADD COLUMN neighbour TEXT; -- where it came from, unless it was said to us
    ALTER TABLE messages ADD COLUMN number INTEGER; -- of direct messages, among all of them
    CREATE UNIQUE INDEX letters ON messages (number) WHERE number IS NOT NULL;
    INSERT INTO meta VALUES ('letters', 0);         -- the last of these numbers

    CREATE TABLE bookmarks (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
", "
    -- What its messages take, about: their texts in UTF-8, and 200 for each.
    ALTER TABLE rooms ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE rooms SET bytes = (
        SELECT coalesce(sum(octet_length(text) + 200), 0) FROM messages WHERE room = rooms.id
    );
    CREATE INDEX rooms_by_bytes ON rooms (bytes);

    -- No room that is gone gave out this seq or a later one: where new rooms begin.
    INSERT INTO meta VALUES ('floor', 1);
"];

/// Bytes that a message takes besides its text, about; as the migrations count it.
pub(super) const MESSAGE_OVERHEAD: i64 = 200;

/// Brings the file from `version` to [`VERSION`], all of it or none.
pub(super) fn migrate(conn: &mut Connection, version: i32) -> rusqlite::Result<()> {
    let done = usize::try_from(version).unwrap_or(0);
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}
