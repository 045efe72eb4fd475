//! Small records by name that many processes keep together, changed by comparison: who writes says
//! which record it read, and decides again where another was first.
//!
//! What a record means, and what becomes of it, is decided by pure functions of who owns it
//! (`Record`); a [`RecordStore`] only compares. Every store passes one contract suite,
//! `tests/it/record_store.rs`.

mod key;
mod key_locks;
mod memcached;
mod memory;
mod redis;
mod sqlite;
mod store;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Failure, GuardedStore, Operation, StoreError, StoreMetrics};
use crate::clock::{Clock, UnixTime};
pub use key::RecordKey;
use key_locks::KeyLocks;
pub use memcached::MemcachedRecordStore;
pub use memory::MemoryRecordStore;
pub use redis::RedisRecordStore;
pub use sqlite::SqliteRecordStore;
pub use store::{NewRecord, RecordStore, StoredRecord};

/// Most attempts to change a record that another process changed first. Each time somebody got on,
/// so that only a crowd of processes comes so far.
const MAX_ATTEMPTS: usize = 256;

/// A kind of record.
pub(crate) trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// The name of the kind; part of the key.
    const KIND: &'static str;
    /// For how long a store should keep it after its end.
    const MARGIN: Duration;

    /// The moment from which it says no more than no record does.
    fn end(&self) -> UnixTime;
}

/// Records, wherever they are kept. No call takes longer than the timeout; then it is
/// [`StoreError::TimedOut`] and may or may not have happened. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Records(Arc<Guarded>);

#[derive(Debug)]
struct Guarded {
    store: Arc<dyn RecordStore>,
    timeout: Duration,
    guard: GuardedStore,
    locks: KeyLocks,
}

/// A record as it was read, and what was decided of it.
struct Decision<T> {
    read: Option<StoredRecord>,
    outcome: T,
    write: Option<NewRecord>,
}

impl Records {
    /// Records in `store`, which may take `timeout` to answer; then it counts as down.
    pub fn new(
        store: Arc<dyn RecordStore>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        metrics: StoreMetrics,
    ) -> Self {
        let guard = GuardedStore::new(store.describe(), clock, metrics);
        Self(Arc::new(Guarded { store, timeout, guard, locks: KeyLocks::default() }))
    }

    /// The record of that name.
    pub(crate) async fn read<R: Record>(
        &self,
        operation: Operation,
        name: &str,
    ) -> Result<Option<R>, StoreError> {
        let key = RecordKey::new(R::KIND, name);
        self.call(operation, async { parse(&key, self.0.store.get(&key).await?.as_ref()) }).await
    }

    /// Changes the record of that name in one step: `decide` gets it and says the outcome, and the
    /// record to write at `at`, if any. It may be asked more than once.
    pub(crate) async fn change<R: Record, T: Send>(
        &self,
        operation: Operation,
        name: &str,
        at: UnixTime,
        decide: impl Fn(Option<R>) -> (T, Option<R>) + Send + Sync,
    ) -> Result<T, StoreError> {
        let key = RecordKey::new(R::KIND, name);
        // Boxed: whoever asks holds several of these.
        self.call(operation, Box::pin(self.apply(&key, at, &decide))).await
    }

    /// Writes what was decided, and decides again where another process was first.
    async fn apply<R: Record, T: Send>(
        &self,
        key: &RecordKey,
        at: UnixTime,
        decide: &(impl Fn(Option<R>) -> (T, Option<R>) + Send + Sync),
    ) -> Result<T, StoreError> {
        // Where nothing is to be written, this is all: a flood of what is refused takes no lock.
        let mut decision = self.decide(key, at, decide).await?;
        if decision.write.is_none() {
            return Ok(decision.outcome);
        }
        let lock = self.0.locks.of(key);
        let (_held, has_waited) = lock.acquire().await;
        if has_waited {
            decision = self.decide(key, at, decide).await?;
        }
        for _ in 0..MAX_ATTEMPTS {
            let Some(write) = &decision.write else { return Ok(decision.outcome) };
            if self.0.store.compare_and_set(key, decision.read.as_ref(), write).await? {
                return Ok(decision.outcome);
            }
            decision = self.decide(key, at, decide).await?;
        }
        Err(Failure::contended().into())
    }

    /// Reads, and decides.
    async fn decide<R: Record, T>(
        &self,
        key: &RecordKey,
        at: UnixTime,
        decide: &impl Fn(Option<R>) -> (T, Option<R>),
    ) -> Result<Decision<T>, StoreError> {
        let read = self.0.store.get(key).await?;
        let (outcome, record) = decide(parse(key, read.as_ref())?);
        let write = record.map(|record| new_record(key, &record, at)).transpose()?;
        Ok(Decision { read, outcome, write })
    }

    /// Deletes the record of that name. Says whether there was one.
    pub(crate) async fn delete<R: Record>(
        &self,
        operation: Operation,
        name: &str,
    ) -> Result<bool, StoreError> {
        let key = RecordKey::new(R::KIND, name);
        self.call(operation, self.0.store.delete(&key)).await
    }

    /// Makes room: deletes what ended at or before `before`, and says how much. May take a minute.
    pub async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.0.guard.purge(self.0.store.purge(before)).await
    }

    /// Whether the store answers, and takes writes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.call(Operation::Ping, self.0.store.ping()).await
    }

    /// What and where the store is, without credentials.
    pub fn describe(&self) -> String {
        self.0.store.describe()
    }

    async fn call<T>(
        &self,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.0.guard.with_timeout(self.0.timeout, operation, answer).await
    }
}

fn parse<R: Record>(key: &RecordKey, read: Option<&StoredRecord>) -> Result<Option<R>, StoreError> {
    // What serde says of it could repeat a part of it.
    let record = |read: &StoredRecord| {
        serde_json::from_str(&read.value).map_err(|_| key.corrupt("it is not of its kind"))
    };
    read.map(record).transpose()
}

fn new_record<R: Record>(
    key: &RecordKey,
    record: &R,
    at: UnixTime,
) -> Result<NewRecord, StoreError> {
    let value = serde_json::to_string(record).map_err(|_| key.corrupt("it cannot be written"))?;
    let end = record.end();
    Ok(NewRecord { value, end, keep: end.since(at).saturating_add(R::MARGIN) })
}
