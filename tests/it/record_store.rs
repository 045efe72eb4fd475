//! The contract of every store of records, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis and memcached being
//! real servers. What leases and limits make of records is pure, and tested beside them.

mod contract;
mod memcached;
mod redis;
mod sqlite;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::{SystemClock, UnixTime};
use portcullis::lease::{Lease, Leases};
use portcullis::limit::Limits;
use portcullis::secret::Secret;
use portcullis::store::memcached::{Memcached, Servers};
use portcullis::store::records::{
    MemcachedRecordStore, MemoryRecordStore, NewRecord, RecordKey, RecordStore, Records,
    RedisRecordStore, SqliteRecordStore,
};
use portcullis::store::{self, StoreError, StoreKind, StoreMetrics};

use crate::support::memcached::MemcachedServer;
use crate::support::redis::RedisServer;

/// The database of these tests.
const DATABASE: u32 = 8;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(1_800_000_000_000 + offset)
}

async fn open_sqlite(folder: &Path) -> SqliteRecordStore {
    let options = crate::support::patient_sqlite();
    SqliteRecordStore::open(&folder.join("portcullis.db"), options).await.expect("open")
}

fn redis_store(url: &str, database: u32) -> RedisRecordStore {
    let patience = Duration::from_secs(5);
    let options = store::redis::Options {
        database,
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    };
    RedisRecordStore::new(store::redis::Redis::new(&Secret::new(url), &options).expect("address"))
}

fn memcached_store(url: &str, patience: Duration) -> MemcachedRecordStore {
    let options = store::memcached::Options {
        connect_timeout: Duration::from_secs(5),
        response_timeout: patience,
        ..Default::default()
    };
    MemcachedRecordStore::new(Memcached::new(&Servers::parse(url).expect(url), &options))
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
        leases.release("n").await.map(drop),
        limits.reset_failures("n").await,
    ]
}

/// Of records that make no sense nothing comes, until they are taken away.
async fn are_corrupt(process: &(Leases, Limits, Records), damage: &str) {
    let outcomes = outcomes(process).await;
    for (n, outcome) in outcomes[..7].iter().enumerate() {
        let Err(StoreError::Corrupt { id, reason }) = outcome else {
            panic!("the {n}th after {damage}: {outcome:?}");
        };
        assert!(id == "n" && !reason.is_empty(), "{id}: {reason}");
    }
    assert_eq!(outcomes[7..], [Ok(()), Ok(())], "{damage}");
    let acquired = process.0.acquire("n", "v", at(0), at(9)).await;
    assert_eq!(acquired, Ok(Lease::Acquired), "{damage}");
}

/// A store with two handles on the same records, as two processes have them.
struct Fixture {
    store: Arc<dyn RecordStore>,
    other: Arc<dyn RecordStore>,
    /// Whether somebody has to make room.
    purges: bool,
    _kept: Box<dyn Any + Send>,
}

impl Fixture {
    async fn memory() -> Option<Self> {
        let store = Arc::new(MemoryRecordStore::new());
        Some(Self { store: store.clone(), other: store, purges: true, _kept: Box::new(()) })
    }

    async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let (store, other) = (open_sqlite(folder.path()).await, open_sqlite(folder.path()).await);
        let (store, other) = (Arc::new(store), Arc::new(other));
        Some(Self { store, other, purges: true, _kept: Box::new(folder) })
    }

    async fn redis() -> Option<Self> {
        let server = RedisServer::start()?;
        let fixture = Self::of_redis(&server.url(), DATABASE);
        Some(Self { _kept: Box::new(server), ..fixture })
    }

    async fn memcached() -> Option<Self> {
        let server = MemcachedServer::start()?;
        let open = || Arc::new(memcached_store(&server.url(), Duration::from_secs(5)));
        let (store, other) = (open(), open());
        Some(Self { store, other, purges: false, _kept: Box::new(server) })
    }

    /// The server outlives the fixture.
    fn of_redis(url: &str, database: u32) -> Self {
        let open = || Arc::new(redis_store(url, database));
        Self { store: open(), other: open(), purges: false, _kept: Box::new(()) }
    }

    /// One handle or the other.
    fn either(&self, n: usize) -> Arc<dyn RecordStore> {
        Arc::clone(if n.is_multiple_of(2) { &self.store } else { &self.other })
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
