//! Locked, unlocked and deleted users and clients: their sessions, also where a store fails midway.

use std::sync::Arc;
use std::time::Duration;

use portcullis::account::UserState;
use portcullis::clock::SystemClock;
use portcullis::issuer::error::IssueError;
use portcullis::issuer::throttle::{AttemptName, Throttle, ThrottleConfig, TooEarly};
use portcullis::limit::Limits;
use portcullis::store;
use portcullis::store::StoreMetrics;
use portcullis::store::records::{Records, SqliteRecordStore};
use serde_json::json;

use super::{GOOD, audited, stored_client, stored_key, stored_user};
use crate::support::realm::Realm;
use crate::support::redis::RedisServer;
use crate::support::topology::runtime;

#[test]
fn whoever_is_locked_or_deleted_loses_all_sessions() {
    let realm = Realm::hashing_little();
    let gate = realm.gate();
    realm.exits(0, &["user", "add", "alice", "--id", "a1"], GOOD);
    realm.exits(0, &["user", "add", "bob", "--id", "b1"], GOOD);
    let (one, two) = (realm.mint("a1", &[]), realm.mint("a1", &[]));
    let other = realm.mint("b1", &[]);
    let locked = realm.ask_json(&["user", "lock", "ALICE", "--json"]);
    assert_eq!(locked, json!({"id": "a1", "done": true, "sessions_ended": 2}));
    for (token, status) in [(&one, 401), (&two, 401), (&other, 200)] {
        assert_eq!(gate.check(token).status, status);
    }
    assert_eq!(stored_user(&realm, "alice").state, UserState::Locked);
    realm.ask(&["user", "unlock", "alice"]);
    assert_eq!(stored_user(&realm, "alice").state, UserState::Active);
    assert_eq!(gate.check(&one).status, 401, "what is over stays over");
    let third = realm.mint("a1", &[]);
    assert_eq!(gate.check(&third).status, 200);
    realm.exits(0, &["user", "passwd", "alice"], "another good one, dinah");
    assert_eq!(gate.check(&third).status, 401);
    let key = realm.ask(&["apikey", "add", "bob"]);
    realm.ask(&["user", "delete", "bob"]);
    assert_eq!(gate.check(&other).status, 401);
    assert_eq!(stored_key(&realm, &key), None);
}

/// A store that takes no writes, and then does again.
fn takes_writes(server: &RedisServer, is_so: bool) {
    let least = if is_so { "0" } else { "1" };
    let set = ["CONFIG", "SET", "min-replicas-to-write", least];
    runtime().block_on(server.ask::<String>(0, &set));
}

#[test]
fn a_deletion_that_failed_half_way_is_finished_by_the_same_command() {
    let Some(server) = RedisServer::start() else { return };
    let realm = Realm::hashing_little().with("DB_URL", &server.url());
    realm.exits(0, &["user", "add", "alice", "--id", "a1"], GOOD);
    realm.ask(&["client", "add", "app"]);
    let gate = realm.gate();
    let (of_user, of_client) = (realm.mint("a1", &[]), realm.mint("client:app", &[]));
    for (what, name, token, event) in
        [("user", "alice", &of_user, "user_locked"), ("client", "app", &of_client, "client_locked")]
    {
        takes_writes(&server, false);
        let failed = realm.exits(69, &[what, "delete", name], "");
        assert!(failed.errors.contains("run the same again"), "{}", failed.errors);
        assert_eq!(audited(&realm).last().expect("a line")["event"], event);
        assert_eq!(gate.check(token).status, 200, "it lives on, as was said");
        takes_writes(&server, true);
        let again = realm.ask_json(&[what, "delete", name, "--json"]);
        assert_eq!((&again["done"], &again["sessions_ended"]), (&json!(true), &json!(1)), "{what}");
        assert_eq!(gate.check(token).status, 401, "{what}");
        realm.exits(1, &[what, "delete", name], "");
    }
    assert_eq!(realm.ask(&["client", "list", "--json"]), "[]");
}

#[test]
fn what_is_half_deleted_gets_nothing_more() {
    let Some(server) = RedisServer::start() else { return };
    let realm = Realm::hashing_little().with("DB_URL", &server.url());
    realm.exits(0, &["user", "add", "alice", "--id", "a1"], GOOD);
    realm.ask(&["client", "add", "app", "--introspect"]);
    takes_writes(&server, false);
    for arguments in [["user", "delete", "alice"], ["client", "delete", "app"]] {
        realm.exits(69, &arguments, "");
    }
    let in_file = |realm: &Realm| (stored_user(realm, "alice"), stored_client(realm, "app"));
    let (user, client) = in_file(&realm);
    assert_eq!(user.state, UserState::Locked);
    assert_eq!((client.grants.len(), client.introspects), (0, false));
    assert!(!client.secrets.is_empty(), "it must not pass for a public client");
}

#[test]
fn what_was_done_before_a_command_failed_is_told() {
    let realm = Realm::hashing_little();
    realm.exits(0, &["user", "add", "alice", "--id", "a1"], GOOD);
    let realm = realm.with("DB_URL", "redis://127.0.0.1:1");
    let before = audited(&realm).len();
    realm.exits(69, &["user", "lock", "alice"], "");
    let locked = json!({"event": "user_locked", "user": "a1", "reason": "command"});
    assert_eq!(audited(&realm)[before..], [locked], "it is locked; nobody knows what ended");
    realm.exits(69, &["user", "unlock", "alice"], "");
    assert_eq!(stored_user(&realm, "alice").state, UserState::Locked);
    assert_eq!(audited(&realm).len(), before + 1);
}

#[test]
fn no_right_is_taken_away_where_the_sessions_cannot_be_ended() {
    let realm = Realm::hashing_little();
    realm.exits(0, &["user", "add", "alice", "--id", "a1", "--role", "staff"], GOOD);
    let before = audited(&realm).len();
    let realm = realm.with("DB_URL", "redis://127.0.0.1:1");
    // The second time too: nothing was changed, so there is something to do still.
    for _ in 0..2 {
        realm.exits(69, &["user", "edit", "alice", "--no-roles"], "");
        assert_eq!(stored_user(&realm, "alice").roles, ["staff"]);
    }
    assert_eq!(audited(&realm).len(), before);
}

#[test]
fn who_is_unlocked_need_not_wait_out_failed_logins() {
    let realm = Realm::hashing_little();
    realm.exits(0, &["user", "add", "alice", "--id", "a1", "--email", "a@example.com"], GOOD);
    let runtime = runtime();
    let attempt = |name: &AttemptName| {
        runtime.block_on(async {
            let path = realm.folder().join("portcullis.db");
            let options = crate::support::patient_sqlite();
            let database = store::sqlite::Database::open(&path, options).await.expect("open");
            let (store, clock) = (SqliteRecordStore::new(database), Arc::new(SystemClock::new()));
            let records = Records::new(
                Arc::new(store),
                Duration::from_secs(5),
                clock.clone(),
                StoreMetrics::default(),
            );
            let config = ThrottleConfig {
                enabled: true,
                per_minute: 60,
                lock_tries: 1,
                lock_time: Duration::from_secs(3600),
            };
            let throttle = Throttle::new(Limits::new(records), config, clock);
            let wrong = async { Err::<(), _>(IssueError::InvalidGrant) };
            throttle.counted(name, TooEarly::RetryAfter, wrong).await.outcome
        })
    };
    let is_refused = |name: &AttemptName| match attempt(name) {
        Err(IssueError::InvalidGrant) => false,
        Err(IssueError::SlowDown(_)) => true,
        outcome => panic!("{outcome:?}"),
    };
    let hers = [
        AttemptName::user("a1"),
        AttemptName::written("alice"),
        AttemptName::written("a@example.com"),
    ];
    let others = [AttemptName::user("b1"), AttemptName::written("b1")];
    assert!(!hers.iter().chain(&others).any(is_refused));
    assert!(hers.iter().chain(&others).all(is_refused));
    realm.ask(&["user", "unlock", "alice"]);
    assert!(!hers.iter().any(is_refused), "what was counted is forgotten");
    assert!(others.iter().all(is_refused), "and nobody else's");
}
