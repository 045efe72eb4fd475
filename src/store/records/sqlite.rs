//! Records in an SQLite file, which several processes of one host may share. Reading waits for no
//! lock; a write is one statement, which compares.

use async_trait::async_trait;
use sqlx::Row as _;

use super::{NewRecord, RecordKey, RecordStore, StoredRecord};
use crate::clock::UnixTime;
use crate::store::StoreError;
use crate::store::sqlite::Database;
use crate::store::sqlite::column::of_time;

const GET: &str = "SELECT value FROM records WHERE kind = ?1 AND name = ?2";
const ADD: &str = "INSERT INTO records (kind, name, value, expires) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT DO NOTHING";
const REPLACE: &str = "UPDATE records SET value = ?3, expires = ?4 \
    WHERE kind = ?1 AND name = ?2 AND value = ?5";
const DELETE: &str = "DELETE FROM records WHERE kind = ?1 AND name = ?2";
/// The statement that purging runs, over and over.
const PURGE: &str = "DELETE FROM records WHERE rowid IN \
    (SELECT rowid FROM records WHERE expires <= ?1 LIMIT ?2)";

/// Records in an SQLite file.
#[derive(Debug)]
pub struct SqliteRecordStore {
    database: Database,
}

impl SqliteRecordStore {
    /// In a file that is open already, which others use too.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl RecordStore for SqliteRecordStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let query = sqlx::query(GET).bind(key.kind()).bind(key.name());
        let row = query.fetch_optional(&mut *self.database.reader().await?).await;
        let Some(row) = row.map_err(|error| key.failed(error))? else { return Ok(None) };
        let value = row.try_get("value").map_err(|_| key.corrupt("bad column value"))?;
        Ok(Some(StoredRecord { value, version: 0 }))
    }

    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(if read.is_some() { REPLACE } else { ADD });
        let statement = statement.bind(key.kind()).bind(key.name());
        let mut statement = statement.bind(&record.value).bind(of_time(record.end));
        if let Some(read) = read {
            statement = statement.bind(&read.value);
        }
        let done = self.database.execute(statement).await;
        Ok(done.map_err(|failure| key.failed(failure))? > 0)
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        let statement = sqlx::query(DELETE).bind(key.kind()).bind(key.name());
        let done = self.database.execute(statement).await;
        Ok(done.map_err(|failure| key.failed(failure))? > 0)
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        Ok(self.database.delete_in_batches(PURGE, of_time(before)).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.database.ping("SELECT 1 FROM records LIMIT 1").await?;
        Ok(self.database.probe_write().await?)
    }

    fn describe(&self) -> String {
        format!("sqlite {}", self.database.path().display())
    }
}
