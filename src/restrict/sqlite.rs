//! Restrictions in an SQLite file, which several processes of one host may share.
//!
//! What has to be refused is refused by a look, so that a flood takes no lock and writes nothing.
//! What may go on is decided again under the write lock, in one transaction.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use super::arithmetic::{self, Rate, Spent, Strikes, Struck, forgotten_at, length, moment};
use super::name::bounded;
use super::store::{Claim, RestrictStore, Strike};
use crate::clock::UnixTime;
use crate::session::StoreError;
use crate::storage::sqlite::column::{BadColumn, of_time, text, time};
use crate::storage::sqlite::{self, Database, Failure};

/// What purging runs, over and over.
const PURGES: [&str; 3] = [
    "DELETE FROM markers WHERE name IN (SELECT name FROM markers WHERE expires <= ?1 LIMIT ?2)",
    "DELETE FROM budgets WHERE name IN (SELECT name FROM budgets WHERE full_at <= ?1 LIMIT ?2)",
    "DELETE FROM strikes WHERE name IN (SELECT name FROM strikes WHERE expires <= ?1 LIMIT ?2)",
];

/// Restrictions in an SQLite file.
#[derive(Debug)]
pub struct SqliteRestrict {
    database: Database,
}

impl SqliteRestrict {
    /// Opens the file, making it where it is missing.
    ///
    /// # Errors
    /// [`sqlite::OpenError`] where that is not possible.
    pub async fn open(path: &Path, options: sqlite::Options) -> Result<Self, sqlite::OpenError> {
        Database::open(path, options).await.map(Self::new)
    }

    /// In a file that is open already, which others use too.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl RestrictStore for SqliteRestrict {
    async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        let name = &*bounded(name);
        let held = marker(&mut *self.database.reader().await?, name, at).await?;
        if let Some(held) = held {
            return Ok(Claim::Held(held));
        }
        let mut transaction = self.database.begin().await?;
        if let Some(held) = marker(&mut *transaction, name, at).await? {
            return Ok(Claim::Held(held));
        }
        sqlx::query(
            "INSERT INTO markers (name, value, expires) VALUES (?1, ?2, ?3) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, expires = excluded.expires",
        )
        .bind(name)
        .bind(value)
        .bind(column(moment(until)))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Claim::Won)
    }

    async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE markers SET value = ?3, expires = ?4 WHERE name = ?1 AND value = ?2";
        let done = sqlx::query(sql)
            .bind(&*bounded(name))
            .bind(expected)
            .bind(value)
            .bind(column(moment(until)))
            .execute(&mut *self.database.writer().await?)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        marker(&mut *self.database.reader().await?, &bounded(name), at).await
    }

    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM markers WHERE name = ?1")
            .bind(&*bounded(name))
            .execute(&mut *self.database.writer().await?)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn spend(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let (name, rate) = (&*bounded(name), Rate::new(interval, burst));
        let seen = spent(&mut *self.database.reader().await?, name, at, rate).await?;
        if seen.full_at.is_none() {
            return Ok(seen.answer());
        }
        let mut transaction = self.database.begin().await?;
        let spent = spent(&mut *transaction, name, at, rate).await?;
        if let Some(full_at) = spent.full_at {
            keep_budget(&mut transaction, name, full_at).await?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(spent.answer())
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        let sql =
            "UPDATE budgets SET full_at = MAX(full_at - ?2, 0) WHERE name = ?1 AND full_at > 0";
        let refund =
            sqlx::query(sql).bind(&*bounded(name)).bind(column(Rate::new(interval, 1).interval));
        refund.execute(&mut *self.database.writer().await?).await.map(drop).map_err(failed)
    }

    async fn strike(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Strike, StoreError> {
        let (name, memory) = (&*bounded(name), length(memory));
        let delays: Vec<u64> = delays.iter().copied().map(length).collect();
        let seen = struck(&mut *self.database.reader().await?, name, at, &delays, memory).await?;
        if seen.kept.is_none() {
            return Ok(seen.answer());
        }
        let mut transaction = self.database.begin().await?;
        let struck = struck(&mut *transaction, name, at, &delays, memory).await?;
        if let Some(strikes) = struck.kept {
            keep_strikes(&mut transaction, name, strikes, memory).await?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(struck.answer())
    }

    async fn uncount(&self, name: &str) -> Result<(), StoreError> {
        let sql = "UPDATE strikes SET count = count - 1 WHERE name = ?1 AND count > 0";
        let uncount = sqlx::query(sql).bind(&*bounded(name));
        uncount.execute(&mut *self.database.writer().await?).await.map(drop).map_err(failed)
    }

    async fn pardon(&self, name: &str) -> Result<(), StoreError> {
        let forget = sqlx::query("DELETE FROM strikes WHERE name = ?1").bind(&*bounded(name));
        forget.execute(&mut *self.database.writer().await?).await.map(drop).map_err(failed)
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        let mut removed = 0;
        for batch in PURGES {
            removed += self.database.delete_in_batches(batch, column(moment(before))).await?;
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.database.ping("SELECT 1 FROM markers LIMIT 1").await?;
        Ok(self.database.prove().await?)
    }

    async fn close(&self) {
        self.database.close().await;
    }

    fn describe(&self) -> String {
        format!("sqlite {}", self.database.path().display())
    }
}

/// What the marker holds, if it is live.
async fn marker(
    source: impl SqliteExecutor<'_>,
    name: &str,
    at: UnixTime,
) -> Result<Option<String>, StoreError> {
    let found = sqlx::query("SELECT value, expires FROM markers WHERE name = ?1").bind(name);
    let Some(row) = found.fetch_optional(source).await.map_err(failed)? else { return Ok(None) };
    let expires = time(&row, "expires").map_err(bad(name))?;
    let value = text(&row, "value").map_err(bad(name))?;
    Ok((moment(expires) > moment(at)).then(|| value.to_owned()))
}

/// What taking one from the budget comes to.
async fn spent(
    source: impl SqliteExecutor<'_>,
    name: &str,
    at: UnixTime,
    rate: Rate,
) -> Result<Spent, StoreError> {
    let found = sqlx::query("SELECT full_at FROM budgets WHERE name = ?1").bind(name);
    let row = found.fetch_optional(source).await.map_err(failed)?;
    let full_at = row.map(|row| time(&row, "full_at").map_err(bad(name))).transpose()?;
    Ok(arithmetic::spend(full_at.map(UnixTime::as_millis), moment(at), rate))
}

async fn keep_budget(
    connection: &mut SqliteConnection,
    name: &str,
    full_at: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO budgets (name, full_at) VALUES (?1, ?2) \
        ON CONFLICT (name) DO UPDATE SET full_at = excluded.full_at";
    let keep = sqlx::query(sql).bind(name).bind(column(full_at));
    keep.execute(connection).await.map(drop).map_err(failed)
}

/// What an attempt comes to.
async fn struck(
    source: impl SqliteExecutor<'_>,
    name: &str,
    at: UnixTime,
    delays: &[u64],
    memory: u64,
) -> Result<Struck, StoreError> {
    let found = sqlx::query("SELECT count, last FROM strikes WHERE name = ?1").bind(name);
    let row = found.fetch_optional(source).await.map_err(failed)?;
    let kept = row.map(|row| strikes(&row).map_err(bad(name))).transpose()?;
    Ok(arithmetic::strike(kept, moment(at), delays, memory))
}

fn strikes(row: &SqliteRow) -> Result<Strikes, BadColumn> {
    let count: i64 = row.try_get("count").map_err(|_| BadColumn("count"))?;
    let count = u32::try_from(count).map_err(|_| BadColumn("count"))?;
    Ok(Strikes { count, last: time(row, "last")?.as_millis() })
}

async fn keep_strikes(
    connection: &mut SqliteConnection,
    name: &str,
    strikes: Strikes,
    memory: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO strikes (name, count, last, expires) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT (name) DO UPDATE SET \
        count = excluded.count, last = excluded.last, expires = excluded.expires";
    let keep = sqlx::query(sql)
        .bind(name)
        .bind(strikes.count)
        .bind(column(strikes.last))
        .bind(column(forgotten_at(strikes, memory)));
    keep.execute(connection).await.map(drop).map_err(failed)
}

fn column(millis: u64) -> i64 {
    of_time(UnixTime::from_millis(millis))
}

fn bad(name: &str) -> impl Fn(BadColumn) -> StoreError {
    move |bad| StoreError::Corrupt { id: name.to_owned(), reason: bad.to_string() }
}

fn failed(error: sqlx::Error) -> StoreError {
    Failure::from(error).into()
}
