//! Opaque tokens in an SQLite file, which several processes of one host may share.
//!
//! A rotation is one transaction that took the write lock first: a process killed at any point
//! leaves the old token unused, or used with its successors beside it.

use std::path::Path;

use async_trait::async_trait;
use serde_json::{Map, Value};
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};

use super::record::{OpaqueToken, TokenDigest, TokenKind};
use super::store::{OpaqueTokenStore, Rotation, collision, corrupt};
use crate::clock::UnixTime;
use crate::session::{SessionId, UserId};
use crate::store::Failure;
use crate::store::StoreError;
use crate::store::sqlite::column::{of_time, optional_text, optional_time, text, time};
use crate::store::sqlite::{self, Database};

/// Opaque tokens in an SQLite file.
#[derive(Debug)]
pub struct SqliteTokenStore {
    database: Database,
}

impl SqliteTokenStore {
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
impl OpaqueTokenStore for SqliteTokenStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        add(&mut transaction, tokens).await?;
        transaction.commit().await.map_err(failed)
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let row = sqlx::query(
            "SELECT kind, session, user_id, client, claims, issued, expires, used \
             FROM opaque_tokens WHERE digest = ?1",
        )
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(&mut *self.database.reader().await?)
        .await
        .map_err(failed)?;
        row.as_ref().map(|row| read(digest, row)).transpose()
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
            .await
            .map_err(failed)?;
        add(&mut transaction, successors).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Rotation::Rotated)
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE opaque_tokens SET expires = max(expires, ?2), claims = coalesce(?3, claims) \
             WHERE digest = ?1",
        )
        .bind(digest.as_bytes().as_slice())
        .bind(of_time(expires))
        .bind(claims.map(json))
        .execute(&mut *self.database.writer().await?)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM opaque_tokens WHERE digest = ?1")
            .bind(digest.as_bytes().as_slice())
            .execute(&mut *self.database.writer().await?)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
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
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(Some(Rotation::Unknown)) };
    let used = optional_time(&row, "used").map_err(|bad| corrupt(old, bad))?;
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
        .bind(json(&token.claims))
        .bind(of_time(token.issued))
        .bind(of_time(token.expires))
        .bind(token.used.map(of_time))
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(collision());
        }
    }
    Ok(())
}

fn json(claims: &Map<String, Value>) -> String {
    Value::Object(claims.clone()).to_string()
}

fn read(digest: &TokenDigest, row: &SqliteRow) -> Result<OpaqueToken, StoreError> {
    let bad = |bad| corrupt(digest, bad);
    let text = |column| text(row, column).map_err(bad);
    let time = |column| time(row, column).map_err(bad);
    let wrong = |column| corrupt(digest, sqlite::column::BadColumn(column));
    Ok(OpaqueToken {
        digest: *digest,
        kind: TokenKind::parse(text("kind")?).ok_or_else(|| wrong("kind"))?,
        session: SessionId::parse(text("session")?).map_err(|_| wrong("session"))?,
        user: UserId::parse(text("user_id")?).map_err(|_| wrong("user_id"))?,
        client: optional_text(row, "client").map_err(bad)?.map(str::to_owned),
        claims: serde_json::from_str(text("claims")?).map_err(|_| wrong("claims"))?,
        issued: time("issued")?,
        expires: time("expires")?,
        used: optional_time(row, "used").map_err(bad)?,
    })
}

fn failed(error: sqlx::Error) -> StoreError {
    Failure::from(error).into()
}
