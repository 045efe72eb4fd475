//! What single stores have to show beyond the contract: the same arithmetic, damage, locks.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::{SystemClock, UnixTime};
use portcullis::restrict::{Claim, MemoryRestrict, RestrictStore, Restrictions, SqliteRestrict};
use portcullis::session::{StoreError, StoreKind, StoreMetrics};
use portcullis::storage;
use proptest::prelude::*;

use super::{DATABASE, SECOND, at, held, open_sqlite, redis_store};
use crate::support::redis::RedisServer;

/// What a store is asked, at some millisecond; intervals, delays and memories in milliseconds.
#[derive(Clone, Debug)]
enum Ask {
    Claim(String, u64, u64),
    Swap(String, String, u64),
    Read(u64),
    Clear,
    Spend(u64, u64, u32),
    Refund(u64),
    Strike(u64, Vec<u64>, u64),
    Uncount,
    Pardon,
}

/// Mostly near each other, so that limits are met, and sometimes far off in either direction.
fn moments() -> impl Strategy<Value = u64> {
    const T: u64 = 1_800_000_000_000;
    prop_oneof![
        8 => T..T + 5_000,
        2 => T - 70_000..T + 70_000,
        1 => T - 4_000_000_000..T + 4_000_000_000,
        1 => Just(0),
        1 => any::<u64>(),
    ]
}

fn lengths() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..2_000_u64, 1 => 0..100_000_u64, 1 => any::<u64>()]
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let value = || "[ab]?";
    prop::collection::vec(
        prop_oneof![
            2 => (value(), moments(), moments()).prop_map(|(value, when, until)| Ask::Claim(value, when, until)),
            2 => (value(), value(), moments()).prop_map(|(old, new, until)| Ask::Swap(old, new, until)),
            1 => moments().prop_map(Ask::Read),
            1 => Just(Ask::Clear),
            8 => (moments(), lengths(), prop_oneof![0..6_u32, any::<u32>()])
                .prop_map(|(when, interval, burst)| Ask::Spend(when, interval, burst)),
            8 => (moments(), prop::collection::vec(lengths(), 0..5), lengths())
                .prop_map(|(when, delays, memory)| Ask::Strike(when, delays, memory)),
            2 => lengths().prop_map(Ask::Refund),
            2 => Just(Ask::Uncount),
            1 => Just(Ask::Pardon),
        ],
        1..40,
    )
}

/// All of the answer, as text.
async fn answer(store: &dyn RestrictStore, name: &str, ask: &Ask) -> String {
    let (time, length) = (UnixTime::from_millis, Duration::from_millis);
    match ask {
        Ask::Claim(value, when, until) => {
            format!("{:?}", store.claim(name, value, time(*when), time(*until)).await)
        }
        Ask::Swap(old, new, until) => {
            format!("{:?}", store.swap(name, old, new, time(*until)).await)
        }
        Ask::Read(when) => format!("{:?}", store.read(name, time(*when)).await),
        Ask::Clear => format!("{:?}", store.clear(name).await),
        Ask::Spend(when, interval, burst) => {
            format!("{:?}", store.spend(name, time(*when), length(*interval), *burst).await)
        }
        Ask::Strike(when, delays, memory) => {
            let delays: Vec<Duration> = delays.iter().copied().map(length).collect();
            format!("{:?}", store.strike(name, time(*when), &delays, length(*memory)).await)
        }
        Ask::Refund(interval) => {
            format!("{:?}", store.refund(name, length(*interval)).await)
        }
        Ask::Uncount => format!("{:?}", store.uncount(name).await),
        Ask::Pardon => format!("{:?}", store.pardon(name).await),
    }
}

/// Asks both the same, under a name of its own for each sequence.
fn agrees_with_the_pure_arithmetic(
    runtime: &tokio::runtime::Runtime,
    store: &dyn RestrictStore,
    cases: u32,
) {
    let pure = MemoryRestrict::new();
    let sequence = std::cell::Cell::new(0_u64);
    let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
    let checked = proptest::test_runner::TestRunner::new(config).run(&asks(), |asks| {
        sequence.set(sequence.get() + 1);
        let name = format!("sequence {}", sequence.get());
        runtime.block_on(async {
            for (n, ask) in asks.iter().enumerate() {
                let (expected, found) =
                    (answer(&pure, &name, ask).await, answer(store, &name, ask).await);
                prop_assert!(expected.starts_with("Ok"), "{expected}");
                prop_assert_eq!(expected, found, "the {}th: {:?}", n, ask);
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
async fn fill(store: &dyn RestrictStore) {
    store.claim("n", "value", at(0), at(100)).await.expect("claim");
    store.spend("n", at(0), SECOND, 1).await.expect("spend");
    store.strike("n", at(0), &[SECOND], SECOND).await.expect("strike");
}

async fn is_corrupt(store: &dyn RestrictStore, what: &str, damage: &str) {
    let outcome = match what {
        "claim" => store.claim("n", "other", at(50), at(200)).await.map(drop),
        "read" => store.read("n", at(50)).await.map(drop),
        "spend" => store.spend("n", at(50), SECOND, 9).await.map(drop),
        "strike" => store.strike("n", at(50), &[], SECOND).await.map(drop),
        "refund" => store.refund("n", SECOND).await,
        "uncount" => store.uncount("n").await,
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
    let raw = storage::sqlite::open(&file, Default::default()).await.expect("open");
    for (damage, stops) in [
        ("UPDATE markers SET expires = -1", ["claim", "read"].as_slice()),
        ("UPDATE markers SET value = CAST(x'ff' AS TEXT)", &["claim", "read"]),
        ("UPDATE budgets SET full_at = -1", &["spend"]),
        ("UPDATE strikes SET count = -1", &["strike"]),
        ("UPDATE strikes SET count = 4294967296", &["strike"]),
        ("UPDATE strikes SET last = -1", &["strike"]),
    ] {
        fill(&store).await;
        sqlx::raw_sql(damage).execute(&raw).await.expect(damage);
        for what in stops {
            is_corrupt(&store, what, damage).await;
        }
        assert_eq!(store.clear("n").await, Ok(true));
        store.pardon("n").await.expect("pardon");
        sqlx::raw_sql("DELETE FROM budgets").execute(&raw).await.expect("delete");
    }
}

#[tokio::test]
async fn a_damaged_redis_record_allows_nothing_until_it_is_taken_away() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server);
    for (damage, stops) in [
        ("HSET marker expires soon", ["claim", "read"].as_slice()),
        ("HSET marker expires -1", &["claim", "read"]),
        ("HDEL marker expires", &["claim", "read"]),
        ("HDEL marker value", &["claim", "read"]),
        ("SET marker text", &["claim", "read"]),
        ("HSET budget full_at 1e3", &["spend", "refund"]),
        ("HSET budget full_at 99999999999999999999", &["spend"]),
        ("SET budget text", &["spend", "refund"]),
        ("HSET strikes count many", &["strike", "uncount"]),
        ("HSET strikes count 4294967296", &["strike", "uncount"]),
        ("HDEL strikes count", &["strike", "uncount"]),
        ("HDEL strikes last", &["strike"]),
        ("SET strikes text", &["strike", "uncount"]),
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
            let swapped = store.swap("n", "value", "other", at(200)).await;
            assert!(matches!(swapped, Err(StoreError::Corrupt { .. })), "{swapped:?}");
        }
        store.purge(at(1)).await.expect("purge");
        assert_eq!(store.clear("n").await, Ok(true), "{damage}");
        store.pardon("n").await.expect("pardon");
        let _: redis::Value = server.ask(DATABASE, &["FLUSHDB"]).await;
    }
}

#[tokio::test]
async fn redis_reclaims_what_is_over_and_not_before() {
    let Some(server) = RedisServer::start() else { return };
    let store = redis_store(&server);
    store.claim("n", "value", at(0), at(120_000)).await.expect("claim");
    store.spend("n", at(0), 10 * SECOND, 6).await.expect("spend");
    store.strike("n", at(0), &[SECOND], 900 * SECOND).await.expect("strike");
    let lives = async |what: &str, least: i64, most: i64| {
        let key = format!("portcullis:restrict:{what}:n");
        let millis: i64 = server.ask(DATABASE, &["PTTL", &key]).await;
        assert!((least..=most).contains(&millis), "{what}: {millis}");
    };
    lives("marker", 3_660_000, 3_720_000).await;
    lives("budget", 70_000, 130_000).await;
    lives("strikes", 900_000, 960_000).await;
    assert_eq!(store.swap("n", "value", "other", at(10_120_000)).await, Ok(true));
    lives("marker", 13_660_000, 13_720_000).await;
    assert_eq!(store.swap("n", "other", "value", at(1)).await, Ok(true));
    lives("marker", 13_660_000, 13_720_000).await;
    assert_eq!(server.ask::<i64>(DATABASE, &["DBSIZE"]).await, 3);
}

#[tokio::test]
async fn a_locked_file_times_out_and_still_refuses_what_it_must() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("portcullis.db");
    let busy_timeout = Duration::from_millis(100);
    let options = storage::sqlite::Options { busy_timeout, max_connections: 2 };
    let store = SqliteRestrict::open(&file, options).await.expect("open");
    fill(&store).await;
    let raw = storage::sqlite::open(&file, Default::default()).await.expect("open");
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.expect("lock");
    assert_eq!(store.claim("new", "v", at(0), at(9)).await, Err(StoreError::TimedOut));
    assert_eq!(store.spend("new", at(0), SECOND, 1).await, Err(StoreError::TimedOut));
    assert_eq!(store.claim("n", "v", at(0), at(9)).await, Ok(held("value")));
    assert_eq!(store.spend("n", at(0), SECOND, 1).await, Ok(Some(SECOND)));
    lock.rollback().await.expect("rollback");
    assert_eq!(store.claim("new", "v", at(0), at(9)).await, Ok(Claim::Won));
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
    gone(store.claim("n", "v", at(0), at(9)).await.map(drop));
    gone(store.swap("n", "v", "w", at(9)).await.map(drop));
    gone(store.read("n", at(0)).await.map(drop));
    gone(store.clear("n").await.map(drop));
    gone(store.spend("n", at(0), SECOND, 1).await.map(drop));
    gone(store.strike("n", at(0), &[], SECOND).await.map(drop));
    gone(store.refund("n", SECOND).await);
    gone(store.uncount("n").await);
    gone(store.pardon("n").await);
}

#[tokio::test]
async fn a_silent_store_is_given_up_in_time_whatever_it_is_asked() {
    let Some(server) = RedisServer::start() else { return };
    let metrics = StoreMetrics::unseen(StoreKind::Restrictions);
    let (timeout, clock) = (Duration::from_millis(100), Arc::new(SystemClock::new()));
    let restrictions = Restrictions::new(Arc::new(redis_store(&server)), timeout, clock, metrics);
    assert_eq!(restrictions.claim("n", "v", at(0), at(9)).await, Ok(Claim::Won));
    server.pause();
    let outcomes = [
        restrictions.claim("n", "v", at(0), at(9)).await.map(drop),
        restrictions.swap("n", "v", "w", at(9)).await.map(drop),
        restrictions.read("n", at(0)).await.map(drop),
        restrictions.clear("n").await.map(drop),
        restrictions.spend("n", at(0), SECOND, 1).await.map(drop),
        restrictions.strike("n", at(0), &[], SECOND).await.map(drop),
        restrictions.refund("n", SECOND).await,
        restrictions.uncount("n").await,
        restrictions.pardon("n").await,
        restrictions.ping().await,
    ];
    assert_eq!(outcomes, [const { Err(StoreError::TimedOut) }; 10]);
    server.resume();
}
