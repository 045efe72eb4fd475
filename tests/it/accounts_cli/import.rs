//! Imports of users from a file, and of keys from the database of jwthenticator.

use portcullis::account::{KeyDigest, UserKind, password::Checked};
use portcullis::clock::UnixTime;
use portcullis::secret::Secret;
use portcullis::session::UserId;
use serde_json::{Value, json};
use sqlx::Connection as _;

use super::{audited, check, stored_key, stored_user};
use crate::support::postgres::{PASSWORD, PostgresServer};
use crate::support::realm::{Ended, Realm};

/// The answer of `--json` where nothing is in conflict and nothing left out.
fn imported(users: [u64; 2], keys: [u64; 2]) -> Value {
    let counts = |[new, there]: [u64; 2]| json!({"new": new, "there_already": there});
    json!({"dry_run": false, "imported": true, "users": counts(users), "keys": counts(keys),
        "conflicts": [], "left_out": []})
}

#[test]
fn an_import_takes_nobody_for_somebody_else() {
    let realm = Realm::hashing_little();
    realm.ask(&["user", "add", "alice", "--id", "u1", "--no-password"]);
    let import = |code, lines: &str| realm.exits(code, &["import", "users", "-", "--json"], lines);
    let output = import(1, r#"{"id": "u1", "username": "mallory"}"#);
    assert_eq!(output.json()["imported"], false);
    let told =
        "line 1: user \"u1\" (mallory): its id is that of user \"u1\" (alice) of the accounts";
    assert!(output.errors.contains(told), "{}", output.errors);
    let output = import(0, r#"{"id": "u1", "username": "ALICE"}"#);
    assert_eq!(output.json(), imported([0, 1], [0, 0]));
}

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// The tables of jwthenticator 1.6.3: two keys of one identifier, one of another, and a bad one.
fn jwthenticators_rows(postgres: bool) -> String {
    let digest = |key: &str| KeyDigest::of(&Secret::new(key)).as_str().replace("sha512:", "");
    let (uuid, time) = if postgres { ("UUID", "TIMESTAMP") } else { ("CHAR(32)", "DATETIME") };
    format!(
        "CREATE TABLE keys (id {serial} PRIMARY KEY, key_hash VARCHAR(256) UNIQUE, \
         identifier {uuid} NOT NULL, created {time}, expires_at {time}); \
         INSERT INTO keys VALUES \
         (1, '{one}', '0123456789abcdef0123456789abcdef', NULL, '2030-01-02 03:04:05.678901'), \
         (2, '{two}', '0123456789abcdef0123456789abcdef', NULL, '2020-01-01 00:00:00.000000'), \
         (7, '{three}', 'ffffffffffffffffffffffffffffffff', NULL, '2030-01-01 00:00:00.000000'), \
         (8, 'no hash', 'ffffffffffffffffffffffffffffffff', NULL, '2030-01-01 00:00:00.000000')",
        serial = if postgres { "SERIAL" } else { "INTEGER" },
        one = digest("key one"),
        two = digest("key two"),
        three = digest("key three"),
    )
}

fn check_jwthenticators(realm: &Realm, from: &str, password: &str) {
    let import = |code, flags: &[&str]| {
        let arguments = [&["import", "jwthenticator", from, "--json"], flags].concat();
        let output = realm.command(&arguments).env("PGPASSWORD", password).output();
        let output = Ended::of(output.expect("portcullis runs"));
        assert_eq!(output.code, code, "{}", output.errors);
        assert!(output.errors.contains("key 8: it cannot be read"), "{}", output.errors);
        output.json()
    };
    assert_eq!(import(1, &[])["imported"], false);
    assert_eq!(realm.ask(&["apikey", "list", "--json"]), "[]", "one key keeps all from it");
    let unreadable = json!([{"record": "key 8", "reason": "it cannot be read"}]);
    let all = |users, keys| {
        let mut told = imported(users, keys);
        told["conflicts"] = unreadable.clone();
        told
    };
    assert_eq!(import(0, &["--skip-conflicts"]), all([2, 0], [3, 0]));
    let user = stored_user(realm, UUID);
    assert_eq!((user.id.as_str(), user.kind), (UUID, UserKind::Service));
    assert_eq!(user.password, None);
    for (key, expires) in [("key one", 1_893_553_445), ("key two", 1_577_836_800)] {
        let key = stored_key(realm, key).expect(key);
        assert_eq!(key.user, UserId::parse(UUID).expect("id"));
        assert_eq!(key.expires, Some(UnixTime::from_secs(expires)));
    }
    assert!(stored_key(realm, "key three").is_some());
    assert_eq!(import(0, &["--skip-conflicts"]), all([0, 2], [0, 3]), "a second time");
    let line = json!({"event": "imported", "count": 5, "reason": "jwthenticator"});
    assert_eq!(audited(realm), [line]);
    assert_eq!(realm.ask_json(&["apikey", "list", "--json"]).as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn jwthenticators_keys_are_taken_over_from_sqlite() {
    let realm = Realm::hashing_little();
    let path = realm.folder().join("jwthenticator.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut source = sqlx::SqliteConnection::connect_with(&options).await.expect("a file");
    let sql = sqlx::AssertSqlSafe(jwthenticators_rows(false));
    sqlx::raw_sql(sql).execute(&mut source).await.expect("tables");
    source.close().await.expect("close");
    let before = std::fs::read(&path).expect("a file");
    let from = format!("sqlite:{}", path.display());
    tokio::task::spawn_blocking(move || {
        check_jwthenticators(&realm, &from, "");
        assert_eq!(std::fs::read(&path).expect("a file"), before, "it was only read");
    })
    .await
    .expect("task");
}

#[test]
fn jwthenticators_keys_are_taken_over_from_postgresql() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.database();
    server.psql(&url, &jwthenticators_rows(true));
    let from = url.replace(&format!(":{PASSWORD}@"), "@");
    check_jwthenticators(&Realm::hashing_little(), &from, &PASSWORD.replace("%40", "@"));
}

#[test]
fn a_source_that_is_not_there_is_69() {
    let realm = Realm::hashing_little();
    let file = format!("sqlite:{}/none.db", realm.folder().display());
    for from in [file.as_str(), "postgres://u@127.0.0.1:1/x"] {
        realm.exits(69, &["import", "jwthenticator", from], "");
    }
    realm.exits(69, &["import", "users", "/none"], "");
    let nowhere = realm.with("ACCOUNTS_URL", "postgres://u:hunter2@127.0.0.1:1/x");
    let output = nowhere.exits(69, &["user", "list"], "");
    assert!(!output.errors.contains("hunter2"), "{}", output.errors);
}

#[test]
fn users_with_older_hashes_are_taken_over_and_log_in() {
    let realm = Realm::hashing_little();
    // Made by Python's bcrypt and by argon2-cffi.
    let bcrypt = "$2b$04$cNH0a/krC7MXXuEePJhU.uIOJgIcsIc8By2ahCComykkokdXWaQUK";
    let argon2 = "$argon2id$v=19$m=64,t=2,p=4$uHfXmsVDsXifm9JPFfzTFw$JQE4U0Ya2fQ9uxnnVfS4CzePE6bUc9EI/zBDyqnd+w0";
    let lines = [
        json!({"id": "7", "username": "alice", "email": "a@example.com", "password_hash": bcrypt,
               "full_name": "Alice", "scopes": ["a"], "roles": ["r"], "claims": {"x": 1}}),
        json!({"username": "bob", "password_hash": argon2}),
        json!({"username": "robot", "kind": "service"}),
    ];
    let file = lines.map(|line| line.to_string()).join("\n\n");
    let import = || realm.exits(0, &["import", "users", "-", "--json"], &file).json();
    assert_eq!(import(), imported([3, 0], [0, 0]));
    assert_eq!(import(), imported([0, 3], [0, 0]), "a second time");
    let alice = stored_user(&realm, "A@example.com");
    assert_eq!((alice.id.as_str(), alice.full_name.as_deref()), ("7", Some("Alice")));
    for user in [alice, stored_user(&realm, "bob")] {
        assert_eq!(check(&user, "Ünder the sea"), Checked::NeedsRehash);
        assert_eq!(check(&user, "over the sea"), Checked::Wrong);
    }
    let clash = r#"{"id": "8", "username": "Alice"}"#;
    let output = realm.exits(1, &["import", "users", "-", "--json"], clash);
    assert!(output.errors.contains("line 1"), "{}", output.errors);
}

#[test]
fn a_file_with_a_mistake_imports_nobody_and_is_not_quoted() {
    let realm = Realm::hashing_little();
    for (bad, told_of) in [
        ("hunter2", "not JSON"),
        (r#"["hunter2"]"#, "wrong type"),
        (r#"{"email": "hunter2@example.com"}"#, "missing field `username`"),
        (r#"{"username": "x", "password": "hunter2"}"#, "unknown field `password`"),
        (r#"{"username": "x", "password_hash": "hunter2"}"#, "password_hash"),
        (r#"{"username": "x", "scopes": "hunter2"}"#, "wrong type"),
        (r#"{"username": "x", "scopes": ["hunter2 b"]}"#, "scopes"),
        (r#"{"username": "x", "kind": "hunter2"}"#, "kind"),
        (r#"{"username": "client:hunter2"}"#, "username"),
    ] {
        let file = format!("{{\"username\": \"good\"}}\n{bad}\n");
        let output = realm.exits(64, &["import", "users", "-"], &file);
        let stderr = output.errors;
        assert!(stderr.contains("line 2: ") && stderr.contains(told_of), "{bad}: {stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    assert_eq!(realm.ask(&["user", "list", "--json"]), "[]");
}
