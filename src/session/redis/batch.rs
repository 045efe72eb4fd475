//! Many records at a time: listing and making room.

use std::collections::HashMap;

use redis::{Pipeline, RedisResult};

use super::record::{
    Record, SESSION, USER, not_before_key, on, on_user, read, session_key, user_key, user_of,
};
use crate::clock::UnixTime;
use crate::session::{Filter, Session, SessionId, StoreError, UserId};
use crate::storage::redis::{BATCH, Connection};

/// Adds those of the named sessions that pass the filter, up to the limit.
pub(super) async fn collect(
    connection: &mut Connection,
    ids: &[String],
    filter: &Filter,
    limit: usize,
    found: &mut Vec<Session>,
) -> Result<(), StoreError> {
    if ids.is_empty() || found.len() >= limit {
        return Ok(());
    }
    let records = records(connection, ids).await?;
    let owners: Vec<UserId> =
        records.iter().filter_map(|(_, record)| user_of(record.get("user")?)).collect();
    let not_before = not_before_of(connection, owners).await?;
    for (id, record) in &records {
        let before = record.get("user").and_then(|user| not_before.get(user.as_slice()));
        match read(id, record, before.map(Vec::as_slice)) {
            Ok(session) if found.len() < limit && filter.admits(&session) => found.push(session),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "left out of the list"),
        }
    }
    Ok(())
}

/// The records that are there, in the order of their names. One of another kind is named in the
/// log and left out.
async fn records(
    connection: &mut Connection,
    ids: &[String],
) -> Result<Vec<(SessionId, Record)>, StoreError> {
    let ids: Vec<SessionId> = ids.iter().filter_map(|id| SessionId::parse(id).ok()).collect();
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for id in &ids {
        pipeline.hgetall(session_key(id));
    }
    let replies: Vec<RedisResult<Record>> = ask(connection, &pipeline).await?;
    let mut records = Vec::new();
    for (id, reply) in ids.into_iter().zip(replies) {
        match reply.map_err(on(&id)) {
            Ok(record) if record.is_empty() => {}
            Ok(record) => records.push((id, record)),
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(%error, "left out of the list");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

async fn not_before_of(
    connection: &mut Connection,
    users: Vec<UserId>,
) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError> {
    let mut users = users;
    users.sort();
    users.dedup();
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for user in &users {
        pipeline.get(not_before_key(user));
    }
    let replies: Vec<RedisResult<Option<Vec<u8>>>> = ask(connection, &pipeline).await?;
    let mut not_before = HashMap::new();
    for (user, reply) in users.iter().zip(replies) {
        let time = match reply.map_err(on_user) {
            // Reads as a time that makes no sense.
            Err(StoreError::Corrupt { .. }) => Some(Vec::new()),
            reply => reply?,
        };
        not_before.extend(time.map(|time| (user.as_str().as_bytes().to_vec(), time)));
    }
    Ok(not_before)
}

pub(super) async fn purge_sessions(
    connection: &mut Connection,
    ids: &[String],
    expired_before: UnixTime,
) -> Result<u64, StoreError> {
    let expired: Vec<(SessionId, Record)> = records(connection, ids)
        .await?
        .into_iter()
        .filter(|(id, record)| {
            read(id, record, None).is_ok_and(|session| session.expires <= expired_before)
        })
        .collect();
    let mut pipeline = redis::pipe();
    for (id, record) in &expired {
        pipeline.del(session_key(id));
        if let Some(user) = record.get("user").and_then(|user| user_of(user)) {
            pipeline.zrem(user_key(&user), id.as_str()).ignore();
        }
    }
    let removed: Vec<u64> = ask(connection, &pipeline).await?;
    Ok(removed.iter().sum())
}

/// Takes those names out of a user's index whose sessions the server itself has forgotten.
pub(super) async fn purge_index(connection: &mut Connection, user: &str) -> Result<(), StoreError> {
    let key = format!("{USER}{user}");
    let ids = redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).query_async(connection).await;
    let ids: Vec<String> = ids.map_err(on_user)?;
    for batch in ids.chunks(BATCH) {
        let mut pipeline = redis::pipe();
        for id in batch {
            pipeline.exists(format!("{SESSION}{id}"));
        }
        let there: Vec<bool> = ask(connection, &pipeline).await?;
        let mut removal = redis::pipe();
        for (id, _) in batch.iter().zip(there).filter(|(_, there)| !there) {
            removal.zrem(&key, id).ignore();
        }
        let _nothing: Vec<u64> = ask(connection, &removal).await?;
    }
    Ok(())
}

/// Runs a pipeline; an empty one has nothing to say and is not sent.
async fn ask<T: redis::FromRedisValue>(
    connection: &mut Connection,
    pipeline: &Pipeline,
) -> Result<Vec<T>, StoreError> {
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    pipeline.query_async(connection).await.map_err(on_user)
}
