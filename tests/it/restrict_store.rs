//! The contract of every store of restrictions, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis being a real
//! server. Time is a number that is passed in; nothing sleeps until something is over.

mod beyond;
mod contract;
mod memcached;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::UnixTime;
use portcullis::restrict::{
    Claim, MemcachedRestrict, MemoryRestrict, RedisRestrict, RestrictStore, SqliteRestrict, Strike,
};
use portcullis::secret::Secret;
use portcullis::storage;
use portcullis::storage::memcached::{Memcached, Servers};
use portcullis::storage::redis::Redis;

use crate::support::memcached::MemcachedServer;
use crate::support::redis::RedisServer;

/// The database of these tests.
const DATABASE: u32 = 8;

const SECOND: Duration = Duration::from_secs(1);

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(1_800_000_000_000 + offset)
}

fn held(value: &str) -> Claim {
    Claim::Held(value.to_owned())
}

async fn open_sqlite(folder: &Path) -> SqliteRestrict {
    let options = crate::support::patient_sqlite();
    SqliteRestrict::open(&folder.join("portcullis.db"), options).await.expect("open")
}

fn redis_store(server: &RedisServer) -> RedisRestrict {
    redis_store_at(&server.url(), DATABASE)
}

fn redis_store_at(url: &str, database: u32) -> RedisRestrict {
    let patience = Duration::from_secs(5);
    let options = storage::redis::Options {
        database,
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    };
    RedisRestrict::new(Redis::new(&Secret::new(url), &options).expect("address"))
}

fn memcached_store(url: &str) -> MemcachedRestrict {
    let patience = Duration::from_secs(5);
    let options = storage::memcached::Options {
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    };
    MemcachedRestrict::new(Memcached::new(&Servers::parse(url).expect(url), &options))
}

/// A store with two handles on the same restrictions, as two processes have them.
struct Fixture {
    store: Arc<dyn RestrictStore>,
    other: Arc<dyn RestrictStore>,
    _kept: Box<dyn Any + Send>,
}

impl Fixture {
    async fn memory() -> Option<Self> {
        let store = Arc::new(MemoryRestrict::new());
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
    fn either(&self, n: usize) -> Arc<dyn RestrictStore> {
        Arc::clone(if n.is_multiple_of(2) { &self.store } else { &self.other })
    }

    async fn claim(&self, name: &str, value: &str, when: u64, until: u64) -> Claim {
        self.store.claim(name, value, at(when), at(until)).await.expect("claim")
    }

    async fn swap(&self, name: &str, expected: &str, value: &str, until: u64) -> bool {
        self.other.swap(name, expected, value, at(until)).await.expect("swap")
    }

    async fn read(&self, name: &str, when: u64) -> Option<String> {
        self.other.read(name, at(when)).await.expect("read")
    }

    /// Takes one of three, of which one comes back each second; how long to wait, in milliseconds.
    async fn spend(&self, name: &str, when: u64) -> u128 {
        let wait = self.store.spend(name, at(when), SECOND, 3).await.expect("spend");
        wait.map_or(0, |wait| wait.as_millis())
    }

    /// The first two at once, the third after a second, all others after five; forgotten after a
    /// minute.
    async fn strike(&self, name: &str, when: u64) -> Strike {
        let delays = [Duration::ZERO, Duration::ZERO, SECOND, 5 * SECOND];
        self.store.strike(name, at(when), &delays, 60 * SECOND).await.expect("strike")
    }
}
