//! Sessions in Redis, shared by the processes of many hosts.
//!
//! | key | kind | what |
//! |---|---|---|
//! | `portcullis:session:<id>` | hash | one field each, so that a touch writes one number |
//! | `portcullis:user:<user>` | sorted set | the user's session ids by time of creation |
//! | `portcullis:not-before:<user>` | string | milliseconds; kept for ever, since it also ends sessions that are put late |
//!
//! Every key that a command or script touches is named to the server, as Dragonfly demands. The
//! server's own expiry only makes room: it is set to the session's length and a margin, counted
//! from the `put`, so that no two clocks are compared. How durable an acknowledged write is, is
//! how the server's persistence is configured (`appendonly yes`, `appendfsync always`).

mod batch;
mod record;

use std::collections::HashSet;

use async_trait::async_trait;
use redis::{RedisResult, Script};

use super::{Filter, Session, SessionId, SessionStore, StoreError, UserId};
use crate::clock::UnixTime;
use crate::storage::redis::{BATCH, Connection, Failure, LONGEST, Redis, Scan, time_to_live};
use batch::{collect, purge_index, purge_sessions};
use record::{
    NOT_BEFORE, Record, SESSION, USER, corrupt, fields, not_before_key, on, on_user, read,
    session_key, user_key, user_of,
};

/// KEYS: session, user. ARGV: ttl, created, id, then fields and values. Says 1 where it was added.
const PUT: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local ttl = redis.call('PTTL', KEYS[2])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
if ttl < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[2], ARGV[1]) end
return 1";

/// KEYS: session. ARGV: at. Forward only, and only where there is a session.
const TOUCH: &str = r"
local seen = tonumber(redis.call('HGET', KEYS[1], 'last_seen') or nil)
if seen and seen < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'last_seen', ARGV[1]) end
return 0";

/// KEYS: session, user. ARGV: expires, the longest time to live. Forward only, and only where there
/// is a session; both keys live on as much longer, the user's at least as long as the session's.
/// Says 1 where there is one, -1 where its end cannot be read.
const RENEW: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local kept = redis.call('HGET', KEYS[1], 'expires')
if not kept or not string.match(kept, '^%d+$') then return -1 end
local by = tonumber(ARGV[1]) - tonumber(kept)
if by <= 0 then return 1 end
redis.call('HSET', KEYS[1], 'expires', ARGV[1])
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 0 then return 1 end
ttl = math.min(ttl + by, tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl))
local index = redis.call('PTTL', KEYS[2])
if index >= 0 and index < ttl then redis.call('PEXPIRE', KEYS[2], string.format('%.0f', ttl)) end
return 1";

/// KEYS: not-before, user. ARGV: at. Moves not-before forward and names the sessions that it ends.
const END_ALL: &str = r"
local at = ARGV[1]
local before = redis.call('GET', KEYS[1])
if before and tonumber(before) and tonumber(before) > tonumber(at) then at = before
else redis.call('SET', KEYS[1], at) end
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', at)";

/// Sessions in Redis.
#[derive(Debug)]
pub struct RedisStore {
    redis: Redis,
    put: Script,
    touch: Script,
    renew: Script,
    end_all: Script,
}

impl RedisStore {
    /// Over a pool that is connected to the right database.
    pub fn new(redis: Redis) -> Self {
        let script = Script::new;
        let (put, touch) = (script(PUT), script(TOUCH));
        Self { redis, put, touch, renew: script(RENEW), end_all: script(END_ALL) }
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        self.redis.connection().await.map_err(unnamed)
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        let mut call = self.put.key(session_key(&session.id));
        call.key(user_key(&session.user))
            .arg(time_to_live(session.created, session.expires))
            .arg(session.created.as_millis())
            .arg(session.id.as_str());
        for (field, value) in fields(session) {
            call.arg(field).arg(value);
        }
        let added: bool =
            call.invoke_async(&mut self.connection().await?).await.map_err(on(&session.id))?;
        if added { Ok(()) } else { Err(StoreError::Conflict(session.id.clone())) }
    }

    async fn get(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, StoreError> {
        // In this order: a not-before that was set between the two is seen.
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors().hgetall(session_key(id)).get(not_before_key(user));
        let (record, not_before): (RedisResult<Record>, RedisResult<Option<Vec<u8>>>) =
            pipeline.query_async(&mut self.connection().await?).await.map_err(on(id))?;
        let (record, not_before) = (record.map_err(on(id))?, not_before.map_err(on(id))?);
        if record.is_empty() || record.get("user").is_some_and(|it| it != user.as_str().as_bytes())
        {
            return Ok(None);
        }
        read(id, &record, not_before.as_deref()).map(Some)
    }

    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        for (id, at) in uses {
            let mut call = self.touch.key(session_key(id));
            call.arg(at.as_millis());
            call.invoke_async::<()>(&mut connection).await.map_err(on(id))?;
        }
        Ok(())
    }

    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let owner = redis::cmd("HGET").arg(session_key(id)).arg("user").clone();
        let owner: Option<Vec<u8>> = owner.query_async(&mut connection).await.map_err(on(id))?;
        let Some(owner) = owner else { return Ok(false) };
        let user = user_of(&owner).ok_or_else(|| corrupt(id.as_str(), "user"))?;
        let mut call = self.renew.key(session_key(id));
        call.key(user_key(&user)).arg(expires.as_millis()).arg(LONGEST);
        match call.invoke_async(&mut connection).await.map_err(on(id))? {
            -1 => Err(corrupt(id.as_str(), "expires")),
            found => Ok(found == 1),
        }
    }

    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        let mut connection = self.connection().await?;
        let key = session_key(id);
        let owner = redis::cmd("HGET").arg(&key).arg("user").query_async(&mut connection).await;
        let owner: Result<Option<Vec<u8>>, StoreError> = owner.map_err(on(id));
        let owner = match owner {
            Ok(owner) => owner.as_deref().and_then(user_of),
            Err(StoreError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut pipeline = redis::pipe();
        pipeline.atomic().del(&key);
        if let Some(user) = &owner {
            pipeline.zrem(user_key(user), id.as_str()).ignore();
        }
        let (removed,): (bool,) = pipeline.query_async(&mut connection).await.map_err(on(id))?;
        match (removed, owner) {
            (false, _) => Ok(None),
            (true, Some(user)) => Ok(Some(user)),
            (true, None) => Err(corrupt(id.as_str(), "user")),
        }
    }

    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        let mut connection = self.connection().await?;
        let mut call = self.end_all.key(not_before_key(user));
        call.key(user_key(user)).arg(at.as_millis());
        // From here on they are over, whatever becomes of us; the rest makes room.
        let ended: Vec<String> = call.invoke_async(&mut connection).await.map_err(on_user)?;
        let mut removed = 0;
        for batch in ended.chunks(BATCH) {
            let keys: Vec<String> = batch.iter().map(|id| format!("{SESSION}{id}")).collect();
            let mut pipeline = redis::pipe();
            pipeline.atomic().del(keys).zrem(user_key(user), batch).ignore();
            let (count,): (u64,) = pipeline.query_async(&mut connection).await.map_err(on_user)?;
            removed += count;
        }
        Ok(removed)
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        let mut connection = self.connection().await?;
        let mut found = Vec::new();
        if let Some(user) = &filter.user {
            let mut newest_first = redis::cmd("ZREVRANGE");
            newest_first.arg(user_key(user)).arg(0).arg(-1);
            let ids: Vec<String> =
                newest_first.query_async(&mut connection).await.map_err(on_user)?;
            for batch in ids.chunks(BATCH) {
                collect(&mut connection, batch, filter, limit, &mut found).await?;
            }
            return Ok(found);
        }
        let mut scan = Scan::of(SESSION);
        // SCAN may name a key twice.
        let mut seen = HashSet::new();
        while found.len() < limit
            && let Some(mut ids) = scan.next(&mut connection).await.map_err(unnamed)?
        {
            ids.retain(|id| seen.insert(id.clone()));
            collect(&mut connection, &ids, filter, limit, &mut found).await?;
        }
        Ok(found)
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let mut connection = self.connection().await?;
        let mut removed = 0;
        let mut sessions = Scan::of(SESSION);
        while let Some(ids) = sessions.next(&mut connection).await.map_err(unnamed)? {
            removed += purge_sessions(&mut connection, &ids, expired_before).await?;
        }
        let mut users = Scan::of(USER);
        while let Some(names) = users.next(&mut connection).await.map_err(unnamed)? {
            for name in names {
                purge_index(&mut connection, &name).await?;
            }
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // What a check asks, of names that nobody has: a server that only says PONG may still
        // refuse the keys.
        let mut pipeline = redis::pipe();
        pipeline.hgetall(format!("{SESSION}?")).get(format!("{NOT_BEFORE}?"));
        let asked = pipeline.query_async(&mut self.connection().await?).await;
        let (_, _): (Record, Option<Vec<u8>>) = asked.map_err(on_user)?;
        Ok(())
    }

    fn describe(&self) -> String {
        format!("redis {}", self.redis.name())
    }
}

fn unnamed(failure: Failure) -> StoreError {
    StoreError::of_redis(failure, "?")
}
