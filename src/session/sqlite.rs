//! Sessions in an SQLite file, which several processes of one host may share.
//!
//! Every write is one statement or one transaction that took the write lock first, so that a
//! process killed at any point leaves the old state or the new one. The schema is
//! `storage/migrations/sqlite`.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::Instant;

use super::{Device, Filter, Session, SessionId, SessionStore, StoreError, UserId};
use crate::clock::UnixTime;
use crate::storage::sqlite;

/// The columns of a session, in the order that [`read`] expects by name.
const SELECT: &str = "SELECT s.id, s.user_id, s.created, s.last_seen, s.expires, s.user_agent, \
    s.address, s.claims, n.not_before \
    FROM sessions AS s LEFT JOIN user_not_before AS n ON n.user_id = s.user_id";

/// How many sessions one transaction forgets, so that nobody waits long for the write lock.
const PURGE_BATCH: u32 = 200;

/// Sessions in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    /// Apart from the readers: a write waits while another process writes, and reads, which the
    /// write-ahead log never makes wait, must not queue behind it.
    writer: SqlitePool,
    path: PathBuf,
    /// Device and number of the file that was opened.
    opened: (u64, u64),
}

impl SqliteStore {
    /// Opens the file, making it where it is missing.
    ///
    /// # Errors
    /// [`sqlite::OpenError`] where that is not possible.
    pub async fn open(path: &Path, options: sqlite::Options) -> Result<Self, sqlite::OpenError> {
        let readers = sqlite::open(path, options).await?;
        let one = sqlite::Options { max_connections: 1, ..options };
        let writer = sqlite::open(path, one).await?;
        let opened = file_id(path).unwrap_or_default();
        Ok(Self { readers, writer, path: path.to_owned(), opened })
    }

    /// Whether the file is still the one that was opened. One that was deleted or replaced goes on
    /// to answer whoever has it open, and nobody can revoke anything in it.
    fn check_in_place(&self) -> Result<(), StoreError> {
        if file_id(&self.path).is_ok_and(|now| now == self.opened) {
            return Ok(());
        }
        Err(StoreError::Unavailable("its file was deleted or replaced; start again".to_owned()))
    }
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        let done = sqlx::query(
            "INSERT INTO sessions \
             (id, user_id, created, last_seen, expires, user_agent, address, claims) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
        )
        .bind(session.id.as_str())
        .bind(session.user.as_str())
        .bind(to_column(session.created))
        .bind(to_column(session.last_seen))
        .bind(to_column(session.expires))
        .bind(session.device.user_agent.as_deref())
        .bind(session.device.address.map(|address| address.to_string()))
        .bind(serde_json::Value::Object(session.claims.clone()).to_string())
        .execute(&self.writer)
        .await
        .map_err(failed)?;
        match done.rows_affected() {
            0 => Err(StoreError::Conflict(session.id.clone())),
            _ => Ok(()),
        }
    }

    async fn get(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.check_in_place()?;
        let sql = AssertSqlSafe(format!("{SELECT} WHERE s.id = ?1 AND s.user_id = ?2"));
        let row = sqlx::query(sql)
            .bind(id.as_str())
            .bind(user.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed)?;
        row.as_ref().map(read).transpose()
    }

    async fn touch(&self, id: &SessionId, at: UnixTime) -> Result<(), StoreError> {
        sqlx::query("UPDATE sessions SET last_seen = ?2 WHERE id = ?1 AND last_seen < ?2")
            .bind(id.as_str())
            .bind(to_column(at))
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(failed)
    }

    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        // To the last row: SQLite commits when the statement has ended, and may fail then.
        let gone = sqlx::query("DELETE FROM sessions WHERE id = ?1 RETURNING user_id")
            .bind(id.as_str())
            .fetch_all(&self.writer)
            .await
            .map_err(failed)?;
        let owner = |row: &SqliteRow| {
            let text = text(row, id.as_str(), "user_id")?;
            UserId::parse(text).map_err(|_| corrupt(id.as_str(), "user_id"))
        };
        gone.first().map(owner).transpose()
    }

    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        sqlx::query(
            "INSERT INTO user_not_before (user_id, not_before) VALUES (?1, ?2) \
             ON CONFLICT (user_id) DO UPDATE SET not_before = max(not_before, excluded.not_before)",
        )
        .bind(user.as_str())
        .bind(to_column(at))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        let gone = sqlx::query(
            "DELETE FROM sessions WHERE user_id = ?1 AND created <= \
             (SELECT not_before FROM user_not_before WHERE user_id = ?1)",
        )
        .bind(user.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(gone.rows_affected())
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        // One condition or the other, so that one user's are found by the index.
        let owner = if filter.user.is_some() { "s.user_id = ?1" } else { "?1 IS NULL" };
        let sql = AssertSqlSafe(format!(
            "{SELECT} WHERE {owner} AND (?2 IS NULL OR (s.expires > ?2 \
             AND s.created > coalesce(nullif(n.not_before, 0), -1))) \
             ORDER BY s.created DESC, s.id DESC LIMIT ?3"
        ));
        let rows = sqlx::query(sql)
            .bind(filter.user.as_ref().map(UserId::as_str))
            .bind(filter.live_at.map(to_column))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?;
        let readable = rows.iter().map(read).filter_map(|read| {
            read.inspect_err(|error| tracing::warn!(%error, "left out of the list")).ok()
        });
        Ok(readable.collect())
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let began = Instant::now();
            let batch = sqlx::query(
                "DELETE FROM sessions WHERE id IN \
                 (SELECT id FROM sessions WHERE expires <= ?1 LIMIT ?2)",
            )
            .bind(to_column(expired_before))
            .bind(PURGE_BATCH)
            .execute(&self.writer)
            .await
            .map_err(failed)?;
            removed += batch.rows_affected();
            if batch.rows_affected() < u64::from(PURGE_BATCH) {
                return Ok(removed);
            }
            // Our own writers queue for the connection, but those of other processes only look
            // now and then whether the lock is free: half of the time it is.
            tokio::time::sleep(began.elapsed()).await;
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.check_in_place()?;
        sqlx::query("SELECT 1 FROM sessions LIMIT 1")
            .fetch_optional(&self.readers)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Waits for the statements under way and closes the file. The log is then folded into the
    /// database, if no other process uses it.
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    fn describe(&self) -> String {
        format!("sqlite {}", self.path.display())
    }
}

fn file_id(path: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// SQLite's integers are signed. A time past their range, 292 million years from now, is kept
/// as the last one.
fn to_column(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn read(row: &SqliteRow) -> Result<Session, StoreError> {
    let name = text(row, "?", "id")?;
    let time = |column| time(row, name, column);
    let address = optional_text(row, name, "address")?;
    let address = address.map(str::parse).transpose().map_err(|_| corrupt(name, "address"))?;
    Ok(Session {
        id: SessionId::parse(name).map_err(|_| corrupt(name, "id"))?,
        user: UserId::parse(text(row, name, "user_id")?).map_err(|_| corrupt(name, "user_id"))?,
        created: time("created")?,
        last_seen: time("last_seen")?,
        expires: time("expires")?,
        device: Device {
            user_agent: optional_text(row, name, "user_agent")?.map(str::to_owned),
            address,
        },
        claims: serde_json::from_str(text(row, name, "claims")?)
            .map_err(|_| corrupt(name, "claims"))?,
        not_before: not_before(row, name)?,
    })
}

/// Of a user who was never revoked as a whole there is no row, hence no value.
fn not_before(row: &SqliteRow, name: &str) -> Result<UnixTime, StoreError> {
    let value: Option<i64> = row.try_get("not_before").map_err(|_| corrupt(name, "not_before"))?;
    let millis = u64::try_from(value.unwrap_or(0)).map_err(|_| corrupt(name, "not_before"))?;
    Ok(UnixTime::from_millis(millis))
}

fn time(row: &SqliteRow, name: &str, column: &'static str) -> Result<UnixTime, StoreError> {
    let value: i64 = row.try_get(column).map_err(|_| corrupt(name, column))?;
    u64::try_from(value).map(UnixTime::from_millis).map_err(|_| corrupt(name, column))
}

fn text<'r>(row: &'r SqliteRow, name: &str, column: &'static str) -> Result<&'r str, StoreError> {
    row.try_get(column).map_err(|_| corrupt(name, column))
}

fn optional_text<'r>(
    row: &'r SqliteRow,
    name: &str,
    column: &'static str,
) -> Result<Option<&'r str>, StoreError> {
    row.try_get(column).map_err(|_| corrupt(name, column))
}

fn corrupt(name: &str, column: &'static str) -> StoreError {
    StoreError::Corrupt { id: name.to_owned(), reason: format!("bad column {column}") }
}

fn failed(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolTimedOut => StoreError::TimedOut,
        error if sqlite::is_busy(&error) => StoreError::TimedOut,
        error => StoreError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EXPIRED: u32 = 20_000;

    async fn expired(store: &SqliteStore) -> u32 {
        let count = sqlx::query("SELECT count(*) FROM sessions WHERE expires = 1");
        count.fetch_one(&store.readers).await.expect("count").get(0)
    }

    fn session(id: &str) -> Session {
        Session {
            id: SessionId::parse(id).expect("id"),
            user: UserId::parse("alice").expect("user"),
            created: UnixTime::from_secs(1),
            last_seen: UnixTime::from_secs(1),
            expires: UnixTime::from_secs(1_000),
            device: Device::default(),
            claims: serde_json::Map::new(),
            not_before: UnixTime::default(),
        }
    }

    #[tokio::test]
    async fn a_long_purge_holds_up_neither_our_writes_nor_those_of_another_process() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("sessions.db");
        // As the gate has it: STORE_TIMEOUT is 150 ms.
        let busy_timeout = Duration::from_millis(150);
        let options = sqlite::Options { busy_timeout, ..Default::default() };
        let ours = std::sync::Arc::new(SqliteStore::open(&path, options).await.expect("open"));
        let others = SqliteStore::open(&path, options).await.expect("open");
        sqlx::query(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
             INSERT INTO sessions SELECT hex(randomblob(16)), 'bob', 0, 0, 1, NULL, NULL, '{}' FROM n",
        )
        .bind(EXPIRED)
        .execute(&ours.writer)
        .await
        .expect("fill");
        let purging = std::sync::Arc::clone(&ours);
        let purge = tokio::spawn(async move { purging.purge(UnixTime::from_secs(1)).await });
        while expired(&ours).await == EXPIRED {
            tokio::task::yield_now().await;
        }
        for n in 0..5 {
            ours.put(&session(&format!("ours-{n}"))).await.expect("our put");
            others.put(&session(&format!("others-{n}"))).await.expect("another's put");
        }
        assert!(expired(&ours).await > 0, "the purge was over before the writes were");
        assert_eq!(purge.await.expect("task"), Ok(u64::from(EXPIRED)));
        assert_eq!(ours.list(&Filter::default(), 99).await.expect("list").len(), 10);
    }
}
