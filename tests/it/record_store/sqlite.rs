//! Tests of SQLite beyond the contract: damage, locks, and a file that is gone.

use std::sync::Arc;
use std::time::Duration;

use portcullis::lease::Lease;
use portcullis::limit::Attempt;
use portcullis::store::StoreError;
use portcullis::store::records::SqliteRecordStore;

use super::{PATIENCE, SECOND, at, fill, open_sqlite, outcomes, process};
use crate::support::{in_repository, stores};

/// The schema in which leases, buckets and failures had a table each.
const BEFORE: [&str; 4] =
    ["0001_sessions.sql", "0002_accounts.sql", "0003_issuance.sql", "0004_changes.sql"];

#[tokio::test]
async fn a_damaged_record_allows_nothing_until_it_is_taken_away() {
    let folder = tempfile::tempdir().expect("folder");
    let process = process(Arc::new(open_sqlite(folder.path()).await), PATIENCE);
    let raw = stores::raw_sqlite(folder.path()).await;
    for damage in [
        "UPDATE records SET value = CAST(x'ff' AS TEXT)",
        "UPDATE records SET value = ''",
        "UPDATE records SET value = '{}'",
        "UPDATE records SET value = '{\"value\":\"v\",\"expires\":-1,\"full_at\":-1,\"count\":1}'",
    ] {
        fill(&process).await;
        sqlx::raw_sql(damage).execute(&raw).await.expect(damage);
        super::are_corrupt(&process, damage).await;
        sqlx::raw_sql("DELETE FROM records").execute(&raw).await.expect("delete");
    }
}

#[tokio::test]
async fn a_locked_file_times_out_and_still_refuses_what_it_must() {
    let folder = tempfile::tempdir().expect("folder");
    let database = stores::sqlite_with(folder.path(), stores::hasty_sqlite()).await;
    let store = SqliteRecordStore::new(database);
    let process = process(Arc::new(store), PATIENCE);
    fill(&process).await;
    let (leases, limits, _) = process;
    let raw = stores::raw_sqlite(folder.path()).await;
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.expect("lock");
    assert_eq!(leases.acquire("new", "v", at(0), at(9)).await, Err(StoreError::TimedOut));
    assert_eq!(limits.take("new", at(0), SECOND, 1).await, Err(StoreError::TimedOut));
    let held = Lease::Held("value".to_owned());
    assert_eq!(leases.acquire("n", "v", at(0), at(9)).await, Ok(held));
    assert_eq!(limits.take("n", at(0), SECOND, 1).await, Ok(Some(SECOND)));
    lock.rollback().await.expect("rollback");
    assert_eq!(leases.acquire("new", "v", at(0), at(9)).await, Ok(Lease::Acquired));
}

#[tokio::test]
async fn a_file_that_was_deleted_allows_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let process = process(Arc::new(open_sqlite(folder.path()).await), PATIENCE);
    std::fs::remove_file(folder.path().join(stores::FILE)).expect("remove");
    let pinged = process.2.ping().await;
    for outcome in [outcomes(&process).await.as_slice(), &[pinged]].concat() {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_upgrade_keeps_leases_buckets_and_failures() {
    let folder = tempfile::tempdir().expect("folder");
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let options = options.filename(folder.path().join(stores::FILE)).create_if_missing(true);
    let old = sqlx::SqlitePool::connect_with(options).await.expect("open");
    for step in BEFORE {
        let step = in_repository("src/store/migrations/sqlite").join(step);
        let sql = std::fs::read_to_string(step).expect("a step");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&old).await.expect("step");
    }
    let rows = "PRAGMA user_version = 4; \
        INSERT INTO markers VALUES ('n', '1.\"ö\n', 1800000000100); \
        INSERT INTO budgets VALUES ('n', 1800000001000); \
        INSERT INTO strikes VALUES ('n', 1, 1800000000000, 1800000060000)";
    sqlx::raw_sql(rows).execute(&old).await.expect("rows");
    old.close().await;
    let (leases, limits, records) = process(Arc::new(open_sqlite(folder.path()).await), PATIENCE);
    let held = Lease::Held("1.\"ö\n".to_owned());
    assert_eq!(leases.acquire("n", "v", at(99), at(200)).await, Ok(held));
    assert_eq!(leases.replace("n", "1.\"ö\n", "w", at(99), at(200)).await, Ok(true));
    assert_eq!(limits.take("n", at(0), SECOND, 1).await, Ok(Some(SECOND)));
    assert_eq!(limits.take("n", at(1_000), SECOND, 1).await, Ok(None));
    let record = async |when| {
        limits.record_failure("n", at(when), &[Duration::ZERO, SECOND], 60 * SECOND).await
    };
    assert_eq!(record(0).await, Ok(Attempt::Wait(SECOND)));
    assert_eq!(record(1_000).await, Ok(Attempt::Counted(1)));
    // The lease is kept the longest after its end.
    assert_eq!(records.purge(at(3_600_199)).await, Ok(2));
    assert_eq!(records.purge(at(3_600_200)).await, Ok(1));
}
