//! Opens the file for writing, or says in words for an operator why not.
//!
//! A damaged file must not be appended to. SQLite itself finds garbage, and a file shorter than it
//! says it is, on the first read. After a clean end that is enough; otherwise the structure of the
//! whole file is checked, up to a size at which that still takes only seconds.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema;
use crate::chat::message::Epoch;

const FILE: &str = "log.db";

/// Apart from the store itself, because locks of other kinds (SQLite's) stand on that one, and some
/// file systems do not tell the kinds apart.
const LOCK_FILE: &str = "log.lock";

/// How long to wait for a tool that looks at the file (a backup, a shell).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest file that is checked throughout after an unclean end, in bytes.
const CHECKED_SIZE: u64 = 2 << 30;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "cannot use data directory {}: check that it is a directory and may be written", .dir.display()
    )]
    Directory { dir: PathBuf, source: io::Error },
    #[error(
        "{} is in use by another process: stop that one, or give this one another data directory than {}",
        .file.display(), .dir.display()
    )]
    Locked { file: PathBuf, dir: PathBuf },
    #[error(
        "{} is damaged ({detail}): restore it from a backup, or move {} away to start with an empty log",
        .file.display(), .dir.display()
    )]
    Damaged {
        file: PathBuf,
        dir: PathBuf,
        detail: String,
    },
    #[error("{} is a database of another program: check the data directory", .file.display())]
    Foreign { file: PathBuf },
    #[error(
        "{} has format {found}, this version knows formats up to {known}: run the newer version that wrote it",
        .file.display()
    )]
    Newer {
        file: PathBuf,
        found: i32,
        known: i32,
    },
    #[error("cannot open {}: check its permissions and the space on its disk", .file.display())]
    Storage {
        file: PathBuf,
        source: rusqlite::Error,
    },
    #[error("cannot start the thread that writes to the store: check the limit on threads")]
    Thread(#[source] io::Error),
}

/// An open log, its owner's alone.
pub(super) struct Opened {
    pub conn: Connection,
    pub file: PathBuf,
    pub epoch: Epoch,
    /// Held until the connection is closed; the system lets go of it when the process ends.
    pub _lock: Lock,
}

/// The file that says whose the folder is.
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a process that another thread is just starting has it open, too,
    /// until its program is loaded.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "could not unlock the folder of the store");
        }
    }
}

pub(super) fn open(dir: &Path, pages: Option<u32>) -> Result<Opened, OpenError> {
    let unusable = |source| OpenError::Directory {
        dir: dir.into(),
        source,
    };
    create_dir(dir).map_err(unusable)?;
    let lock = create_file(&dir.join(LOCK_FILE)).map_err(unusable)?;
    let file = dir.join(FILE);
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let dir = dir.into();
            return Err(OpenError::Locked { file, dir });
        }
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    let size = create_file(&file)
        .and_then(|file| file.metadata())
        .map_err(unusable)?
        .len();
    let wal = fs::metadata(dir.join(format!("{FILE}-wal"))).map_or(0, |wal| wal.len());
    // Either file SQLite would take for a new one, and throw away what is written ahead.
    if size == 0 && wal > 0 {
        return Err(damaged(dir, &file, "it is empty, its -wal file is not"));
    }
    if size == 1 {
        return Err(damaged(dir, &file, "it is a single byte"));
    }
    let (conn, epoch) = connect(dir, &file, size, pages)?;
    Ok(Opened {
        conn,
        file,
        epoch,
        _lock: Lock(lock),
    })
}

/// Whether a server uses this data directory now. Makes nothing.
pub fn is_in_use(dir: &Path) -> io::Result<bool> {
    let lock = match File::open(dir.join(LOCK_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn connect(
    dir: &Path,
    file: &Path,
    size: u64,
    pages: Option<u32>,
) -> Result<(Connection, Epoch), OpenError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            damaged(dir, file, &error.to_string())
        }
        _ => OpenError::Storage {
            file: file.into(),
            source: error,
        },
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(file, flags).map_err(failed)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    let version = version(&conn, file, failed)?;
    configure(&conn, pages).map_err(failed)?;
    if version > 0 && !closed(&conn).map_err(failed)? {
        if size <= CHECKED_SIZE {
            read_ahead(file);
            let found: String = conn
                .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
                .map_err(failed)?;
            if found != "ok" {
                return Err(damaged(dir, file, &found));
            }
        } else {
            tracing::warn!(file = %file.display(), size, "log was not closed and is too large to check, opening it unchecked");
        }
    }
    if version < schema::VERSION {
        schema::migrate(&mut conn, version).map_err(failed)?;
    }
    let epoch = epoch(&conn).map_err(failed)?;
    mark_closed(&conn, false).map_err(failed)?;
    Ok((conn, epoch))
}

/// The version of the file's format, 0 when the file is new.
fn version(
    conn: &Connection,
    file: &Path,
    failed: impl Fn(rusqlite::Error) -> OpenError,
) -> Result<i32, OpenError> {
    let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i32>(0));
    let version = number("PRAGMA user_version").map_err(&failed)?;
    let application = number("PRAGMA application_id").map_err(&failed)?;
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(&failed)?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(0),
        (schema::APPLICATION_ID, 1..=schema::VERSION) => Ok(version),
        (schema::APPLICATION_ID, found) if found > 0 => Err(OpenError::Newer {
            file: file.into(),
            found,
            known: schema::VERSION,
        }),
        _ => Err(OpenError::Foreign { file: file.into() }),
    }
}

fn configure(conn: &Connection, pages: Option<u32>) -> rusqlite::Result<()> {
    conn.pragma_update(None, "journal_mode", "wal")?;
    // A commit waits for the disk.
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cache_size", -32 * 1024)?;
    // In pages: 16 MiB are written ahead before they move to their place.
    conn.pragma_update(None, "wal_autocheckpoint", 4096)?;
    conn.pragma_update(None, "journal_size_limit", 32 << 20)?;
    if let Some(pages) = pages {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

/// Whether whoever had the file last came to the end of closing it.
fn closed(conn: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT value FROM meta WHERE name = 'closed'";
    conn.query_row(sql, [], |row| row.get(0))
}

/// Notes it in the file itself, not only ahead of it, so that the note is there without the -wal.
pub(super) fn mark_closed(conn: &Connection, closed: bool) -> rusqlite::Result<()> {
    conn.execute("UPDATE meta SET value = ?1 WHERE name = 'closed'", [closed])?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn epoch(conn: &Connection) -> rusqlite::Result<Epoch> {
    let sql = "SELECT value FROM meta WHERE name = 'epoch'";
    conn.query_row(sql, [], |row| row.get(0)).map(Epoch)
}

fn damaged(dir: &Path, file: &Path, detail: &str) -> OpenError {
    OpenError::Damaged {
        file: file.into(),
        dir: dir.into(),
        detail: detail.into(),
    }
}

/// Has the system fetch the file in one go, which is several times faster than page by page.
fn read_ahead(file: &Path) {
    // What cannot be read the check itself reports.
    let _ = File::open(file).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
}

/// Creates the directory for its owner alone, and makes it survive a power cut.
fn create_dir(dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for dir in dir.ancestors().filter(|dir| *dir != Path::new("")) {
        if dir.try_exists()? {
            break;
        }
        missing.push(dir);
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)?;
    for dir in missing {
        let parent = dir.parent().filter(|parent| *parent != Path::new(""));
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Opens the file for writing, creates it for its owner alone.
fn create_file(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}
