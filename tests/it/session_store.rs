//! The contract of every session store, and what each has to show beyond it.
//!
//! A case of the contract is written once and runs against every store, Redis being a real
//! server. Time is a number that is passed in; nothing sleeps until something expires.

use std::any::Any;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::clock::UnixTime;
use portcullis::secret::Secret;
use portcullis::session::memory::MemoryStore;
use portcullis::session::redis::RedisStore;
use portcullis::session::sqlite::SqliteStore;
use portcullis::session::{
    Device, Ended, Filter, Session, SessionId, SessionStore, StoreError, UserId,
};
use portcullis::storage;
use portcullis::storage::redis::Redis;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::redis::{Reach, RedisServer};

/// Some moment; all times of this file are milliseconds around it.
const T: u64 = 1_800_000_000_000;

/// How long the Redis of these tests may take to connect, and to answer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(T + offset)
}

fn id(text: &str) -> SessionId {
    SessionId::parse(text).expect(text)
}

fn user(text: &str) -> UserId {
    UserId::parse(text).expect(text)
}

/// A session of `owner` that was created at `created` and lives for a minute.
fn session(name: &str, owner: &str, created: u64) -> Session {
    Session {
        id: id(name),
        user: user(owner),
        created: at(created),
        last_seen: at(created),
        expires: at(created + 60_000),
        device: Device::default(),
        claims: Map::new(),
        not_before: UnixTime::EPOCH,
    }
}

fn claims(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(claims) => claims,
        other => panic!("{other} is no object"),
    }
}

fn of(owner: &str) -> Filter {
    Filter { user: Some(user(owner)), live_at: None }
}

fn names(sessions: &[Session]) -> Vec<&str> {
    sessions.iter().map(|session| session.id.as_str()).collect()
}

/// A store with two handles on the same sessions, as two processes have them.
struct Fixture {
    store: Arc<dyn SessionStore>,
    other: Arc<dyn SessionStore>,
    _kept: Box<dyn Any + Send>,
}

impl Fixture {
    async fn memory() -> Option<Self> {
        let store = Arc::new(MemoryStore::new());
        Some(Self { store: store.clone(), other: store, _kept: Box::new(()) })
    }

    async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let (store, other) = (open_sqlite(folder.path()).await, open_sqlite(folder.path()).await);
        Some(Self { store: Arc::new(store), other: Arc::new(other), _kept: Box::new(folder) })
    }

    async fn redis() -> Option<Self> {
        let server = RedisServer::start()?;
        let (store, other) = (redis_store(&server.url()), redis_store(&server.url()));
        Some(Self { store: Arc::new(store), other: Arc::new(other), _kept: Box::new(server) })
    }

    async fn put(&self, session: &Session) {
        self.store.put(session).await.expect("put");
    }

    async fn get(&self, owner: &str, name: &str) -> Option<Session> {
        self.store.get(&user(owner), &id(name)).await.expect("get")
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Vec<Session> {
        self.store.list(filter, limit).await.expect("list")
    }
}

async fn open_sqlite(folder: &Path) -> SqliteStore {
    let options = storage::sqlite::Options::default();
    SqliteStore::open(&folder.join("sessions.db"), options).await.expect("open")
}

fn within(patience: Duration) -> storage::redis::Options {
    storage::redis::Options {
        database: 9,
        connect_timeout: patience,
        response_timeout: patience,
        ..Default::default()
    }
}

fn redis_store(url: &str) -> RedisStore {
    redis_store_with(url, &within(PATIENCE))
}

fn redis_store_with(url: &str, options: &storage::redis::Options) -> RedisStore {
    RedisStore::new(Redis::new(&Secret::new(url), options).expect(url))
}

macro_rules! contract {
    ($($case:ident)*) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Fixture::memory().await.expect("memory")).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Fixture::sqlite().await.expect("sqlite")).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(fixture) = super::Fixture::redis().await else { return };
                super::$case(fixture).await;
            })*
        }
    };
}

contract! {
    what_was_put_is_got_back_whole
    a_session_without_a_device_is_got_back_whole
    another_users_session_is_not_found
    an_id_is_used_once
    touch_moves_forward_only
    touch_never_brings_a_session_back
    revoking_one_names_its_owner_and_spares_the_others
    revoking_a_user_ends_what_was_created_until_then
    a_session_that_is_put_late_is_over_all_the_same
    not_before_never_moves_back
    no_put_that_races_with_a_revocation_lives
    a_list_holds_what_passes_its_filter
    a_list_has_a_limit
    many_sessions_are_listed_ended_and_purged_in_batches
    purge_forgets_what_expired_and_nothing_else
    expiry_is_ours_and_not_the_stores
    two_handles_see_each_other
    many_callers_at_once_do_not_disturb_each_other
    names_that_look_like_patterns_or_queries_are_just_names
    it_answers_and_says_what_it_is
}

async fn what_was_put_is_got_back_whole(fixture: Fixture) {
    let whole = Session {
        last_seen: at(5),
        device: Device::new(
            Some("Mozilla/5.0 (\"quoted\"; größer; 名)\t%00"),
            Some("2001:db8::7".parse::<IpAddr>().expect("address")),
        ),
        claims: claims(json!({
            "": "", "float": 0.1, "small": -2.5e-8, "whole": 3.0, "max": u64::MAX, "min": i64::MIN,
            "none": null, "yes": true, "empty": [], "void": {}, "nested": {"a": [1, [2, {"b": []}]]},
            "quotes \" ' \\": "it's \"so\"; DROP TABLE sessions; --", "名前": "Jürgen 🦀\u{0}\n",
        })),
        ..session("whole", "Jürgen O'Neil", 1)
    };
    fixture.put(&whole).await;
    assert_eq!(fixture.get("Jürgen O'Neil", "whole").await, Some(whole.clone()));
    assert_eq!(fixture.list(&of("Jürgen O'Neil"), 10).await, std::slice::from_ref(&whole));
    assert_eq!(fixture.list(&Filter::default(), 10).await, [whole]);
}

async fn a_session_without_a_device_is_got_back_whole(fixture: Fixture) {
    let v4 = Device::new(None, Some("192.0.2.1".parse().expect("address")));
    let bare = session("bare", "alice", 1);
    let partly = Session { device: v4, ..session("partly", "alice", 2) };
    fixture.put(&bare).await;
    fixture.put(&partly).await;
    assert_eq!(fixture.get("alice", "bare").await, Some(bare));
    assert_eq!(fixture.get("alice", "partly").await, Some(partly));
}

async fn another_users_session_is_not_found(fixture: Fixture) {
    fixture.put(&session("s1", "alice", 1)).await;
    assert_eq!(fixture.get("bob", "s1").await, None);
    assert_eq!(fixture.get("Alice", "s1").await, None);
    assert_eq!(fixture.get("alice", "S1").await, None);
    assert_eq!(fixture.get("alice", "s2").await, None);
    assert!(fixture.get("alice", "s1").await.is_some());
}

async fn an_id_is_used_once(fixture: Fixture) {
    let first = session("s1", "alice", 1);
    fixture.put(&first).await;
    for second in [
        first.clone(),
        session("s1", "bob", 1),
        Session { expires: at(9_999_999), ..first.clone() },
    ] {
        assert_eq!(fixture.store.put(&second).await, Err(StoreError::Conflict(id("s1"))));
    }
    assert_eq!(fixture.get("alice", "s1").await, Some(first));
    assert_eq!(fixture.get("bob", "s1").await, None);
    assert_eq!(fixture.list(&of("bob"), 10).await, []);
}

async fn touch_moves_forward_only(fixture: Fixture) {
    let first = session("s1", "alice", 1);
    fixture.put(&first).await;
    for (touched, expected) in [(100, 100), (50, 100), (101, 101), (101, 101)] {
        fixture.store.touch(&id("s1"), at(touched)).await.expect("touch");
        let seen = Session { last_seen: at(expected), ..first.clone() };
        assert_eq!(fixture.get("alice", "s1").await, Some(seen), "touched at {touched}");
    }
}

async fn touch_never_brings_a_session_back(fixture: Fixture) {
    fixture.put(&session("s1", "alice", 1)).await;
    fixture.put(&session("s2", "alice", 1)).await;
    fixture.store.revoke(&id("s1")).await.expect("revoke");
    fixture.store.revoke_user(&user("alice"), at(2)).await.expect("revoke_user");
    for name in ["s1", "s2", "never"] {
        fixture.store.touch(&id(name), at(3)).await.expect("touch");
        assert_eq!(fixture.get("alice", name).await, None, "{name}");
    }
    assert_eq!(fixture.list(&Filter::default(), 10).await, []);
}

async fn revoking_one_names_its_owner_and_spares_the_others(fixture: Fixture) {
    for name in ["s1", "s2"] {
        fixture.put(&session(name, "alice", 1)).await;
    }
    assert_eq!(fixture.store.revoke(&id("s1")).await, Ok(Some(user("alice"))));
    assert_eq!(fixture.get("alice", "s1").await, None);
    assert_eq!(fixture.store.revoke(&id("s1")).await, Ok(None));
    assert_eq!(fixture.store.revoke(&id("never")).await, Ok(None));
    assert_eq!(names(&fixture.list(&of("alice"), 10).await), ["s2"]);
    let left = fixture.get("alice", "s2").await.expect("s2");
    assert_eq!(left.ended(at(2), None), None);
}

async fn revoking_a_user_ends_what_was_created_until_then(fixture: Fixture) {
    for (name, owner, created) in
        [("before", "alice", 99), ("then", "alice", 100), ("after", "alice", 101), ("s", "bob", 1)]
    {
        fixture.put(&session(name, owner, created)).await;
    }
    assert_eq!(fixture.store.revoke_user(&user("alice"), at(100)).await, Ok(2));
    assert_eq!(fixture.get("alice", "before").await, None);
    assert_eq!(fixture.get("alice", "then").await, None);
    let after = fixture.get("alice", "after").await.expect("after");
    assert_eq!((after.not_before, after.ended(at(200), None)), (at(100), None));
    let bobs = fixture.get("bob", "s").await.expect("bob's");
    assert_eq!((bobs.not_before, bobs.ended(at(200), None)), (UnixTime::EPOCH, None));
    assert_eq!(fixture.store.revoke_user(&user("alice"), at(100)).await, Ok(0));
    assert_eq!(fixture.store.revoke_user(&user("nobody"), at(100)).await, Ok(0));
}

async fn a_session_that_is_put_late_is_over_all_the_same(fixture: Fixture) {
    fixture.store.revoke_user(&user("alice"), at(100)).await.expect("revoke_user");
    fixture.put(&session("late", "alice", 100)).await;
    fixture.put(&session("new", "alice", 101)).await;
    let late = fixture.get("alice", "late").await.expect("late");
    assert_eq!(late.ended(at(100), None), Some(Ended::Revoked));
    assert_eq!(fixture.get("alice", "new").await.expect("new").ended(at(101), None), None);
    for filter in [
        Filter { user: Some(user("alice")), live_at: Some(at(102)) },
        Filter { user: None, live_at: Some(at(102)) },
    ] {
        assert_eq!(names(&fixture.list(&filter, 10).await), ["new"], "{filter:?}");
    }
    assert_eq!(names(&fixture.list(&of("alice"), 10).await), ["new", "late"]);
}

async fn not_before_never_moves_back(fixture: Fixture) {
    fixture.store.revoke_user(&user("alice"), at(100)).await.expect("revoke_user");
    fixture.put(&session("late", "alice", 80)).await;
    fixture.put(&session("new", "alice", 101)).await;
    assert_eq!(fixture.store.revoke_user(&user("alice"), at(50)).await, Ok(1));
    assert_eq!(fixture.get("alice", "late").await, None);
    let new = fixture.get("alice", "new").await.expect("new");
    assert_eq!((new.not_before, new.ended(at(102), None)), (at(100), None));
    assert_eq!(fixture.store.revoke_user(&user("alice"), at(101)).await, Ok(1));
    fixture.put(&session("later", "alice", 101)).await;
    let later = fixture.get("alice", "later").await.expect("later");
    assert_eq!(later.ended(at(102), None), Some(Ended::Revoked));
}

async fn no_put_that_races_with_a_revocation_lives(fixture: Fixture) {
    let putting: Vec<_> = (0..40)
        .map(|n| {
            let store = fixture.store.clone();
            tokio::spawn(async move { store.put(&session(&format!("s{n}"), "alice", 100)).await })
        })
        .collect();
    fixture.other.revoke_user(&user("alice"), at(100)).await.expect("revoke_user");
    for put in putting {
        put.await.expect("task").expect("put");
    }
    let live = Filter { user: Some(user("alice")), live_at: Some(at(101)) };
    assert_eq!(fixture.list(&live, 100).await, []);
    for n in 0..40 {
        let found = fixture.get("alice", &format!("s{n}")).await;
        let ended = found.map(|session| session.ended(at(101), None));
        assert!(matches!(ended, None | Some(Some(Ended::Revoked))), "s{n}: {ended:?}");
    }
}

async fn a_list_holds_what_passes_its_filter(fixture: Fixture) {
    for (name, owner, created) in
        [("a2", "alice", 20), ("a1", "alice", 10), ("a3", "alice", 30), ("b1", "bob", 15)]
    {
        fixture.put(&session(name, owner, created)).await;
    }
    fixture.put(&Session { expires: at(50), ..session("short", "alice", 5) }).await;
    assert_eq!(names(&fixture.list(&of("alice"), 10).await), ["a3", "a2", "a1", "short"]);
    assert_eq!(names(&fixture.list(&of("bob"), 10).await), ["b1"]);
    assert_eq!(fixture.list(&of("carol"), 10).await, []);
    for (now, expected) in [(49, vec!["a1", "a2", "a3", "short"]), (50, vec!["a1", "a2", "a3"])] {
        let filter = Filter { user: Some(user("alice")), live_at: Some(at(now)) };
        let found = fixture.list(&filter, 10).await;
        let mut found = names(&found);
        found.sort_unstable();
        assert_eq!(found, expected, "at {now}");
    }
    let all = fixture.list(&Filter::default(), 10).await;
    let mut all = names(&all);
    all.sort_unstable();
    assert_eq!(all, ["a1", "a2", "a3", "b1", "short"]);
    let live = Filter { user: None, live_at: Some(at(50)) };
    assert_eq!(fixture.list(&live, 10).await.len(), 4);
}

async fn a_list_has_a_limit(fixture: Fixture) {
    for n in 0..9 {
        fixture.put(&session(&format!("s{n}"), "alice", n)).await;
    }
    fixture.put(&Session { expires: at(20), ..session("short", "alice", 10) }).await;
    let live = Filter { user: Some(user("alice")), live_at: Some(at(20)) };
    assert_eq!(names(&fixture.list(&live, 3).await), ["s8", "s7", "s6"]);
    assert_eq!(names(&fixture.list(&of("alice"), 2).await), ["short", "s8"]);
    assert_eq!(fixture.list(&Filter::default(), 4).await.len(), 4);
    assert_eq!(fixture.list(&Filter::default(), 0).await, []);
    assert_eq!(fixture.list(&of("alice"), 0).await, []);
}

async fn many_sessions_are_listed_ended_and_purged_in_batches(fixture: Fixture) {
    for n in 0..450 {
        fixture.put(&session(&format!("a{n}"), "alice", n)).await;
        fixture.put(&session(&format!("b{n}"), "bob", n)).await;
    }
    assert_eq!(fixture.list(&of("alice"), 1_000).await.len(), 450);
    assert_eq!(fixture.list(&Filter::default(), 1_000).await.len(), 900);
    assert_eq!(fixture.list(&Filter::default(), 777).await.len(), 777);
    assert_eq!(fixture.store.revoke_user(&user("alice"), at(1_000)).await, Ok(450));
    assert_eq!(fixture.list(&Filter::default(), 1_000).await.len(), 450);
    assert_eq!(fixture.store.purge(at(100_000)).await, Ok(450));
    assert_eq!(fixture.list(&Filter::default(), 1_000).await, []);
}

async fn purge_forgets_what_expired_and_nothing_else(fixture: Fixture) {
    for (name, expires) in [("s1", 99), ("s2", 100), ("s3", 101)] {
        fixture.put(&Session { expires: at(expires), ..session(name, "alice", 1) }).await;
    }
    fixture.store.revoke_user(&user("bob"), at(1_000)).await.expect("revoke_user");
    assert_eq!(fixture.store.purge(at(100)).await, Ok(2));
    assert_eq!(fixture.store.purge(at(100)).await, Ok(0));
    assert_eq!(names(&fixture.list(&Filter::default(), 10).await), ["s3"]);
    assert_eq!(names(&fixture.list(&of("alice"), 10).await), ["s3"]);
    fixture.put(&session("late", "bob", 1_000)).await;
    let late = fixture.get("bob", "late").await.expect("late");
    assert_eq!(late.ended(at(1_001), None), Some(Ended::Revoked), "purge forgot a not-before");
}

async fn expiry_is_ours_and_not_the_stores(fixture: Fixture) {
    // By the machine's clock these ended long ago, or will in an age.
    let old = Session {
        created: UnixTime::from_secs(1),
        last_seen: UnixTime::from_secs(1),
        expires: UnixTime::from_secs(2),
        ..session("old", "alice", 0)
    };
    let endless =
        Session { expires: UnixTime::from_millis(i64::MAX as u64), ..session("s", "alice", 0) };
    for session in [old, endless] {
        fixture.put(&session).await;
        let found = fixture.get("alice", session.id.as_str()).await;
        assert_eq!(found.as_ref(), Some(&session));
        let before = session.expires.before(Duration::from_millis(1));
        assert_eq!(session.ended(before, None), None);
        assert_eq!(session.ended(session.expires, None), Some(Ended::Expired));
    }
}

async fn two_handles_see_each_other(fixture: Fixture) {
    let (one, two) = (&fixture.store, &fixture.other);
    let first = session("s1", "alice", 1);
    one.put(&first).await.expect("put");
    assert_eq!(two.get(&user("alice"), &id("s1")).await, Ok(Some(first)));
    two.touch(&id("s1"), at(7)).await.expect("touch");
    let seen = one.get(&user("alice"), &id("s1")).await.expect("get").expect("s1");
    assert_eq!(seen.last_seen, at(7));
    assert_eq!(two.put(&session("s1", "bob", 1)).await, Err(StoreError::Conflict(id("s1"))));
    assert_eq!(two.revoke(&id("s1")).await, Ok(Some(user("alice"))));
    assert_eq!(one.get(&user("alice"), &id("s1")).await, Ok(None));
    one.put(&session("s2", "alice", 2)).await.expect("put");
    assert_eq!(two.revoke_user(&user("alice"), at(2)).await, Ok(1));
    assert_eq!(one.list(&of("alice"), 10).await, Ok(vec![]));
}

async fn many_callers_at_once_do_not_disturb_each_other(fixture: Fixture) {
    let working: Vec<_> = (0..64)
        .map(|n| {
            let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.other.clone() };
            tokio::spawn(async move {
                let owner = format!("user{}", n % 8);
                let own = session(&format!("s{n}"), &owner, n);
                store.put(&own).await.expect("put");
                store.touch(&own.id, at(1_000 + n)).await.expect("touch");
                let seen = Session { last_seen: at(1_000 + n), ..own.clone() };
                assert_eq!(store.get(&own.user, &own.id).await, Ok(Some(seen)));
                if n % 4 == 0 {
                    assert_eq!(store.revoke(&own.id).await, Ok(Some(own.user)));
                }
            })
        })
        .collect();
    for task in working {
        task.await.expect("task");
    }
    assert_eq!(fixture.list(&Filter::default(), 100).await.len(), 48);
    // Of sixteen that revoke one session, one did it.
    let revoking: Vec<_> = (0..16)
        .map(|n| {
            let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.other.clone() };
            tokio::spawn(async move { store.revoke(&id("s1")).await.expect("revoke") })
        })
        .collect();
    let mut owners = Vec::new();
    for task in revoking {
        owners.extend(task.await.expect("task"));
    }
    assert_eq!(owners, [user("user1")]);
}

async fn names_that_look_like_patterns_or_queries_are_just_names(fixture: Fixture) {
    let odd = ["*", "a:b", "a", "user:a", "' OR 1=1 --", "[a-z]", "%", "_", "名 \u{1f980}"];
    for (n, owner) in odd.iter().enumerate() {
        fixture.put(&session(&format!("s{n}"), owner, 1)).await;
    }
    for (n, owner) in odd.iter().enumerate() {
        assert_eq!(names(&fixture.list(&of(owner), 10).await), [format!("s{n}")], "{owner}");
    }
    for (n, owner) in odd.iter().enumerate() {
        assert_eq!(fixture.store.revoke_user(&user(owner), at(1)).await, Ok(1), "{owner}");
        assert_eq!(fixture.list(&Filter::default(), 20).await.len(), odd.len() - n - 1);
    }
}

async fn it_answers_and_says_what_it_is(fixture: Fixture) {
    assert_eq!(fixture.store.ping().await, Ok(()));
    assert!(!fixture.store.describe().is_empty());
    assert_eq!(fixture.store.describe(), fixture.other.describe());
}

// SQLite

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
        let file = folder.path().join("sessions.db");
        let raw = storage::sqlite::open(&file, Default::default()).await.expect("open");
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
    let file = folder.path().join("sessions.db");
    let raw = storage::sqlite::open(&file, Default::default()).await.expect("open");
    sqlx::raw_sql("UPDATE sessions SET user_id = ''").execute(&raw).await.expect("update");
    assert!(matches!(store.revoke(&id("s1")).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(store.revoke(&id("s1")).await, Ok(None));
}

#[tokio::test]
async fn a_locked_sqlite_file_is_read_and_times_out_on_writing() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("sessions.db");
    let busy_timeout = Duration::from_millis(100);
    let options = storage::sqlite::Options { busy_timeout, max_connections: 2 };
    let store = SqliteStore::open(&file, options).await.expect("open");
    store.put(&session("s1", "alice", 1)).await.expect("put");
    let raw = storage::sqlite::open(&file, Default::default()).await.expect("open");
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.expect("lock");
    let started = Instant::now();
    assert_eq!(store.put(&session("s2", "alice", 1)).await, Err(StoreError::TimedOut));
    assert_eq!(store.revoke_user(&user("alice"), at(1)).await, Err(StoreError::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(store.get(&user("alice"), &id("s1")).await.expect("get").is_some());
    lock.rollback().await.expect("rollback");
    store.put(&session("s2", "alice", 1)).await.expect("put");
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
}

/// The environment variable that turns `a_writer_to_be_killed` into one.
const WRITER_FOLDER: &str = "PORTCULLIS_TEST_WRITER_FOLDER";

/// Not a test by itself: the process that the next test kills. Says each id once it was put.
#[tokio::test]
async fn a_writer_to_be_killed() {
    let Some(folder) = std::env::var_os(WRITER_FOLDER) else { return };
    let store = open_sqlite(Path::new(&folder)).await;
    for n in 0.. {
        store.put(&session(&format!("s{n}"), "alice", n)).await.expect("put");
        println!("put s{n}");
        if n % 5 == 4 {
            store.revoke(&id(&format!("s{n}"))).await.expect("revoke");
            println!("revoked s{n}");
        }
    }
}

#[tokio::test]
async fn what_sqlite_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().expect("folder");
    let mut writer = Command::new(std::env::current_exe().expect("this program"))
        .args(["session_store::a_writer_to_be_killed", "--exact", "--nocapture"])
        .env(WRITER_FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("writer");
    let mut lines = BufReader::new(writer.stdout.take().expect("output")).lines();
    let mut said: Vec<String> = lines.by_ref().map_while(Result::ok).take(300).collect();
    writer.kill().expect("kill");
    writer.wait().expect("wait");
    // What it still said before it died; the last line may be half of one.
    said.extend(lines.map_while(Result::ok));
    let acknowledged = |verb: &str| -> Vec<String> {
        let complete = &said[..said.len() - 1];
        let words = complete.iter().filter_map(|line| line.trim().split_once(' '));
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

#[test]
fn any_claims_and_any_user_are_got_back_from_sqlite() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
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

// Redis

/// Commands as an administrator types them, in the database of the sessions.
struct Admin(redis::aio::MultiplexedConnection);

impl Admin {
    async fn of(server: &RedisServer) -> Self {
        let client = redis::Client::open(format!("{}?db=9", server.url())).expect("client");
        Self(client.get_multiplexed_async_connection().await.expect("connection"))
    }

    async fn run<T: redis::FromRedisValue>(&mut self, command: &[&str]) -> T {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]).query_async(&mut self.0).await.expect("answer")
    }
}

#[tokio::test]
async fn a_damaged_redis_record_is_never_a_live_session() {
    let Some(server) = RedisServer::start() else { return };
    let mut admin = Admin::of(&server).await;
    let store = redis_store(&server.url());
    store.put(&session("fine", "bob", 1)).await.expect("put");
    let key = "portcullis:session:s1";
    for damage in [
        vec!["HSET", key, "claims", "no json"],
        vec!["HSET", key, "claims", "[]"],
        vec!["HSET", key, "address", "here"],
        vec!["HSET", key, "created", "soon"],
        vec!["HSET", key, "expires", "-1"],
        vec!["HSET", key, "last_seen", "1e3"],
        vec!["HDEL", key, "claims"],
        vec!["HDEL", key, "expires"],
        vec!["HDEL", key, "created"],
        vec!["SET", "portcullis:not-before:alice", "never"],
        vec!["SADD", "portcullis:not-before:alice", "never"],
    ] {
        store.put(&session("s1", "alice", 1)).await.expect("put");
        let _: redis::Value = admin.run(&damage).await;
        let found = store.get(&user("alice"), &id("s1")).await;
        assert!(
            matches!(&found, Err(StoreError::Corrupt { id, .. }) if id == "s1"),
            "{damage:?}: {found:?}"
        );
        assert_eq!(names(&store.list(&Filter::default(), 9).await.expect("list")), ["fine"]);
        store.touch(&id("s1"), at(5)).await.expect("touch");
        assert_eq!(store.revoke(&id("s1")).await, Ok(Some(user("alice"))), "{damage:?}");
        let _: i64 = admin.run(&["DEL", "portcullis:not-before:alice"]).await;
    }
    // Without an owner, or of another kind altogether, it can still be removed.
    for damage in [["HDEL", key, "user"], ["SET", key, "text"]] {
        store.put(&session("s1", "alice", 1)).await.expect("put");
        let _: redis::Value = admin.run(&damage).await;
        let found = store.get(&user("alice"), &id("s1")).await;
        assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{damage:?}: {found:?}");
        assert_eq!(names(&store.list(&Filter::default(), 9).await.expect("list")), ["fine"]);
        store.purge(at(1)).await.expect("purge");
        assert!(matches!(store.revoke(&id("s1")).await, Err(StoreError::Corrupt { .. })));
        assert_eq!(store.revoke(&id("s1")).await, Ok(None));
    }
}

#[tokio::test]
async fn redis_keeps_its_records_in_the_database_that_was_asked_for_and_reclaims_them() {
    let Some(server) = RedisServer::start() else { return };
    let mut admin = Admin::of(&server).await;
    // The URL names another database, which does not count.
    let store = redis_store(&format!("{}?db=3", server.url()));
    store.put(&session("s1", "alice", 1)).await.expect("put");
    assert_eq!(admin.run::<i64>(&["DBSIZE"]).await, 2);
    for key in ["portcullis:session:s1", "portcullis:user:alice"] {
        let millis: i64 = admin.run(&["PTTL", key]).await;
        assert!((3_600_000..=3_660_000).contains(&millis), "{key}: {millis}");
    }
    assert!(store.describe().ends_with("redis.sock database 9"), "{}", store.describe());
}

#[tokio::test]
async fn a_session_that_redis_forgot_is_gone_and_leaves_no_trace() {
    let Some(server) = RedisServer::start() else { return };
    let mut admin = Admin::of(&server).await;
    let store = redis_store(&server.url());
    for name in ["s1", "s2"] {
        store.put(&session(name, "alice", 1)).await.expect("put");
    }
    let _: i64 = admin.run(&["DEL", "portcullis:session:s1"]).await;
    assert_eq!(store.get(&user("alice"), &id("s1")).await, Ok(None));
    assert_eq!(names(&store.list(&of("alice"), 9).await.expect("list")), ["s2"]);
    store.touch(&id("s1"), at(9)).await.expect("touch");
    assert_eq!(admin.run::<i64>(&["EXISTS", "portcullis:session:s1"]).await, 0);
    assert_eq!(store.purge(at(1)).await, Ok(0));
    let left: Vec<String> = admin.run(&["ZRANGE", "portcullis:user:alice", "0", "-1"]).await;
    assert_eq!(left, ["s2"]);
}

#[tokio::test]
async fn redis_may_forget_our_scripts() {
    let Some(server) = RedisServer::start() else { return };
    let mut admin = Admin::of(&server).await;
    let store = redis_store(&server.url());
    for n in 0..2 {
        let name = format!("s{n}");
        store.put(&session(&name, "alice", 1)).await.expect("put");
        store.touch(&id(&name), at(5)).await.expect("touch");
        assert_eq!(store.revoke_user(&user("alice"), at(1)).await, Ok(1));
        let _: () = admin.run(&["SCRIPT", "FLUSH"]).await;
    }
}

#[tokio::test]
async fn a_killed_redis_is_reported_at_once_and_used_again_when_it_is_back() {
    for reach in [Reach::Unix, Reach::Tcp] {
        let Some(mut server) = RedisServer::start_with(reach, &[]) else { return };
        let store = redis_store(&server.url());
        let kept = session("s1", "alice", 1);
        store.put(&kept).await.expect("put");
        for _ in 0..2 {
            server.kill();
            for _ in 0..10 {
                let started = Instant::now();
                let found = store.get(&user("alice"), &id("s1")).await;
                assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
                assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
            }
            assert!(store.ping().await.is_err());
            server.restart();
            assert_eq!(store.get(&user("alice"), &id("s1")).await, Ok(Some(kept.clone())));
            store.touch(&id("s1"), at(1)).await.expect("touch");
        }
    }
}

#[tokio::test]
async fn a_silent_redis_times_out_and_is_used_again_when_it_speaks() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let patience = Duration::from_millis(500);
    let store = redis_store_with(&server.url(), &within(patience));
    let kept = session("s1", "alice", 1);
    store.put(&kept).await.expect("put");
    server.pause();
    // The first waits for an answer on an open connection, the second for a new connection.
    for _ in 0..2 {
        let started = Instant::now();
        assert_eq!(store.get(&user("alice"), &id("s1")).await, Err(StoreError::TimedOut));
        assert!(started.elapsed() < 2 * patience, "{:?}", started.elapsed());
    }
    server.resume();
    assert_eq!(store.get(&user("alice"), &id("s1")).await, Ok(Some(kept)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_fails_at_once_while_redis_is_away_and_is_served_when_it_is_back() {
    let Some(mut server) = RedisServer::start() else { return };
    let store = Arc::new(redis_store(&server.url()));
    store.put(&session("s1", "alice", 1)).await.expect("put");
    let crowd = async || {
        let asking: Vec<_> = (0..300)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.get(&user("alice"), &id("s1")).await })
            })
            .collect();
        let mut answers = Vec::new();
        for task in asking {
            answers.push(task.await.expect("task"));
        }
        answers
    };
    server.kill();
    let started = Instant::now();
    for answer in crowd().await {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    server.restart();
    for answer in crowd().await {
        assert!(matches!(answer, Ok(Some(_))), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_does_not_disturb_those_who_wait() {
    let Some(server) = RedisServer::start() else { return };
    let store = Arc::new(redis_store(&server.url()));
    for n in 0..200 {
        store.put(&session(&format!("s{n}"), "alice", n)).await.expect("put");
    }
    let asking: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.get(&user("alice"), &id(&format!("s{n}"))).await })
        })
        .collect();
    for task in asking.iter().skip(1).step_by(2) {
        task.abort();
    }
    for (n, task) in asking.into_iter().enumerate().step_by(2) {
        let found = task.await.expect("task").expect("get").expect("session");
        assert_eq!(found.id.as_str(), format!("s{n}"));
    }
}

#[tokio::test]
async fn a_connection_that_redis_closed_is_replaced() {
    // With RESP3 the breaking itself is noticed; with RESP2 the first command that fails.
    for (protocol, tolerated) in [("resp3", 0), ("resp2", 1)] {
        let Some(server) = RedisServer::start() else { return };
        let mut admin = Admin::of(&server).await;
        let store = redis_store(&format!("{}?protocol={protocol}", server.url()));
        store.put(&session("s1", "alice", 1)).await.expect("put");
        for _ in 0..5 {
            let _: i64 = admin.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
            // The connection is closed by now; this lets our end of it be read.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut failed = 0;
            for _ in 0..10 {
                failed += u32::from(store.get(&user("alice"), &id("s1")).await.is_err());
            }
            assert!(failed <= tolerated, "{protocol}: {failed} of 10 failed");
        }
    }
}

#[tokio::test]
async fn a_redis_that_speaks_only_resp2_is_good_enough() {
    for extra in [
        vec!["--rename-command", "HELLO", ""],
        vec!["--rename-command", "HELLO", "", "--requirepass", "hunter2"],
    ] {
        let Some(server) = RedisServer::start_with(Reach::Unix, &extra) else { return };
        let store = redis_store(&format!("{}?pass=hunter2", server.url()));
        if extra.len() == 3 {
            // This one wants no password; what it says of ours must not repeat it.
            let refused = store.ping().await.expect_err("refused").to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
            let store = redis_store(&server.url());
            store.put(&session("s1", "alice", 1)).await.expect("put");
            continue;
        }
        store.put(&session("s1", "alice", 1)).await.expect("put");
        assert!(store.get(&user("alice"), &id("s1")).await.expect("get").is_some());
    }
}

#[tokio::test]
async fn a_refused_password_is_said_and_not_shown() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &["--requirepass", "correct"]) else {
        return;
    };
    let with =
        |credentials: &str| server.url().replace("redis://", &format!("redis://{credentials}"));
    assert_eq!(redis_store(&with(":correct@")).ping().await, Ok(()));
    for credentials in ["", ":hunter2@", "joe:hunter2@"] {
        let store = redis_store(&with(credentials));
        let refused = store.ping().await;
        assert!(matches!(&refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        let shown = format!("{refused:?} {store:?} {}", store.describe());
        assert!(!shown.contains("hunter2") && !shown.contains("joe"), "{shown}");
    }
}

#[tokio::test]
async fn redis_over_tls_is_trusted_by_its_ca_alone() {
    // Only the first test of the process installs it.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(server) = RedisServer::start_with(Reach::Tls, &[]) else { return };
    let Some(foreign) = RedisServer::start_with(Reach::Tls, &[]) else { return };
    let store = |ca: Option<&RedisServer>| {
        let ca_pem = ca.map(|of| std::fs::read(of.ca_file()).expect("CA"));
        redis_store_with(&server.url(), &storage::redis::Options { ca_pem, ..within(PATIENCE) })
    };
    let trusted = store(Some(&server));
    trusted.put(&session("s1", "alice", 1)).await.expect("put");
    assert!(trusted.get(&user("alice"), &id("s1")).await.expect("get").is_some());
    for ca in [Some(&foreign), None] {
        let refused = store(ca).ping().await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
}
