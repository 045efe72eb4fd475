//! Restrictions in Redis, shared by the processes of many hosts.
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
use super::store::{Claim, RestrictStore, Strike};
use crate::clock::UnixTime;
use crate::session::StoreError;
use crate::storage::redis::{
    BATCH, Call, Connection, Failure, Keys, LONGEST, Redis, Scan, Script, Slot, invoke_all,
    time_to_live,
};
use scripts::{CLAIM, COMMON, PURGE, REFUND, SPEND, STRIKE, SWAP, UNCOUNT};

/// What a script says of a record that makes no sense.
const CORRUPT: i64 = -1;

/// Restrictions in Redis.
#[derive(Debug)]
pub struct RedisRestrict {
    redis: Redis,
    markers: Keys,
    budgets: Keys,
    strikes: Keys,
    claim: Script,
    swap: Script,
    spend: Script,
    refund: Script,
    strike: Script,
    uncount: Script,
    purge: Script,
}

impl RedisRestrict {
    /// Over a pool that is connected to the right database.
    pub fn new(redis: Redis) -> Self {
        let script = |code| Script::new(&format!("{COMMON}{code}"));
        let (claim, swap) = (script(CLAIM), script(SWAP));
        let (spend, refund) = (script(SPEND), script(REFUND));
        let (strike, uncount, purge) = (script(STRIKE), script(UNCOUNT), script(PURGE));
        let keys = |kind| redis.keys(kind, Slot::OfItsOwn);
        let (markers, budgets) = (keys("restrict:marker"), keys("restrict:budget"));
        let strikes = keys("restrict:strikes");
        Self {
            redis,
            markers,
            budgets,
            strikes,
            claim,
            swap,
            spend,
            refund,
            strike,
            uncount,
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
impl RestrictStore for RedisRestrict {
    async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        let mut call = self.claim.key(key(&self.markers, name));
        call.arg(moment(at)).arg(moment(until)).arg(value).arg(time_to_live(at, until));
        let answer: RedisResult<(i64, Vec<u8>)> =
            call.invoke_async(&mut self.connection().await?).await;
        match answer.map_err(on(name))? {
            (CORRUPT, _) => Err(corrupt(name, "the marker makes no sense")),
            (1, _) => Ok(Claim::Won),
            (_, held) => text(name, held).map(Claim::Held),
        }
    }

    async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut call = self.swap.key(key(&self.markers, name));
        call.arg(expected).arg(value).arg(moment(until)).arg(LONGEST);
        let answer: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        match answer.map_err(on(name))? {
            CORRUPT => Err(corrupt(name, "the marker makes no sense")),
            done => Ok(done == 1),
        }
    }

    async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(key(&self.markers, name)).arg("value").arg("expires");
        let answer: RedisResult<(Option<Vec<u8>>, Option<Vec<u8>>)> =
            command.query_async(&mut self.connection().await?).await;
        let (value, expires) = match answer.map_err(on(name))? {
            (None, None) => return Ok(None),
            (Some(value), Some(expires)) => (value, expires),
            _ => return Err(corrupt(name, "half of the marker is missing")),
        };
        let expires = std::str::from_utf8(&expires).ok().and_then(|text| text.parse().ok());
        let expires = expires.ok_or_else(|| corrupt(name, "bad field expires"))?;
        let value = text(name, value)?;
        Ok((moment(UnixTime::from_millis(expires)) > moment(at)).then_some(value))
    }

    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        self.delete(&self.markers, name).await
    }

    async fn spend(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let rate = Rate::new(interval, burst);
        let mut call = self.spend.key(key(&self.budgets, name));
        call.arg(moment(at)).arg(rate.interval).arg(rate.depth).arg(TOLERANCE);
        let answer: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        let wait = answer.map_err(on(name))?;
        let wait = u64::try_from(wait).map_err(|_| corrupt(name, "the budget makes no sense"))?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        let mut call = self.refund.key(key(&self.budgets, name));
        call.arg(Rate::new(interval, 1).interval);
        let answer: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        match answer.map_err(on(name))? {
            CORRUPT => Err(corrupt(name, "the budget makes no sense")),
            _ => Ok(()),
        }
    }

    async fn strike(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Strike, StoreError> {
        let mut call = self.strike.key(key(&self.strikes, name));
        call.arg(moment(at)).arg(length(memory)).arg(TOLERANCE);
        for delay in delays {
            call.arg(length(*delay));
        }
        let answer: RedisResult<(i64, u32)> =
            call.invoke_async(&mut self.connection().await?).await;
        let (wait, before) = answer.map_err(on(name))?;
        match u64::try_from(wait).map_err(|_| corrupt(name, "the strikes make no sense"))? {
            0 => Ok(Strike::Counted(before)),
            wait => Ok(Strike::Wait(Duration::from_millis(wait))),
        }
    }

    async fn uncount(&self, name: &str) -> Result<(), StoreError> {
        let call = self.uncount.key(key(&self.strikes, name));
        let answer: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        match answer.map_err(on(name))? {
            CORRUPT => Err(corrupt(name, "the strikes make no sense")),
            _ => Ok(()),
        }
    }

    async fn pardon(&self, name: &str) -> Result<(), StoreError> {
        self.delete(&self.strikes, name).await.map(drop)
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        let mut removed = 0;
        for (keys, field) in
            [(&self.markers, "expires"), (&self.budgets, "full_at"), (&self.strikes, "expires")]
        {
            removed += self.purge_all(keys, field, moment(before)).await?;
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A name that nobody has: a server that only says PONG may still refuse the keys.
        self.read("?", UnixTime::EPOCH).await?;
        self.redis.prove().await.map_err(unnamed)
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
    move |error| StoreError::of_redis(Failure::of(&error), &bounded(name))
}

/// For commands on no particular record.
fn unnamed(failure: impl Into<Failure>) -> StoreError {
    StoreError::of_redis(failure.into(), "?")
}
