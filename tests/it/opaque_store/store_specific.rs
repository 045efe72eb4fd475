//! Tests of single stores beyond the contract: damage, locks, lost files, kept keys.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::SystemClock;
use portcullis::opaque::{OpaqueToken, OpaqueTokenStore, Rotation, SqliteTokenStore, Tokens};
use portcullis::store::{StoreError, StoreKind, StoreMetrics};
use prometheus_client::registry::Registry;

use super::{at, digest, open_sqlite, redis_store, token};
use crate::support::redis::RedisServer;
use crate::support::stores::{self, DATABASE};

fn whole() -> OpaqueToken {
    OpaqueToken { client: Some("client".to_owned()), ..token("t") }
}

async fn is_corrupt(store: &dyn OpaqueTokenStore, damage: &str) {
    let found = store.get(&digest("t")).await;
    let Err(StoreError::Corrupt { id, reason }) = found else {
        panic!("{damage}: {found:?}");
    };
    assert!(id.contains(&digest("t").name()[..12]) && !reason.is_empty(), "{id}: {reason}");
    assert!(store.remove(&digest("t")).await.is_ok_and(|there| there), "{damage}");
}

#[tokio::test]
async fn a_damaged_sqlite_record_is_never_a_token() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_sqlite(folder.path()).await;
    let raw = stores::raw_sqlite(folder.path()).await;
    for damage in [
        "UPDATE opaque_tokens SET kind = 'Refresh'",
        "UPDATE opaque_tokens SET kind = ''",
        "UPDATE opaque_tokens SET session = 'a b'",
        "UPDATE opaque_tokens SET user_id = ''",
        "UPDATE opaque_tokens SET claims = 'no json'",
        "UPDATE opaque_tokens SET claims = '[]'",
        "UPDATE opaque_tokens SET issued = -1",
        "UPDATE opaque_tokens SET expires = -1",
        "UPDATE opaque_tokens SET used = -1",
        "UPDATE opaque_tokens SET client = CAST(x'ff7b7d' AS TEXT)",
    ] {
        store.put(&[whole()]).await.expect("put");
        sqlx::raw_sql(damage).execute(&raw).await.expect(damage);
        is_corrupt(&store, damage).await;
    }
    store.put(&[whole()]).await.expect("put");
    sqlx::raw_sql("UPDATE opaque_tokens SET used = -1").execute(&raw).await.expect("update");
    let outcome = store.rotate(&digest("t"), at(1), &[token("next")]).await;
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
    assert_eq!(store.get(&digest("next")).await, Ok(None));
}

#[tokio::test]
async fn a_damaged_redis_record_is_never_a_token() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server);
    let key = format!("portcullis:opaque:{}", digest("t").name());
    for damage in [
        ["HSET", "kind", "Refresh"].as_slice(),
        &["HSET", "session", "a b"],
        &["HSET", "user", ""],
        &["HSET", "claims", "[]"],
        &["HSET", "issued", "1e3"],
        &["HSET", "expires", "-1"],
        &["HSET", "used", "yes"],
        &["HDEL", "kind"],
        &["HDEL", "session"],
        &["HDEL", "user"],
        &["HDEL", "claims"],
        &["HDEL", "issued"],
        &["HDEL", "expires"],
        &["SET", "text"],
    ] {
        store.put(&[whole()]).await.expect("put");
        let words = [&[damage[0], key.as_str()], &damage[1..]].concat();
        let _: redis::Value = server.ask(DATABASE, &words).await;
        is_corrupt(&store, &words.join(" ")).await;
    }
    for words in [vec!["SET", &key, "text"], vec!["HSET", &key, "expires", "soon"]] {
        let _: redis::Value = server.ask(DATABASE, &["DEL", &key]).await;
        let _: redis::Value = server.ask(DATABASE, &words).await;
        let extended = store.extend(&digest("t"), at(1), None).await;
        assert!(matches!(extended, Err(StoreError::Corrupt { .. })), "{words:?} {extended:?}");
        assert_eq!(store.purge(at(99_999_999)).await, Ok(0));
    }
    let _: redis::Value = server.ask(DATABASE, &["SET", &key, "text"]).await;
    let outcome = store.rotate(&digest("t"), at(1), &[token("next")]).await;
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
    assert_eq!(store.get(&digest("next")).await, Ok(None));
}

#[tokio::test]
async fn redis_reclaims_a_token_an_hour_after_its_end_wherever_that_moves() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server);
    store.put(&[token("t")]).await.expect("put");
    let key = format!("portcullis:opaque:{}", digest("t").name());
    let lives = async |expected: i64| {
        let millis: i64 = server.ask(DATABASE, &["PTTL", &key]).await;
        assert!((expected - 60_000..=expected).contains(&millis), "{millis}");
    };
    lives(3_660_000).await;
    store.extend(&digest("t"), at(10_060_000), None).await.expect("extend");
    lives(13_660_000).await;
    store.extend(&digest("t"), at(1), None).await.expect("extend");
    assert_eq!(store.rotate(&digest("t"), at(2), &[token("n")]).await, Ok(Rotation::Rotated));
    lives(13_660_000).await;
    assert_eq!(server.ask::<i64>(DATABASE, &["DBSIZE"]).await, 2);
}

#[tokio::test]
async fn redis_may_forget_our_scripts() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server);
    for n in 0..3 {
        let (old, next) = (format!("old{n}"), format!("next{n}"));
        store.put(&[token(&old)]).await.expect("put");
        let _: () = server.ask(DATABASE, &["SCRIPT", "FLUSH"]).await;
        let outcome = store.rotate(&digest(&old), at(1), &[token(&next)]).await;
        assert_eq!(outcome, Ok(Rotation::Rotated));
    }
}

#[tokio::test]
async fn a_locked_file_times_out_and_still_refuses_a_used_token() {
    let folder = tempfile::tempdir().expect("folder");
    let store =
        SqliteTokenStore::new(stores::sqlite_with(folder.path(), stores::hasty_sqlite()).await);
    store.put(&[token("used"), token("new")]).await.expect("put");
    store.rotate(&digest("used"), at(1), &[]).await.expect("rotate");
    let raw = stores::raw_sqlite(folder.path()).await;
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.expect("lock");
    let outcome = store.rotate(&digest("new"), at(2), &[token("next")]).await;
    assert_eq!(outcome, Err(StoreError::TimedOut));
    assert_eq!(store.rotate(&digest("used"), at(2), &[]).await, Ok(Rotation::AlreadyUsed));
    lock.rollback().await.expect("rollback");
    assert_eq!(store.get(&digest("new")).await, Ok(Some(token("new"))));
    let outcome = store.rotate(&digest("new"), at(2), &[token("next")]).await;
    assert_eq!(outcome, Ok(Rotation::Rotated));
}

#[tokio::test]
async fn a_file_that_was_deleted_rotates_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_sqlite(folder.path()).await;
    store.put(&[token("old")]).await.expect("put");
    std::fs::remove_file(folder.path().join(stores::FILE)).expect("remove");
    let gone = |outcome: Result<(), StoreError>| {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    };
    gone(store.ping().await);
    gone(store.put(&[token("new")]).await);
    gone(store.get(&digest("old")).await.map(drop));
    gone(store.rotate(&digest("old"), at(1), &[]).await.map(drop));
    gone(store.extend(&digest("old"), at(1), None).await.map(drop));
    gone(store.remove(&digest("old")).await.map(drop));
}

#[tokio::test]
async fn a_silent_store_is_given_up_in_time_whatever_it_is_asked() {
    let Some(server) = RedisServer::start() else { return };
    let mut registry = Registry::default();
    let metrics = StoreMetrics::register_for(&mut registry, StoreKind::Tokens);
    let (timeout, clock) = (Duration::from_millis(100), Arc::new(SystemClock::new()));
    let tokens = Tokens::new(Arc::new(redis_store(&server)), timeout, clock, metrics);
    tokens.put(&[token("t")]).await.expect("put");
    server.pause();
    let outcomes = [
        tokens.put(&[token("new")]).await,
        tokens.get(&digest("t")).await.map(drop),
        tokens.rotate(&digest("t"), at(1), &[]).await.map(drop),
        tokens.extend(&digest("t"), at(1), None).await.map(drop),
        tokens.remove(&digest("t")).await.map(drop),
        tokens.ping().await,
    ];
    assert_eq!(outcomes, [const { Err(StoreError::TimedOut) }; 6]);
    server.resume();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    for line in [
        "portcullis_token_store_seconds_count{operation=\"put\"} 2",
        "portcullis_token_store_failures_total{operation=\"put\"} 1",
        "portcullis_token_store_failures_total{operation=\"rotate\"} 1",
        "portcullis_token_store_failures_total{operation=\"purge\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}
