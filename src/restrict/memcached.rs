//! Restrictions in memcached, shared by the processes of many hosts, until it forgets them. Keys
//! end in the SHA-256 of the name, and records say the name itself.
//!
//! | key | what |
//! |---|---|
//! | `portcullis:marker:<SHA-256>` | what a marker holds, and until when |
//! | `portcullis:budget:<SHA-256>` | when a budget is full |
//! | `portcullis:strikes:<SHA-256>` | how many attempts were counted, and when the last one was |
//!
//! Each is decided by `arithmetic.rs` and changed in one step, by comparing versions. What
//! memcached forgets begins anew: a full budget, no failed attempts, an assertion that may be shown
//! once more in its time, and a rotation that somebody else may claim, of which the exchange still
//! lets one come true.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::arithmetic::{self, Rate, Strikes, TOLERANCE, length, moment};
use super::name::bounded;
use super::store::{Claim, RestrictStore, Strike};
use crate::clock::UnixTime;
use crate::session::StoreError;
use crate::storage::memcached::{Change, Key, Lifetime, Memcached};

const MARKER: &str = "portcullis:marker:";
const BUDGET: &str = "portcullis:budget:";
const STRIKES: &str = "portcullis:strikes:";

/// Restrictions in memcached.
#[derive(Debug)]
pub struct MemcachedRestrict {
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
struct Marker {
    value: String,
    expires: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Budget {
    full_at: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Struck {
    count: u32,
    last: u64,
}

/// A record to keep, and for how long.
type Kept<R> = (R, Lifetime);

impl MemcachedRestrict {
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
impl RestrictStore for MemcachedRestrict {
    async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        let decide = |kept: Option<Kept<Marker>>| match kept {
            Some((held, _)) if held.expires > moment(at) => (Claim::Held(held.value), None),
            _ => {
                let marker = Marker { value: value.to_owned(), expires: moment(until) };
                (Claim::Won, Some((marker, Lifetime::between(at, until))))
            }
        };
        self.change(MARKER, name, decide).await
    }

    async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let decide = |kept: Option<Kept<Marker>>| match kept {
            Some((held, left)) if held.value == expected => {
                let keep = left.moved(UnixTime::from_millis(held.expires), until);
                let marker = Marker { value: value.to_owned(), expires: moment(until) };
                (true, Some((marker, keep)))
            }
            _ => (false, None),
        };
        self.change(MARKER, name, decide).await
    }

    async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        let name = bounded(name);
        let found = self.memcached.get(&Key::hashed(MARKER, &name)).await?;
        let held = found.map(|found| parse::<Marker>(&name, &found.value)).transpose()?;
        Ok(held.filter(|held| held.expires > moment(at)).map(|held| held.value))
    }

    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        self.delete(MARKER, name).await
    }

    async fn spend(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let rate = Rate::new(interval, burst);
        let keep = lifetime(rate.depth.saturating_add(rate.interval));
        let decide = |kept: Option<Kept<Budget>>| {
            let full_at = kept.map(|(budget, _)| budget.full_at);
            let spent = arithmetic::spend(full_at, moment(at), rate);
            (spent.answer(), spent.full_at.map(|full_at| (Budget { full_at }, keep)))
        };
        self.change(BUDGET, name, decide).await
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        let decide = |kept: Option<Kept<Budget>>| {
            let less = |(Budget { full_at }, left)| {
                (Budget { full_at: arithmetic::refund(full_at, interval) }, left)
            };
            ((), kept.map(less))
        };
        self.change(BUDGET, name, decide).await
    }

    async fn strike(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Strike, StoreError> {
        let (delays, memory): (Vec<u64>, _) =
            (delays.iter().copied().map(length).collect(), length(memory));
        let keep = lifetime(memory);
        let decide = |kept: Option<Kept<Struck>>| {
            let strikes = kept.map(|(Struck { count, last }, _)| Strikes { count, last });
            let struck = arithmetic::strike(strikes, moment(at), &delays, memory);
            let kept = struck.kept.map(|Strikes { count, last }| (Struck { count, last }, keep));
            (struck.answer(), kept)
        };
        self.change(STRIKES, name, decide).await
    }

    async fn uncount(&self, name: &str) -> Result<(), StoreError> {
        let decide = |kept: Option<Kept<Struck>>| {
            let less = |(Struck { count, last }, left)| {
                let Strikes { count, last } = arithmetic::uncount(Strikes { count, last });
                (Struck { count, last }, left)
            };
            ((), kept.map(less))
        };
        self.change(STRIKES, name, decide).await
    }

    async fn pardon(&self, name: &str) -> Result<(), StoreError> {
        self.delete(STRIKES, name).await.map(drop)
    }

    /// Nothing: the servers make room by themselves.
    async fn purge(&self, _: UnixTime) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.memcached.ping(MARKER).await?)
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
