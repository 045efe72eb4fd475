//! The contract of every session store, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis being a real
//! server. Time is a number that is passed in; nothing sleeps until something expires.

mod contract;
mod memcached;
mod redis;
mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::UnixTime;
use portcullis::secret::SystemRandom;
use portcullis::session::memcached::MemcachedStore;
use portcullis::session::redis::RedisStore;
use portcullis::session::sqlite::SqliteStore;
use portcullis::session::{Filter, Session, SessionId, SessionStore, UserId};
use portcullis::store::StoreError;

use crate::support::stores::{self, ANSWER_TIMEOUT};

type Fixture = stores::Fixture<dyn SessionStore>;

/// Some moment; all times of these tests are milliseconds around it.
const T: u64 = 1_800_000_000_000;

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
    Session::new(id(name), user(owner), at(created), at(created + 60_000))
}

fn of(owner: &str) -> Filter {
    Filter { user: Some(user(owner)), live_at: None }
}

fn names(sessions: &[Session]) -> Vec<&str> {
    sessions.iter().map(|session| session.id.as_str()).collect()
}

async fn open_sqlite(folder: &Path) -> SqliteStore {
    SqliteStore::new(stores::sqlite(folder).await)
}

fn redis_store(url: &str) -> RedisStore {
    RedisStore::new(stores::redis(url))
}

fn memcached_store(url: &str) -> MemcachedStore {
    memcached_store_within(url, ANSWER_TIMEOUT)
}

fn memcached_store_within(url: &str, timeout: Duration) -> MemcachedStore {
    MemcachedStore::new(stores::memcached_within(url, timeout), Arc::new(SystemRandom))
}

impl Fixture {
    async fn put(&self, session: &Session) {
        self.store.put(session).await.expect("put");
    }

    async fn get(&self, owner: &str, name: &str) -> Option<Session> {
        self.store.get(&user(owner), &id(name)).await.expect("get")
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Vec<Session> {
        self.store.list(filter, limit).await.expect("list")
    }

    /// Checks that a list holds sessions of these names; of a store that cannot list, that it says so.
    async fn lists(&self, filter: &Filter, expected: &[&str]) {
        let listed = self.store.list(filter, 1_000).await;
        if self.store.lists() {
            assert_eq!(names(&listed.expect("list")), expected, "{filter:?}");
        } else {
            assert_eq!(listed, Err(StoreError::CannotList), "{filter:?}");
        }
    }

    /// Checks that a revocation ended as many; a store that cannot list says 1 for any number.
    async fn ends(&self, owner: &str, until: u64, expected: u64) {
        let said = if self.store.lists() { expected } else { expected.min(1) };
        let ended = self.store.revoke_user(&user(owner), at(until)).await;
        assert_eq!(ended, Ok(said), "of {owner} until {until}");
    }

    /// Checks that as many are forgotten; a store that cannot list forgets by itself.
    async fn purges(&self, before: u64, expected: u64) {
        let said = if self.store.lists() { expected } else { 0 };
        assert_eq!(self.store.purge(at(before)).await, Ok(said), "before {before}");
    }
}
