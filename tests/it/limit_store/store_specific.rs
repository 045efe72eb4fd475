//! Tests of single stores beyond the contract: the same arithmetic, damage, locks.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::{SystemClock, UnixTime};
use portcullis::limit::{Lease, LimitStore, Limits, MemoryLimitStore, SqliteLimitStore};
use portcullis::store;
use portcullis::store::{StoreError, StoreKind, StoreMetrics};
use proptest::prelude::*;

use super::{DATABASE, SECOND, at, held, open_sqlite, redis_store};
use crate::support::redis::RedisServer;

/// An operation of a store, at some millisecond; intervals, delays and memories in milliseconds.
#[derive(Clone, Debug)]
enum Operation {
    AcquireLease(String, u64, u64),
    ReplaceLease(String, String, u64),
    ReadLease(u64),
    ReleaseLease,
    Take(u64, u64, u32),
    Refund(u64),
    RecordFailure(u64, Vec<u64>, u64),
    UndoFailure,
    ResetFailures,
}

/// Mostly near each other, so that limits are met, and sometimes far off in either direction.
fn timestamps() -> impl Strategy<Value = u64> {
    const T: u64 = 1_800_000_000_000;
    prop_oneof![
        8 => T..T + 5_000,
        2 => T - 70_000..T + 70_000,
        1 => T - 4_000_000_000..T + 4_000_000_000,
        1 => Just(0),
        1 => any::<u64>(),
    ]
}

fn durations() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..2_000_u64, 1 => 0..100_000_u64, 1 => any::<u64>()]
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let value = || "[ab]?";
    prop::collection::vec(
        prop_oneof![
            2 => (value(), timestamps(), timestamps()).prop_map(|(value, when, until)| Operation::AcquireLease(value, when, until)),
            2 => (value(), value(), timestamps()).prop_map(|(old, new, until)| Operation::ReplaceLease(old, new, until)),
            1 => timestamps().prop_map(Operation::ReadLease),
            1 => Just(Operation::ReleaseLease),
            8 => (timestamps(), durations(), prop_oneof![0..6_u32, any::<u32>()])
                .prop_map(|(when, interval, burst)| Operation::Take(when, interval, burst)),
            8 => (timestamps(), prop::collection::vec(durations(), 0..5), durations())
                .prop_map(|(when, delays, memory)| Operation::RecordFailure(when, delays, memory)),
            2 => durations().prop_map(Operation::Refund),
            2 => Just(Operation::UndoFailure),
            1 => Just(Operation::ResetFailures),
        ],
        1..40,
    )
}

/// All of the answer, as text.
async fn answer(store: &dyn LimitStore, name: &str, operation: &Operation) -> String {
    let (time, length) = (UnixTime::from_millis, Duration::from_millis);
    match operation {
        Operation::AcquireLease(value, when, until) => {
            format!("{:?}", store.acquire_lease(name, value, time(*when), time(*until)).await)
        }
        Operation::ReplaceLease(old, new, until) => {
            format!("{:?}", store.replace_lease(name, old, new, time(*until)).await)
        }
        Operation::ReadLease(when) => format!("{:?}", store.read_lease(name, time(*when)).await),
        Operation::ReleaseLease => format!("{:?}", store.release_lease(name).await),
        Operation::Take(when, interval, burst) => {
            format!("{:?}", store.take(name, time(*when), length(*interval), *burst).await)
        }
        Operation::RecordFailure(when, delays, memory) => {
            let delays: Vec<Duration> = delays.iter().copied().map(length).collect();
            format!("{:?}", store.record_failure(name, time(*when), &delays, length(*memory)).await)
        }
        Operation::Refund(interval) => {
            format!("{:?}", store.refund(name, length(*interval)).await)
        }
        Operation::UndoFailure => format!("{:?}", store.undo_failure(name).await),
        Operation::ResetFailures => format!("{:?}", store.reset_failures(name).await),
    }
}

/// Asks both the same, under a name of its own for each sequence.
fn agrees_with_the_pure_arithmetic(
    runtime: &tokio::runtime::Runtime,
    store: &dyn LimitStore,
    cases: u32,
) {
    let pure = MemoryLimitStore::new();
    let sequence = std::cell::Cell::new(0_u64);
    let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
    let checked = proptest::test_runner::TestRunner::new(config).run(&operations(), |operations| {
        sequence.set(sequence.get() + 1);
        let name = format!("sequence {}", sequence.get());
        runtime.block_on(async {
            for (n, operation) in operations.iter().enumerate() {
                let (expected, found) =
                    (answer(&pure, &name, operation).await, answer(store, &name, operation).await);
                prop_assert!(expected.starts_with("Ok"), "{expected}");
                prop_assert_eq!(expected, found, "the {}th: {:?}", n, operation);
            }
            Ok(())
        })
    });
    checked.expect("both say the same");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio")
}

#[test]
fn redis_scripts_come_to_the_same_answers_as_the_pure_arithmetic() {
    let Some(server) = RedisServer::start() else { return };
    let runtime = runtime();
    let store = runtime.block_on(async { redis_store(&server) });
    agrees_with_the_pure_arithmetic(&runtime, &store, 400);
}

#[test]
fn sqlite_comes_to_the_same_answers_as_the_pure_arithmetic() {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("folder");
    let store = runtime.block_on(open_sqlite(folder.path()));
    agrees_with_the_pure_arithmetic(&runtime, &store, 100);
    runtime.block_on(store.close());
}

/// Sets one of each.
async fn fill(store: &dyn LimitStore) {
    store.acquire_lease("n", "value", at(0), at(100)).await.expect("acquire_lease");
    store.take("n", at(0), SECOND, 1).await.expect("take");
    store.record_failure("n", at(0), &[SECOND], SECOND).await.expect("record_failure");
}

async fn is_corrupt(store: &dyn LimitStore, what: &str, damage: &str) {
    let outcome = match what {
        "acquire_lease" => store.acquire_lease("n", "other", at(50), at(200)).await.map(drop),
        "read_lease" => store.read_lease("n", at(50)).await.map(drop),
        "take" => store.take("n", at(50), SECOND, 9).await.map(drop),
        "record_failure" => store.record_failure("n", at(50), &[], SECOND).await.map(drop),
        "refund" => store.refund("n", SECOND).await,
        "undo_failure" => store.undo_failure("n").await,
        what => panic!("{what}"),
    };
    let Err(StoreError::Corrupt { id, reason }) = outcome else {
        panic!("{what} after {damage}: {outcome:?}");
    };
    assert!(id == "n" && !reason.is_empty(), "{id}: {reason}");
}

#[tokio::test]
async fn a_damaged_sqlite_record_allows_nothing_until_it_is_taken_away() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_sqlite(folder.path()).await;
    let file = folder.path().join("portcullis.db");
    let raw = store::sqlite::open(&file, Default::default()).await.expect("open");
    for (damage, stops) in [
        ("UPDATE markers SET expires = -1", ["acquire_lease", "read_lease"].as_slice()),
        ("UPDATE markers SET value = CAST(x'ff' AS TEXT)", &["acquire_lease", "read_lease"]),
        ("UPDATE budgets SET full_at = -1", &["take"]),
        ("UPDATE strikes SET count = -1", &["record_failure"]),
        ("UPDATE strikes SET count = 4294967296", &["record_failure"]),
        ("UPDATE strikes SET last = -1", &["record_failure"]),
    ] {
        fill(&store).await;
        sqlx::raw_sql(damage).execute(&raw).await.expect(damage);
        for what in stops {
            is_corrupt(&store, what, damage).await;
        }
        assert_eq!(store.release_lease("n").await, Ok(true));
        store.reset_failures("n").await.expect("reset_failures");
        sqlx::raw_sql("DELETE FROM budgets").execute(&raw).await.expect("delete");
    }
}

#[tokio::test]
async fn a_damaged_redis_record_allows_nothing_until_it_is_taken_away() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server);
    for (damage, stops) in [
        ("HSET marker expires soon", ["acquire_lease", "read_lease"].as_slice()),
        ("HSET marker expires -1", &["acquire_lease", "read_lease"]),
        ("HDEL marker expires", &["acquire_lease", "read_lease"]),
        ("HDEL marker value", &["acquire_lease", "read_lease"]),
        ("SET marker text", &["acquire_lease", "read_lease"]),
        ("HSET budget full_at 1e3", &["take", "refund"]),
        ("HSET budget full_at 99999999999999999999", &["take"]),
        ("SET budget text", &["take", "refund"]),
        ("HSET strikes count many", &["record_failure", "undo_failure"]),
        ("HSET strikes count 4294967296", &["record_failure", "undo_failure"]),
        ("HDEL strikes count", &["record_failure", "undo_failure"]),
        ("HDEL strikes last", &["record_failure"]),
        ("SET strikes text", &["record_failure", "undo_failure"]),
    ] {
        fill(&store).await;
        let mut words: Vec<&str> = damage.split(' ').collect();
        let key = format!("portcullis:restrict:{}:n", words[1]);
        words[1] = &key;
        let _: redis::Value = server.ask(DATABASE, &words).await;
        for what in stops {
            is_corrupt(&store, what, damage).await;
        }
        if damage.starts_with("SET marker") {
            let replaced = store.replace_lease("n", "value", "other", at(200)).await;
            assert!(matches!(replaced, Err(StoreError::Corrupt { .. })), "{replaced:?}");
        }
        store.purge(at(1)).await.expect("purge");
        assert_eq!(store.release_lease("n").await, Ok(true), "{damage}");
        store.reset_failures("n").await.expect("reset_failures");
        let _: redis::Value = server.ask(DATABASE, &["FLUSHDB"]).await;
    }
}

#[tokio::test]
async fn redis_reclaims_what_is_over_and_not_before() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server);
    store.acquire_lease("n", "value", at(0), at(120_000)).await.expect("acquire_lease");
    store.take("n", at(0), 10 * SECOND, 6).await.expect("take");
    store.record_failure("n", at(0), &[SECOND], 900 * SECOND).await.expect("record_failure");
    let lives = async |what: &str, least: i64, most: i64| {
        let key = format!("portcullis:restrict:{what}:n");
        let millis: i64 = server.ask(DATABASE, &["PTTL", &key]).await;
        assert!((least..=most).contains(&millis), "{what}: {millis}");
    };
    lives("marker", 3_660_000, 3_720_000).await;
    lives("budget", 70_000, 130_000).await;
    lives("strikes", 900_000, 960_000).await;
    assert_eq!(store.replace_lease("n", "value", "other", at(10_120_000)).await, Ok(true));
    lives("marker", 13_660_000, 13_720_000).await;
    assert_eq!(store.replace_lease("n", "other", "value", at(1)).await, Ok(true));
    lives("marker", 13_660_000, 13_720_000).await;
    assert_eq!(server.ask::<i64>(DATABASE, &["DBSIZE"]).await, 3);
}

#[tokio::test]
async fn a_locked_file_times_out_and_still_refuses_what_it_must() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("portcullis.db");
    let busy_timeout = Duration::from_millis(100);
    let options = store::sqlite::Options { busy_timeout, max_connections: 2 };
    let store = SqliteLimitStore::open(&file, options).await.expect("open");
    fill(&store).await;
    let raw = store::sqlite::open(&file, Default::default()).await.expect("open");
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.expect("lock");
    assert_eq!(store.acquire_lease("new", "v", at(0), at(9)).await, Err(StoreError::TimedOut));
    assert_eq!(store.take("new", at(0), SECOND, 1).await, Err(StoreError::TimedOut));
    assert_eq!(store.acquire_lease("n", "v", at(0), at(9)).await, Ok(held("value")));
    assert_eq!(store.take("n", at(0), SECOND, 1).await, Ok(Some(SECOND)));
    lock.rollback().await.expect("rollback");
    assert_eq!(store.acquire_lease("new", "v", at(0), at(9)).await, Ok(Lease::Acquired));
}

#[tokio::test]
async fn a_file_that_was_deleted_allows_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_sqlite(folder.path()).await;
    std::fs::remove_file(folder.path().join("portcullis.db")).expect("remove");
    let gone = |outcome: Result<(), StoreError>| {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    };
    gone(store.ping().await);
    gone(store.acquire_lease("n", "v", at(0), at(9)).await.map(drop));
    gone(store.replace_lease("n", "v", "w", at(9)).await.map(drop));
    gone(store.read_lease("n", at(0)).await.map(drop));
    gone(store.release_lease("n").await.map(drop));
    gone(store.take("n", at(0), SECOND, 1).await.map(drop));
    gone(store.record_failure("n", at(0), &[], SECOND).await.map(drop));
    gone(store.refund("n", SECOND).await);
    gone(store.undo_failure("n").await);
    gone(store.reset_failures("n").await);
}

#[tokio::test]
async fn a_silent_store_is_given_up_in_time_whatever_it_is_asked() {
    let Some(server) = RedisServer::start() else { return };
    let metrics = StoreMetrics::unregistered(StoreKind::Limits);
    let (timeout, clock) = (Duration::from_millis(100), Arc::new(SystemClock::new()));
    let limits = Limits::new(Arc::new(redis_store(&server)), timeout, clock, metrics);
    assert_eq!(limits.acquire_lease("n", "v", at(0), at(9)).await, Ok(Lease::Acquired));
    server.pause();
    let outcomes = [
        limits.acquire_lease("n", "v", at(0), at(9)).await.map(drop),
        limits.replace_lease("n", "v", "w", at(9)).await.map(drop),
        limits.read_lease("n", at(0)).await.map(drop),
        limits.release_lease("n").await.map(drop),
        limits.take("n", at(0), SECOND, 1).await.map(drop),
        limits.record_failure("n", at(0), &[], SECOND).await.map(drop),
        limits.refund("n", SECOND).await,
        limits.undo_failure("n").await,
        limits.reset_failures("n").await,
        limits.ping().await,
    ];
    assert_eq!(outcomes, [const { Err(StoreError::TimedOut) }; 10]);
    server.resume();
}
