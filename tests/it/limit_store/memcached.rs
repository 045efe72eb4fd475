//! Tests of memcached beyond the contract: what it forgets begins anew, as the manual says,
//! and what cannot be read or reached is nobody's.

use std::time::{Duration, Instant};

use portcullis::limit::{Attempt, Lease, LimitStore, MemcachedLimitStore};
use portcullis::store::StoreError;
use portcullis::store::memcached::{Memcached, Options, Servers};

use super::{SECOND, at, held, memcached_store};
use crate::support::memcached::MemcachedServer;

/// The SHA-256 of `n`, in base64url.
const N: &str = "Gxax31OLoS3D-X7buFyqcFDUbBSBNCkP66gPgjbIPbk";

#[tokio::test]
async fn what_is_forgotten_begins_anew() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    let acquire_lease = |value: &'static str| store.acquire_lease("n", value, at(0), at(100));
    let take = || store.take("n", at(0), SECOND, 1);
    let record_failure = || store.record_failure("n", at(0), &[Duration::ZERO, SECOND], SECOND);
    for value in ["first", "second"] {
        assert_eq!(acquire_lease(value).await, Ok(Lease::Acquired));
        assert_eq!(acquire_lease("other").await, Ok(held(value)));
        assert_eq!(take().await, Ok(None));
        assert_eq!(take().await, Ok(Some(SECOND)));
        assert_eq!(record_failure().await, Ok(Attempt::Counted(0)));
        assert_eq!(record_failure().await, Ok(Attempt::Wait(SECOND)));
        for prefix in ["marker", "budget", "strikes"] {
            server.forget(&format!("portcullis:{prefix}:{N}"));
        }
        assert_eq!(store.replace_lease("n", value, "x", at(200)).await, Ok(false));
    }
}

#[tokio::test]
async fn a_damaged_record_is_no_win_and_no_pass() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    let is_corrupt = |error: StoreError, damage: &str| {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{damage}: {error}");
    };
    for damage in ["", "no json", "{}", "{\"name\":\"n\"}"] {
        for prefix in ["marker", "budget", "strikes"] {
            server.set(&format!("portcullis:{prefix}:{N}"), damage);
        }
        let acquired = store.acquire_lease("n", "v", at(0), at(9)).await;
        is_corrupt(acquired.expect_err(damage), damage);
        is_corrupt(store.replace_lease("n", "v", "w", at(9)).await.expect_err(damage), damage);
        is_corrupt(store.read_lease("n", at(0)).await.expect_err(damage), damage);
        is_corrupt(store.take("n", at(0), SECOND, 9).await.expect_err(damage), damage);
        is_corrupt(store.record_failure("n", at(0), &[], SECOND).await.expect_err(damage), damage);
        is_corrupt(store.refund("n", SECOND).await.expect_err(damage), damage);
        is_corrupt(store.undo_failure("n").await.expect_err(damage), damage);
    }
    // A record of another name under this key is none of ours.
    for (prefix, record) in [
        ("marker", "{\"name\":\"m\",\"value\":\"v\",\"expires\":1}"),
        ("budget", "{\"name\":\"m\",\"full_at\":1}"),
        ("strikes", "{\"name\":\"m\",\"count\":1,\"last\":1}"),
    ] {
        server.set(&format!("portcullis:{prefix}:{N}"), record);
    }
    assert!(store.acquire_lease("n", "v", at(0), at(9)).await.is_err());
    assert!(store.take("n", at(0), SECOND, 9).await.is_err());
    assert!(store.record_failure("n", at(0), &[], SECOND).await.is_err());
    assert_eq!(store.release_lease("n").await, Ok(true));
    assert_eq!(store.reset_failures("n").await, Ok(()));
    assert_eq!(store.acquire_lease("n", "v", at(0), at(9)).await, Ok(Lease::Acquired));
}

#[tokio::test]
async fn a_frozen_server_is_given_up_in_time() {
    let Some(server) = MemcachedServer::start() else { return };
    let patience = Duration::from_millis(200);
    let options = Options { response_timeout: patience, ..Options::default() };
    let servers = Servers::parse(&server.url()).expect("servers");
    let store = MemcachedLimitStore::new(Memcached::new(&servers, &options));
    // A busy machine may take longer than this store has patience.
    let answers = async || {
        let began = Instant::now();
        while store.ping().await.is_err() {
            assert!(began.elapsed() < crate::support::PATIENCE);
        }
    };
    answers().await;
    server.pause();
    assert_eq!(store.acquire_lease("n", "v", at(0), at(9)).await, Err(StoreError::TimedOut));
    assert_eq!(store.take("n", at(0), SECOND, 9).await, Err(StoreError::TimedOut));
    assert_eq!(store.ping().await, Err(StoreError::TimedOut));
    server.resume();
    answers().await;
}
