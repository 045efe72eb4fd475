//! Leases and limits in Redis, shared by the processes of many hosts.
//!
//! | key | kind | what |
//! |---|---|---|
//! | `portcullis:restrict:marker:<name>` | hash | `value`, `expires` |
//! | `portcullis:restrict:budget:<name>` | hash | `full_at` |
//! | `portcullis:restrict:strikes:<name>` | hash | `count`, `last`, `expires` |
//!
//! Each stands alone, so that on a cluster nothing is different but that `portcullis:<database>:`
//! comes first, and `{}` before the name: no name chooses its server.
//!
//! The scripts do what `arithmetic.rs` does; a test compares the two. Every key is named to the
//! server, and no script asks for its time. The server's own expiry only makes room.

mod scripts;

use std::time::Duration;

use async_trait::async_trait;
use redis::{RedisError, RedisResult};

use super::arithmetic::{Rate, TOLERANCE, length, moment};
use super::name::bounded;
use super::store::{Attempt, Lease, LimitStore};
use crate::clock::UnixTime;
use crate::store::Failure;
use crate::store::StoreError;
use crate::store::redis::{
    BATCH, Call, Connection, Keys, LONGEST, Redis, Scan, Script, Slot, invoke_all, time_to_live,
};
use scripts::{
    ACQUIRE_LEASE, COMMON, PURGE, RECORD_FAILURE, REFUND, REPLACE_LEASE, TAKE, UNDO_FAILURE,
};

/// What a script says of a record that makes no sense.
const CORRUPT: i64 = -1;

/// Leases and limits in Redis.
#[derive(Debug)]
pub struct RedisLimitStore {
    redis: Redis,
    leases: Keys,
    buckets: Keys,
    failures: Keys,
    acquire_lease: Script,
    replace_lease: Script,
    take: Script,
    refund: Script,
    record_failure: Script,
    undo_failure: Script,
    purge: Script,
}

impl RedisLimitStore {
    /// Over a pool that is connected to the right database.
    pub fn new(redis: Redis) -> Self {
        let script = |code| Script::new(&format!("{COMMON}{code}"));
        let (acquire_lease, replace_lease) = (script(ACQUIRE_LEASE), script(REPLACE_LEASE));
        let (take, refund) = (script(TAKE), script(REFUND));
        let (record_failure, undo_failure, purge) =
            (script(RECORD_FAILURE), script(UNDO_FAILURE), script(PURGE));
        let keys = |kind| redis.keys(kind, Slot::WholeKey);
        let (leases, buckets) = (keys("restrict:marker"), keys("restrict:budget"));
        let failures = keys("restrict:strikes");
        Self {
            redis,
            leases,
            buckets,
            failures,
            acquire_lease,
            replace_lease,
            take,
            refund,
            record_failure,
            undo_failure,
            purge,
        }
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        self.redis.connection().await.map_err(unnamed)
    }

    /// Forgets those of a kind whose `field` lies at or before a moment.
    async fn purge_all(&self, keys: &Keys, field: &str, before: u64) -> Result<u64, StoreError> {
        let mut connection = self.connection().await?;
        let mut removed = 0;
        let mut records = Scan::of(&self.redis, keys).await.map_err(unnamed)?;
        while let Some(names) = records.next().await.map_err(unnamed)? {
            for batch in names.chunks(BATCH) {
                let calls: Vec<Call<'_>> = batch
                    .iter()
                    .map(|name| {
                        let mut call = self.purge.key(keys.of(name));
                        call.arg(field).arg(before);
                        call
                    })
                    .collect();
                let gone = invoke_all(&calls, &mut connection).await.map_err(unnamed)?;
                for gone in gone {
                    let gone: u64 = gone.map_err(unnamed)?;
                    removed += gone;
                }
            }
        }
        Ok(removed)
    }

    async fn delete(&self, keys: &Keys, name: &str) -> Result<bool, StoreError> {
        let mut command = redis::cmd("DEL");
        command.arg(key(keys, name));
        command.query_async(&mut self.connection().await?).await.map_err(unnamed)
    }
}

#[async_trait]
impl LimitStore for RedisLimitStore {
    async fn acquire_lease(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Lease, StoreError> {
        let mut call = self.acquire_lease.key(key(&self.leases, name));
        call.arg(moment(at)).arg(moment(until)).arg(value).arg(time_to_live(at, until));
        let answer: RedisResult<(i64, Vec<u8>)> =
            call.invoke_async(&mut self.connection().await?).await;
        match answer.map_err(on(name))? {
            (CORRUPT, _) => Err(corrupt(name, "the lease makes no sense")),
            (1, _) => Ok(Lease::Acquired),
            (_, held) => text(name, held).map(Lease::Held),
        }
    }

    async fn replace_lease(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut call = self.replace_lease.key(key(&self.leases, name));
        call.arg(expected).arg(value).arg(moment(until)).arg(LONGEST);
        let answer: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        match answer.map_err(on(name))? {
            CORRUPT => Err(corrupt(name, "the lease makes no sense")),
            done => Ok(done == 1),
        }
    }

    async fn read_lease(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(key(&self.leases, name)).arg("value").arg("expires");
        let answer: RedisResult<(Option<Vec<u8>>, Option<Vec<u8>>)> =
            command.query_async(&mut self.connection().await?).await;
        let (value, expires) = match answer.map_err(on(name))? {
            (None, None) => return Ok(None),
            (Some(value), Some(expires)) => (value, expires),
            _ => return Err(corrupt(name, "half of the lease is missing")),
        };
        let expires = std::str::from_utf8(&expires).ok().and_then(|text| text.parse().ok());
        let expires = expires.ok_or_else(|| corrupt(name, "bad field expires"))?;
        let value = text(name, value)?;
        Ok((moment(UnixTime::from_millis(expires)) > moment(at)).then_some(value))
    }

    async fn release_lease(&self, name: &str) -> Result<bool, StoreError> {
        self.delete(&self.leases, name).await
    }

    async fn take(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let rate = Rate::new(interval, burst);
        let mut call = self.take.key(key(&self.buckets, name));
        call.arg(moment(at)).arg(rate.interval).arg(rate.depth).arg(TOLERANCE);
        let answer: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        let wait = answer.map_err(on(name))?;
        let wait = u64::try_from(wait).map_err(|_| corrupt(name, "the bucket makes no sense"))?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        let mut call = self.refund.key(key(&self.buckets, name));
        call.arg(Rate::new(interval, 1).interval);
        let answer: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        match answer.map_err(on(name))? {
            CORRUPT => Err(corrupt(name, "the bucket makes no sense")),
            _ => Ok(()),
        }
    }

    async fn record_failure(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Attempt, StoreError> {
        let mut call = self.record_failure.key(key(&self.failures, name));
        call.arg(moment(at)).arg(length(memory)).arg(TOLERANCE);
        for delay in delays {
            call.arg(length(*delay));
        }
        let answer: RedisResult<(i64, u32)> =
            call.invoke_async(&mut self.connection().await?).await;
        let (wait, before) = answer.map_err(on(name))?;
        match u64::try_from(wait).map_err(|_| corrupt(name, "the failures make no sense"))? {
            0 => Ok(Attempt::Counted(before)),
            wait => Ok(Attempt::Wait(Duration::from_millis(wait))),
        }
    }

    async fn undo_failure(&self, name: &str) -> Result<(), StoreError> {
        let call = self.undo_failure.key(key(&self.failures, name));
        let answer: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        match answer.map_err(on(name))? {
            CORRUPT => Err(corrupt(name, "the failures make no sense")),
            _ => Ok(()),
        }
    }

    async fn reset_failures(&self, name: &str) -> Result<(), StoreError> {
        self.delete(&self.failures, name).await.map(drop)
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        let mut removed = 0;
        for (keys, field) in
            [(&self.leases, "expires"), (&self.buckets, "full_at"), (&self.failures, "expires")]
        {
            removed += self.purge_all(keys, field, moment(before)).await?;
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A name that nobody has: a server that only says PONG may still refuse the keys.
        self.read_lease("?", UnixTime::EPOCH).await?;
        self.redis.probe_write().await.map_err(unnamed)
    }

    fn describe(&self) -> String {
        format!("redis {}", self.redis.name())
    }
}

fn key(keys: &Keys, name: &str) -> String {
    keys.of(&bounded(name))
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(bytes).map_err(|_| corrupt(name, "bad field value"))
}

fn corrupt(name: &str, reason: &str) -> StoreError {
    StoreError::Corrupt { id: bounded(name).into_owned(), reason: reason.to_owned() }
}

/// For commands on one record.
fn on(name: &str) -> impl Fn(RedisError) -> StoreError {
    move |error| StoreError::about(Failure::of(&error), &bounded(name))
}

/// For commands on no particular record.
fn unnamed(failure: impl Into<Failure>) -> StoreError {
    failure.into().into()
}
