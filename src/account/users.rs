//! The users' table, in SQLite, MySQL or PostgreSQL through sqlx. `url` says where it is, `sql` in which words it
//! is asked, `shape` takes over a table of the old chat's or makes one, `key` says which names are the same.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use sqlx::{
    AnyPool, ConnectOptions, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
    mysql::MySqlDatabaseError,
};
use tokio::time::timeout;

use self::sql::{Statements, statements};
use super::errors::OpenError;

mod key;
mod shape;
mod sql;
mod url;

pub(super) use self::{key::Key, url::without_secrets};
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

/// The table, by a bounded number of connections, which are made anew when the database comes back.
pub(super) struct Users {
    pool: AnyPool,
    sql: &'static Statements,
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
        shape::bring(&pool, sql, database).await?;
        Ok(Self { pool, sql })
    }

    /// Whose mail address this is. Where several differ in nothing but case, the one who wrote it just so.
    pub(super) async fn by_mail(&self, mail: &str) -> Result<Option<Row>, DatabaseError> {
        let mut rows = self.search(self.sql.by_mail, mail).await?;
        let exact = rows
            .iter()
            .position(|row| row.mail.as_deref() == Some(mail));
        // A row without a key is another's unless it is written just so.
        let key = Key::of(mail);
        let same = |row: &Row| row.mail.as_deref().map(Key::of).as_ref() == Some(&key);
        let at = exact.or_else(|| rows.iter().position(same));
        Ok(at.map(|at| rows.swap_remove(at)))
    }

    pub(super) async fn name_is_taken(&self, name: &str) -> Result<bool, DatabaseError> {
        Ok(!self.search(self.sql.by_name, name).await?.is_empty())
    }

    async fn search(&self, statement: &'static str, text: &str) -> Result<Vec<Row>, DatabaseError> {
        let key = Key::of(text);
        let query = sqlx::query_as(statement).bind(key.as_str()).bind(text);
        let rows: Vec<Columns> = within_patience(query.fetch_all(&self.pool)).await?;
        let row = |(id, name, mail, pass)| Row {
            id,
            name,
            mail,
            pass,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Adds a user. The database's constraints decide who was first.
    pub(super) async fn add(&self, name: &str, mail: &str, pass: &str) -> Result<i64, NotAdded> {
        let (name_key, mail_key) = (Key::of(name), Key::of(mail));
        let query = sqlx::query(self.sql.insert)
            .bind(name)
            .bind(mail)
            .bind(pass);
        let query = query.bind(name_key.as_str()).bind(mail_key.as_str());
        match within_patience(query.execute(&self.pool)).await {
            Ok(_) => {}
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

    /// Replaces the hash of a user's password, unless it has been changed since it was read. Says whether it was.
    pub(super) async fn replace_hash(
        &self,
        id: i64,
        old: &str,
        new: &str,
    ) -> Result<bool, DatabaseError> {
        let query = sqlx::query(self.sql.replace_hash)
            .bind(new)
            .bind(id)
            .bind(old);
        let done = within_patience(query.execute(&self.pool)).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Waits for the calls that are under way, and closes the connections.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
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
        let ann = users.add("ann", "ann@example.org", "old").await.unwrap();
        let bob = users.add("bob", "bob@example.org", "old").await.unwrap();
        let pass = async |mail: &str| users.by_mail(mail).await.unwrap().and_then(|row| row.pass);

        assert!(users.replace_hash(ann, "old", "new").await.unwrap());
        assert!(!users.replace_hash(ann, "old", "newer").await.unwrap());
        assert_eq!(pass("ann@example.org").await.as_deref(), Some("new"));
        assert!(!users.replace_hash(bob, "older", "new").await.unwrap());
        assert_eq!(pass("bob@example.org").await.as_deref(), Some("old"));
    }
}
