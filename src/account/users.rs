//! The users' table, in SQLite, MySQL or PostgreSQL through sqlx. `url` says where it is, `sql` in which words it
//! is asked, `shape` makes one or shares the old chat's, `key` says which names are the same; `look` only looks.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{
    AnyConnection, AnyPool, ConnectOptions, Connection, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
    mysql::MySqlDatabaseError,
};
use tokio::time::timeout;

use self::{
    shape::Shape,
    sql::{Statements, statements},
};
use super::errors::OpenError;

mod key;
mod look;
mod shape;
mod sql;
mod url;

pub(super) use self::{
    key::{Key, Skeleton},
    url::without_secrets,
};
pub use look::{Look, Table, look};
pub use shape::Finished;
pub use url::DatabaseUrl;

/// How long a call waits for a connection, which includes making it.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a call may take in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// `Incorrect string value`: the column's character set lacks a character.
const MYSQL_UNKEPT: u16 = 1366;
/// The same of PostgreSQL, `untranslatable_character`.
const POSTGRES_UNKEPT: &str = "22P05";

/// What the database said, or that it said nothing.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("no connection within {} s", ACQUIRE_PATIENCE.as_secs())]
    NoConnection,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    NoAnswer,
    // Its text has its causes in it.
    #[error("{0}")]
    Sql(sqlx::Error),
    #[error("the file cannot be made")]
    File(#[from] io::Error),
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::NoConnection,
            error => Self::Sql(error),
        }
    }
}

/// Why a user was not added.
#[derive(Debug)]
pub(super) enum NotAdded {
    NameTaken,
    MailTaken,
    /// A column cannot keep a character of it.
    Unkept,
    Database(DatabaseError),
}

impl From<DatabaseError> for NotAdded {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// A row of the table. Another program may have left any column but the id empty.
pub(super) struct Row {
    pub id: i64,
    pub name: Option<String>,
    pub mail: Option<String>,
    pub pass: Option<String>,
}

type Columns = (i64, Option<String>, Option<String>, Option<String>);

/// One password in the forms in which it may be kept.
pub(super) struct Hashes<'a> {
    pub argon2id: &'a str,
    /// As the old chat reads it.
    pub sha1: &'a str,
}

/// What became of a better hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    InPlace,
    /// The old chat still reads the one that it is better than.
    Beside,
    /// The password has been changed since it was read.
    Not,
}

/// The table, by a bounded number of connections, which are made anew when the database comes back.
pub(super) struct Users {
    pool: AnyPool,
    sql: &'static Statements,
    /// Whether the old chat reads the table as well. Ends once, by somebody else's doing.
    shared: AtomicBool,
}

impl Users {
    /// Connects, and makes or takes over the table.
    pub(super) async fn open(database: &DatabaseUrl, connections: u32) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Database {
            database: database.to_string(),
            source,
        };
        sqlx::any::install_default_drivers();
        let sql = statements(database.kind);
        if let Some(path) = database.path() {
            make_file(&path).map_err(|error| failed(error.into()))?;
        }
        let options =
            AnyConnectOptions::from_url(&database.url).map_err(|error| failed(error.into()))?;
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection
                        .execute(sqlx::raw_sql(sql.settle))
                        .await
                        .map(drop)
                })
            });
        let pool = pool
            .connect_with(options)
            .await
            .map_err(|error| failed(error.into()))?;
        let shape = shape::bring(&pool, sql, database).await?;
        Ok(Self {
            pool,
            sql,
            shared: AtomicBool::new(shape == Shape::Shared),
        })
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// Whose mail address this is. Where several differ in nothing but case, the one who wrote it just so.
    pub(super) async fn by_mail(&self, mail: &str) -> Result<Option<Row>, DatabaseError> {
        let key = Key::of(mail);
        let query = sqlx::query_as(self.sql.by_mail);
        let query = query.bind(key.as_str()).bind(mail);
        let rows: Vec<Columns> = within_patience(query.fetch_all(&self.pool)).await?;
        let row = |(id, name, mail, pass)| Row {
            id,
            name,
            mail,
            pass,
        };
        let mut rows: Vec<_> = rows.into_iter().map(row).collect();
        let exact = rows
            .iter()
            .position(|row| row.mail.as_deref() == Some(mail));
        // A row without a key is another's unless it is written just so.
        let same = |row: &Row| row.mail.as_deref().map(Key::of).as_ref() == Some(&key);
        let at = exact.or_else(|| rows.iter().position(same));
        Ok(at.map(|at| rows.swap_remove(at)))
    }

    /// Whether somebody has this name, or one that looks like it.
    pub(super) async fn name_is_taken(&self, name: &str) -> Result<bool, DatabaseError> {
        let (key, skeleton) = (Key::of(name), Skeleton::of(name));
        let query = sqlx::query_scalar(self.sql.by_name);
        let query = query.bind(key.as_str()).bind(skeleton.as_str()).bind(name);
        let users: i64 = within_patience(query.fetch_one(&self.pool)).await?;
        Ok(users > 0)
    }

    /// Adds a user. The database's constraints decide who was first.
    pub(super) async fn add(
        &self,
        name: &str,
        mail: &str,
        pass: &Hashes<'_>,
    ) -> Result<i64, NotAdded> {
        let mut inserted = self.insert(name, mail, pass).await;
        if let Err(error) = &inserted
            && self.is_shared_no_more(error).await
        {
            inserted = self.insert(name, mail, pass).await;
        }
        match inserted {
            Ok(()) => {}
            Err(DatabaseError::Sql(sqlx::Error::Database(error)))
                if error.is_unique_violation() =>
            {
                if self.name_is_taken(name).await? {
                    return Err(NotAdded::NameTaken);
                }
                // An older constraint's collation may find more to be the same than the keys do.
                let by_mail =
                    self.by_mail(mail).await?.is_some() || error.message().contains("mail");
                return Err(if by_mail {
                    NotAdded::MailTaken
                } else {
                    NotAdded::NameTaken
                });
            }
            Err(DatabaseError::Sql(error)) if is_unkept(&error) => return Err(NotAdded::Unkept),
            Err(error) => return Err(error.into()),
        }
        let added = self.by_mail(mail).await?;
        let added = added.ok_or(DatabaseError::Sql(sqlx::Error::RowNotFound))?;
        Ok(added.id)
    }

    async fn insert(&self, name: &str, mail: &str, pass: &Hashes<'_>) -> Result<(), DatabaseError> {
        let (name_key, mail_key, skeleton) = (Key::of(name), Key::of(mail), Skeleton::of(name));
        let (statement, stored, beside) = if self.is_shared() {
            (self.sql.insert_shared, pass.sha1, Some(pass.argon2id))
        } else {
            (self.sql.insert, pass.argon2id, None)
        };
        let query = sqlx::query(statement).bind(name).bind(mail).bind(stored);
        let query = query.bind(name_key.as_str()).bind(mail_key.as_str());
        let mut query = query.bind(skeleton.as_str());
        if let Some(beside) = beside {
            query = query.bind(beside);
        }
        within_patience(query.execute(&self.pool)).await.map(drop)
    }

    /// Keeps a better hash of a user's password, unless that has been changed since it was read: in its place, or beside it
    /// while the old chat reads it.
    pub(super) async fn keep_better(
        &self,
        id: i64,
        old: &str,
        better: &str,
    ) -> Result<Kept, DatabaseError> {
        if self.is_shared() {
            match self.update(self.sql.keep_beside, id, old, better).await {
                // None where it is there already, too.
                Ok(_) => return Ok(Kept::Beside),
                Err(error) if self.is_shared_no_more(&error).await => {}
                Err(error) => return Err(error),
            }
        }
        let updated = self.update(self.sql.replace_hash, id, old, better).await?;
        Ok(if updated > 0 {
            Kept::InPlace
        } else {
            Kept::Not
        })
    }

    async fn update(
        &self,
        statement: &'static str,
        id: i64,
        old: &str,
        new: &str,
    ) -> Result<u64, DatabaseError> {
        let query = sqlx::query(statement).bind(new).bind(id).bind(old);
        let done = within_patience(query.execute(&self.pool)).await?;
        Ok(done.rows_affected())
    }

    /// Whether a call failed because the sharing was ended meanwhile. Nothing of it has been done then.
    async fn is_shared_no_more(&self, error: &DatabaseError) -> bool {
        let refused = matches!(error, DatabaseError::Sql(sqlx::Error::Database(error)) if !error.is_unique_violation());
        if !refused || !self.is_shared() {
            return false;
        }
        let looked = within_patience(async {
            let mut connection = self.pool.acquire().await?;
            shape::look(&mut connection, self.sql).await
        });
        let ended = matches!(looked.await, Ok(Ok(Shape::Ours)));
        if ended && self.shared.swap(false, Ordering::Relaxed) {
            tracing::info!("the users' table is not shared with the old chat any more");
        }
        ended
    }

    /// Waits for the calls that are under way, and closes the connections.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Ends the sharing of the table with the old chat, for all replicas.
pub(super) async fn finish(database: &DatabaseUrl) -> Result<Finished, OpenError> {
    // In the shape that we expect, whoever started first.
    let users = Users::open(database, 1).await?;
    let finished = async {
        let mut connection: AnyConnection = users.pool.acquire().await?.detach();
        let finished = shape::finish(&mut connection, users.sql).await?;
        connection.close().await?;
        Ok(finished)
    };
    let finished = finished
        .await
        .map_err(|error: sqlx::Error| OpenError::Database {
            database: database.to_string(),
            source: error.into(),
        });
    users.close().await;
    finished
}

/// Nothing in sqlx bounds the time of a query: a database that hangs would hold its caller for ever.
async fn within_patience<T>(
    query: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, DatabaseError> {
    let answer = timeout(PATIENCE, query)
        .await
        .map_err(|_| DatabaseError::NoAnswer)?;
    Ok(answer?)
}

fn is_unkept(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else {
        return false;
    };
    let mysql = error.try_downcast_ref::<MySqlDatabaseError>();
    mysql.is_some_and(|error| error.number() == MYSQL_UNKEPT)
        || error.code().is_some_and(|code| code == POSTGRES_UNKEPT)
}

/// Makes a new file, and its folder, readable to nobody else: it holds mail addresses and hashes.
fn make_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let options = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match options {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_that_was_changed_meanwhile_is_not_written_over() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = DatabaseUrl::file(&folder.path().join("accounts.db")).unwrap();
        let users = Users::open(&file, 2).await.unwrap();
        let old = Hashes {
            argon2id: "old",
            sha1: "",
        };
        let ann = users.add("ann", "ann@example.org", &old).await.unwrap();
        let bob = users.add("bob", "bob@example.org", &old).await.unwrap();
        let pass = async |mail: &str| users.by_mail(mail).await.unwrap().and_then(|row| row.pass);
        let keep = async |user, old, better| users.keep_better(user, old, better).await.unwrap();

        assert_eq!(keep(ann, "old", "new").await, Kept::InPlace);
        assert_eq!(keep(ann, "old", "newer").await, Kept::Not);
        assert_eq!(pass("ann@example.org").await.as_deref(), Some("new"));
        assert_eq!(keep(bob, "older", "new").await, Kept::Not);
        assert_eq!(pass("bob@example.org").await.as_deref(), Some("old"));
    }
}
