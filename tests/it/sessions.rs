//! The sessions as the gate uses them: over a real store, with clocks that disagree and writers
//! that are in the way.

use std::sync::Arc;
use std::time::Duration;

use portcullis::clock::{Clock, ManualClock, UnixTime};
use portcullis::session::{
    MemoryStore, NotLive, Session, SessionId, SessionPolicy, SessionStore, Sessions, SqliteStore,
    UserId,
};
use portcullis::store::{StoreMetrics, sqlite};

use crate::support::stores;

fn id(text: &str) -> SessionId {
    SessionId::parse(text).expect(text)
}

fn alice() -> UserId {
    UserId::parse("alice").expect("a name")
}

fn session(name: &str, created: UnixTime) -> Session {
    Session::new(id(name), alice(), created, created.after(Duration::from_secs(3_600)))
}

fn over(store: Arc<dyn SessionStore>, clock: Arc<ManualClock>, policy: SessionPolicy) -> Sessions {
    Sessions::new(store, policy, clock, StoreMetrics::default())
}

fn patient() -> SessionPolicy {
    SessionPolicy {
        timeout: Duration::from_secs(10),
        records_use: true,
        ..SessionPolicy::default()
    }
}

#[tokio::test]
async fn all_sessions_of_a_user_end_also_those_from_a_host_whose_clock_is_ahead() {
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_800_000_000)));
    let store = Arc::new(MemoryStore::new());
    let sessions = over(store.clone(), clock.clone(), patient());
    let ahead = clock.now().after(Duration::from_secs(5));
    for n in 0..250 {
        let created = if n % 2 == 0 { clock.now() } else { ahead };
        store.put(&session(&format!("s{n}"), created)).await.expect("put");
    }
    assert_eq!(sessions.revoke_user(&alice()).await, Ok(250));
    for n in 0..250 {
        let found = sessions.live(&alice(), &id(&format!("s{n}"))).await;
        assert_eq!(found, Err(NotLive::Unknown));
    }
    clock.advance(Duration::from_millis(1));
    sessions.put(&session("new", clock.now())).await.expect("put");
    assert!(sessions.live(&alice(), &id("new")).await.is_ok(), "alice may come back");
}

#[tokio::test]
async fn a_writer_elsewhere_does_not_hold_up_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = SessionPolicy {
        inactivity: Some(Duration::from_secs(60)),
        timeout: Duration::from_millis(500),
        records_use: true,
        ..SessionPolicy::default()
    };
    let options = sqlite::Options { busy_timeout: policy.timeout, ..Default::default() };
    let database = stores::sqlite_with(folder.path(), options).await;
    let store = Arc::new(SqliteStore::new(database));
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_800_000_000)));
    for n in 0..50 {
        store.put(&session(&format!("s{n}"), clock.now())).await.expect("put");
    }
    let sessions = over(store, clock.clone(), policy);
    clock.advance(Duration::from_secs(30));
    let elsewhere = stores::raw_sqlite(folder.path()).await;
    let writing = elsewhere.begin_with("BEGIN IMMEDIATE").await.expect("the write lock");
    // Every read is due to note that its session is in use, and none of the notes gets through.
    for _ in 0..10 {
        for n in 0..50 {
            let found = sessions.live(&alice(), &id(&format!("s{n}"))).await;
            assert!(found.is_ok(), "{found:?}");
        }
    }
    drop(writing);
}
