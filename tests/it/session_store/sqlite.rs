//! Tests of SQLite beyond the contract: damage, locks, kill -9, and claims of any kind.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use portcullis::session::sqlite::SqliteStore;
use portcullis::session::{Device, Filter, Session, SessionStore as _};
use portcullis::store::StoreError;
use proptest::prelude::*;
use serde_json::Value;

use super::{at, id, names, open_sqlite, session, user};
use crate::support::stores;
use crate::support::topology::runtime;

#[tokio::test]
async fn a_damaged_sqlite_record_is_never_a_live_session() {
    for damage in [
        "UPDATE sessions SET claims = 'no json'",
        "UPDATE sessions SET claims = '[]'",
        "UPDATE sessions SET address = 'here'",
        "UPDATE sessions SET created = -1",
        "UPDATE sessions SET expires = -1",
        "UPDATE sessions SET last_seen = -1",
        "INSERT INTO user_not_before VALUES ('alice', -5)",
        "UPDATE sessions SET claims = CAST(x'ff7b7d' AS TEXT)",
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let store = open_sqlite(folder.path()).await;
        let device = Device::new(None, Some("192.0.2.1".parse().expect("address")));
        store.put(&Session { device, ..session("s1", "alice", 1) }).await.expect("put");
        let raw = stores::raw_sqlite(folder.path()).await;
        sqlx::raw_sql(damage).execute(&raw).await.expect(damage);
        let found = store.get(&user("alice"), &id("s1")).await;
        assert!(
            matches!(&found, Err(StoreError::Corrupt { id, .. }) if id == "s1"),
            "{damage}: {found:?}"
        );
        store.put(&session("fine", "bob", 1)).await.expect("put");
        assert_eq!(names(&store.list(&Filter::default(), 9).await.expect("list")), ["fine"]);
        assert_eq!(store.revoke(&id("s1")).await, Ok(Some(user("alice"))), "{damage}");
        raw.close().await;
        store.close().await;
    }
}

#[tokio::test]
async fn an_sqlite_record_without_a_readable_owner_can_still_be_revoked() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_sqlite(folder.path()).await;
    store.put(&session("s1", "alice", 1)).await.expect("put");
    let raw = stores::raw_sqlite(folder.path()).await;
    sqlx::raw_sql("UPDATE sessions SET user_id = ''").execute(&raw).await.expect("update");
    assert!(matches!(store.revoke(&id("s1")).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(store.revoke(&id("s1")).await, Ok(None));
}

#[tokio::test]
async fn a_locked_sqlite_file_is_read_and_times_out_on_writing() {
    let folder = tempfile::tempdir().expect("folder");
    let store = SqliteStore::new(stores::sqlite_with(folder.path(), stores::hasty_sqlite()).await);
    store.put(&session("s1", "alice", 1)).await.expect("put");
    let raw = stores::raw_sqlite(folder.path()).await;
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.expect("lock");
    assert_eq!(store.put(&session("s2", "alice", 1)).await, Err(StoreError::TimedOut));
    assert_eq!(store.revoke_user(&user("alice"), at(1)).await, Err(StoreError::TimedOut));
    assert!(store.get(&user("alice"), &id("s1")).await.expect("get").is_some());
    lock.rollback().await.expect("rollback");
    store.put(&session("s2", "alice", 1)).await.expect("put");
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
}

/// Names the folder to write in, in the environment of the process that is to be killed.
const WRITER_FOLDER: &str = "PORTCULLIS_TEST_WRITER_FOLDER";

/// The writer is this very test in another process: with a folder in its environment it writes
/// there until it is killed, and can end in no other way than by a failure.
#[tokio::test]
async fn what_sqlite_acknowledged_survives_kill_9() {
    if let Some(folder) = std::env::var_os(WRITER_FOLDER) {
        write_until_killed(&folder).await;
    }
    let folder = tempfile::tempdir().expect("folder");
    let said = what_a_killed_writer_said(folder.path());
    let acknowledged = |verb: &str| -> Vec<String> {
        let words = said.iter().filter_map(|line| line.trim().split_once(' '));
        words.filter(|(first, _)| *first == verb).map(|(_, name)| name.to_owned()).collect()
    };
    let (put, revoked) = (acknowledged("put"), acknowledged("revoked"));
    assert!(put.len() > 100 && revoked.len() > 20, "{} put", put.len());
    let store = open_sqlite(folder.path()).await;
    for name in &revoked {
        assert_eq!(store.get(&user("alice"), &id(name)).await, Ok(None), "{name} came back");
    }
    // Of the last one it may have begun the revocation without a word.
    let last = put.last().cloned();
    for name in put.iter().filter(|name| !revoked.contains(name) && Some(*name) != last.as_ref()) {
        let found = store.get(&user("alice"), &id(name)).await.expect("get");
        assert!(found.is_some(), "{name} was lost");
    }
}

/// Says each id once it was put, and again once it was revoked. Where nobody reads on, saying so
/// fails, so that no writer outlives its test.
async fn write_until_killed(folder: &OsStr) -> ! {
    let store = open_sqlite(Path::new(folder)).await;
    let mut n = 0;
    loop {
        store.put(&session(&format!("s{n}"), "alice", n)).await.expect("put");
        writeln!(std::io::stdout(), "put s{n}").expect("a reader");
        if n % 5 == 4 {
            store.revoke(&id(&format!("s{n}"))).await.expect("revoke");
            writeln!(std::io::stdout(), "revoked s{n}").expect("a reader");
        }
        n += 1;
    }
}

/// The complete lines of a writer that was killed in the middle of its work.
fn what_a_killed_writer_said(folder: &Path) -> Vec<String> {
    let this_test = std::thread::current().name().expect("a test has a name").to_owned();
    let mut writer = Command::new(std::env::current_exe().expect("this program"))
        .args([this_test.as_str(), "--exact", "--nocapture"])
        .env(WRITER_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("writer");
    let mut lines = BufReader::new(writer.stdout.take().expect("output")).lines();
    let mut said: Vec<String> = lines.by_ref().map_while(Result::ok).take(300).collect();
    writer.kill().expect("kill");
    writer.wait().expect("wait");
    said.extend(lines.map_while(Result::ok));
    // It may be half a line.
    said.pop();
    said
}
#[test]
fn any_claims_and_any_user_are_got_back_from_sqlite() {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("folder");
    let store = runtime.block_on(open_sqlite(folder.path()));
    let claims = prop::collection::hash_map(any::<String>(), any_json(), 0..6);
    let input = (
        claims,
        "[A-Za-z0-9._~-]{1,128}",
        "[^\\pC]{1,60}",
        any::<Option<String>>(),
        any::<Option<IpAddr>>(),
    );
    let config = ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() };
    let checked = proptest::test_runner::TestRunner::new(config).run(
        &input,
        |(claims, name, owner, agent, address)| {
            let whole = Session {
                claims: claims.into_iter().collect(),
                device: Device::new(agent.as_deref(), address),
                ..session(&name, &owner, 1)
            };
            runtime.block_on(async {
                store.put(&whole).await.expect("put");
                let found = store.get(&whole.user, &whole.id).await;
                store.revoke(&whole.id).await.expect("revoke");
                prop_assert_eq!(found, Ok(Some(whole.clone())));
                Ok(())
            })
        },
    );
    checked.expect("every session is got back");
    runtime.block_on(store.close());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1_000_000_000_i32..1_000_000_000).prop_map(|n| Value::from(f64::from(n) / 1_000.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[tokio::test]
async fn a_file_that_was_deleted_or_replaced_answers_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_sqlite(folder.path()).await;
    store.put(&session("s", "alice", 1)).await.expect("put");
    let file = folder.path().join(stores::FILE);
    let copy = folder.path().join("copy.db");
    std::fs::copy(&file, &copy).expect("copy");
    std::fs::rename(&copy, &file).expect("rename");
    for _ in 0..2 {
        let (alice, s) = (user("alice"), id("s"));
        for (what, refused) in [
            ("get", store.get(&alice, &s).await.map(drop)),
            ("list", store.list(&Filter::default(), 9).await.map(drop)),
            ("put", store.put(&session("other", "alice", 1)).await),
            ("touch", store.touch(&[(s.clone(), at(9))]).await),
            ("renew", store.renew(&s, at(99_000)).await.map(drop)),
            ("revoke", store.revoke(&s).await.map(drop)),
            ("revoke_user", store.revoke_user(&alice, at(9)).await.map(drop)),
            ("purge", store.purge(at(99_000)).await.map(drop)),
            ("ping", store.ping().await),
            ("probe_write", store.probe_write().await),
        ] {
            assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{what}: {refused:?}");
        }
        let _ = std::fs::remove_file(&file);
    }
}
