//! The contract of every session store, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis being a real
//! server. Time is a number that is passed in; nothing sleeps until something expires.

mod contract;
mod memcached;
mod redis;
mod sqlite;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::UnixTime;
use portcullis::secret::{Secret, SystemRandom};
use portcullis::session::memcached::MemcachedStore;
use portcullis::session::memory::MemoryStore;
use portcullis::session::redis::RedisStore;
use portcullis::session::sqlite::SqliteStore;
use portcullis::session::{Device, Filter, Session, SessionId, SessionStore, UserId};
use portcullis::store;
use portcullis::store::StoreError;
use portcullis::store::memcached::{Memcached, Servers};
use portcullis::store::redis::Redis;
use serde_json::Map;

use crate::support::memcached::MemcachedServer;
use crate::support::redis::RedisServer;

/// Some moment; all times of these tests are milliseconds around it.
const T: u64 = 1_800_000_000_000;

/// How long the Redis of these tests may take to connect, and to answer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(T + offset)
}

fn id(text: &str) -> SessionId {
    SessionId::parse(text).expect(text)
}

fn user(text: &str) -> UserId {
    UserId::parse(text).expect(text)
}

/// A session of `owner` that was created at `created` and lives for a minute.
fn session(name: &str, owner: &str, created: u64) -> Session {
    Session {
        id: id(name),
        user: user(owner),
        created: at(created),
        last_seen: at(created),
        expires: at(created + 60_000),
        device: Device::default(),
        claims: Map::new(),
        not_before: UnixTime::EPOCH,
    }
}

fn of(owner: &str) -> Filter {
    Filter { user: Some(user(owner)), live_at: None }
}

fn names(sessions: &[Session]) -> Vec<&str> {
    sessions.iter().map(|session| session.id.as_str()).collect()
}

async fn open_sqlite(folder: &Path) -> SqliteStore {
    let options = crate::support::patient_sqlite();
    SqliteStore::open(&folder.join("sessions.db"), options).await.expect("open")
}

fn within(patience: Duration) -> store::redis::Options {
    store::redis::Options {
        database: 9,
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    }
}

fn redis_store(url: &str) -> RedisStore {
    redis_store_with(url, &within(PATIENCE))
}

fn redis_store_with(url: &str, options: &store::redis::Options) -> RedisStore {
    RedisStore::new(Redis::new(&Secret::new(url), options).expect(url))
}

fn memcached_store(url: &str) -> MemcachedStore {
    memcached_store_within(url, PATIENCE)
}

fn memcached_store_within(url: &str, patience: Duration) -> MemcachedStore {
    let options = store::memcached::Options {
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    };
    let memcached = Memcached::new(&Servers::parse(url).expect(url), &options);
    MemcachedStore::new(memcached, Arc::new(SystemRandom))
}

/// A store with two handles on the same sessions, as two processes have them.
struct Fixture {
    store: Arc<dyn SessionStore>,
    other: Arc<dyn SessionStore>,
    _kept: Box<dyn Any + Send>,
}

impl Fixture {
    async fn memory() -> Option<Self> {
        let store = Arc::new(MemoryStore::new());
        Some(Self { store: store.clone(), other: store, _kept: Box::new(()) })
    }

    async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let (store, other) = (open_sqlite(folder.path()).await, open_sqlite(folder.path()).await);
        Some(Self { store: Arc::new(store), other: Arc::new(other), _kept: Box::new(folder) })
    }

    async fn redis() -> Option<Self> {
        let server = RedisServer::start()?;
        let (store, other) = (redis_store(&server.url()), redis_store(&server.url()));
        Some(Self { store: Arc::new(store), other: Arc::new(other), _kept: Box::new(server) })
    }

    async fn memcached() -> Option<Self> {
        let server = MemcachedServer::start()?;
        let (store, other) = (memcached_store(&server.url()), memcached_store(&server.url()));
        Some(Self { store: Arc::new(store), other: Arc::new(other), _kept: Box::new(server) })
    }

    /// The server outlives the fixture.
    fn of_redis(url: &str, database: u32) -> Self {
        let options = store::redis::Options { database, ..within(PATIENCE) };
        let open = || Arc::new(redis_store_with(url, &options));
        Self { store: open(), other: open(), _kept: Box::new(()) }
    }

    async fn put(&self, session: &Session) {
        self.store.put(session).await.expect("put");
    }

    async fn get(&self, owner: &str, name: &str) -> Option<Session> {
        self.store.get(&user(owner), &id(name)).await.expect("get")
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Vec<Session> {
        self.store.list(filter, limit).await.expect("list")
    }

    /// That a list holds sessions of these names; of a store that cannot list, that it says so.
    async fn lists(&self, filter: &Filter, expected: &[&str]) {
        let listed = self.store.list(filter, 1_000).await;
        if self.store.lists() {
            assert_eq!(names(&listed.expect("list")), expected, "{filter:?}");
        } else {
            assert_eq!(listed, Err(StoreError::CannotList), "{filter:?}");
        }
    }

    /// That a revocation ended as many; a store that cannot list says 1 for any number.
    async fn ends(&self, owner: &str, until: u64, expected: u64) {
        let said = if self.store.lists() { expected } else { expected.min(1) };
        let ended = self.store.revoke_user(&user(owner), at(until)).await;
        assert_eq!(ended, Ok(said), "of {owner} until {until}");
    }

    /// That as many are forgotten; a store that cannot list forgets by itself.
    async fn purges(&self, before: u64, expected: u64) {
        let said = if self.store.lists() { expected } else { 0 };
        assert_eq!(self.store.purge(at(before)).await, Ok(said), "before {before}");
    }
}
