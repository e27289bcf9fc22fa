//! Sessions in one SQLite file: the store of a replica on its own. One connection, used by one call at a time where
//! it may block; each call is a matter of microseconds, and of one wait for the disk where it writes. `open` says
//! what is in the file. Another store has the same calls.

mod open;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use tokio::{sync::Semaphore, task, time::timeout};

pub use self::open::OpenError;
use super::{Login, Record, Session, SessionError, SessionId};

/// Sessions at once. Beyond it visitors who only gave a name go first, then whoever was away longest.
const MOST: i64 = 200_000;

/// Sessions of one account at once; beyond it the one that was away longest goes.
const MOST_OF_ACCOUNT: i64 = 100;

/// How long an id is good after the session got another: for requests under way, and for a browser that did not get
/// the answer with the new one.
const FORMER_AGE: Duration = Duration::from_secs(300);

/// How long a call waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sessions of one data directory.
pub(super) struct Embedded {
    file: PathBuf,
    turn: Arc<Semaphore>,
    /// Nothing once it is closed.
    conn: Arc<Mutex<Option<Connection>>>,
}

/// A session as it was kept.
pub(super) struct Kept {
    pub session: Session,
    pub expires: Timestamp,
}

impl Embedded {
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let (conn, file) = open::open(dir)?;
        Ok(Self {
            file,
            turn: Arc::new(Semaphore::new(1)),
            conn: Arc::new(Mutex::new(Some(conn))),
        })
    }

    /// The secret that is kept with the sessions, and whether it was drawn just now. Blocks.
    pub fn secret(&self) -> Result<(String, bool), OpenError> {
        let failed = |source| OpenError::Storage {
            file: self.file.clone(),
            source,
        };
        match self.conn.lock().as_ref() {
            Some(conn) => open::secret(conn).map_err(failed),
            None => Err(failed(rusqlite::Error::InvalidQuery)),
        }
    }

    /// The session that has this id, or had it until a moment ago.
    pub async fn load(&self, id: String) -> Result<Option<Kept>, SessionError> {
        self.run(move |conn| {
            let sql = "SELECT login, id, record, expires FROM sessions
                WHERE id = ?1 OR (former = ?1 AND renewed > ?2) ORDER BY id = ?1 DESC";
            let oldest = Timestamp::now().as_millisecond() - FORMER_AGE.as_millis() as i64;
            let mut found = conn.prepare_cached(sql)?;
            let kept = found.query_row(params![id, oldest], |row| kept(row, &id));
            kept.optional().map(Option::flatten)
        })
        .await
    }

    /// Keeps a new session, and says which one it is: two requests may begin the same one.
    pub async fn begin(
        &self,
        id: &SessionId,
        record: &Record,
        json: String,
        expires: Timestamp,
    ) -> Result<Login, SessionError> {
        let (id, account) = (id.clone(), record.mail.clone());
        self.run(move |conn| {
            let now = Timestamp::now().as_millisecond();
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = "INSERT INTO sessions (login, id, renewed, account, record, expires)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                ON CONFLICT (id) DO UPDATE SET account = ?4, record = ?5, expires = ?6 RETURNING login";
            let expires = expires.as_millisecond();
            let row = params![id.login.0, &*id.text, now, account, json, expires];
            let login = tx.prepare_cached(sql)?.query_row(row, |row| row.get(0))?;
            if let Some(account) = account {
                drop_most_of(&tx, &account)?;
            }
            drop_beyond(&tx, MOST)?;
            tx.commit()?;
            Ok(Login(login))
        })
        .await
    }

    /// Changes what is kept of a session; false where it has ended.
    pub async fn change(
        &self,
        login: Login,
        record: String,
        expires: Timestamp,
    ) -> Result<bool, SessionError> {
        self.run(move |conn| {
            let sql = "UPDATE sessions SET record = ?2, expires = ?3 WHERE login = ?1";
            let row = params![login.0, record, expires.as_millisecond()];
            Ok(conn.execute(sql, row)? > 0)
        })
        .await
    }

    /// Gives a session another id.
    pub async fn renew(&self, login: Login, id: Box<str>) -> Result<(), SessionError> {
        self.run(move |conn| {
            let now = Timestamp::now().as_millisecond();
            let sql = "UPDATE sessions SET former = id, id = ?2, renewed = ?3 WHERE login = ?1";
            conn.execute(sql, params![login.0, &*id, now]).map(drop)
        })
        .await
    }

    pub async fn remove(&self, login: Login) -> Result<(), SessionError> {
        let sql = "DELETE FROM sessions WHERE login = ?1";
        self.run(move |conn| conn.execute(sql, [login.0]).map(drop))
            .await
    }

    /// Has these last until `expires`, and drops what expired.
    pub async fn tidy(&self, used: HashSet<Login>, expires: Timestamp) -> Result<(), SessionError> {
        self.run(move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let sql = "UPDATE sessions SET expires = ?2 WHERE login = ?1";
                let mut update = tx.prepare_cached(sql)?;
                for login in used {
                    update.execute([login.0, expires.as_millisecond()])?;
                }
            }
            let now = Timestamp::now().as_millisecond();
            tx.execute("DELETE FROM sessions WHERE expires <= ?1", [now])?;
            tx.commit()
        })
        .await
    }

    /// Waits for the call that has its turn; those that come later are refused.
    pub async fn close(&self) {
        let _turn = self.turn.acquire().await;
        self.turn.close();
        self.conn.lock().take();
    }

    /// Runs a call where it may block, when its turn has come.
    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SessionError> {
        let turn = timeout(PATIENCE, self.turn.clone().acquire_owned())
            .await
            .map_err(|_| SessionError::Busy)?
            .map_err(|_| SessionError::Closed)?;
        let conn = self.conn.clone();
        let called = task::spawn_blocking(move || {
            let _turn = turn;
            match conn.lock().as_mut() {
                Some(conn) => call(conn).map_err(|error| SessionError::Storage(Box::new(error))),
                None => Err(SessionError::Closed),
            }
        });
        called
            .await
            .map_err(|error| SessionError::Storage(Box::new(error)))?
    }
}

/// A row, where it can be read: what is damaged is no session.
fn kept(row: &Row<'_>, asked: &str) -> rusqlite::Result<Option<Kept>> {
    let (text, record): (String, String) = (row.get(1)?, row.get(2)?);
    let id = SessionId {
        login: Login(row.get(0)?),
        text: text.into(),
    };
    let expires = Timestamp::from_millisecond(row.get(3)?);
    Ok(Record::parse(&record)
        .zip(expires.ok())
        .map(|(record, expires)| Kept {
            session: Session {
                is_late: *id.text != *asked,
                id,
                record,
            },
            expires,
        }))
}

fn drop_most_of(conn: &Connection, account: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM sessions WHERE login IN (
        SELECT login FROM sessions WHERE account = ?1 ORDER BY expires DESC LIMIT -1 OFFSET ?2)";
    let mut beyond = conn.prepare_cached(sql)?;
    beyond.execute(params![account, MOST_OF_ACCOUNT]).map(drop)
}

fn drop_beyond(conn: &Connection, most: i64) -> rusqlite::Result<()> {
    let count: i64 = conn.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))?;
    for _ in most..count {
        let visitor = "DELETE FROM sessions WHERE login =
            (SELECT login FROM sessions WHERE account IS NULL ORDER BY expires LIMIT 1)";
        if conn.prepare_cached(visitor)?.execute([])? == 0 {
            let anybody = "DELETE FROM sessions WHERE login =
                (SELECT login FROM sessions ORDER BY expires LIMIT 1)";
            conn.prepare_cached(anybody)?.execute([])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_go_first_and_then_whoever_was_away_longest() {
        let mut conn = Connection::open_in_memory().unwrap();
        open::prepare(&mut conn, 0).unwrap();
        for (login, account, expires) in [
            (1, Some("a"), 30),
            (2, None, 40),
            (3, Some("b"), 10),
            (4, None, 20),
            (5, Some("c"), 50),
        ] {
            let sql = "INSERT INTO sessions VALUES (?1, ?1, NULL, 0, ?2, '{}', ?3)";
            conn.execute(sql, params![login, account, expires]).unwrap();
        }
        for (most, left) in [(5, "1,2,3,4,5"), (4, "1,2,3,5"), (2, "1,5")] {
            drop_beyond(&conn, most).unwrap();
            let sql = "SELECT group_concat(login ORDER BY login) FROM sessions";
            let logins = conn.query_row(sql, [], |row| row.get(0));
            assert_eq!(logins, Ok(left.to_owned()));
        }
    }
}
