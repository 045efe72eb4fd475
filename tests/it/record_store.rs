//! The contract of every store of records, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis and memcached being
//! real servers. What leases and limits make of records is pure, and tested beside them.

mod contract;
mod memcached;
mod redis;
mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::{SystemClock, UnixTime};
use portcullis::lease::{Lease, Leases};
use portcullis::limit::{Attempt, Limits};
use portcullis::store::records::{
    MemcachedRecordStore, NewRecord, RecordKey, RecordStore, Records, RedisRecordStore,
    SqliteRecordStore,
};
use portcullis::store::{StoreError, StoreKind, StoreMetrics};

use crate::support::stores;

type Fixture = stores::Fixture<dyn RecordStore>;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(1_800_000_000_000 + offset)
}

async fn open_sqlite(folder: &Path) -> SqliteRecordStore {
    SqliteRecordStore::new(stores::sqlite(folder).await)
}

fn redis_store(url: &str) -> RedisRecordStore {
    RedisRecordStore::new(stores::redis(url))
}

fn memcached_store(url: &str, patience: Duration) -> MemcachedRecordStore {
    MemcachedRecordStore::new(stores::memcached_within(url, patience))
}

/// Leases and limits of one process.
fn process(store: Arc<dyn RecordStore>, timeout: Duration) -> (Leases, Limits, Records) {
    let metrics = StoreMetrics::unregistered(StoreKind::Limits);
    let records = Records::new(store, timeout, Arc::new(SystemClock::new()), metrics);
    (Leases::new(records.clone()), Limits::new(records.clone()), records)
}

/// One of each.
async fn fill((leases, limits, _): &(Leases, Limits, Records)) {
    let acquired = leases.acquire("n", "value", at(0), at(100)).await;
    assert_eq!(acquired, Ok(Lease::Acquired));
    assert_eq!(limits.take("n", at(0), SECOND, 1).await, Ok(None));
    limits.record_failure("n", at(0), &[SECOND], SECOND).await.expect("record_failure");
}

/// Does everything there is; in this order: leases, buckets, failures.
async fn outcomes((leases, limits, _): &(Leases, Limits, Records)) -> [Result<(), StoreError>; 9] {
    [
        leases.acquire("n", "v", at(50), at(200)).await.map(drop),
        leases.replace("n", "v", "w", at(50), at(200)).await.map(drop),
        leases.read("n", at(50)).await.map(drop),
        limits.take("n", at(50), SECOND, 9).await.map(drop),
        limits.refund("n", at(50), SECOND).await,
        limits.record_failure("n", at(50), &[], SECOND).await.map(drop),
        limits.undo_failure("n", at(50)).await,
        leases.release("n", "w", at(50)).await.map(drop),
        limits.reset_failures("n").await,
    ]
}

/// Of records that make no sense nothing comes, until they are taken away.
async fn are_corrupt(process: &(Leases, Limits, Records), damage: &str) {
    let outcomes = outcomes(process).await;
    for (n, outcome) in outcomes[..8].iter().enumerate() {
        let Err(StoreError::Corrupt { id, reason }) = outcome else {
            panic!("the {n}th after {damage}: {outcome:?}");
        };
        assert!(id == "n" && !reason.is_empty(), "{id}: {reason}");
    }
    assert_eq!(outcomes[8], Ok(()), "{damage}");
    let recorded = process.1.record_failure("n", at(0), &[SECOND], SECOND).await;
    assert_eq!(recorded, Ok(Attempt::Counted(0)), "{damage}");
}

impl Fixture {
    /// True for a store that does not make room by itself.
    fn purges(&self) -> bool {
        let kind = self.store.describe();
        kind == "memory" || kind.starts_with("sqlite")
    }

    async fn get(&self, key: &RecordKey) -> Option<String> {
        self.other.get(key).await.expect("get").map(|record| record.value)
    }

    async fn add(&self, key: &RecordKey, value: &str) -> bool {
        let record = record(value, 100);
        self.store.compare_and_set(key, None, &record).await.expect("compare_and_set")
    }
}

fn key(name: &str) -> RecordKey {
    RecordKey::new("lease", name)
}

fn record(value: &str, end: u64) -> NewRecord {
    NewRecord { value: value.to_owned(), end: at(end), keep: PATIENCE }
}
