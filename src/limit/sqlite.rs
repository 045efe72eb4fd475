//! Leases and limits in an SQLite file, which several processes of one host may share.
//!
//! What has to be refused is refused by a look, so that a flood takes no lock and writes nothing.
//! What may go on is decided again under the write lock, in one transaction.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use super::arithmetic::{
    self, FailureDecision, Failures, Rate, TakeDecision, forgotten_at, length, moment,
};
use super::name::bounded;
use super::store::{Attempt, Lease, LimitStore};
use crate::clock::UnixTime;
use crate::store::Failure;
use crate::store::StoreError;
use crate::store::sqlite::column::{BadColumn, of_time, text, time};
use crate::store::sqlite::{self, Database};

/// What purging runs, over and over.
const PURGES: [&str; 3] = [
    "DELETE FROM markers WHERE name IN (SELECT name FROM markers WHERE expires <= ?1 LIMIT ?2)",
    "DELETE FROM budgets WHERE name IN (SELECT name FROM budgets WHERE full_at <= ?1 LIMIT ?2)",
    "DELETE FROM strikes WHERE name IN (SELECT name FROM strikes WHERE expires <= ?1 LIMIT ?2)",
];

/// Leases and limits in an SQLite file.
#[derive(Debug)]
pub struct SqliteLimitStore {
    database: Database,
}

impl SqliteLimitStore {
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
impl LimitStore for SqliteLimitStore {
    async fn acquire_lease(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Lease, StoreError> {
        let name = &*bounded(name);
        let held = live_lease(&mut *self.database.reader().await?, name, at).await?;
        if let Some(held) = held {
            return Ok(Lease::Held(held));
        }
        let mut transaction = self.database.begin().await?;
        if let Some(held) = live_lease(&mut *transaction, name, at).await? {
            return Ok(Lease::Held(held));
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
        Ok(Lease::Acquired)
    }

    async fn replace_lease(
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

    async fn read_lease(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        live_lease(&mut *self.database.reader().await?, &bounded(name), at).await
    }

    async fn release_lease(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM markers WHERE name = ?1")
            .bind(&*bounded(name))
            .execute(&mut *self.database.writer().await?)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn take(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let (name, rate) = (&*bounded(name), Rate::new(interval, burst));
        let seen = decide_take(&mut *self.database.reader().await?, name, at, rate).await?;
        if seen.full_at.is_none() {
            return Ok(seen.answer());
        }
        let mut transaction = self.database.begin().await?;
        let decision = decide_take(&mut *transaction, name, at, rate).await?;
        if let Some(full_at) = decision.full_at {
            keep_bucket(&mut transaction, name, full_at).await?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(decision.answer())
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        let sql =
            "UPDATE budgets SET full_at = MAX(full_at - ?2, 0) WHERE name = ?1 AND full_at > 0";
        let refund =
            sqlx::query(sql).bind(&*bounded(name)).bind(column(Rate::new(interval, 1).interval));
        refund.execute(&mut *self.database.writer().await?).await.map(drop).map_err(failed)
    }

    async fn record_failure(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Attempt, StoreError> {
        let (name, memory) = (&*bounded(name), length(memory));
        let delays: Vec<u64> = delays.iter().copied().map(length).collect();
        let seen =
            decide_failure(&mut *self.database.reader().await?, name, at, &delays, memory).await?;
        if seen.kept.is_none() {
            return Ok(seen.answer());
        }
        let mut transaction = self.database.begin().await?;
        let decision = decide_failure(&mut *transaction, name, at, &delays, memory).await?;
        if let Some(failures) = decision.kept {
            keep_failures(&mut transaction, name, failures, memory).await?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(decision.answer())
    }

    async fn undo_failure(&self, name: &str) -> Result<(), StoreError> {
        let sql = "UPDATE strikes SET count = count - 1 WHERE name = ?1 AND count > 0";
        let undo_failure = sqlx::query(sql).bind(&*bounded(name));
        undo_failure.execute(&mut *self.database.writer().await?).await.map(drop).map_err(failed)
    }

    async fn reset_failures(&self, name: &str) -> Result<(), StoreError> {
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
        Ok(self.database.probe_write().await?)
    }

    async fn close(&self) {
        self.database.close().await;
    }

    fn describe(&self) -> String {
        format!("sqlite {}", self.database.path().display())
    }
}

/// The value of the lease, if it is live.
async fn live_lease(
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

/// Outcome of taking one from the bucket.
async fn decide_take(
    source: impl SqliteExecutor<'_>,
    name: &str,
    at: UnixTime,
    rate: Rate,
) -> Result<TakeDecision, StoreError> {
    let found = sqlx::query("SELECT full_at FROM budgets WHERE name = ?1").bind(name);
    let row = found.fetch_optional(source).await.map_err(failed)?;
    let full_at = row.map(|row| time(&row, "full_at").map_err(bad(name))).transpose()?;
    Ok(arithmetic::take(full_at.map(UnixTime::as_millis), moment(at), rate))
}

async fn keep_bucket(
    connection: &mut SqliteConnection,
    name: &str,
    full_at: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO budgets (name, full_at) VALUES (?1, ?2) \
        ON CONFLICT (name) DO UPDATE SET full_at = excluded.full_at";
    let keep = sqlx::query(sql).bind(name).bind(column(full_at));
    keep.execute(connection).await.map(drop).map_err(failed)
}

/// Outcome of an attempt.
async fn decide_failure(
    source: impl SqliteExecutor<'_>,
    name: &str,
    at: UnixTime,
    delays: &[u64],
    memory: u64,
) -> Result<FailureDecision, StoreError> {
    let found = sqlx::query("SELECT count, last FROM strikes WHERE name = ?1").bind(name);
    let row = found.fetch_optional(source).await.map_err(failed)?;
    let kept = row.map(|row| failures(&row).map_err(bad(name))).transpose()?;
    Ok(arithmetic::record_failure(kept, moment(at), delays, memory))
}

fn failures(row: &SqliteRow) -> Result<Failures, BadColumn> {
    let count: i64 = row.try_get("count").map_err(|_| BadColumn("count"))?;
    let count = u32::try_from(count).map_err(|_| BadColumn("count"))?;
    Ok(Failures { count, last: time(row, "last")?.as_millis() })
}

async fn keep_failures(
    connection: &mut SqliteConnection,
    name: &str,
    failures: Failures,
    memory: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO strikes (name, count, last, expires) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT (name) DO UPDATE SET \
        count = excluded.count, last = excluded.last, expires = excluded.expires";
    let keep = sqlx::query(sql)
        .bind(name)
        .bind(failures.count)
        .bind(column(failures.last))
        .bind(column(forgotten_at(failures, memory)));
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
