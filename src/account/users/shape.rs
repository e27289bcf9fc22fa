//! Brings the users' table into shape at start: makes it, or takes over one that the old chat made. Each step
//! looks first whether it is needed, so a start that was killed is finished by the next one. Columns are added, and
//! nothing of the old chat's is changed until `finish` is asked for: then its passwords give way. One replica at a time.

use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor};

use super::{
    DatabaseError,
    key::{Key, Skeleton},
    sql::Statements,
    url::DatabaseUrl,
};
use crate::account::{
    errors::OpenError,
    user::{User, UserId},
};

/// What a table must have to be taken for the users'.
const COLUMNS: [&str; 4] = ["id", "name", "mail", "pass"];

/// A user's id, name and mail.
type Keyless = (i64, Option<String>, Option<String>);

/// What a shared table has: a hash beside the one that the old chat reads.
const BESIDE: &str = "argon2id";

/// Whose table it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Ours alone.
    Ours,
    /// Another program reads and writes it as well, the one that made it.
    Shared,
    /// Another program's, which ours has not opened yet: it will be shared.
    Old,
    /// None.
    Missing,
}

/// What came of [`finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// False where there was nothing to finish.
    pub was_shared: bool,
    /// Passwords that are kept as Argon2id now and were not before.
    pub taken_over: u64,
    /// Passwords that stay as the old chat kept them until their users' next login.
    pub old: u64,
}

pub(super) async fn bring(
    pool: &AnyPool,
    sql: &'static Statements,
    database: &DatabaseUrl,
) -> Result<Shape, OpenError> {
    let failed = |error: sqlx::Error| OpenError::Database {
        database: database.to_string(),
        source: DatabaseError::from(error),
    };
    // Its own connection: the lock of MySQL ends with it.
    let mut connection = pool.acquire().await.map_err(failed)?.detach();
    let shape = match alter(&mut connection, sql).await.map_err(failed)? {
        Ok(shape) => shape,
        Err(column) => {
            return Err(OpenError::OtherTable {
                database: database.to_string(),
                column,
            });
        }
    };
    fill_keys(&mut connection, sql).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(shape)
}

/// What there is. The column that a table lacks is the error, where it is another program's.
pub(super) async fn look(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<Result<Shape, &'static str>, sqlx::Error> {
    let columns = columns(connection, sql).await?;
    Ok(match lacking(&columns) {
        _ if columns.is_empty() => Ok(Shape::Missing),
        Some(column) => Err(column),
        None if has(&columns, BESIDE) => Ok(Shape::Shared),
        None if !has(&columns, "name_key") => Ok(Shape::Old),
        None => Ok(Shape::Ours),
    })
}

/// Ends the sharing: has the hashes that were kept beside the old chat's take their place.
pub(super) async fn finish(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<Finished, sqlx::Error> {
    let mut transaction = connection.begin_with(sql.begin).await?;
    transaction.execute(sqlx::raw_sql(sql.lock)).await?;
    let was_shared = has(&columns(&mut transaction, sql).await?, BESIDE);
    let mut taken_over = 0;
    if was_shared {
        widen(&mut transaction, sql).await?;
        let done = sqlx::query(sql.take_over).execute(&mut *transaction);
        taken_over = done.await?.rows_affected();
        // Last, because it tells all replicas, and who was killed before it begins again. In MySQL, somebody may register or log in
        // between the two: that password becomes Argon2id at the next login.
        transaction.execute(sqlx::raw_sql(sql.drop_beside)).await?;
    }
    let old: i64 = sqlx::query_scalar(sql.old_hashes)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Finished {
        was_shared,
        taken_over,
        old: old.try_into().unwrap_or_default(),
    })
}

/// Makes or alters the table. The column that it lacks is the error, where it is another program's.
async fn alter(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<Result<Shape, &'static str>, sqlx::Error> {
    let mut transaction = connection.begin_with(sql.begin).await?;
    transaction.execute(sqlx::raw_sql(sql.lock)).await?;
    let mut there = columns(&mut transaction, sql).await?;
    let make = there.is_empty();
    if make {
        tracing::info!("the users' table is made");
        transaction.execute(sqlx::raw_sql(sql.create)).await?;
        there = columns(&mut transaction, sql).await?;
    }
    if let Some(lacking) = lacking(&there) {
        return Ok(Err(lacking));
    }
    // Before the keys: from then on a table without them was never the old chat's.
    let take_over = !make && !has(&there, BESIDE) && !has(&there, "name_key");
    if take_over {
        tracing::info!("a users' table of the old chat's is shared with it from now on");
        transaction.execute(sqlx::raw_sql(sql.add_beside)).await?;
    }
    let shape = if take_over || has(&there, BESIDE) {
        Shape::Shared
    } else {
        widen(&mut transaction, sql).await?;
        Shape::Ours
    };
    for (column, add) in [
        ("name_key", sql.add_name_key),
        ("mail_key", sql.add_mail_key),
        ("name_skeleton", sql.add_name_skeleton),
    ] {
        if !has(&there, column) {
            tracing::info!(column, "a column is added to the users' table");
            transaction.execute(sqlx::raw_sql(add)).await?;
        }
    }
    transaction.commit().await?;
    Ok(Ok(shape))
}

async fn columns(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(sql.columns).fetch_all(connection).await
}

fn has(columns: &[String], column: &str) -> bool {
    columns.iter().any(|there| there == column)
}

fn lacking(columns: &[String]) -> Option<&'static str> {
    COLUMNS.into_iter().find(|column| !has(columns, column))
}

/// Gives the column of passwords room for an Argon2id hash.
async fn widen(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<(), sqlx::Error> {
    let widen: Option<String> = sqlx::query_scalar(sql.widen)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(widen) = widen {
        tracing::info!(column = "pass", "a column of the users' table is widened");
        // Made by the database from what it knows of its own column.
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(widen)))
            .await?;
    }
    Ok(())
}

/// Gives every user its keys. Of users whose names or addresses differ only by case, or whose names look alike, the first gets the
/// key; the others log in by what is written in their row.
async fn fill_keys(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with(sql.begin).await?;
    transaction.execute(sqlx::raw_sql(sql.lock)).await?;
    let present = Skeleton::version() + "%";
    let mut last = i64::MIN;
    loop {
        let page = sqlx::query_as(sql.keyless)
            .bind(last)
            .bind(&present)
            .fetch_all(&mut *transaction)
            .await?;
        let page: Vec<Keyless> = page;
        let Some(&(id, ..)) = page.last() else { break };
        last = id;
        for (id, name, mail) in page {
            for (set, text) in [
                (sql.set_name_key, name.as_deref()),
                (sql.set_mail_key, mail.as_deref()),
            ] {
                let Some(text) = text else { continue };
                if !set_key(&mut transaction, set, id, Key::of(text).as_str()).await? {
                    tracing::warn!(
                        user = id,
                        "another user's name or mail differs from this one's only in case"
                    );
                }
            }
            // Of the name that it speaks under.
            let author = User::author_of(UserId(id), name.as_deref().unwrap_or_default());
            let skeleton = Skeleton::of(author.as_str());
            let set = sql.set_name_skeleton;
            if !set_key(&mut transaction, set, id, skeleton.as_str()).await? {
                tracing::warn!(user = id, "another user's name looks like this one's");
                // One of other tables of Unicode's must not keep somebody else's.
                let unset = sqlx::query(sql.unset_name_skeleton).bind(id);
                unset.execute(&mut *transaction).await?;
            }
        }
    }
    transaction.commit().await
}

/// Gives a user a key; false where another has it.
async fn set_key(
    connection: &mut AnyConnection,
    set: &'static str,
    id: i64,
    key: &str,
) -> Result<bool, sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    let query = sqlx::query(set).bind(key).bind(id);
    match query.execute(&mut *savepoint).await {
        Ok(_) => savepoint.commit().await.map(|()| true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            savepoint.rollback().await.map(|()| false)
        }
        Err(error) => Err(error),
    }
}
