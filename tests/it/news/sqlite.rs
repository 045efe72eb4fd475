//! News of an SQLite file that other processes, and people, write to.

use std::path::{Path, PathBuf};
use std::time::Instant;

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueStore as _, SqliteOpaque, TokenDigest};
use portcullis::session::{Concern, SessionStore as _, SqliteStore, UserId};
use portcullis::storage::news::Means;
use portcullis::storage::sqlite::{Database, Options, SqliteNews};

use super::{Listening, figures, session, token};
use crate::support::{PATIENCE, poll};

async fn open(path: &Path) -> Database {
    Database::open(path, Options::default()).await.expect("open")
}

/// A file, one who listens to it, and another who has it open.
struct Shared {
    path: PathBuf,
    listening: Listening,
    other: Database,
    _folder: tempfile::TempDir,
}

impl Shared {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("portcullis.db");
        let listening = Listening::to(SqliteNews::new(open(&path).await)).by(Means::ChangeLog);
        Self { other: open(&path).await, path, listening, _folder: folder }
    }

    async fn sql(&self, statement: &'static str) {
        let mut writer = self.other.writer().await.expect("writer");
        sqlx::raw_sql(statement).execute(&mut *writer).await.expect(statement);
    }

    /// A change to mark the place in what is heard.
    async fn mark(&self) {
        self.sql("INSERT OR REPLACE INTO user_not_before VALUES ('mark', 1)").await;
        self.listening.when("user:mark");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_by_another_is_heard_and_no_login_and_no_use() {
    let shared = Shared::new().await;
    let (sessions, tokens) =
        (SqliteStore::new(shared.other.clone()), SqliteOpaque::new(shared.other.clone()));
    let later = UnixTime::from_secs(1_900_000_000);
    for name in ["a", "b", "c"] {
        sessions.put(&session(name, "alice")).await.expect("put");
    }
    tokens.put(&[token("old"), token("gone")]).await.expect("put");
    let a = session("a", "alice").id;
    sessions.touch(&[(a.clone(), later)]).await.expect("touch");
    shared.mark().await;
    assert_eq!(shared.listening.keys(), ["user:mark"]);

    sessions.renew(&a, later).await.expect("renew");
    sessions.revoke(&a).await.expect("revoke");
    let user = UserId::parse("alice").expect("user");
    sessions.revoke_user(&user, later).await.expect("revoke");
    let (old, gone) = (TokenDigest::of("old"), TokenDigest::of("gone"));
    tokens.exchange(&old, later, &[token("new")]).await.expect("exchange");
    tokens.extend(&old, later, None).await.expect("extend");
    tokens.remove(&gone).await.expect("remove");
    shared.sql("DELETE FROM user_not_before").await;
    shared.sql("INSERT INTO user_not_before VALUES ('last', 1)").await;
    shared.listening.when("user:last");

    let concerns: Vec<String> = shared.listening.keys()[1..]
        .iter()
        .map(|key| match (sessions.concern(key.as_bytes()), tokens.concern(key.as_bytes())) {
            (Some(Concern::Session(id)), None) => format!("session {id}"),
            (Some(Concern::User(user)), None) => format!("user {user}"),
            (None, Some(digest)) if digest == old => "old".to_owned(),
            (None, Some(digest)) if digest == gone => "gone".to_owned(),
            concerns => panic!("{key}: {concerns:?}"),
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
    assert_eq!(concerns, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_hand_is_heard() {
    let shared = Shared::new().await;
    let Some(shell) = crate::support::require("sqlite3") else { return };
    let sessions = SqliteStore::new(shared.other.clone());
    for name in ["by-hand", "changed", "replaced"] {
        sessions.put(&session(name, "alice")).await.expect("put");
    }
    for statement in [
        "DELETE FROM sessions WHERE id = 'by-hand'",
        "UPDATE sessions SET claims = '{}' WHERE id = 'changed'",
        "INSERT OR REPLACE INTO sessions VALUES ('replaced', 'eve', 1, 1, 9, NULL, NULL, '{}')",
    ] {
        let status = std::process::Command::new(&shell).arg(&shared.path).arg(statement).status();
        assert!(status.expect("sqlite3").success(), "{statement}");
    }
    shared.listening.when("session:by-hand");
    shared.listening.when("session:changed");
    shared.listening.when("session:replaced");
    shared.sql("DELETE FROM sessions").await;
    poll("all of them", PATIENCE, || (shared.listening.keys().len() == 5).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_one_by_one_is_missed() {
    let shared = Shared::new().await;
    shared.mark().await;
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
        // A machine that stands still for a while is a miss of its own.
        let before = shared.listening.misses().len();
        shared.sql(statements).await;
        shared.listening.missed(before + 1);
    }
    assert_eq!(shared.listening.state.means(), Means::ChangeLog);
    shared.sql("INSERT INTO user_not_before VALUES ('last', 1)").await;
    shared.listening.when("user:last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_replaced_gives_no_news() {
    let shared = Shared::new().await;
    let aside = shared.path.with_extension("old");
    std::fs::rename(&shared.path, &aside).expect("rename");
    std::fs::write(&shared.path, "").expect("write");
    shared.listening.missed(2);
    shared.listening.until(Means::Bound);
    std::fs::rename(&aside, &shared.path).expect("rename");
    shared.listening.until(Means::ChangeLog);
    shared.mark().await;
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
    let mut writer = database.writer().await.expect("writer");
    sqlx::raw_sql(add).execute(&mut *writer).await.expect("add");
    drop(writer);
    for (seconds, forgotten) in [(0, 0), (599, 0), (600, 499), (1_200, 0)] {
        let at = UnixTime::from_secs(seconds);
        assert_eq!(database.forget_changes(at).await, Ok(forgotten), "{seconds}");
    }
    assert_eq!(count().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_by_another_process_is_heard() {
    const TIMES: usize = 100;
    let shared = Shared::new().await;
    let sessions = SqliteStore::new(shared.other.clone());
    let mut times = Vec::with_capacity(TIMES);
    for n in 0..TIMES {
        let session = session(&format!("s{n}"), "alice");
        sessions.put(&session).await.expect("put");
        sessions.revoke(&session.id).await.expect("revoke");
        let committed = Instant::now();
        let heard = shared.listening.when(&format!("session:s{n}"));
        times.push(heard.saturating_duration_since(committed));
        shared.listening.ear.0.lock().expect("ear").clear();
    }
    figures("commit to heard", times);
}
