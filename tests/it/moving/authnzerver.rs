//! authnzerver's accounts, from a database that its own code made.

use portcullis::account::{User, UserKind, UserState};
use portcullis::clock::UnixTime;
use serde_json::{Value, json};

use super::{account, accounts, fixture, in_sqlite};
use crate::support::issuer::Issuer;
use crate::support::postgres::{PASSWORD, PostgresServer};
use crate::support::realm::{Ended, Realm};

/// The password of the superuser.
const ROOT: (&str, &str) = ("root@example.org", "correct horse battery staple");
/// The password of one with another role.
const STAFF: (&str, &str) = ("Person00001@Example.org", "9iW8Y5rjYrF-ZVqklE");
/// The password of one who is locked out.
const LOCKED: (&str, &str) = ("person00000@example.org", "ckHPVoXWF5hS-Z00Pn");
/// The password of one who has not shown that the e-mail is his own.
const UNVERIFIED: (&str, &str) = ("person00009@example.org", "2ee7IsFxKrWNwgJ_35");
/// A part of a password of 440 characters, five of these, of which authnzerver hashed 256.
const LONG: (&str, &str) = (
    "person00005@example.org",
    "jH8P6FJJjgVg_a0wQ0Rlys0dbtrbQN4JOwr--VonerN2_AaLKBkpmobtn_Pq1N1tStF1Xys5-HrnhOy9aTfJHA==",
);

/// Its database in a file of the realm; the URL.
fn database(realm: &Realm) -> String {
    let path = realm.folder().join("authnzerver.sqlite");
    in_sqlite(&path, &fixture("authnzerver.sql"));
    format!("sqlite:{}", path.display())
}

fn summary(new: u64, there_already: u64, is_dry: bool) -> Value {
    let left_out = |count: u64, what: &str| json!({"count": count, "what": what});
    json!({
        "dry_run": is_dry, "imported": !is_dry, "conflicts": [],
        "users": {"new": new, "there_already": there_already},
        "keys": {"new": 0, "there_already": 0},
        "left_out": [
            left_out(1, "API keys of sessions: they end with their sessions"),
            left_out(1, "API keys without a session: their issuer, audience, subject and address are \
                not in the database, and a key that is bound to nothing would open more than it did; \
                issue new ones"),
            left_out(1, "account that nobody logs in to, made by authnzerver itself"),
            left_out(1, "sessions: people log in again"),
        ],
    })
}

fn is_at(time: Option<UnixTime>, text: &str) {
    assert_eq!(time.map(|time| time.to_string()).as_deref(), Some(text));
}

/// The users that its eight accounts became.
fn check_accounts(realm: &Realm) {
    let (users, keys) = accounts(realm);
    let mut ids: Vec<&str> = users.iter().map(|user| user.id.as_str()).collect();
    ids.sort_unstable_by_key(|id| id.parse::<u32>().expect("a number"));
    assert_eq!(ids, ["1", "2", "4", "5", "6", "7", "9", "13"], "the dummy is nobody");
    assert!(keys.is_empty());
    let of = |id: &str| users.iter().find(|user| user.id.as_str() == id).expect(id);
    let standing = |user: &User| (user.state, user.roles.join(","), user.email_verified);
    for (id, state, role, verified) in [
        ("1", UserState::Active, "superuser", true),
        ("2", UserState::Active, "anonymous", true),
        ("4", UserState::Locked, "authenticated", true),
        ("5", UserState::Active, "staff", true),
        ("6", UserState::Active, "authenticated", true),
        ("13", UserState::Unverified, "authenticated", false),
    ] {
        assert_eq!(standing(of(id)), (state, role.to_owned(), verified), "{id}");
    }
    let anonymous = of("2");
    assert_eq!((anonymous.kind, &anonymous.password), (UserKind::Anonymous, &None));
    let staff = of("5");
    assert_eq!(staff.username.as_str(), "person00001@example.org");
    assert_eq!(staff.email, Some(staff.username.clone()));
    assert_eq!(staff.full_name.as_deref(), Some("Björn Lovelace"));
    is_at(Some(staff.created), "2026-11-27T05:46:58Z");
    is_at(staff.verification_sent, "2026-11-27T05:46:58Z");
    assert_eq!(staff.last_login, None, "authnzerver never wrote it");
    let properties = Value::Object(staff.properties.clone());
    assert_eq!(properties["city"], "City 1");
    assert_eq!(properties["system_id"], "2561535e-a68d-4f7c-a828-acaa9a73f8f8");
    assert!(of("4").properties.get("previous_user_roles").is_none());
}

#[test]
fn authnzervers_accounts_are_taken_over_from_sqlite() {
    let realm = Realm::hashing_little();
    let url = database(&realm);
    let file = realm.folder().join("authnzerver.sqlite");
    let before = std::fs::read(&file).expect("a file");
    assert_eq!(realm.ask_json(&["import", "authnzerver", &url, "--json"]), summary(8, 0, false));
    check_accounts(&realm);
    let (first, _) = accounts(&realm);
    assert_eq!(realm.ask_json(&["import", "authnzerver", &url, "--json"]), summary(0, 8, false));
    assert_eq!(accounts(&realm).0, first, "the second time changes nothing");
    assert_eq!(std::fs::read(&file).expect("a file"), before, "it was only read");
    let imported: Vec<Value> =
        realm.events().into_iter().filter(|event| event["event"] == "imported").collect();
    let [event] = &imported[..] else { panic!("{imported:?}") };
    assert_eq!((&event["count"], &event["reason"]), (&json!(8), &json!("authnzerver")));
}

#[test]
fn authnzervers_accounts_are_taken_over_from_postgresql_into_postgresql() {
    let Some(server) = PostgresServer::shared() else { return };
    let theirs = server.database();
    server.psql(&theirs, &fixture("authnzerver.sql").replace("DATETIME", "TIMESTAMP"));
    let realm = Realm::hashing_little().with("ACCOUNTS_URL", &server.database());
    // As SQLAlchemy has it, with the name of a driver.
    let url = theirs
        .replace(&format!(":{PASSWORD}@"), "@")
        .replace("postgres://", "postgresql+psycopg2://");
    let import = || {
        let mut command = realm.command(&["import", "authnzerver", &url, "--json"]);
        let output = command.env("PGPASSWORD", PASSWORD.replace("%40", "@")).output();
        let ended = Ended::of(output.expect("portcullis runs"));
        assert_eq!(ended.code, 0, "{}", ended.errors);
        ended.json()
    };
    assert_eq!(import(), summary(8, 0, false));
    check_accounts(&realm);
    assert_eq!(import(), summary(0, 8, false));
}

#[test]
fn people_of_authnzerver_log_in_with_their_passwords() {
    let realm = Realm::issuing();
    realm.ask(&["import", "authnzerver", &database(&realm)]);
    let issuer = Issuer::start(&realm);
    let long = LONG.1.repeat(5);
    for (name, password) in [ROOT, STAFF, (LONG.0, &long)] {
        let answer = issuer.by_password(name, password, &[]);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
        assert_eq!(issuer.check(&token), 200, "{name}");
        assert_eq!(issuer.by_password(name, &password[1..], &[]).status, 400, "{name}");
    }
    // The whole of a long password counts from now on.
    assert_eq!(issuer.by_password(LONG.0, &long, &[]).status, 200);
    assert_eq!(issuer.by_password(LONG.0, &format!("{long}x"), &[]).status, 400);
    for (name, password) in [LOCKED, UNVERIFIED, ("anonuser@localhost", "anonuser@localhost")] {
        assert_eq!(issuer.by_password(name, password, &[]).status, 400, "{name}");
    }
    drop(issuer);
    realm.ask(&["user", "unlock", LOCKED.0]);
    let locked = account(&realm, LOCKED.0);
    assert_eq!((locked.state, &*locked.roles[0]), (UserState::Active, "authenticated"));
    let issuer = Issuer::start(&realm);
    assert_eq!(issuer.by_password(LOCKED.0, LOCKED.1, &[]).status, 200, "unlocked");
}

/// The version on PyPI, 0.1.3, had no notes, and no keys without a session.
#[test]
fn the_oldest_version_of_authnzerver_will_do() {
    let realm = Realm::hashing_little();
    let url = database(&realm);
    let file = realm.folder().join("authnzerver.sqlite");
    in_sqlite(&file, "ALTER TABLE users DROP COLUMN extra_info; DROP TABLE apikeys_nosession");
    let told = realm.ask_json(&["import", "authnzerver", &url, "--json"]);
    assert_eq!(told["users"]["new"], 8);
    let locked = account(&realm, LOCKED.0);
    assert_eq!((locked.state, &*locked.roles[0]), (UserState::Locked, "authenticated"));
}

#[test]
fn a_dry_run_says_the_same_and_changes_no_byte() {
    let realm = Realm::hashing_little();
    let url = database(&realm);
    let dry = |new, there| {
        let told = realm.ask_json(&["import", "authnzerver", &url, "--dry-run", "--json"]);
        assert_eq!(told, summary(new, there, true));
    };
    let files = || {
        let entries = std::fs::read_dir(realm.folder()).expect("a folder").map(|entry| {
            let path = entry.expect("an entry").path();
            let content = std::fs::read(&path).expect("a file");
            (path, content)
        });
        let mut files: Vec<_> = entries.collect();
        files.sort();
        files
    };
    let before = files();
    dry(8, 0);
    assert_eq!(files(), before, "not even an empty database is made");
    realm.ask(&["import", "authnzerver", &url]);
    let before = files();
    dry(0, 8);
    assert_eq!(files(), before);
    let words = realm.ask(&["import", "authnzerver", &url, "--dry-run"]);
    for told in
        ["users: 0 new, 8 there already", "left out: 1 sessions", "a dry run: nothing was changed"]
    {
        assert!(words.contains(told), "{told}: {words}");
    }
}

#[test]
fn what_is_no_database_of_authnzerver_is_69_and_a_password_in_its_url_64() {
    let realm = Realm::hashing_little();
    let none = format!("sqlite:{}/none.db", realm.folder().display());
    let other = realm.folder().join("other.db");
    in_sqlite(&other, "CREATE TABLE users (id INTEGER PRIMARY KEY)");
    for url in
        [none, format!("sqlite:{}", other.display()), "postgres://u@127.0.0.1:1/x".to_owned()]
    {
        realm.exits(69, &["import", "authnzerver", &url], "");
    }
    for url in ["mysql://h/x", "postgres://u:hunter2@127.0.0.1:1/x", "hunter2"] {
        let ended = realm.exits(64, &["import", "authnzerver", url], "");
        assert!(!ended.errors.contains("hunter2"), "{}", ended.errors);
    }
    assert!(accounts(&realm).0.is_empty());
}
