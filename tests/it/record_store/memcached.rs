//! Tests of memcached beyond the contract: what it forgets begins anew, as the manual says,
//! and what cannot be read or reached is nobody's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::lease::Lease;
use portcullis::limit::Attempt;
use portcullis::store::StoreError;
use portcullis::store::records::RecordStore as _;

use super::{PATIENCE, SECOND, are_corrupt, at, fill, key, memcached_store, process, record};
use crate::support::memcached::MemcachedServer;

/// The SHA-256 of `n`, in base64url.
const N: &str = "Gxax31OLoS3D-X7buFyqcFDUbBSBNCkP66gPgjbIPbk";
const KINDS: [&str; 3] = ["lease", "bucket", "failures"];

#[tokio::test]
async fn what_is_forgotten_begins_anew() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = Arc::new(memcached_store(&server.url(), PATIENCE));
    let (leases, limits, _) = process(store, PATIENCE);
    let acquire = |value: &'static str| leases.acquire("n", value, at(0), at(100));
    let take = || limits.take("n", at(0), SECOND, 1);
    let record_failure = || limits.record_failure("n", at(0), &[Duration::ZERO, SECOND], SECOND);
    for value in ["first", "second"] {
        assert_eq!(acquire(value).await, Ok(Lease::Acquired));
        assert_eq!(acquire("other").await, Ok(Lease::Held(value.to_owned())));
        assert_eq!((take().await, take().await), (Ok(None), Ok(Some(SECOND))));
        assert_eq!(record_failure().await, Ok(Attempt::Counted(0)));
        assert_eq!(record_failure().await, Ok(Attempt::Wait(SECOND)));
        for kind in KINDS {
            server.forget(&format!("portcullis:{kind}:{N}"));
        }
        assert_eq!(leases.replace("n", value, "x", at(0), at(200)).await, Ok(false));
    }
}

#[tokio::test]
async fn a_damaged_record_allows_nothing_until_it_is_taken_away() {
    let Some(server) = MemcachedServer::start() else { return };
    let process = process(Arc::new(memcached_store(&server.url(), PATIENCE)), PATIENCE);
    for damage in ["", "no json", "{}", "{\"value\":\"v\",\"expires\":-1,\"full_at\":-1}"] {
        fill(&process).await;
        for kind in KINDS {
            server.set(&format!("portcullis:{kind}:{N}"), damage);
        }
        are_corrupt(&process, damage).await;
        for kind in KINDS {
            server.forget(&format!("portcullis:{kind}:{N}"));
        }
    }
}

#[tokio::test]
async fn a_frozen_server_is_given_up_in_time() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url(), Duration::from_millis(200));
    // A busy machine may take longer than this store has patience.
    let answers = async || {
        let began = Instant::now();
        while store.ping().await.is_err() {
            assert!(began.elapsed() < crate::support::PATIENCE);
        }
    };
    answers().await;
    server.pause();
    assert_eq!(store.get(&key("n")).await, Err(StoreError::TimedOut));
    let added = store.compare_and_set(&key("n"), None, &record("x", 9)).await;
    assert_eq!(added, Err(StoreError::TimedOut));
    assert_eq!(store.ping().await, Err(StoreError::TimedOut));
    server.resume();
    answers().await;
}
