//! Opaque tokens in an SQLite file, which several processes of one host may share.
//!
//! A rotation is one transaction that took the write lock first: a process killed at any point
//! leaves the old token unused, or used with its successors beside it.

use async_trait::async_trait;
use serde_json::{Map, Value};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteExecutor;

use super::record::{OpaqueToken, TokenDigest};
use super::store::{OpaqueTokenStore, Rotation, collision};
use crate::clock::UnixTime;
use crate::store::sqlite::Database;
use crate::store::sqlite::column::of_time;
use crate::store::{Fields as _, StoreError, claims_text};

/// Opaque tokens in an SQLite file.
#[derive(Debug)]
pub struct SqliteTokenStore {
    database: Database,
}

impl SqliteTokenStore {
    /// In a file that is open already, which others use too.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl OpaqueTokenStore for SqliteTokenStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        add(&mut transaction, tokens).await?;
        Ok(transaction.commit().await?)
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let row = sqlx::query(
            "SELECT kind, session, user_id AS user, client, claims, issued, expires, used \
             FROM opaque_tokens WHERE digest = ?1",
        )
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(&mut *self.database.reader().await?)
        .await?;
        let token = row.as_ref().map(|row| OpaqueToken::read(digest, row)).transpose();
        token.map_err(|bad| StoreError::corrupt(digest, bad))
    }

    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        // Whoever comes late need not queue for the write lock to hear so.
        let refused = refusal(&mut *self.database.reader().await?, old).await?;
        if let Some(refused) = refused {
            return Ok(refused);
        }
        let mut transaction = self.database.begin().await?;
        if let Some(refused) = refusal(&mut *transaction, old).await? {
            return Ok(refused);
        }
        sqlx::query("UPDATE opaque_tokens SET used = ?2 WHERE digest = ?1")
            .bind(old.as_bytes().as_slice())
            .bind(of_time(at))
            .execute(&mut *transaction)
            .await?;
        add(&mut transaction, successors).await?;
        transaction.commit().await?;
        Ok(Rotation::Rotated)
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "UPDATE opaque_tokens SET expires = max(expires, ?2), claims = coalesce(?3, claims) \
             WHERE digest = ?1",
        )
        .bind(digest.as_bytes().as_slice())
        .bind(of_time(expires))
        .bind(claims.map(claims_text));
        Ok(self.database.execute(statement).await? > 0)
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let statement = sqlx::query("DELETE FROM opaque_tokens WHERE digest = ?1");
        let statement = statement.bind(digest.as_bytes().as_slice());
        Ok(self.database.execute(statement).await? > 0)
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let batch = "DELETE FROM opaque_tokens WHERE digest IN \
            (SELECT digest FROM opaque_tokens WHERE expires <= ?1 LIMIT ?2)";
        Ok(self.database.delete_in_batches(batch, of_time(expired_before)).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.database.ping("SELECT 1 FROM opaque_tokens LIMIT 1").await?)
    }

    async fn close(&self) {
        self.database.close().await;
    }

    fn describe(&self) -> String {
        format!("sqlite {}", self.database.path().display())
    }

    fn invalidated_record(&self, key: &[u8]) -> Option<TokenDigest> {
        TokenDigest::from_hex(key.strip_prefix(b"token:")?)
    }
}

/// The reason why the token cannot be rotated, if there is one.
async fn refusal(
    source: impl SqliteExecutor<'_>,
    old: &TokenDigest,
) -> Result<Option<Rotation>, StoreError> {
    let row = sqlx::query("SELECT used FROM opaque_tokens WHERE digest = ?1")
        .bind(old.as_bytes().as_slice())
        .fetch_optional(source)
        .await?;
    let Some(row) = row else { return Ok(Some(Rotation::Unknown)) };
    let used = row.optional_time("used").map_err(|bad| StoreError::corrupt(old, bad))?;
    Ok(used.map(|_| Rotation::AlreadyUsed))
}

/// Adds tokens; where one's digest is taken, the transaction must be dropped.
async fn add(connection: &mut SqliteConnection, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
    for token in tokens {
        let done = sqlx::query(
            "INSERT INTO opaque_tokens \
             (digest, kind, session, user_id, client, claims, issued, expires, used) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (digest) DO NOTHING",
        )
        .bind(token.digest.as_bytes().as_slice())
        .bind(token.kind.as_str())
        .bind(token.session.as_str())
        .bind(token.user.as_str())
        .bind(token.client.as_deref())
        .bind(claims_text(&token.claims))
        .bind(of_time(token.issued))
        .bind(of_time(token.expires))
        .bind(token.used.map(of_time))
        .execute(&mut *connection)
        .await?;
        if done.rows_affected() == 0 {
            return Err(collision());
        }
    }
    Ok(())
}
