//! Sessions in an SQLite file, which several processes of one host may share.
//!
//! Every write is one statement or one transaction that took the write lock first, so that a
//! process killed at any point leaves the old state or the new one. The schema is
//! `store/migrations/sqlite`.

use std::fmt::Display;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{
    DeviceId, DeviceName, Filter, FoundSession, InvalidatedRecord, Session, SessionId, SessionKey,
    SessionStore, UserId,
};
use crate::clock::UnixTime;
use crate::store::sqlite::Database;
use crate::store::sqlite::column::of_time;
use crate::store::{Failure, Fields as _, JsonRecord, StoreError, claims_text};
use crate::wire::json;

/// The fields of a session, by the names by which [`read`] finds them. A row is one text in JSON. The tables are STRICT:
/// there is no blob in these columns, which has no form in JSON. A file that is damaged below its types fails the question.
const FIELDS: &str = "'user', s.user_id, 'created', s.created, 'last_seen', s.last_seen, \
    'expires', s.expires, 'user_agent', s.user_agent, 'address', s.address, 'device_id', s.device_id, \
    'device_name', s.device_name, 'claims', s.claims, 'not_before', n.not_before";
/// The not-before of its user, where he has one.
const NOT_BEFORE: &str = "LEFT JOIN user_not_before AS n ON n.user_id = s.user_id";

/// Sessions in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// In a file that is open already, which others use too.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "INSERT INTO sessions \
             (id, user_id, created, last_seen, expires, user_agent, address, claims, device_id, \
             device_name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
        )
        .bind(session.id.as_str())
        .bind(session.user.as_str())
        .bind(of_time(session.created))
        .bind(of_time(session.last_seen))
        .bind(of_time(session.expires))
        .bind(session.device.user_agent.as_deref())
        .bind(session.device.address.map(|address| address.to_string()))
        .bind(claims_text(&session.claims))
        .bind(session.device.id.as_ref().map(DeviceId::as_str))
        .bind(session.device.name.as_ref().map(DeviceName::as_str));
        match self.database.execute(statement).await? {
            0 => Err(StoreError::Conflict(session.id.to_string())),
            _ => Ok(()),
        }
    }

    async fn get_many(&self, keys: &[SessionKey]) -> Result<Vec<FoundSession>, StoreError> {
        // CROSS: the list is the outer loop, and each session is found by its id.
        let sql = AssertSqlSafe(format!(
            "SELECT asked.key, json_object({FIELDS}) FROM json_each(?1) AS asked \
             CROSS JOIN sessions AS s ON s.id = asked.value {NOT_BEFORE}"
        ));
        let ids: Value = keys.iter().map(|(_, id)| id.as_str()).collect();
        let rows = sqlx::query(sql)
            .bind(ids.to_string())
            .fetch_all(&mut *self.database.reader().await?)
            .await?;
        let mut found = vec![Ok(None); keys.len()];
        for row in &rows {
            let place = row.try_get::<i64, _>(0).map_err(Failure::from)?;
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            if let (Some((user, id)), Some(found)) = (keys.get(place), found.get_mut(place)) {
                *found = record(row, 1, id).and_then(|record| {
                    let is_his = record.optional_text("user") == Ok(Some(user.as_str()));
                    is_his.then(|| read(id, &record)).transpose()
                });
            }
        }
        Ok(found)
    }

    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin().await?;
        for (id, at) in uses {
            sqlx::query("UPDATE sessions SET last_seen = ?2 WHERE id = ?1 AND last_seen < ?2")
                .bind(id.as_str())
                .bind(of_time(*at))
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        let statement = sqlx::query("UPDATE sessions SET expires = max(expires, ?2) WHERE id = ?1")
            .bind(id.as_str())
            .bind(of_time(expires));
        Ok(self.database.execute(statement).await? > 0)
    }

    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        let statement = sqlx::query("DELETE FROM sessions WHERE id = ?1 RETURNING user_id");
        let gone = self.database.execute_returning(statement.bind(id.as_str())).await?;
        let owner = |row: &SqliteRow| {
            let owner = row.parsed("user_id", UserId::parse);
            owner.map_err(|bad| StoreError::corrupt(id, bad))
        };
        gone.first().map(owner).transpose()
    }

    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        let mut transaction = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO user_not_before (user_id, not_before) VALUES (?1, ?2) \
             ON CONFLICT (user_id) DO UPDATE SET not_before = max(not_before, excluded.not_before)",
        )
        .bind(user.as_str())
        .bind(of_time(at))
        .execute(&mut *transaction)
        .await?;
        let gone = sqlx::query(
            "DELETE FROM sessions WHERE user_id = ?1 AND created <= \
             (SELECT not_before FROM user_not_before WHERE user_id = ?1)",
        )
        .bind(user.as_str())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        // One condition or the other, so that one user's are found by the index.
        let owner = if filter.user.is_some() { "s.user_id = ?1" } else { "?1 IS NULL" };
        let sql = AssertSqlSafe(format!(
            "SELECT json_object('id', s.id, {FIELDS}) FROM sessions AS s {NOT_BEFORE} WHERE {owner} \
             AND (?2 IS NULL OR (s.expires > ?2 \
             AND s.created > coalesce(nullif(n.not_before, 0), -1))) \
             ORDER BY s.created DESC, s.id DESC LIMIT ?3"
        ));
        let rows = sqlx::query(sql)
            .bind(filter.user.as_ref().map(UserId::as_str))
            .bind(filter.live_at.map(of_time))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.database.reader().await?)
            .await?;
        let read_named = |row: &SqliteRow| {
            let record = record(row, 0, "?")?;
            let id = record.parsed("id", SessionId::parse);
            read(&id.map_err(|bad| StoreError::corrupt("?", bad))?, &record)
        };
        let readable = rows.iter().map(read_named).filter_map(|read| {
            read.inspect_err(|error| tracing::warn!(%error, "left out of the list")).ok()
        });
        Ok(readable.collect())
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let batch = "DELETE FROM sessions WHERE id IN \
            (SELECT id FROM sessions WHERE expires <= ?1 LIMIT ?2)";
        let purged = self.database.delete_in_batches(batch, of_time(expired_before)).await?;
        self.database.forget_changes(expired_before).await?;
        Ok(purged)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.database.ping("SELECT 1 FROM sessions LIMIT 1").await?)
    }

    async fn probe_write(&self) -> Result<(), StoreError> {
        self.ping().await?;
        Ok(self.database.probe_write().await?)
    }

    async fn close(&self) {
        self.database.close().await;
    }

    fn describe(&self) -> String {
        format!("sqlite {}", self.database.path().display())
    }

    fn invalidated_record(&self, key: &[u8]) -> Option<InvalidatedRecord> {
        let (kind, name) = std::str::from_utf8(key).ok()?.split_once(':')?;
        match kind {
            "session" => SessionId::parse(name).ok().map(InvalidatedRecord::Session),
            "user" => UserId::parse(name).ok().map(InvalidatedRecord::User),
            _ => None,
        }
    }
}

/// The record in a column of a row. It can be read, but for a text in it that is not in UTF-8.
fn record(row: &SqliteRow, column: usize, id: impl Display) -> Result<JsonRecord<'_>, StoreError> {
    let text: Result<&str, _> = row.try_get(column);
    let record = text.ok().and_then(|text| json::from_str(text).ok());
    record.ok_or_else(|| StoreError::corrupt(id, "it is no record"))
}

fn read(id: &SessionId, record: &JsonRecord<'_>) -> Result<Session, StoreError> {
    // Of a user who was never revoked as a whole there is no row, hence no value.
    let session = record
        .optional_time("not_before")
        .and_then(|not_before| Session::read(id, record, not_before.unwrap_or_default()));
    session.map_err(|bad| StoreError::corrupt(id, bad))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::sqlite::Options;

    const EXPIRED: u32 = 20_000;

    async fn expired(store: &SqliteStore) -> u32 {
        let count = sqlx::query("SELECT count(*) FROM sessions WHERE expires = 1");
        count
            .fetch_one(&mut *store.database.reader().await.expect("reader"))
            .await
            .expect("count")
            .get(0)
    }

    fn session(id: &str) -> Session {
        Session::new(
            SessionId::parse(id).expect("id"),
            UserId::parse("alice").expect("user"),
            UnixTime::from_secs(1),
            UnixTime::from_secs(1_000),
        )
    }

    #[tokio::test]
    async fn a_damaged_session_harms_no_other_that_is_asked_for_with_it() {
        let folder = tempfile::tempdir().expect("folder");
        let database = Database::open(&folder.path().join("sessions.db"), Options::default()).await;
        let store = SqliteStore::new(database.expect("open"));
        store.put(&session("good")).await.expect("put");
        let damaged = "INSERT INTO sessions (id, user_id, created, last_seen, expires, claims) \
            VALUES ('no-text', 'alice', 0, 0, 1, CAST(x'ff' AS TEXT)), \
            ('no-claims', 'alice', 0, 0, 1, '{'), ('no-time', 'alice', -1, 0, 1, '{}')";
        store.database.execute(sqlx::query(damaged)).await.expect("damage");
        let key = |id| (UserId::parse("alice").expect("user"), SessionId::parse(id).expect("id"));
        let keys = ["no-text", "good", "no-claims", "missing", "no-time"].map(key);
        let found = store.get_many(&keys).await.expect("an answer");
        assert_eq!(found[1], Ok(Some(session("good"))));
        assert_eq!(found[3], Ok(None));
        for damaged in [&found[0], &found[2], &found[4]] {
            assert!(matches!(damaged, Err(StoreError::Corrupt { .. })), "{damaged:?}");
        }
        let listed = store.list(&Filter::default(), 9).await.expect("list");
        assert_eq!(listed, [session("good")]);
    }

    #[tokio::test]
    async fn a_long_purge_holds_up_neither_our_writes_nor_those_of_another_process() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("sessions.db");
        // As the gate has it: STORE_TIMEOUT is 150 ms.
        let busy_timeout = Duration::from_millis(150);
        let options = Options { busy_timeout, ..Default::default() };
        let open = async || Database::open(&path, options).await.expect("open");
        let ours = std::sync::Arc::new(SqliteStore::new(open().await));
        let others = SqliteStore::new(open().await);
        let fill = sqlx::query(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
             INSERT INTO sessions (id, user_id, created, last_seen, expires, claims) \
             SELECT hex(randomblob(16)), 'bob', 0, 0, 1, '{}' FROM n",
        )
        .bind(EXPIRED);
        ours.database.execute(fill).await.expect("fill");
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
