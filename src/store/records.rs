//! Small records by name that many processes keep together, changed by comparison: who writes says
//! which record it read, and decides again where another was first.
//!
//! What a record means, and what becomes of it, is decided by pure functions of who owns it
//! (`Record`); a [`RecordStore`] only compares. Every store passes one contract suite,
//! `tests/it/record_store.rs`.

mod group_commit;
mod key;
mod memcached;
mod memory;
mod redis;
mod sqlite;
mod store;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{GuardedStore, Operation, StoreError, StoreMetrics};
use crate::clock::{Clock, UnixTime};
use crate::wire::json;
use group_commit::GroupCommit;
pub use key::RecordKey;
pub use memcached::MemcachedRecordStore;
pub use memory::MemoryRecordStore;
pub use redis::RedisRecordStore;
pub use sqlite::SqliteRecordStore;
pub use store::{NewRecord, RecordStore, StoredRecord};

/// A kind of record.
pub(crate) trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// The name of the kind; part of the key.
    const KIND: &'static str;
    /// For how long a store should keep it after its end, since clocks differ.
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
    group_commit: Arc<GroupCommit>,
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
        let group_commit = Arc::new(GroupCommit::new(Arc::clone(&store), timeout));
        Self(Arc::new(Guarded { store, timeout, guard, group_commit }))
    }

    /// The record of that name.
    pub(crate) async fn read<R: Record>(
        &self,
        operation: Operation,
        name: &str,
    ) -> Result<Option<R>, StoreError> {
        let key = RecordKey::new(R::KIND, name);
        self.call(operation, async { parse(&key, text(self.0.store.get(&key).await?.as_ref())) })
            .await
    }

    /// Changes the record of that name in one step: `decide` gets it and says the outcome, and the
    /// record to write at `at`, if any. It may be asked more than once.
    pub(crate) async fn change<R: Record, T: Send + 'static>(
        &self,
        operation: Operation,
        name: &str,
        at: UnixTime,
        decide: impl Fn(Option<R>) -> (T, Option<R>) + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let key = RecordKey::new(R::KIND, name);
        // Boxed: whoever asks holds several of these.
        self.call(operation, Box::pin(self.apply(key, at, decide))).await
    }

    async fn apply<R: Record, T: Send + 'static>(
        &self,
        key: RecordKey,
        at: UnixTime,
        decide: impl Fn(Option<R>) -> (T, Option<R>) + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let of = key.clone();
        let decide = move |present: Option<&str>| {
            let (outcome, record) = decide(parse(&of, present)?);
            Ok((outcome, record.map(|record| new_record(&of, &record, at)).transpose()?))
        };
        let read = self.0.store.get(&key).await?;
        match decide(text(read.as_ref()))? {
            // A flood of what is refused waits for nobody.
            (outcome, None) => Ok(outcome),
            (outcome, Some(_)) => self.0.group_commit.change(&key, read, outcome, decide).await,
        }
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

    /// Makes room: deletes what ended at or before `before` with its margin, and says how much. May take
    /// a minute.
    pub async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.0.guard.purge(self.0.store.purge(before)).await
    }

    /// Checks that the store answers, and takes writes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.call(Operation::Ping, self.0.store.ping()).await
    }

    /// The kind and the place of the store, without credentials.
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

fn text(read: Option<&StoredRecord>) -> Option<&str> {
    read.map(|read| &*read.value)
}

fn parse<R: Record>(key: &RecordKey, text: Option<&str>) -> Result<Option<R>, StoreError> {
    // What serde says of it could repeat a part of it.
    let not_of_its_kind = |_| key.corrupt("it is not of its kind");
    text.map(|text| json::from_str(text).map_err(not_of_its_kind)).transpose()
}

fn new_record<R: Record>(
    key: &RecordKey,
    record: &R,
    at: UnixTime,
) -> Result<NewRecord, StoreError> {
    let value = serde_json::to_string(record).map_err(|_| key.corrupt("it cannot be written"))?;
    let end = record.end();
    let keep = end.since(at).saturating_add(R::MARGIN);
    Ok(NewRecord { value, end: end.after(R::MARGIN), keep })
}
