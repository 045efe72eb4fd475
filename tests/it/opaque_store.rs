//! The contract of every store of opaque tokens, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis being a real
//! server. Time is a number that is passed in; nothing sleeps until something expires.

mod contract;
mod memcached;
mod store_specific;

use std::path::Path;

use portcullis::clock::UnixTime;
use portcullis::opaque::{
    MemcachedTokenStore, OpaqueToken, OpaqueTokenStore, RedisTokenStore, SqliteTokenStore,
    TokenDigest, TokenKind,
};
use portcullis::session::{SessionId, UserId};
use serde_json::Map;

use crate::support::redis::RedisServer;
use crate::support::stores;

type Fixture = stores::Fixture<dyn OpaqueTokenStore>;

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
    SqliteTokenStore::new(stores::sqlite(folder).await)
}

fn redis_store(server: &RedisServer) -> RedisTokenStore {
    RedisTokenStore::new(stores::redis(&server.url()))
}

fn memcached_store(url: &str) -> MemcachedTokenStore {
    MemcachedTokenStore::new(stores::memcached(url))
}

impl Fixture {
    async fn put(&self, tokens: &[OpaqueToken]) {
        self.store.put(tokens).await.expect("put");
    }

    async fn get(&self, name: &str) -> Option<OpaqueToken> {
        self.other.get(&digest(name)).await.expect("get")
    }
}
