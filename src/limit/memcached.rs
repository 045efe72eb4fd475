//! Leases and limits in memcached, shared by the processes of many hosts, until it forgets them.
//! Keys end in the SHA-256 of the name, and records say the name itself.
//!
//! | key | what |
//! |---|---|
//! | `portcullis:marker:<SHA-256>` | what a lease holds, and until when |
//! | `portcullis:budget:<SHA-256>` | when a bucket is full |
//! | `portcullis:strikes:<SHA-256>` | how many attempts were counted, and when the last one was |
//!
//! Each is decided by `arithmetic.rs` and changed in one step, by comparing versions. What
//! memcached forgets begins anew: a full bucket, no failed attempts, an assertion that may be shown
//! once more in its time, and a rotation of which somebody else may acquire the lease; the opaque
//! token itself is still rotated only once.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::arithmetic::{self, Failures, Rate, TOLERANCE, length, moment};
use super::name::bounded;
use super::store::{Attempt, Lease, LimitStore};
use crate::clock::UnixTime;
use crate::store::StoreError;
use crate::store::memcached::{Change, Key, Lifetime, Memcached};

const LEASE: &str = "portcullis:marker:";
const BUCKET: &str = "portcullis:budget:";
const FAILURES: &str = "portcullis:strikes:";

/// Leases and limits in memcached.
#[derive(Debug)]
pub struct MemcachedLimitStore {
    memcached: Memcached,
}

/// What bears a name.
#[derive(Debug, Serialize, Deserialize)]
struct Named<R> {
    name: String,
    #[serde(flatten)]
    record: R,
}

/// Times are milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct LeaseRecord {
    value: String,
    expires: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct BucketRecord {
    full_at: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FailureRecord {
    count: u32,
    last: u64,
}

/// A record to keep, and for how long.
type Kept<R> = (R, Lifetime);

impl MemcachedLimitStore {
    /// In these servers.
    pub fn new(memcached: Memcached) -> Self {
        Self { memcached }
    }

    /// Changes what bears a name: `decide` gets the record, with what is left of its time, and says
    /// the answer and what to keep, if that is to be another record.
    async fn change<R: Serialize + DeserializeOwned, T>(
        &self,
        prefix: &'static str,
        name: &str,
        decide: impl Fn(Option<Kept<R>>) -> (T, Option<Kept<R>>) + Send + Sync,
    ) -> Result<T, StoreError> {
        let name = bounded(name);
        self.memcached
            .change(&Key::hashed(prefix, &name), |found| {
                let kept = match found {
                    Some(found) => Some((parse(&name, &found.value)?, found.left)),
                    None => None,
                };
                Ok(match decide(kept) {
                    (outcome, None) => Change::Leave(outcome),
                    (outcome, Some((record, keep))) => {
                        let value = bytes(&name, record)?;
                        Change::Write { value, keep, outcome }
                    }
                })
            })
            .await
    }

    async fn delete(&self, prefix: &'static str, name: &str) -> Result<bool, StoreError> {
        Ok(self.memcached.delete(&Key::hashed(prefix, &bounded(name))).await?)
    }
}

#[async_trait]
impl LimitStore for MemcachedLimitStore {
    async fn acquire_lease(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Lease, StoreError> {
        let decide = |kept: Option<Kept<LeaseRecord>>| match kept {
            Some((held, _)) if held.expires > moment(at) => (Lease::Held(held.value), None),
            _ => {
                let lease = LeaseRecord { value: value.to_owned(), expires: moment(until) };
                (Lease::Acquired, Some((lease, Lifetime::between(at, until))))
            }
        };
        self.change(LEASE, name, decide).await
    }

    async fn replace_lease(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let decide = |kept: Option<Kept<LeaseRecord>>| match kept {
            Some((held, left)) if held.value == expected => {
                let keep = left.moved(UnixTime::from_millis(held.expires), until);
                let lease = LeaseRecord { value: value.to_owned(), expires: moment(until) };
                (true, Some((lease, keep)))
            }
            _ => (false, None),
        };
        self.change(LEASE, name, decide).await
    }

    async fn read_lease(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        let name = bounded(name);
        let found = self.memcached.get(&Key::hashed(LEASE, &name)).await?;
        let held = found.map(|found| parse::<LeaseRecord>(&name, &found.value)).transpose()?;
        Ok(held.filter(|held| held.expires > moment(at)).map(|held| held.value))
    }

    async fn release_lease(&self, name: &str) -> Result<bool, StoreError> {
        self.delete(LEASE, name).await
    }

    async fn take(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let rate = Rate::new(interval, burst);
        let keep = lifetime(rate.depth.saturating_add(rate.interval));
        let decide = |kept: Option<Kept<BucketRecord>>| {
            let full_at = kept.map(|(bucket, _)| bucket.full_at);
            let decision = arithmetic::take(full_at, moment(at), rate);
            (decision.answer(), decision.full_at.map(|full_at| (BucketRecord { full_at }, keep)))
        };
        self.change(BUCKET, name, decide).await
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        let decide = |kept: Option<Kept<BucketRecord>>| {
            let less = |(BucketRecord { full_at }, left)| {
                (BucketRecord { full_at: arithmetic::refund(full_at, interval) }, left)
            };
            ((), kept.map(less))
        };
        self.change(BUCKET, name, decide).await
    }

    async fn record_failure(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Attempt, StoreError> {
        let (delays, memory): (Vec<u64>, _) =
            (delays.iter().copied().map(length).collect(), length(memory));
        let keep = lifetime(memory);
        let decide = |kept: Option<Kept<FailureRecord>>| {
            let failures = kept.map(|(FailureRecord { count, last }, _)| Failures { count, last });
            let decision = arithmetic::record_failure(failures, moment(at), &delays, memory);
            let kept =
                decision.kept.map(|Failures { count, last }| (FailureRecord { count, last }, keep));
            (decision.answer(), kept)
        };
        self.change(FAILURES, name, decide).await
    }

    async fn undo_failure(&self, name: &str) -> Result<(), StoreError> {
        let decide = |kept: Option<Kept<FailureRecord>>| {
            let less = |(FailureRecord { count, last }, left)| {
                let Failures { count, last } = arithmetic::undo_failure(Failures { count, last });
                (FailureRecord { count, last }, left)
            };
            ((), kept.map(less))
        };
        self.change(FAILURES, name, decide).await
    }

    async fn reset_failures(&self, name: &str) -> Result<(), StoreError> {
        self.delete(FAILURES, name).await.map(drop)
    }

    /// Nothing: the servers make room by themselves.
    async fn purge(&self, _: UnixTime) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.memcached.ping(LEASE).await?)
    }

    fn describe(&self) -> String {
        format!("memcached {}", self.memcached.name())
    }
}

/// Of a record that is of use for so many milliseconds, and for as long as clocks may differ.
fn lifetime(millis: u64) -> Lifetime {
    Lifetime::between(UnixTime::EPOCH, UnixTime::from_millis(millis.saturating_add(TOLERANCE)))
}

fn parse<R: DeserializeOwned>(name: &str, value: &[u8]) -> Result<R, StoreError> {
    // What serde says of it could repeat a part of it.
    let named: Named<R> =
        serde_json::from_slice(value).map_err(|_| corrupt(name, "it is not of its kind"))?;
    if named.name == name { Ok(named.record) } else { Err(corrupt(name, "it bears another name")) }
}

fn bytes<R: Serialize>(name: &str, record: R) -> Result<Vec<u8>, StoreError> {
    let named = Named { name: name.to_owned(), record };
    serde_json::to_vec(&named).map_err(|_| corrupt(name, "it cannot be written"))
}

fn corrupt(name: &str, reason: &str) -> StoreError {
    StoreError::Corrupt { id: name.to_owned(), reason: reason.to_owned() }
}
