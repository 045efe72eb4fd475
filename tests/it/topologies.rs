//! Redis as more than one server: fail-overs, slots that move, users with
//! few rights, and clear words where something is wrong.

mod acl;
mod cluster;
mod sentinel;

use std::time::{Duration, Instant};

use portcullis::clock::UnixTime;
use portcullis::session::redis::RedisStore;
use portcullis::session::{Session, SessionId, SessionStore, UserId};
use portcullis::store::StoreError;
use portcullis::store::redis::{Options, Redis};

use crate::support::PATIENCE;
use crate::support::stores::{self, redis_with};

/// A time out of the way of every clock.
fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(1_800_000_000_000 + offset)
}

fn id(name: &str) -> SessionId {
    SessionId::parse(name).expect(name)
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect(name)
}

fn session(name: &str, owner: &str) -> Session {
    Session::new(id(name), user(owner), at(0), at(60_000))
}

/// As a gate asks, but with more patience: the machine is busy. Less than a cluster takes to give a
/// server up.
fn options() -> Options {
    let response_timeout = Duration::from_millis(900);
    Options { response_timeout, ..stores::redis_options(Duration::from_secs(1)) }
}

fn redis(url: &str) -> Redis {
    redis_with(url, &options())
}

fn store(url: &str) -> RedisStore {
    RedisStore::new(redis(url))
}

/// The reason that the store gives for not answering.
async fn why_not(url: &str) -> String {
    let refused = store(url).ping().await;
    let Err(StoreError::Unavailable(why)) = refused else { panic!("{url}: {refused:?}") };
    why
}

/// Asks until the store answers, and says how long that took.
async fn until_it_answers(store: &RedisStore) -> Duration {
    let started = Instant::now();
    while let Err(error) = store.ping().await {
        assert!(started.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}
