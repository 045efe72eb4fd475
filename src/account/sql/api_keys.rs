//! The statements about API keys.

use super::engine::{Engine, Row as _, Statement};
use super::rows::{self, to_millis};
use super::{Counted, Done, Existed, Found, Several, change, one, read, readable, written};
use crate::account::{AccountError, ApiKey, KeyDigest};
use crate::clock::UnixTime;
use crate::session::UserId;

/// The most keys of a family that may be made while it is deleted.
const MAX_ROUNDS: usize = 1_000;

/// The columns of a key, in the order in which they are inserted.
macro_rules! columns {
    () => {
        "id, user_id, digest, label, scopes, session, issuer, audience, subject, address, version, \
         created, not_before, expires, last_used, refresh_digest, family, refresh_not_before, \
         refresh_expires, replaced_by"
    };
}

macro_rules! values {
    () => {
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20"
    };
}

macro_rules! select_keys {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM api_keys ", $rest)
    };
}

pub(super) async fn add_key(engine: &impl Engine, key: &ApiKey) -> Done {
    written(engine.run(vec![insertion(key)]).await, |_| "API key").map(drop)
}

/// The statement that adds a key.
pub(super) fn insertion(key: &ApiKey) -> Statement {
    let sql = concat!("INSERT INTO api_keys (", columns!(), ") VALUES (", values!(), ")");
    rows::bind_key(Statement::new(sql), key)
}

pub(super) async fn key(engine: &impl Engine, digest: &KeyDigest) -> Found<ApiKey> {
    let statement = Statement::new(select_keys!("WHERE digest = $1")).text(digest.as_str());
    one(engine, statement, rows::key).await
}

pub(super) async fn key_by_id(engine: &impl Engine, id: &str) -> Found<ApiKey> {
    one(engine, Statement::new(select_keys!("WHERE id = $1")).text(id), rows::key).await
}

pub(super) async fn key_by_refresh(engine: &impl Engine, digest: &KeyDigest) -> Found<ApiKey> {
    let statement = Statement::new(select_keys!("WHERE refresh_digest = $1"));
    one(engine, statement.text(digest.as_str()), rows::key).await
}

pub(super) async fn keys(
    engine: &impl Engine,
    user: Option<&UserId>,
    limit: usize,
) -> Several<ApiKey> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let statement = match user {
        Some(user) => Statement::new(select_keys!(
            "WHERE user_id = $1 AND replaced_by IS NULL ORDER BY created DESC, id DESC LIMIT $2"
        ))
        .text(user.as_str()),
        None => Statement::new(select_keys!(
            "WHERE replaced_by IS NULL ORDER BY created DESC, id DESC LIMIT $1"
        )),
    };
    readable(engine, statement.number(limit), rows::key).await
}

pub(super) async fn renew_key(
    engine: &impl Engine,
    digest: &KeyDigest,
    expires: Option<UnixTime>,
) -> Existed {
    let statement = Statement::new("UPDATE api_keys SET expires = $2 WHERE digest = $1")
        .text(digest.as_str())
        .optional_number(expires.map(to_millis));
    change(engine, statement).await
}

pub(super) async fn record_key_use(engine: &impl Engine, id: &str, at: UnixTime) -> Done {
    let statement = Statement::new(
        "UPDATE api_keys SET last_used = $2 WHERE id = $1 AND (last_used IS NULL OR last_used < $2)",
    );
    change(engine, statement.text(id).number(to_millis(at))).await.map(drop)
}

/// The first statement takes the lock of the old key's row, so that of two the second finds that
/// it was replaced already.
pub(super) async fn replace_key(engine: &impl Engine, old: &str, key: &ApiKey) -> Existed {
    let mark = Statement::new(
        "UPDATE api_keys SET replaced_by = $2 WHERE id = $1 AND replaced_by IS NULL",
    );
    let statements = vec![mark.text(old).text(&key.id).required(), insertion(key)];
    let counts = written(engine.run(statements).await, |_| "API key")?;
    Ok(counts == [1, 1])
}

pub(super) async fn delete_key(engine: &impl Engine, id: &str) -> Existed {
    let of_key = Statement::new("SELECT family FROM api_keys WHERE id = $1").text(id);
    let found = read(engine, of_key).await?;
    let family = found.first().map(|row| row.optional_text("family"));
    let deleted = match family {
        None => return Ok(false),
        Some(Ok(Some(family))) => {
            let sql = "DELETE FROM api_keys WHERE family = $1";
            delete_all(engine, || Statement::new(sql).text(&family)).await?
        }
        Some(_) => 0,
    };
    // Also where the record is damaged.
    let own = Statement::new("DELETE FROM api_keys WHERE id = $1").text(id);
    Ok(change(engine, own).await? || deleted > 0)
}

pub(super) async fn delete_keys(engine: &impl Engine, user: &UserId) -> Counted {
    let sql = "SELECT id FROM api_keys WHERE user_id = $1 AND replaced_by IS NULL";
    let current = read(engine, Statement::new(sql).text(user.as_str())).await?.len();
    let sql = "DELETE FROM api_keys WHERE user_id = $1";
    let deleted = delete_all(engine, || Statement::new(sql).text(user.as_str())).await?;
    Ok(deleted.min(u64::try_from(current).unwrap_or(u64::MAX)))
}

/// Deletes until nothing is left. A key that is being put into the place of one is seen by no
/// statement that began before that was committed, so another look is taken.
async fn delete_all(engine: &impl Engine, delete: impl Fn() -> Statement) -> Counted {
    let mut deleted = 0;
    for _ in 0..MAX_ROUNDS {
        let counts = written(engine.run(vec![delete()]).await, |_| "value")?;
        let count: u64 = counts.iter().sum();
        if count == 0 {
            return Ok(deleted);
        }
        deleted += count;
    }
    Err(AccountError::Unavailable("keys are made faster than they can be deleted".to_owned()))
}

pub(super) async fn purge_keys(engine: &impl Engine, ended_before: UnixTime) -> Counted {
    let replaced = "DELETE FROM api_keys WHERE replaced_by IS NOT NULL AND refresh_expires < $1 \
                    AND (expires IS NULL OR expires < $1)";
    let of_sessions = "DELETE FROM api_keys WHERE session IS NOT NULL AND expires < $1 \
                       AND (refresh_expires IS NULL OR refresh_expires < $1)";
    let statements = [replaced, of_sessions];
    let statements = statements.map(|sql| Statement::new(sql).number(to_millis(ended_before)));
    let counts = written(engine.run(statements.into()).await, |_| "value")?;
    Ok(counts.iter().sum())
}
