//! Invalidations by an SQLite file that other processes, and people, write to.

use std::path::{Path, PathBuf};
use std::time::Instant;

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueTokenStore as _, SqliteTokenStore, TokenDigest};
use portcullis::session::{InvalidatedRecord, SessionStore as _, SqliteStore, UserId};
use portcullis::store::invalidation::DeliveryMode;
use portcullis::store::sqlite::{Database, Options, SqliteInvalidation};

use super::{Subscription, print_percentiles, session, token};
use crate::support::{PATIENCE, poll};

pub(super) async fn open(path: &Path) -> Database {
    Database::open(path, Options::default()).await.expect("open")
}

/// A file, one who listens to it, and another who has it open.
struct Shared {
    path: PathBuf,
    subscription: Subscription,
    other: Database,
    _folder: tempfile::TempDir,
}

impl Shared {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("portcullis.db");
        let subscription = Subscription::to(SqliteInvalidation::new(open(&path).await))
            .after(DeliveryMode::ChangeLog);
        Self { other: open(&path).await, path, subscription, _folder: folder }
    }

    async fn sql(&self, statement: &'static str) {
        self.other.execute(sqlx::query(statement)).await.expect(statement);
    }

    /// Makes a change of its own, and waits for it: all earlier ones have come by then.
    async fn barrier(&self) {
        self.sql("INSERT OR REPLACE INTO user_not_before VALUES ('mark', 1)").await;
        self.subscription.time_of("user:mark");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_by_another_is_reported_and_no_login_and_no_use() {
    let shared = Shared::new().await;
    let (sessions, tokens) =
        (SqliteStore::new(shared.other.clone()), SqliteTokenStore::new(shared.other.clone()));
    let later = UnixTime::from_secs(1_900_000_000);
    for name in ["a", "b", "c"] {
        sessions.put(&session(name, "alice")).await.expect("put");
    }
    tokens.put(&[token("old"), token("gone")]).await.expect("put");
    let a = session("a", "alice").id;
    sessions.touch(&[(a.clone(), later)]).await.expect("touch");
    shared.barrier().await;
    assert_eq!(shared.subscription.keys(), ["user:mark"]);

    sessions.renew(&a, later).await.expect("renew");
    sessions.revoke(&a).await.expect("revoke");
    let user = UserId::parse("alice").expect("user");
    sessions.revoke_user(&user, later).await.expect("revoke");
    let (old, gone) = (TokenDigest::of("old"), TokenDigest::of("gone"));
    tokens.rotate(&old, later, &[token("new")]).await.expect("rotate");
    tokens.extend(&old, later, None).await.expect("extend");
    tokens.remove(&gone).await.expect("remove");
    shared.sql("DELETE FROM user_not_before").await;
    shared.sql("INSERT INTO user_not_before VALUES ('last', 1)").await;
    shared.subscription.time_of("user:last");

    let records: Vec<String> = shared.subscription.keys()[1..]
        .iter()
        .map(|key| {
            match (
                sessions.invalidated_record(key.as_bytes()),
                tokens.invalidated_record(key.as_bytes()),
            ) {
                (Some(InvalidatedRecord::Session(id)), None) => format!("session {id}"),
                (Some(InvalidatedRecord::User(user)), None) => format!("user {user}"),
                (None, Some(digest)) if digest == old => "old".to_owned(),
                (None, Some(digest)) if digest == gone => "gone".to_owned(),
                records => panic!("{key}: {records:?}"),
            }
        })
        .collect();
    let expected = [
        "session a",
        "session a",
        "user alice",
        "session b",
        "session c",
        "old",
        "old",
        "gone",
        "user last",
    ];
    assert_eq!(records, expected);
}

/// Whatever column of a session changes: an answer that rests on it is not confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_every_column_of_a_session_is_reported() {
    let shared = Shared::new().await;
    let sessions = SqliteStore::new(shared.other.clone());
    let mut reader = shared.other.reader().await.expect("a reader");
    let columns: Vec<(String, String)> =
        sqlx::query_as("SELECT name, type FROM pragma_table_info('sessions')")
            .fetch_all(&mut *reader)
            .await
            .expect("columns");
    drop(reader);
    assert!(columns.len() >= 10, "{columns:?}");
    for (column, kind) in columns {
        sessions.put(&session(&column, "alice")).await.expect("put");
        // A session that was last used at a later time is one that was used.
        let value = if kind == "INTEGER" { "0" } else { "'another'" };
        let changed = format!("UPDATE sessions SET {column} = {value} WHERE id = '{column}'");
        let changed = sqlx::query(sqlx::AssertSqlSafe(changed));
        shared.other.execute(changed).await.expect("a change");
        shared.subscription.time_of(&format!("session:{column}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_put_in_the_place_of_another_is_a_change_of_both() {
    let shared = Shared::new().await;
    let sessions = SqliteStore::new(shared.other.clone());
    for name in ["moves", "in-its-way"] {
        sessions.put(&session(name, "alice")).await.expect("put");
    }
    shared.sql("UPDATE OR REPLACE sessions SET id = 'in-its-way' WHERE id = 'moves'").await;
    for changed in ["session:moves", "session:in-its-way"] {
        shared.subscription.time_of(changed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nothing_writes_any_more_is_not_followed() {
    let shared = Shared::new().await;
    shared.sql("DROP TRIGGER sessions_deleted").await;
    shared.subscription.wait_for_loss(1);
    shared.subscription.wait_for_mode(DeliveryMode::Bound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_hand_is_reported() {
    let shared = Shared::new().await;
    let Some(shell) = crate::support::require("sqlite3") else { return };
    let sessions = SqliteStore::new(shared.other.clone());
    for name in ["by-hand", "changed", "moved", "replaced"] {
        sessions.put(&session(name, "alice")).await.expect("put");
    }
    for statement in [
        "DELETE FROM sessions WHERE id = 'by-hand'",
        "UPDATE sessions SET claims = '{}' WHERE id = 'changed'",
        "UPDATE sessions SET address = '192.0.2.1' WHERE id = 'moved'",
        "INSERT OR REPLACE INTO sessions (id, user_id, created, last_seen, expires, claims) \
         VALUES ('replaced', 'eve', 1, 1, 9, '{}')",
    ] {
        let status = std::process::Command::new(&shell).arg(&shared.path).arg(statement).status();
        assert!(status.expect("sqlite3").success(), "{statement}");
    }
    shared.subscription.time_of("session:by-hand");
    for changed in ["session:changed", "session:moved", "session:replaced"] {
        shared.subscription.time_of(changed);
    }
    shared.sql("DELETE FROM sessions").await;
    poll("all of them", PATIENCE, || (shared.subscription.keys().len() == 7).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_one_by_one_is_lost() {
    let shared = Shared::new().await;
    shared.barrier().await;
    for statements in [
        // Forgotten before it was read.
        "BEGIN; DELETE FROM sessions; INSERT INTO user_not_before VALUES ('x', 1), ('y', 1);
         DELETE FROM changes WHERE name = 'x'; COMMIT",
        // All of the log is gone, and then it goes on.
        "DELETE FROM changes",
        "INSERT INTO user_not_before VALUES ('z', 1)",
        // Too many.
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001)
         INSERT INTO user_not_before SELECT 'user-' || i, 1 FROM n",
    ] {
        // A machine that stands still for a while is a loss of its own.
        let before = shared.subscription.losses().len();
        shared.sql(statements).await;
        shared.subscription.wait_for_loss(before + 1);
    }
    assert_eq!(shared.subscription.state.mode(), DeliveryMode::ChangeLog);
    shared.sql("INSERT INTO user_not_before VALUES ('last', 1)").await;
    shared.subscription.time_of("user:last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_replaced_gives_no_events() {
    let shared = Shared::new().await;
    let aside = shared.path.with_extension("old");
    std::fs::rename(&shared.path, &aside).expect("rename");
    std::fs::write(&shared.path, "").expect("write");
    shared.subscription.wait_for_loss(2);
    shared.subscription.wait_for_mode(DeliveryMode::Bound);
    std::fs::rename(&aside, &shared.path).expect("rename");
    shared.subscription.wait_for_mode(DeliveryMode::ChangeLog);
    shared.barrier().await;
}

#[tokio::test]
async fn the_log_is_kept_short_and_never_loses_its_last_entry() {
    let folder = tempfile::tempdir().expect("folder");
    let database = open(&folder.path().join("portcullis.db")).await;
    let count = async || {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM changes");
        let mut reader = database.reader().await.expect("reader");
        count.fetch_one(&mut *reader).await.expect("count")
    };
    let add = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        INSERT INTO changes (kind, name) SELECT 'session', i FROM n";
    database.execute(sqlx::query(add)).await.expect("add");
    for (seconds, forgotten) in [(0, 0), (599, 0), (600, 499), (1_200, 0)] {
        let at = UnixTime::from_secs(seconds);
        assert_eq!(database.forget_changes(at).await, Ok(forgotten), "{seconds}");
    }
    assert_eq!(count().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_by_another_process_is_reported() {
    const TIMES: usize = 100;
    let shared = Shared::new().await;
    let sessions = SqliteStore::new(shared.other.clone());
    let mut times = Vec::with_capacity(TIMES);
    for n in 0..TIMES {
        let session = session(&format!("s{n}"), "alice");
        sessions.put(&session).await.expect("put");
        sessions.revoke(&session.id).await.expect("revoke");
        let committed = Instant::now();
        let received = shared.subscription.time_of(&format!("session:s{n}"));
        times.push(received.saturating_duration_since(committed));
        shared.subscription.listener.events.lock().expect("listener").clear();
    }
    print_percentiles("commit to event", times);
}
