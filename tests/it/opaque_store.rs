//! The contract of every store of opaque tokens, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis being a real
//! server. Time is a number that is passed in; nothing sleeps until something expires.

mod contract;
mod memcached;
mod store_specific;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::UnixTime;
use portcullis::opaque::{
    MemcachedTokenStore, MemoryTokenStore, OpaqueToken, OpaqueTokenStore, RedisTokenStore,
    SqliteTokenStore, TokenDigest, TokenKind,
};
use portcullis::secret::Secret;
use portcullis::session::{SessionId, UserId};
use portcullis::store;
use portcullis::store::memcached::{Memcached, Servers};
use portcullis::store::redis::Redis;
use serde_json::Map;

use crate::support::memcached::MemcachedServer;
use crate::support::redis::RedisServer;

/// The database of these tests.
const DATABASE: u32 = 4;

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(1_800_000_000_000 + offset)
}

fn digest(name: &str) -> TokenDigest {
    TokenDigest::of(name)
}

/// A refresh token that was issued at zero and lives for a minute.
fn token(name: &str) -> OpaqueToken {
    OpaqueToken {
        digest: digest(name),
        kind: TokenKind::Refresh,
        session: SessionId::parse("session").expect("id"),
        user: UserId::parse("alice").expect("user"),
        client: None,
        claims: Map::new(),
        issued: at(0),
        expires: at(60_000),
        used: None,
    }
}

async fn open_sqlite(folder: &Path) -> SqliteTokenStore {
    let options = crate::support::patient_sqlite();
    SqliteTokenStore::open(&folder.join("portcullis.db"), options).await.expect("open")
}

fn redis_store(server: &RedisServer) -> RedisTokenStore {
    redis_store_at(&server.url(), DATABASE)
}

fn redis_store_at(url: &str, database: u32) -> RedisTokenStore {
    let patience = Duration::from_secs(5);
    let options = store::redis::Options {
        database,
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    };
    RedisTokenStore::new(Redis::new(&Secret::new(url), &options).expect("address"))
}

fn memcached_store(url: &str) -> MemcachedTokenStore {
    let patience = Duration::from_secs(5);
    let options = store::memcached::Options {
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    };
    MemcachedTokenStore::new(Memcached::new(&Servers::parse(url).expect(url), &options))
}

/// A store with two handles on the same tokens, as two processes have them.
struct Fixture {
    store: Arc<dyn OpaqueTokenStore>,
    other: Arc<dyn OpaqueTokenStore>,
    _kept: Box<dyn Any + Send>,
}

impl Fixture {
    async fn memory() -> Option<Self> {
        let store = Arc::new(MemoryTokenStore::new());
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
    fn either(&self, n: usize) -> Arc<dyn OpaqueTokenStore> {
        Arc::clone(if n.is_multiple_of(2) { &self.store } else { &self.other })
    }

    async fn put(&self, tokens: &[OpaqueToken]) {
        self.store.put(tokens).await.expect("put");
    }

    async fn get(&self, name: &str) -> Option<OpaqueToken> {
        self.other.get(&digest(name)).await.expect("get")
    }
}
