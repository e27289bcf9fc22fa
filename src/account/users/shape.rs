//! Brings the users' table into shape at start: makes it, or takes over one that the old chat made. Each step
//! looks first whether it is needed, so a start that was killed is finished by the next one. A column is
//! widened and columns are added; nothing is narrowed, dropped or written over. One replica at a time.

use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor};

use super::{DatabaseError, key::Key, sql::Statements, url::DatabaseUrl};
use crate::account::errors::OpenError;

/// What a table must have to be taken for the users'.
const COLUMNS: [&str; 4] = ["id", "name", "mail", "pass"];

/// A user's id, name and mail.
type Keyless = (i64, Option<String>, Option<String>);

pub(super) async fn bring(
    pool: &AnyPool,
    sql: &'static Statements,
    database: &DatabaseUrl,
) -> Result<(), OpenError> {
    let failed = |error: sqlx::Error| OpenError::Database {
        database: database.to_string(),
        source: DatabaseError::from(error),
    };
    // Its own connection: the lock of MySQL ends with it.
    let mut connection = pool.acquire().await.map_err(failed)?.detach();
    let lacking = alter(&mut connection, sql).await.map_err(failed)?;
    if let Some(column) = lacking {
        return Err(OpenError::OtherTable {
            database: database.to_string(),
            column,
        });
    }
    fill_keys(&mut connection, sql).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// Makes or alters the table. Returns the column that it lacks, where it is another program's.
async fn alter(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<Option<&'static str>, sqlx::Error> {
    let mut transaction = connection.begin_with(sql.begin).await?;
    transaction.execute(sqlx::raw_sql(sql.lock)).await?;
    let mut columns: Vec<String> = sqlx::query_scalar(sql.columns)
        .fetch_all(&mut *transaction)
        .await?;
    if columns.is_empty() {
        tracing::info!("the users' table is made");
        transaction.execute(sqlx::raw_sql(sql.create)).await?;
        columns = COLUMNS.map(str::to_owned).into();
    }
    let has = |column: &str| columns.iter().any(|there| there == column);
    if let Some(lacking) = COLUMNS.into_iter().find(|column| !has(column)) {
        return Ok(Some(lacking));
    }
    let widen: Option<String> = sqlx::query_scalar(sql.widen)
        .fetch_optional(&mut *transaction)
        .await?;
    if let Some(widen) = widen {
        tracing::info!(column = "pass", "a column of the users' table is widened");
        // Made by the database from what it knows of its own column.
        transaction
            .execute(sqlx::raw_sql(AssertSqlSafe(widen)))
            .await?;
    }
    for (column, add) in [
        ("name_key", sql.add_name_key),
        ("mail_key", sql.add_mail_key),
    ] {
        if !has(column) {
            tracing::info!(column, "a column is added to the users' table");
            transaction.execute(sqlx::raw_sql(add)).await?;
        }
    }
    transaction.commit().await?;
    Ok(None)
}

/// Gives every user its keys. Of users that clash only by case, the first gets the key; the others log in by what
/// is written in their row.
async fn fill_keys(
    connection: &mut AnyConnection,
    sql: &'static Statements,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with(sql.begin).await?;
    transaction.execute(sqlx::raw_sql(sql.lock)).await?;
    let mut last = i64::MIN;
    loop {
        let page = sqlx::query_as(sql.keyless)
            .bind(last)
            .fetch_all(&mut *transaction)
            .await?;
        let page: Vec<Keyless> = page;
        let Some(&(id, ..)) = page.last() else { break };
        last = id;
        for (id, name, mail) in page {
            for (set, text) in [(sql.set_name_key, name), (sql.set_mail_key, mail)] {
                let Some(text) = text else { continue };
                set_key(&mut transaction, set, id, &Key::of(&text)).await?;
            }
        }
    }
    transaction.commit().await
}

/// Gives a user a key, unless another has it.
async fn set_key(
    connection: &mut AnyConnection,
    set: &'static str,
    id: i64,
    key: &Key,
) -> Result<(), sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    let query = sqlx::query(set).bind(key.as_str()).bind(id);
    match query.execute(&mut *savepoint).await {
        Ok(_) => savepoint.commit().await,
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            tracing::warn!(
                user = id,
                "another user's name or mail differs from this one's only in case"
            );
            savepoint.rollback().await
        }
        Err(error) => Err(error),
    }
}
