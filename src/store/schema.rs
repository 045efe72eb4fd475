//! Schemas of SQL databases, brought up to date step by step when one is opened.
//!
//! Several processes may open a database at once: one of them runs the steps, all or none, and the
//! others find the work done. A database that is up to date is only read, so that no right to make
//! tables is needed. One with a newer schema is left alone, and refused.
//!
//! sqlx's own migrator promises none of the three: it makes its table at every start, takes no lock
//! on SQLite and one of the session on PostgreSQL, which a pooler hands to somebody else.

use sqlx::{AssertSqlSafe, Connection as _, Executor, SqlSafeStr as _};

/// The schema of the one file or database that a program has of this kind.
pub(super) trait Schema: sqlx::Database {
    /// The steps. One that was released is never edited.
    const STEPS: &'static [&'static str];
    /// Begins a transaction in which each statement sees what was committed before it.
    const BEGIN: &'static str;
    /// Keeps all others from the schema until the end of the transaction.
    const LOCK: &'static str;

    /// The number of steps that the database has seen.
    async fn version(connection: &mut Self::Connection) -> Result<i64, sqlx::Error>;

    /// The statements that note how many steps it has seen.
    fn set_version(version: i64) -> String;
}

/// A schema that a newer program made. This one does not understand it.
#[derive(Debug, thiserror::Error)]
#[error("{place} has schema version {found}, this program knows {known}: run the newer version")]
pub struct NewerSchema {
    /// The file, or host and name of the database.
    pub place: String,
    /// Its version.
    pub found: i64,
    /// The newest version that this program knows.
    pub known: i64,
}

/// Brings the schema up to date.
pub(super) async fn migrate<D: Schema>(
    connection: &mut D::Connection,
    place: &str,
) -> Result<Result<(), NewerSchema>, sqlx::Error>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let known = i64::try_from(D::STEPS.len()).unwrap_or(i64::MAX);
    // In a transaction: behind a pooler two statements may run on two connections.
    let mut transaction = connection.begin().await?;
    let mut found = D::version(&mut transaction).await?;
    transaction.commit().await?;
    if found < known {
        let mut transaction = connection.begin_with(D::BEGIN.into_sql_str()).await?;
        sqlx::raw_sql(D::LOCK.into_sql_str()).execute(&mut *transaction).await?;
        // Whoever waited for the lock finds the work done.
        found = D::version(&mut transaction).await?;
        if found < known {
            for step in D::STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
                sqlx::raw_sql(step.into_sql_str()).execute(&mut *transaction).await?;
            }
            let set_version = AssertSqlSafe(D::set_version(known));
            sqlx::raw_sql(set_version).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    Ok(if found > known {
        Err(NewerSchema { place: place.to_owned(), found, known })
    } else {
        Ok(())
    })
}
