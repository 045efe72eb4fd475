//! The contract of every store of leases and limits, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis being a real
//! server. Time is a number that is passed in; nothing sleeps until something is over.

mod contract;
mod memcached;
mod store_specific;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::UnixTime;
use portcullis::limit::{
    Attempt, Lease, LimitStore, MemcachedLimitStore, MemoryLimitStore, RedisLimitStore,
    SqliteLimitStore,
};
use portcullis::secret::Secret;
use portcullis::store;
use portcullis::store::memcached::{Memcached, Servers};
use portcullis::store::redis::Redis;

use crate::support::memcached::MemcachedServer;
use crate::support::redis::RedisServer;

/// The database of these tests.
const DATABASE: u32 = 8;

const SECOND: Duration = Duration::from_secs(1);

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(1_800_000_000_000 + offset)
}

fn held(value: &str) -> Lease {
    Lease::Held(value.to_owned())
}

async fn open_sqlite(folder: &Path) -> SqliteLimitStore {
    let options = crate::support::patient_sqlite();
    SqliteLimitStore::open(&folder.join("portcullis.db"), options).await.expect("open")
}

fn redis_store(server: &RedisServer) -> RedisLimitStore {
    redis_store_at(&server.url(), DATABASE)
}

fn redis_store_at(url: &str, database: u32) -> RedisLimitStore {
    let patience = Duration::from_secs(5);
    let options = store::redis::Options {
        database,
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    };
    RedisLimitStore::new(Redis::new(&Secret::new(url), &options).expect("address"))
}

fn memcached_store(url: &str) -> MemcachedLimitStore {
    let patience = Duration::from_secs(5);
    let options = store::memcached::Options {
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    };
    MemcachedLimitStore::new(Memcached::new(&Servers::parse(url).expect(url), &options))
}

/// A store with two handles on the same leases and limits, as two processes have them.
struct Fixture {
    store: Arc<dyn LimitStore>,
    other: Arc<dyn LimitStore>,
    _kept: Box<dyn Any + Send>,
}

impl Fixture {
    async fn memory() -> Option<Self> {
        let store = Arc::new(MemoryLimitStore::new());
        Some(Self { store: store.clone(), other: store, _kept: Box::new(()) })
    }

    async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let (store, other) = (open_sqlite(folder.path()).await, open_sqlite(folder.path()).await);
        Some(Self { store: Arc::new(store), other: Arc::new(other), _kept: Box::new(folder) })
    }

    async fn redis() -> Option<Self> {
        let server = RedisServer::start()?;
        let (store, other) = (redis_store(&server), redis_store(&server));
        Some(Self { store: Arc::new(store), other: Arc::new(other), _kept: Box::new(server) })
    }

    async fn memcached() -> Option<Self> {
        let server = MemcachedServer::start()?;
        let (store, other) = (memcached_store(&server.url()), memcached_store(&server.url()));
        Some(Self { store: Arc::new(store), other: Arc::new(other), _kept: Box::new(server) })
    }

    /// The server outlives the fixture.
    fn of_redis(url: &str, database: u32) -> Self {
        let open = || Arc::new(redis_store_at(url, database));
        Self { store: open(), other: open(), _kept: Box::new(()) }
    }

    /// One handle or the other.
    fn either(&self, n: usize) -> Arc<dyn LimitStore> {
        Arc::clone(if n.is_multiple_of(2) { &self.store } else { &self.other })
    }

    async fn acquire_lease(&self, name: &str, value: &str, when: u64, until: u64) -> Lease {
        self.store.acquire_lease(name, value, at(when), at(until)).await.expect("acquire_lease")
    }

    async fn replace_lease(&self, name: &str, expected: &str, value: &str, until: u64) -> bool {
        self.other.replace_lease(name, expected, value, at(until)).await.expect("replace_lease")
    }

    async fn read_lease(&self, name: &str, when: u64) -> Option<String> {
        self.other.read_lease(name, at(when)).await.expect("read_lease")
    }

    /// Takes one of three, of which one comes back each second; how long to wait, in milliseconds.
    async fn take(&self, name: &str, when: u64) -> u128 {
        let wait = self.store.take(name, at(when), SECOND, 3).await.expect("take");
        wait.map_or(0, |wait| wait.as_millis())
    }

    /// The first two at once, the third after a second, all others after five; forgotten after a
    /// minute.
    async fn record_failure(&self, name: &str, when: u64) -> Attempt {
        let delays = [Duration::ZERO, Duration::ZERO, SECOND, 5 * SECOND];
        self.store
            .record_failure(name, at(when), &delays, 60 * SECOND)
            .await
            .expect("record_failure")
    }
}
