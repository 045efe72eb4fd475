//! Sessions in Redis, shared by the processes of many hosts.
//!
//! | key | kind | what |
//! |---|---|---|
//! | `portcullis:session:<id>` | hash | one field each |
//! | `portcullis:seen:<id>` | string | milliseconds: when it was last used, if that was after it was opened |
//! | `portcullis:user:<user>` | sorted set | the user's session ids by time of creation |
//! | `portcullis:not-before:<user>` | string | milliseconds; kept for ever, since it also ends sessions that are put late |
//!
//! When a session was used has a key of its own: a use is no change of the session, and whoever
//! listens to changes of sessions must not be told of every use. It only counts where it is later
//! than what the session itself says; what cannot be read there is as if it were not there, so that
//! no damage makes a session look more used than it was.
//!
//! On a cluster the number of the database is a part of the name, and `session` and `seen` of one
//! id are on one server, as are `user` and `not-before` of one user: `portcullis:9:session:{<id>}`,
//! `portcullis:9:user:{u:<user>}`. What is about both is done in two steps there, in an order in
//! which no interruption lets a session live that is to end.
//!
//! Every key that a command or script touches is named to the server, as Dragonfly demands. The
//! server's own expiry only makes room: it is set to the session's length and a margin, counted
//! from the `put`, so that no two clocks are compared. How durable an acknowledged write is, is
//! how the server's persistence is configured (`appendonly yes`, `appendfsync always`).

mod batch;
mod record;
mod scripts;

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Pipeline, RedisResult};

use super::{
    Filter, FoundSession, InvalidatedRecord, MAX_BATCH, Session, SessionId, SessionKey,
    SessionStore, UserId,
};
use crate::clock::UnixTime;
use crate::store::redis::{
    BATCH, Call, Connection, LONGEST, MOVE_END, Redis, Scan, Script, about, invoke_all,
    time_to_live,
};
use crate::store::{BadField, Failure, Hash, StoreError};
use batch::{collect, get_many, purge_index, purge_sessions};
use record::{Names, fields, user_of};

/// Sessions in Redis.
#[derive(Debug)]
pub struct RedisStore {
    redis: Redis,
    names: Names,
    put: Script,
    index: Script,
    touch: Script,
    renew: Script,
    keep: Script,
    revoke: Script,
    end_all: Script,
}

impl RedisStore {
    /// Over a Redis with the right database.
    pub fn new(redis: Redis) -> Self {
        let (put, touch) = if redis.is_cluster() {
            (scripts::put_record(), scripts::touch_alone())
        } else {
            (scripts::put(), scripts::touch())
        };
        Self {
            names: Names::of(&redis),
            put: Script::new(&put),
            index: Script::new(scripts::INDEX),
            touch: Script::new(&touch),
            renew: Script::new(&format!("{MOVE_END}{}", scripts::RENEW)),
            keep: Script::new(scripts::KEEP),
            revoke: Script::new(scripts::REVOKE),
            end_all: Script::new(scripts::END_ALL),
            redis,
        }
    }

    /// The prefixes of the keys whose records may be cached.
    pub fn invalidation_prefixes(&self) -> Vec<String> {
        self.names.invalidation_prefixes()
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        Ok(self.redis.connection().await?)
    }

    /// The second step of a `put` on a cluster. A session that no index names is taken back: whoever
    /// opened it is told that he has none.
    async fn add_to_index(
        &self,
        session: &Session,
        connection: &mut Connection,
    ) -> Result<(), StoreError> {
        let mut call = self.index.key(self.names.user.of(&session.user));
        call.arg(time_to_live(session.created, session.expires))
            .arg(session.created.as_millis())
            .arg(session.id.as_str());
        let added: RedisResult<()> = call.invoke_async(connection).await;
        let Err(error) = added else { return Ok(()) };
        if let Err(error) = self.end(&session.id, connection).await {
            tracing::warn!(id = %session.id, %error, "a session that nobody was told of is left");
        }
        Err(about(&session.id)(error))
    }

    /// Ends a session; says whether it was there, and whose it was if that can be read.
    async fn end(
        &self,
        id: &SessionId,
        connection: &mut Connection,
    ) -> Result<(bool, Option<Vec<u8>>), StoreError> {
        let call = self.revoke.key(self.names.session.of(id));
        self.redis.change(&call, connection).await.map_err(about(id))
    }

    /// Ends those sessions of a user, one by one, that the index names; says how many. What cannot
    /// be ended does not keep the others.
    async fn end_each(
        &self,
        user: &UserId,
        at: UnixTime,
        connection: &mut Connection,
    ) -> RedisResult<u64> {
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(self.names.user.of(user)).arg("-inf").arg(at.as_millis());
        let ids: Vec<String> = command.query_async(connection).await?;
        let mut ended = 0;
        for id in ids.iter().filter_map(|id| SessionId::parse(id).ok()) {
            let gone = self.end(&id, connection).await;
            ended += u64::from(gone.is_ok_and(|(was_there, _)| was_there));
        }
        Ok(ended)
    }

    async fn clean_up(&self, pipeline: &Pipeline) -> Result<(), Failure> {
        Ok(pipeline.exec_async(&mut self.redis.connection().await?).await?)
    }

    /// For how long the sessions are kept, in milliseconds, as the server says it.
    async fn ttls(
        &self,
        uses: &[(SessionId, UnixTime)],
        connection: &mut Connection,
    ) -> RedisResult<Vec<i64>> {
        let mut pipeline = redis::pipe();
        for (id, _) in uses {
            pipeline.pttl(self.names.session.of(id));
        }
        pipeline.query_async(connection).await
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        let mut call = self.put.key(self.names.session.of(&session.id));
        if !self.redis.is_cluster() {
            call.key(self.names.user.of(&session.user));
        }
        call.arg(time_to_live(session.created, session.expires))
            .arg(session.created.as_millis())
            .arg(session.id.as_str());
        for (field, value) in fields(session) {
            call.arg(field).arg(value);
        }
        let mut connection = self.connection().await?;
        let added: bool = call.invoke_async(&mut connection).await.map_err(about(&session.id))?;
        if !added {
            return Err(StoreError::Conflict(session.id.to_string()));
        }
        if self.redis.is_cluster() {
            self.add_to_index(session, &mut connection).await?;
        }
        Ok(())
    }

    async fn get_many(&self, keys: &[SessionKey]) -> Result<Vec<FoundSession>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connection().await?;
        get_many(&mut connection, &self.names, self.redis.is_cluster(), keys).await
    }

    fn max_batch(&self) -> usize {
        if self.redis.is_cluster() { 1 } else { MAX_BATCH }
    }

    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        for batch in uses.chunks(BATCH) {
            let ttls = if self.redis.is_cluster() {
                Some(self.ttls(batch, &mut connection).await?)
            } else {
                None
            };
            let calls: Vec<Call<'_>> = batch
                .iter()
                .enumerate()
                .map(|(place, (id, at))| {
                    let mut call = self.touch.call();
                    match &ttls {
                        None => call.key(self.names.session.of(id)).key(self.names.seen.of(id)),
                        Some(_) => call.key(self.names.seen.of(id)),
                    };
                    call.arg(at.as_millis()).arg(ttls.as_ref().and_then(|it| it.get(place)));
                    call
                })
                .collect();
            let touched = invoke_all::<()>(&calls, &mut connection).await?;
            for ((id, _), touched) in batch.iter().zip(touched) {
                touched.map_err(about(id))?;
            }
        }
        Ok(())
    }

    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        let mut connection = self.connection().await?;
        let mut call = self.renew.key(self.names.session.of(id));
        call.arg(expires.as_millis()).arg(LONGEST);
        let renewed = self.redis.change(&call, &mut connection).await.map_err(about(id))?;
        let (kept, owner) = match renewed {
            (0, _, _) => return Ok(false),
            (1, kept, owner) => (kept, owner),
            (_, _, _) => return Err(StoreError::corrupt(id, BadField("expires"))),
        };
        let (kept, owner): (i64, Vec<u8>) = (kept, owner);
        let owner = user_of(&owner).ok_or_else(|| StoreError::corrupt(id, BadField("user")))?;
        let calls = [self.names.seen.of(id), self.names.user.of(&owner)].map(|key| {
            let mut call = self.keep.key(key);
            call.arg(kept);
            call
        });
        for done in invoke_all::<()>(&calls, &mut connection).await.map_err(about(id))? {
            done.map_err(about(id))?;
        }
        Ok(true)
    }

    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        let mut durable = self.redis.durable_connection().await?;
        // From here on it is over; the rest makes room.
        let (removed, owner) = self.end(id, &mut durable).await?;
        let user = owner.as_deref().and_then(user_of);
        let mut pipeline = redis::pipe();
        pipeline.del(self.names.seen.of(id));
        if let Some(user) = &user {
            pipeline.zrem(self.names.user.of(user), id.as_str());
        }
        if removed && let Err(error) = self.clean_up(&pipeline).await {
            tracing::warn!(%id, %error, "something about a session that is over is left");
        }
        match (removed, user) {
            (false, _) => Ok(None),
            (true, Some(user)) => Ok(Some(user)),
            (true, None) => Err(StoreError::corrupt(id, BadField("user"))),
        }
    }

    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        let mut durable = self.redis.durable_connection().await?;
        let index = self.names.user.of(user);
        let mut call = self.end_all.key(self.names.not_before.of(user));
        call.arg(at.as_millis());
        // From here on they are over, whatever becomes of us; the rest makes room.
        let before: String = match self.redis.change(&call, &mut durable).await {
            Ok(before) => before,
            // It answers: what it may still take is done before it is told what was not.
            Err(error) if error.code().is_some() => {
                let ended = self.end_each(user, at, &mut durable).await;
                return Err(partial_failure(ended, error.into()));
            }
            Err(error) => return Err(error.into()),
        };
        let mut connection = self.connection().await?;
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(&index).arg("-inf").arg(before);
        let ended: Vec<String> = command.query_async(&mut connection).await?;
        let mut removed = 0;
        for batch in ended.chunks(BATCH) {
            let mut pipeline = redis::pipe();
            for id in batch {
                pipeline.del(self.names.session.of(id));
                pipeline.del(self.names.seen.of(id)).ignore();
            }
            pipeline.zrem(&index, batch).ignore();
            let gone: Vec<u64> = pipeline.query_async(&mut connection).await?;
            removed += gone.iter().sum::<u64>();
        }
        Ok(removed)
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        let mut connection = self.connection().await?;
        let mut found = Vec::new();
        if let Some(user) = &filter.user {
            let mut newest_first = redis::cmd("ZREVRANGE");
            newest_first.arg(self.names.user.of(user)).arg(0).arg(-1);
            let ids: Vec<String> = newest_first.query_async(&mut connection).await?;
            for batch in ids.chunks(BATCH) {
                collect(&mut connection, &self.names, batch, filter, limit, &mut found).await?;
            }
            return Ok(found);
        }
        let mut scan = Scan::of(&self.redis, &self.names.session).await?;
        // SCAN may name a key twice.
        let mut seen = HashSet::new();
        while found.len() < limit
            && let Some(mut ids) = scan.next().await?
        {
            ids.retain(|id| seen.insert(id.clone()));
            collect(&mut connection, &self.names, &ids, filter, limit, &mut found).await?;
        }
        Ok(found)
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let mut connection = self.connection().await?;
        let mut removed = 0;
        let names = &self.names;
        let mut sessions = Scan::of(&self.redis, &names.session).await?;
        while let Some(ids) = sessions.next().await? {
            removed += purge_sessions(&mut connection, names, &ids, expired_before).await?;
        }
        let mut users = Scan::of(&self.redis, &names.user).await?;
        while let Some(users) = users.next().await? {
            for user in users {
                purge_index(&mut connection, names, &user).await?;
            }
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // What a check asks, of names that nobody has: a server that only says PONG may still
        // refuse the keys.
        let mut pipeline = redis::pipe();
        let (session, before) = (self.names.session.of("?"), self.names.not_before.of("?"));
        pipeline.hgetall(session).get(before);
        let asked = pipeline.query_async(&mut self.connection().await?).await;
        let (_, _): (Hash, Option<Vec<u8>>) = asked?;
        Ok(())
    }

    async fn probe_write(&self) -> Result<(), StoreError> {
        self.ping().await?;
        Ok(self.redis.probe_write().await?)
    }

    fn lag(&self) -> Duration {
        self.redis.lag()
    }

    fn describe(&self) -> String {
        format!("redis {}", self.redis.name())
    }

    fn invalidated_record(&self, key: &[u8]) -> Option<InvalidatedRecord> {
        self.names.invalidated_record(std::str::from_utf8(key).ok()?)
    }
}

/// The error for an end of all sessions that the server refused in part.
fn partial_failure(ended: RedisResult<u64>, refused: StoreError) -> StoreError {
    match (ended, refused) {
        (Ok(ended @ 1..), StoreError::Unavailable(why)) => StoreError::Unavailable(format!(
            "{ended} sessions are over; those that are being opened now may live on: {why}"
        )),
        (_, refused) => refused,
    }
}
