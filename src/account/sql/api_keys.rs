//! The statements about API keys.

use super::engine::{Engine, Statement};
use super::rows::{self, to_millis};
use super::{Done, Existed, Found, Several, change, one, readable, written};
use crate::account::{ApiKey, KeyDigest};
use crate::clock::UnixTime;
use crate::session::UserId;

macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, digest, label, scopes, created, expires, last_used FROM api_keys ",
            $rest
        )
    };
}

pub(super) async fn add_key(engine: &impl Engine, key: &ApiKey) -> Done {
    written(engine.run(vec![insertion(key)]).await, |_| "API key").map(drop)
}

/// The statement that adds a key.
pub(super) fn insertion(key: &ApiKey) -> Statement {
    let statement = Statement::new(
        "INSERT INTO api_keys (id, user_id, digest, label, scopes, created, expires, last_used) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    statement
        .text(&key.id)
        .text(key.user.as_str())
        .text(key.digest.as_str())
        .optional_text(key.label.as_deref())
        .text(rows::list(&key.scopes))
        .number(to_millis(key.created))
        .optional_number(key.expires.map(to_millis))
        .optional_number(key.last_used.map(to_millis))
}

pub(super) async fn key(engine: &impl Engine, digest: &KeyDigest) -> Found<ApiKey> {
    let statement = Statement::new(select_keys!("WHERE digest = $1")).text(digest.as_str());
    one(engine, statement, rows::key).await
}

pub(super) async fn keys(
    engine: &impl Engine,
    user: Option<&UserId>,
    limit: usize,
) -> Several<ApiKey> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let statement = match user {
        Some(user) => Statement::new(select_keys!(
            "WHERE user_id = $1 ORDER BY created DESC, id DESC LIMIT $2"
        ))
        .text(user.as_str()),
        None => Statement::new(select_keys!("ORDER BY created DESC, id DESC LIMIT $1")),
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

pub(super) async fn delete_key(engine: &impl Engine, id: &str) -> Existed {
    change(engine, Statement::new("DELETE FROM api_keys WHERE id = $1").text(id)).await
}
