//! Many records at a time: reading, listing and making room.

use std::collections::HashMap;

use redis::{FromRedisValue as _, Pipeline, RedisResult, Value};

use super::record::{Names, read, user_of};
use crate::clock::UnixTime;
use crate::session::{Filter, FoundSession, Session, SessionId, SessionKey, UserId};
use crate::store::redis::{BATCH, Connection, about};
use crate::store::{Hash, StoreError};

/// The sessions with these keys.
pub(super) async fn get_many(
    connection: &mut Connection,
    names: &Names,
    is_cluster: bool,
    keys: &[SessionKey],
) -> Result<Vec<FoundSession>, StoreError> {
    let (mut pipeline, mut not_before) = (redis::pipe(), redis::pipe());
    pipeline.ignore_errors();
    not_before.ignore_errors();
    for (user, id) in keys {
        pipeline.hgetall(names.session.of(id)).get(names.seen.of(id));
        // After the session, so that one which is set in between is seen. On a cluster it is in another slot, and is asked
        // for after all of them.
        let pipeline = if is_cluster { &mut not_before } else { &mut pipeline };
        pipeline.get(names.not_before.of(user));
    }
    let mut answers = ask::<RedisResult<Value>>(connection, &pipeline).await?.into_iter();
    let mut apart = ask::<RedisResult<Value>>(connection, &not_before).await?.into_iter();
    let found = keys.iter().map(|key| {
        let (record, seen) = (answers.next(), answers.next());
        let not_before = if is_cluster { apart.next() } else { answers.next() };
        match (record, seen, not_before) {
            (Some(record), Some(seen), Some(time)) => read_answers(key, record, seen, time),
            _ => Err(StoreError::Unavailable("an answer is missing".to_owned())),
        }
    });
    Ok(found.collect())
}

/// The session in the answers about its records.
fn read_answers(
    (user, id): &SessionKey,
    record: RedisResult<Value>,
    seen: RedisResult<Value>,
    not_before: RedisResult<Value>,
) -> FoundSession {
    let text = |value| Option::<Vec<u8>>::from_redis_value(value);
    let record = record.and_then(|record| Ok(Hash::from_redis_value(record)?));
    let not_before = not_before.and_then(|time| Ok(text(time)?)).map_err(about(id));
    let (record, not_before) = (record.map_err(about(id))?, not_before?);
    if record.is_empty() || record.get("user").is_some_and(|it| it != user.as_str().as_bytes()) {
        return Ok(None);
    }
    let seen = seen.ok().and_then(|seen| text(seen).ok()).flatten();
    read(id, &record, seen.as_deref(), not_before.as_deref()).map(Some)
}

/// Adds those of the named sessions that pass the filter, up to the limit.
pub(super) async fn collect(
    connection: &mut Connection,
    names: &Names,
    ids: &[String],
    filter: &Filter,
    limit: usize,
    found: &mut Vec<Session>,
) -> Result<(), StoreError> {
    if ids.is_empty() || found.len() >= limit {
        return Ok(());
    }
    let kept = kept(connection, names, ids).await?;
    let owners: Vec<UserId> =
        kept.iter().filter_map(|kept| user_of(kept.record.get("user")?)).collect();
    let not_before = not_before_of(connection, names, owners).await?;
    for Kept { id, record, seen } in &kept {
        let before = record.get("user").and_then(|user| not_before.get(user.as_slice()));
        match read(id, record, seen.as_deref(), before.map(Vec::as_slice)) {
            Ok(session) if found.len() < limit && filter.admits(&session) => found.push(session),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "left out of the list"),
        }
    }
    Ok(())
}

/// A session as it is kept.
struct Kept {
    id: SessionId,
    record: Hash,
    seen: Option<Vec<u8>>,
}

/// Reads what is there, in the order of the names. A record of another kind is named in the log and left
/// out.
async fn kept(
    connection: &mut Connection,
    names: &Names,
    ids: &[String],
) -> Result<Vec<Kept>, StoreError> {
    let ids: Vec<SessionId> = ids.iter().filter_map(|id| SessionId::parse(id).ok()).collect();
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for id in &ids {
        pipeline.hgetall(names.session.of(id)).get(names.seen.of(id));
    }
    let replies: Vec<RedisResult<Value>> = ask(connection, &pipeline).await?;
    let mut replies = replies.into_iter();
    let mut found = Vec::new();
    for id in ids {
        let (Some(record), Some(seen)) = (replies.next(), replies.next()) else { break };
        let record = record.and_then(|record| Ok(Hash::from_redis_value(record)?));
        match record.map_err(about(&id)) {
            Ok(record) if record.is_empty() => {}
            Ok(record) => {
                let seen = seen.ok().and_then(|seen| Option::from_redis_value(seen).ok());
                found.push(Kept { id, record, seen: seen.flatten() });
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(%error, "left out of the list");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn not_before_of(
    connection: &mut Connection,
    names: &Names,
    users: Vec<UserId>,
) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError> {
    let mut users = users;
    users.sort();
    users.dedup();
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for user in &users {
        pipeline.get(names.not_before.of(user));
    }
    let replies: Vec<RedisResult<Option<Vec<u8>>>> = ask(connection, &pipeline).await?;
    let mut not_before = HashMap::new();
    for (user, reply) in users.iter().zip(replies) {
        let time = match reply.map_err(StoreError::from) {
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
    names: &Names,
    ids: &[String],
    expired_before: UnixTime,
) -> Result<u64, StoreError> {
    let is_over = |Kept { id, record, .. }: &Kept| {
        read(id, record, None, None).is_ok_and(|session| session.expires <= expired_before)
    };
    let mut pipeline = redis::pipe();
    for kept in kept(connection, names, ids).await?.iter().filter(|kept| is_over(kept)) {
        pipeline.del(names.session.of(&kept.id)).del(names.seen.of(&kept.id)).ignore();
        if let Some(user) = kept.record.get("user").and_then(|user| user_of(user)) {
            pipeline.zrem(names.user.of(&user), kept.id.as_str()).ignore();
        }
    }
    let removed: Vec<u64> = ask(connection, &pipeline).await?;
    Ok(removed.iter().sum())
}

/// Takes those names out of a user's index whose sessions the server itself has forgotten.
pub(super) async fn purge_index(
    connection: &mut Connection,
    names: &Names,
    user: &str,
) -> Result<(), StoreError> {
    let key = names.user.of(user);
    let ids = redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).query_async(connection).await;
    let ids: Vec<String> = ids?;
    for batch in ids.chunks(BATCH) {
        let mut pipeline = redis::pipe();
        for id in batch {
            pipeline.exists(names.session.of(id));
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
    Ok(pipeline.query_async(connection).await?)
}
