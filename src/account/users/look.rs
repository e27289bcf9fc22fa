//! What is in a database before accounts are opened in it, for whoever checks a set-up. Changes nothing.

use std::{fs::OpenOptions, time::UNIX_EPOCH};

use sqlx::{AnyConnection, Connection};
use tokio::time::timeout;

use super::{
    ACQUIRE_PATIENCE, DatabaseError, DatabaseUrl,
    shape::{self, Shape},
    sql::{Statements, statements},
    within_patience,
};
use crate::account::errors::OpenError;

/// What a database holds.
#[derive(Debug)]
pub struct Look {
    pub table: Table,
    /// Rows of the table.
    pub users: u64,
    /// Of them, passwords as the old chat keeps them.
    pub old_passwords: u64,
    /// Whether this user may make and alter the table.
    pub may_alter: bool,
    /// By how much its clock is ahead of ours, in ms; none of a file.
    pub ahead: Option<i64>,
}

/// What the table `users` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Not there: it will be made.
    Missing,
    /// An old chat's, as that made it: it will be shared.
    Old,
    /// Shared with an old chat.
    Shared,
    Ours,
    /// Another program's: it lacks this column.
    Other(&'static str),
}

/// Looks at a database.
pub async fn look(database: &DatabaseUrl) -> Result<Look, OpenError> {
    let failed = |source| OpenError::Database {
        database: database.to_string(),
        source,
    };
    let mut url = database.url.clone();
    let mut writable = true;
    if let Some(file) = database.path() {
        if !file.exists() {
            return Ok(Look {
                table: Table::Missing,
                users: 0,
                old_passwords: 0,
                may_alter: true,
                ahead: None,
            });
        }
        writable = OpenOptions::new().write(true).open(&file).is_ok();
        let others: Vec<_> = url
            .query_pairs()
            .filter(|(name, _)| name != "mode")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        (url.query_pairs_mut().clear().extend_pairs(others)).append_pair("mode", "ro");
    }
    sqlx::any::install_default_drivers();
    let connecting = timeout(ACQUIRE_PATIENCE, AnyConnection::connect(url.as_str()));
    let mut connection = match connecting.await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(failed(error.into())),
        Err(_) => return Err(failed(DatabaseError::NoConnection)),
    };
    let sql = statements(database.kind);
    let looked = within_patience(look_closer(&mut connection, sql)).await;
    let mut look = looked.map_err(failed)?;
    look.may_alter &= writable;
    // It has nothing to lose.
    let _ = timeout(ACQUIRE_PATIENCE, connection.close()).await;
    Ok(look)
}

async fn look_closer(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<Look, sqlx::Error> {
    let table = match shape::look(connection, sql).await? {
        Ok(Shape::Missing) => Table::Missing,
        Ok(Shape::Old) => Table::Old,
        Ok(Shape::Shared) => Table::Shared,
        Ok(Shape::Ours) => Table::Ours,
        Err(column) => Table::Other(column),
    };
    let count = async |connection: &mut AnyConnection, query: &'static str| {
        let count: i64 = sqlx::query_scalar(query).fetch_one(connection).await?;
        Ok::<_, sqlx::Error>(u64::try_from(count).unwrap_or_default())
    };
    let (mut users, mut old_passwords) = (0, 0);
    if matches!(table, Table::Old | Table::Shared | Table::Ours) {
        users = count(connection, "SELECT COUNT(*) FROM users").await?;
        old_passwords = count(connection, sql.old_hashes).await?;
    }
    let may_alter = count(connection, sql.may_alter).await? > 0;
    let theirs: Option<i64> = sqlx::query_scalar(sql.clock).fetch_one(connection).await?;
    Ok(Look {
        table,
        users,
        old_passwords,
        may_alter,
        ahead: theirs.map(|theirs| theirs - since_1970()),
    })
}

/// In ms.
fn since_1970() -> i64 {
    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
