//! Opens the file of the sessions, brings it to the format of this version, and has the secret that is kept in it.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{super::cookie, PATIENCE};

const FILE: &str = "sessions.db";

/// Receipts the file as ours: "HSSS".
const APPLICATION_ID: i32 = 0x4853_5353;

/// The version that this program writes, one for each migration.
const VERSION: i32 = MIGRATIONS.len() as i32;

/// Each takes a file from the version of its index to the next. One that was released is never
/// changed again.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE secret (value TEXT NOT NULL) STRICT;

    CREATE TABLE sessions (
        login INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        former TEXT,              -- the id that it had before
        renewed INTEGER NOT NULL, -- when it got the id that it has, ms since 1970
        account TEXT,             -- mail address; none for a visitor who only gave a name
        record TEXT NOT NULL,     -- JSON
        expires INTEGER NOT NULL  -- ms since 1970
    ) STRICT;

    CREATE INDEX sessions_by_former ON sessions (former);
    CREATE INDEX sessions_by_expiry ON sessions (expires);
    CREATE INDEX sessions_by_account ON sessions (account, expires) WHERE account IS NOT NULL;
    CREATE INDEX visitors_by_expiry ON sessions (expires) WHERE account IS NULL;
"];

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Why the sessions could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create {}: check that its directory may be written", .file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("{} is a database of another program: check the data directory", .file.display())]
    Foreign { file: PathBuf },
    #[error(
        "{} has format {found}, this version knows formats up to {VERSION}: run the newer version that wrote it",
        .file.display()
    )]
    Newer { file: PathBuf, found: i32 },
    #[error(
        "cannot open {}: check its permissions and the space on its disk; \
         where it is damaged, move it away: everybody logs in again", .file.display()
    )]
    Storage {
        file: PathBuf,
        source: rusqlite::Error,
    },
}

/// Opens the file in a directory, which is created when it is missing.
pub(super) fn open(dir: &Path) -> Result<(Connection, PathBuf), OpenError> {
    let file = dir.join(FILE);
    create(&file).map_err(|source| OpenError::File {
        file: file.clone(),
        source,
    })?;
    Ok((connect(&file)?, file))
}

/// Creates the file for its owner alone.
fn create(file: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}

fn connect(file: &Path) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Storage {
        file: file.into(),
        source,
    };
    let mut conn = Connection::open(file).map_err(failed)?;
    let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i32>(0));
    let version = number("PRAGMA user_version").map_err(failed)?;
    let application = number("PRAGMA application_id").map_err(failed)?;
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(failed)?;
    let version = match (application, version) {
        (0, 0) if tables == 0 => 0,
        (APPLICATION_ID, found) if found > VERSION => {
            let file = file.into();
            return Err(OpenError::Newer { file, found });
        }
        (APPLICATION_ID, version) => usize::try_from(version).unwrap_or(0),
        _ => return Err(OpenError::Foreign { file: file.into() }),
    };
    prepare(&mut conn, version).map_err(failed)?;
    Ok(conn)
}

pub(super) fn prepare(conn: &mut Connection, version: usize) -> rusqlite::Result<()> {
    conn.busy_timeout(PATIENCE)?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    // Who logged out stays so after a power cut.
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // What is deleted is not to be found in the file.
    conn.pragma_update(None, "secure_delete", true)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in MIGRATIONS.iter().skip(version) {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}

/// The secret, and whether it was drawn just now.
pub(super) fn secret(conn: &Connection) -> rusqlite::Result<(String, bool)> {
    let kept = conn
        .query_row("SELECT value FROM secret", [], |row| row.get(0))
        .optional()?;
    if let Some(kept) = kept {
        return Ok((kept, false));
    }
    let drawn = cookie::random_text(SECRET_BYTES);
    conn.execute("INSERT INTO secret VALUES (?1)", [&drawn])?;
    Ok((drawn, true))
}
