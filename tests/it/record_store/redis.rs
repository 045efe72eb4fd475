//! Tests of Redis beyond the contract: damage, expiry, and silence.

use std::sync::Arc;
use std::time::Duration;

use portcullis::lease::Lease;
use portcullis::store::StoreError;

use super::{PATIENCE, SECOND, are_corrupt, at, fill, outcomes, process, redis_store};
use crate::support::redis::RedisServer;
use crate::support::stores::DATABASE;

#[tokio::test]
async fn a_damaged_record_allows_nothing_until_it_is_taken_away() {
    let Some(server) = RedisServer::start() else { return };
    let process = process(Arc::new(redis_store(&server.url())), PATIENCE);
    for damage in [
        ["SET", "text"].as_slice(),
        &["SET", "\u{0}"],
        &["SET", "{\"value\":\"v\",\"expires\":-1,\"full_at\":1e99,\"count\":1,\"last\":1}"],
        &["SET", "{\"count\":4294967296,\"last\":1,\"expires\":1}"],
        &["LPUSH", "{\"value\":\"v\",\"expires\":9,\"full_at\":9}"],
    ] {
        fill(&process).await;
        for kind in ["lease", "bucket", "failures"] {
            let key = format!("portcullis:{kind}:n");
            let _: redis::Value = server.ask(DATABASE, &["DEL", &key]).await;
            let _: redis::Value = server.ask(DATABASE, &[damage[0], &key, damage[1]]).await;
        }
        are_corrupt(&process, damage[1]).await;
        let _: redis::Value = server.ask(DATABASE, &["FLUSHDB"]).await;
    }
}

#[tokio::test]
async fn it_reclaims_what_is_over_and_not_before() {
    let Some(server) = RedisServer::start() else { return };
    let process = process(Arc::new(redis_store(&server.url())), PATIENCE);
    let (leases, limits, _) = &process;
    let acquired = leases.acquire("n", "value", at(0), at(120_000)).await;
    assert_eq!(acquired, Ok(Lease::Acquired));
    limits.take("n", at(0), 10 * SECOND, 6).await.expect("take");
    limits.record_failure("n", at(0), &[SECOND], 900 * SECOND).await.expect("record_failure");
    let lives = async |kind: &str, least: i64| {
        let key = format!("portcullis:{kind}:n");
        let millis: i64 = server.ask(DATABASE, &["PTTL", &key]).await;
        assert!((least..=least + 60_000).contains(&millis), "{kind}: {millis}");
    };
    lives("lease", 3_660_000).await;
    lives("bucket", 10_000).await;
    lives("failures", 900_000).await;
    limits.refund("n", at(0), 10 * SECOND).await.expect("refund");
    limits.undo_failure("n", at(1_000)).await.expect("undo_failure");
    lives("bucket", 0).await;
    lives("failures", 899_000).await;
    assert_eq!(leases.replace("n", "value", "other", at(0), at(10_120_000)).await, Ok(true));
    lives("lease", 13_660_000).await;
    assert_eq!(server.ask::<i64>(DATABASE, &["DBSIZE"]).await, 3);
}

#[tokio::test]
async fn a_silent_store_is_given_up_in_time_whatever_it_is_asked() {
    let Some(server) = RedisServer::start() else { return };
    let store = Arc::new(redis_store(&server.url()));
    let process = process(store, Duration::from_millis(100));
    let acquired = process.0.acquire("n", "v", at(0), at(9)).await;
    assert_eq!(acquired, Ok(Lease::Acquired));
    server.pause();
    assert_eq!(process.2.ping().await, Err(StoreError::TimedOut));
    assert_eq!(outcomes(&process).await, [const { Err(StoreError::TimedOut) }; 9]);
    server.resume();
}
