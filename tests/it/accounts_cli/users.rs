//! Users: added, shown, listed, and their passwords.

use std::io::Write as _;
use std::process::Stdio;

use portcullis::account::UserKind;
use portcullis::account::password::Checked;
use serde_json::json;

use super::{GOOD, check, stored_user};
use crate::support::realm::{Ended, PORTCULLIS, Realm};

#[test]
fn a_user_is_added_with_all_that_it_can_have() {
    let realm = Realm::hashing_little();
    let arguments = [
        &["user", "add", "Alice", "--email", "Alice@Example.com", "--email-verified"][..],
        &["--full-name", "Alice Liddell", "--role", "staff", "--scope", "user:read user:write"],
        &["--claim", "team=[1]", "--json"],
    ];
    let arguments = arguments.concat();
    let shown = realm.exits(0, &arguments, &format!("{GOOD}\n")).json();
    assert_eq!(shown["username"], "Alice");
    assert_eq!(shown["has_password"], true);
    let user = stored_user(&realm, "alice@example.com");
    assert_eq!(user.id.as_str(), shown["id"]);
    assert_eq!(user.id.as_str().len(), 22, "128 random bits");
    assert_eq!(user.scopes, ["user:read", "user:write"]);
    assert_eq!(user.claims["team"], json!([1]));
    assert!(user.email_verified);
    assert_eq!(check(&user, GOOD), Checked::Right);
    assert_eq!(check(&user, &format!("{GOOD}\n")), Checked::Wrong);
    let again = realm.ask_json(&["user", "show", "ALICE", "--json"]);
    assert_eq!(again, shown);
    assert!(!again.to_string().contains("argon2"), "no hash is shown");
    let text = realm.ask(&["user", "show", shown["id"].as_str().expect("id")]);
    assert!(text.contains("Alice Liddell") && !text.contains("argon2"), "{text}");
}

#[test]
fn the_id_of_a_new_user_is_alone_on_standard_output() {
    let realm = Realm::hashing_little();
    assert_eq!(realm.exits(0, &["user", "add", "bob", "--id", "b1"], GOOD).printed, "b1");
    let service = realm.ask(&["user", "add", "robot", "--kind", "service", "--no-password"]);
    assert_eq!(stored_user(&realm, "robot").id.as_str(), service);
    assert_eq!(stored_user(&realm, "robot").password, None);
    let anonymous = realm.ask(&["user", "add", "nobody", "--kind", "anonymous"]);
    assert_eq!(stored_user(&realm, "nobody").kind, UserKind::Anonymous);
    let listed = realm.ask_json(&["user", "list", "--json"]);
    let mut ids = [service.as_str(), anonymous.as_str(), "b1"];
    ids.sort_unstable();
    let listed: Vec<_> = listed.as_array().expect("an array").iter().map(|u| &u["id"]).collect();
    assert_eq!(listed, ids);
    let limited = realm.run(&["user", "list", "--limit", "2"]);
    assert_eq!(limited.printed.lines().count(), 3, "a head and two users");
    assert!(limited.errors.contains("--limit"));
}

#[test]
fn what_is_taken_or_not_there_is_a_no() {
    let realm = Realm::hashing_little();
    realm.exits(0, &["user", "add", "alice", "--email", "a@example.com"], GOOD);
    for arguments in [
        &["user", "add", "ALICE", "--no-password"][..],
        &["user", "add", "bob", "--no-password", "--email", "alice"],
        &["user", "add", "A@EXAMPLE.com", "--no-password"],
        &["user", "show", "bob"],
        &["user", "lock", "bob"],
        &["user", "delete", "bob"],
        &["user", "passwd", "bob"],
        &["apikey", "add", "bob"],
        &["apikey", "revoke", "key_x"],
        &["client", "rotate", "app"],
        &["client", "delete", "app"],
    ] {
        assert_eq!(realm.exits(1, arguments, GOOD).printed, "", "{arguments:?}");
    }
}

#[test]
fn wrong_usage_changes_nothing() {
    let realm = Realm::hashing_little();
    let long = "x".repeat(300);
    for arguments in [
        &["user", "add", "client:app"][..],
        &["user", "add", "ＣＬＩＥＮＴ:app"],
        &["user", "add", "x", "--id", "client:app"],
        &["user", "add", "x", "--id", "Client:app"],
        &["user", "add", ""],
        &["user", "add", &long],
        &["user", "add", "x", "--kind", "robot"],
        &["user", "add", "x", "--scope", "a\"b"],
        &["user", "add", "x", "--password", GOOD],
        &["client", "add", "a b"],
        &["client", "add", ""],
        &["client", "add", "x", "--grant", "implicit"],
        &["client", "add", "x", "--public", "--grant", "client_credentials"],
        &["client", "add", "x", "--public", "--introspect"],
        &["apikey", "revoke"],
        &["import", "jwthenticator"],
        &["import", "jwthenticator", "--from", "mysql://x"],
        &["import", "jwthenticator", "--from", "postgres://u:hunter2@127.0.0.1:1/x"],
    ] {
        let output = realm.exits(64, arguments, GOOD);
        assert_eq!(output.printed, "", "{arguments:?}");
        assert!(!output.errors.contains("hunter2"), "{}", output.errors);
    }
    assert_eq!(realm.ask(&["user", "list", "--json"]), "[]");
    assert_eq!(realm.ask(&["client", "list", "--json"]), "[]");
}

#[test]
fn a_password_that_the_policy_refuses_is_a_no_unless_the_operator_insists() {
    let realm = Realm::hashing_little();
    for (password, advice) in [
        ("wonderland", "at least 12"),
        ("alice.liddell", "less like"),
        ("password-Q7#", "tries first"),
        ("839471620583", "more than digits"),
    ] {
        let output = realm.exits(1, &["user", "add", "alice.liddell"], password);
        assert!(output.errors.contains(advice), "{password}: {}", output.errors);
        assert!(!output.errors.contains(password), "{}", output.errors);
    }
    for empty in ["", "\n", "\r\n"] {
        realm.exits(64, &["user", "add", "alice"], empty);
    }
    realm.exits(0, &["user", "add", "alice", "--any-password"], "wonderland\nmore\n");
    assert_eq!(check(&stored_user(&realm, "alice"), "wonderland"), Checked::Right);
    let lax = realm.with("PASSWORD_MIN_LENGTH", "8");
    lax.exits(0, &["user", "passwd", "alice"], "v8Qz!mT3\r\n");
    assert_eq!(check(&stored_user(&lax, "alice"), "v8Qz!mT3"), Checked::Right);
    assert_eq!(check(&stored_user(&lax, "alice"), "wonderland"), Checked::Wrong);
}

#[test]
fn on_a_terminal_a_password_is_asked_for_twice_and_not_shown() {
    let realm = Realm::hashing_little();
    let Some(script) = crate::support::require("script") else { return };
    let on_terminal = |arguments: &[&str], input: &str| {
        let line = [&[PORTCULLIS], arguments].concat().join(" ");
        let mut command = std::process::Command::new(&script);
        command.env_clear().envs(realm.settings()).env("PATH", "/usr/bin:/bin");
        command.env("SHELL", "/bin/sh");
        command.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(realm.folder());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("script runs");
        let mut keyboard = child.stdin.take().expect("a pipe");
        keyboard.write_all(input.as_bytes()).expect("a keyboard");
        Ended::of(child.wait_with_output().expect("script ends"))
    };
    let twice = on_terminal(&["user", "add", "alice"], &format!("{GOOD}\n{GOOD}\n"));
    let seen = twice.printed;
    assert_eq!(twice.code, 0, "{seen}");
    assert!(seen.contains("New password: ") && seen.contains("The same again: "), "{seen}");
    assert_eq!(check(&stored_user(&realm, "alice"), GOOD), Checked::Right);
    let slip = on_terminal(&["user", "passwd", "alice"], &format!("{GOOD}!\n{GOOD}?\n"));
    assert_eq!(slip.code, 64, "{}", slip.printed);
    assert_eq!(check(&stored_user(&realm, "alice"), GOOD), Checked::Right);
}

#[test]
fn nobody_is_meant_by_mistake() {
    let realm = Realm::hashing_little();
    realm.ask(&["user", "add", "alice", "--id", "bob", "--no-password"]);
    realm.ask(&["user", "add", "bob", "--id", "b1", "--no-password"]);
    realm.exits(64, &["user", "delete", "bob"], "");
    realm.ask(&["user", "delete", "b1"]);
    realm.ask(&["user", "delete", "bob"]);
    assert_eq!(realm.ask(&["user", "list", "--json"]), "[]");
}

#[test]
fn a_claim_that_would_be_dropped_is_refused() {
    let realm = Realm::hashing_little();
    for claim in ["sub=x", "iss=x", "scope=a", "email=a@b.example", "roles=[\"admin\"]"] {
        realm.exits(64, &["user", "add", "bob", "--no-password", "--claim", claim], "");
    }
    let line = r#"{"username": "bob", "claims": {"sub": "root"}}"#;
    let output = realm.exits(64, &["import", "users", "-"], line);
    assert!(output.errors.contains("\"sub\""), "{}", output.errors);
    assert_eq!(realm.ask_json(&["user", "list", "--json"]), json!([]));
}
