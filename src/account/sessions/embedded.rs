//! Sessions in one SQLite file: the store of a replica on its own. One connection, used by one call at a time where
//! it may block; each call is a matter of microseconds, and of one wait for the disk where it writes. `open` says
//! what is in the file.

mod open;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use tokio::{sync::Semaphore, task, time::timeout};

pub use self::open::OpenError;
use super::{
    Login, Record, Session, SessionError, SessionId,
    store::{FORMER_AGE, Kept, Lifetime, MOST, MOST_OF_ACCOUNT, Store},
};

/// How long a call waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sessions of one data directory.
pub(super) struct Embedded {
    file: PathBuf,
    lifetime: Lifetime,
    turn: Arc<Semaphore>,
    /// Nothing once it is closed.
    conn: Arc<Mutex<Option<Connection>>>,
}

impl Embedded {
    pub fn open(dir: &Path, lifetime: Lifetime) -> Result<Self, OpenError> {
        let (conn, file) = open::open(dir)?;
        Ok(Self {
            file,
            lifetime,
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

#[async_trait]
impl Store for Embedded {
    async fn load(&self, id: &str) -> Result<Option<Kept>, SessionError> {
        let id = id.to_owned();
        self.run(move |conn| {
            let sql = "SELECT login, id, record, expires FROM sessions
                WHERE id = ?1 OR (former = ?1 AND renewed > ?2) ORDER BY id = ?1 DESC, renewed DESC";
            let oldest = Timestamp::now().as_millisecond() - FORMER_AGE.as_millis() as i64;
            let mut found = conn.prepare_cached(sql)?;
            let kept = found.query_row(params![id, oldest], |row| kept(row, &id));
            kept.optional().map(Option::flatten)
        })
        .await
    }

    async fn begin(
        &self,
        id: &SessionId,
        record: &Record,
        former: Option<&str>,
    ) -> Result<(), SessionError> {
        let (id, account) = (id.clone(), record.mail.clone());
        let former = former.map(str::to_owned);
        let (json, expires) = (self.lifetime.json(record), self.lifetime.expiry());
        self.run(move |conn| {
            let now = Timestamp::now().as_millisecond();
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = "INSERT INTO sessions (login, id, former, renewed, account, record, expires)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let expires = expires.as_millisecond();
            let row = params![id.login.0, &*id.text, former, now, account, json, expires];
            tx.prepare_cached(sql)?.execute(row)?;
            if let Some(account) = account {
                drop_most_of(&tx, &account)?;
            }
            drop_beyond(&tx, MOST)?;
            tx.commit()
        })
        .await
    }

    async fn rename(
        &self,
        id: &SessionId,
        record: &Record,
        new: &str,
        former: &str,
    ) -> Result<bool, SessionError> {
        let (login, new, former) = (id.login, new.to_owned(), former.to_owned());
        let (json, expires) = (self.lifetime.json(record), self.lifetime.expiry());
        self.run(move |conn| {
            let now = Timestamp::now().as_millisecond();
            let sql = "UPDATE sessions
                SET record = ?2, expires = ?3, id = ?4, former = ?5, renewed = ?6 WHERE login = ?1";
            let row = params![login.0, json, expires.as_millisecond(), new, former, now];
            Ok(conn.execute(sql, row)? > 0)
        })
        .await
    }

    async fn renew(&self, id: &SessionId, new: Box<str>) -> Result<Box<str>, SessionError> {
        let SessionId { login, text } = id.clone();
        self.run(move |conn| {
            let now = Timestamp::now().as_millisecond();
            let sql = "UPDATE sessions SET former = id, id = ?3, renewed = ?4
                WHERE login = ?1 AND id = ?2";
            if conn.execute(sql, params![login.0, &*text, &*new, now])? > 0 {
                return Ok(new);
            }
            let present = "SELECT id FROM sessions WHERE login = ?1";
            let present = conn.query_row(present, [login.0], |row| row.get::<_, String>(0));
            Ok(present.optional()?.map_or(new, Into::into))
        })
        .await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), SessionError> {
        let login = id.login;
        let sql = "DELETE FROM sessions WHERE login = ?1";
        self.run(move |conn| conn.execute(sql, [login.0]).map(drop))
            .await
    }

    async fn remove_all_of(&self, mail: &str) -> Result<Vec<Login>, SessionError> {
        let mail = mail.to_owned();
        self.run(move |conn| {
            let sql = "DELETE FROM sessions WHERE account = ?1 RETURNING login";
            let mut all = conn.prepare_cached(sql)?;
            let logins = all.query_map([mail], |row| row.get(0).map(Login))?;
            logins.collect()
        })
        .await
    }

    async fn tidy(&self, used: Vec<SessionId>) -> Result<Vec<Login>, SessionError> {
        let expires = self.lifetime.expiry().as_millisecond();
        // Whoever comes while this waits for its turn is in time.
        let now = Timestamp::now().as_millisecond();
        self.run(move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut gone = Vec::new();
            {
                let sql = "UPDATE sessions SET expires = ?2 WHERE login = ?1";
                let mut update = tx.prepare_cached(sql)?;
                for SessionId { login, .. } in used {
                    if update.execute([login.0, expires])? == 0 {
                        gone.push(login);
                    }
                }
            }
            tx.execute("DELETE FROM sessions WHERE expires <= ?1", [now])?;
            tx.commit()?;
            Ok(gone)
        })
        .await
    }

    async fn close(&self) {
        let _turn = self.turn.acquire().await;
        self.turn.close();
        self.conn.lock().take();
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
