//! The audit log of commands: one line for each change, no secret in it, and no change without it.

use serde_json::{Value, json};

use super::{GOOD, audited, stored_user};
use crate::support::realm::Realm;
use crate::support::tokens;

/// Runs a command that must add one line to the audit log; what it printed, and the line.
fn one_line(realm: &Realm, arguments: &[&str], input: &str) -> (String, Value) {
    let before = audited(realm).len();
    let printed = realm.exits(0, arguments, input).printed;
    let mut lines = audited(realm).split_off(before);
    assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
    (printed, lines.remove(0))
}

#[test]
fn each_command_on_users_and_sessions_writes_one_line() {
    let realm = Realm::hashing_little();
    let line = |arguments: &[&str], input: &str| one_line(&realm, arguments, input).1;
    let plain = |event: &str| json!({"event": event, "user": "a1", "reason": "command"});
    let counted = |event: &str, count: u64| json!({"event": event, "user": "a1", "reason": "command", "count": count});
    let other = "another good one, dinah";
    assert_eq!(line(&["user", "add", "alice", "--id", "a1"], GOOD), plain("user_added"));
    let mut secrets = vec![realm.mint("a1", &[])];
    assert_eq!(line(&["user", "passwd", "alice"], other), counted("password_set", 1));
    let edit = ["user", "edit", "alice", "--email", "a@example.com", "--role", "staff"];
    assert_eq!(line(&edit, ""), plain("user_changed"));
    assert_eq!(line(&["user", "verify", "alice"], ""), plain("user_verified"));
    secrets.push(realm.mint("a1", &[]));
    let less = ["user", "edit", "alice", "--no-roles"];
    assert_eq!(line(&less, ""), counted("user_changed", 1));
    secrets.push(realm.mint("a1", &[]));
    assert_eq!(line(&["user", "lock", "alice"], ""), counted("user_locked", 1));
    assert_eq!(line(&["user", "unlock", "alice"], ""), plain("user_unlocked"));

    let token = realm.mint("a1", &[]);
    let mut one = plain("revoke");
    one["session"] = tokens::claims(&token)["sid"].clone();
    assert!(one["session"].is_string(), "{one}");
    assert_eq!(line(&["session", "revoke", "--token", &token], ""), one);
    secrets.extend([token, realm.mint("a1", &[]), realm.mint("a1", &[])]);
    let all = ["session", "revoke", "--user", "a1"];
    assert_eq!(line(&all, ""), counted("revoke_all", 2));
    assert_eq!(line(&["user", "delete", "alice"], ""), counted("user_deleted", 0));

    secrets.extend([GOOD.to_owned(), other.to_owned()]);
    tells_none_of(&realm, &secrets);
}

#[test]
fn each_command_on_keys_and_clients_writes_one_line() {
    let realm = Realm::hashing_little();
    realm.ask(&["user", "add", "alice", "--id", "a1", "--no-password"]);
    let client = |event: &str| json!({"event": event, "client": "app", "reason": "command"});
    let (made, line) = one_line(&realm, &["apikey", "add", "alice", "--json"], "");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    assert_eq!(line, json!({"event": "key_made", "user": "a1", "reason": made["id"]}));
    let id = made["id"].as_str().expect("an id");
    let (_, line) = one_line(&realm, &["apikey", "revoke", id], "");
    assert_eq!(line, json!({"event": "key_revoked", "reason": id}));

    let (first, line) = one_line(&realm, &["client", "add", "app"], "");
    assert_eq!(line, client("client_added"));
    let (second, line) = one_line(&realm, &["client", "rotate", "app"], "");
    assert_eq!(line, client("client_rotated"));
    let (_, line) = one_line(&realm, &["client", "delete", "app"], "");
    let mut deleted = client("client_deleted");
    deleted["count"] = json!(0);
    assert_eq!(line, deleted);

    let ring = realm.folder().join("ring.json").display().to_string();
    let (kid, line) = one_line(&realm, &["key", "rotate", "--ring", &ring], "");
    assert_eq!(line, json!({"event": "signing_key_added", "reason": kid}));
    let users = "{\"username\": \"bob\"}\n{\"username\": \"eve\"}\n";
    let (_, line) = one_line(&realm, &["import", "users", "-"], users);
    assert_eq!(line, json!({"event": "imported", "count": 2, "reason": "users"}));

    let key = made["key"].as_str().expect("a key").to_owned();
    tells_none_of(&realm, &[key, first, second]);
}

/// The audit log holds no secret, and no hash of one.
fn tells_none_of(realm: &Realm, secrets: &[String]) {
    let text = realm.audit_log();
    for secret in secrets.iter().map(String::as_str).chain(["argon2", "sha512", "PRIVATE"]) {
        assert!(secret.len() > 5 && !text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn a_command_that_changes_nothing_writes_no_line() {
    let realm = Realm::hashing_little();
    realm.exits(0, &["user", "add", "alice", "--id", "a1"], GOOD);
    let before = realm.audit_log();
    for (arguments, expected) in [
        (&["user", "list"][..], 0),
        (&["user", "show", "alice"], 0),
        (&["apikey", "list"], 0),
        (&["client", "list"], 0),
        (&["session", "list"], 0),
        (&["user", "add", "alice", "--no-password"], 1),
        (&["user", "passwd", "alice"], 1),
        (&["user", "lock", "bob"], 1),
        (&["user", "delete", "bob"], 1),
        (&["apikey", "add", "bob"], 1),
        (&["apikey", "revoke", "key_x"], 1),
        (&["client", "rotate", "app"], 1),
        (&["client", "delete", "app"], 1),
        (&["session", "revoke", "--user", "a1"], 1),
        (&["session", "revoke", "AAAAAAAAAAAAAAAAAAAAAA"], 1),
        (&["import", "users", "/none"], 69),
    ] {
        realm.exits(expected, arguments, "weak");
        assert_eq!(realm.audit_log(), before, "{arguments:?}");
    }
}

#[test]
fn without_its_audit_log_a_command_changes_nothing() {
    let realm = Realm::hashing_little();
    realm.exits(0, &["user", "add", "alice", "--id", "a1"], GOOD);
    let key = realm.ask_json(&["apikey", "add", "alice", "--json"]);
    let id = key["id"].as_str().expect("an id").to_owned();
    realm.ask(&["client", "add", "app"]);
    realm.mint("a1", &[]);
    let state = |realm: &Realm| {
        [["user", "list"], ["apikey", "list"], ["client", "list"], ["session", "list"]]
            .map(|what| realm.ask(&[&what[..], &["--json"]].concat()))
    };
    let before = state(&realm);
    let password = stored_user(&realm, "alice").password;
    let ring = realm.folder().join("ring.json");
    let ring_path = ring.display().to_string();
    let folder = realm.folder().display().to_string();
    let realm = realm.with("AUDIT_LOG", &folder);
    for arguments in [
        &["user", "add", "bob"][..],
        &["user", "passwd", "alice"],
        &["user", "lock", "alice"],
        &["user", "unlock", "alice"],
        &["user", "delete", "alice"],
        &["apikey", "add", "alice"],
        &["apikey", "revoke", &id],
        &["client", "add", "other"],
        &["client", "rotate", "app"],
        &["client", "delete", "app"],
        &["session", "revoke", "--user", "a1"],
        &["key", "rotate", "--ring", &ring_path],
    ] {
        let output = realm.exits(69, arguments, GOOD);
        assert_eq!(output.printed, "", "{arguments:?}");
        assert!(output.errors.contains("AUDIT_LOG"), "{}", output.errors);
    }
    realm.exits(69, &["import", "users", "-"], r#"{"username": "bob"}"#);
    assert_eq!(state(&realm), before);
    assert_eq!(stored_user(&realm, "alice").password, password);
    assert!(!ring.exists());
    let realm = realm.with("AUDIT_LOG", "off");
    let lines = realm.audit_log();
    realm.ask(&["user", "lock", "alice"]);
    assert_eq!(realm.audit_log(), lines);
}

#[test]
fn the_first_command_makes_the_folder_of_the_log_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let realm = Realm::hashing_little();
    let ring = realm.folder().join("ring.json").display().to_string();
    let data = realm.folder().join("data");
    let realm = realm.with("DATA_DIR", &data.display().to_string());
    realm.ask(&["key", "rotate", "--ring", &ring]);
    let mode = |path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(data.clone()), mode(data.join("audit.jsonl"))), (0o700, 0o600));
}
