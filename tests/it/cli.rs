//! The commands, as scripts and people use them.

use std::process::Output;

use serde_json::Value;

use crate::support::http;
use crate::support::realm::Realm;

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn what_a_script_needs_is_alone_on_standard_output() {
    let realm = Realm::new();
    let output = realm.run(&["token", "mint", "--user", "alice", "--scope", "user:read"]);
    let token = printed(&output);
    assert_eq!(code(&output), 0);
    assert_eq!(token.lines().count(), 1);
    assert_eq!(token.trim().split('.').count(), 3);
    assert!(errors(&output).contains("session "), "{}", errors(&output));

    let gate = realm.gate();
    assert_eq!(gate.check(token.trim()).status, 200);
    let revoked = realm.run(&["session", "revoke", "--token", token.trim()]);
    assert_eq!((code(&revoked), printed(&revoked).as_str()), (0, ""));
    assert_eq!(gate.check(token.trim()).status, 401);
    let again = realm.run(&["session", "revoke", "--token", token.trim()]);
    assert_eq!(code(&again), 1, "there is nothing left to end");
}

#[test]
fn all_sessions_of_a_user_end_together_and_nobody_elses() {
    let realm = Realm::new();
    let gate = realm.gate();
    let (one, two) = (realm.mint("alice", &[]), realm.mint("alice", &[]));
    let other = realm.mint("bob", &[]);
    let listed: Value =
        serde_json::from_str(&realm.ask(&["session", "list", "--user", "alice", "--json"]))
            .expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let ended = realm.ask(&["session", "revoke", "--user", "alice", "--json"]);
    assert_eq!(ended, "{\"ended\":2}");
    for (token, status) in [(&one, 401), (&two, 401), (&other, 200)] {
        assert_eq!(gate.check(token).status, status);
    }
    assert_eq!(gate.check(&realm.mint("alice", &[])).status, 200, "alice may come back");
}

#[test]
fn every_mistake_is_told_at_once_and_nothing_is_bound() {
    let realm = Realm::new().with("LEEWAY", "ten").with("PORT", "x").with("ALGORITHM", "none");
    for command in ["serve", "check-config"] {
        let output = realm.run(&[command]);
        let told = errors(&output);
        assert_eq!(code(&output), 64, "{told}");
        for name in ["LEEWAY", "PORT", "ALGORITHM"] {
            assert!(told.contains(&format!("  {name}: ")), "{told}");
        }
        assert!(!told.contains("ready to answer"), "{told}");
    }
}

#[test]
fn a_configuration_is_checked_for_people_and_for_machines() {
    let output = Realm::new().run(&["check-config"]);
    assert_eq!(code(&output), 0, "{}", errors(&output));
    assert_eq!(Realm::new().ask(&["check-config", "--json"]), r#"{"good":true,"mistakes":[]}"#);
    let bad = Realm::new().with("LEEWAY", "ten").with("PORT", "x");
    let output = bad.run(&["check-config", "--json"]);
    let told: Value = serde_json::from_str(&printed(&output)).expect("JSON");
    assert_eq!(code(&output), 64);
    assert_eq!(told["good"], false);
    assert_eq!(told["mistakes"].as_array().map(Vec::len), Some(2), "{told}");
}

#[test]
fn flags_win_over_the_environment() {
    let realm = Realm::new().with("ISSUER", "environment");
    let issuer = |arguments: &[&str]| {
        let token = realm.ask(&[&["token", "mint", "--user", "a"], arguments].concat());
        crate::support::tokens::claims(&token)["iss"].clone()
    };
    assert_eq!(issuer(&[]), "environment");
    assert_eq!(issuer(&["--issuer", "flag"]), "flag");
}

#[test]
fn wrong_usage_is_64_and_help_is_not() {
    let realm = Realm::new();
    for arguments in [&[][..], &["nonsense"], &["serve", "--no-such"], &["session", "revoke"]] {
        assert_eq!(code(&realm.run(arguments)), 64, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let output = realm.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}");
        assert!(!printed(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_secret_has_no_flag() {
    let help = Realm::new().ask(&["serve", "--help"]);
    for flag in ["--secret-key ", "--private-key ", "--rsa-private-key "] {
        assert!(!help.contains(flag), "{flag}");
    }
    assert!(help.contains("--secret-key-file "));
}

#[test]
fn a_token_that_no_gate_would_read_is_not_minted() {
    let realm = Realm::new().with("MAX_TOKEN_BYTES", "1024");
    let story = format!("story={}", "x".repeat(1024));
    let output = realm.run(&["token", "mint", "--user", "alice", "--claim", &story]);
    assert_eq!(code(&output), 64, "{}", errors(&output));
    assert!(errors(&output).contains("MAX_TOKEN_BYTES is 1024"), "{}", errors(&output));
    assert_eq!(printed(&output), "");
    realm.mint("alice", &[]);
}

#[test]
fn an_address_in_use_is_69() {
    let realm = Realm::new();
    let gate = realm.gate();
    let address = gate.address.to_string();
    let output = realm.run(&["serve", "--listen", &address, "--metrics-listen", "off"]);
    assert_eq!(code(&output), 69, "{}", errors(&output));
    assert!(errors(&output).contains(&address), "{}", errors(&output));
}

#[test]
fn a_store_that_cannot_be_opened_is_69() {
    let realm = Realm::new().with("DB_URL", "sqlite:/proc/nonexistent/x.db");
    let output = realm.run(&["session", "list"]);
    assert_eq!(code(&output), 69, "{}", errors(&output));
}

#[test]
fn tokens_are_inspected_without_being_trusted() {
    let realm = Realm::new();
    let good = realm.mint("alice", &["--claim", "team=[\"a\",1]"]);
    let output = realm.run(&["token", "inspect", "--json", &good]);
    let shown: Value = serde_json::from_str(&printed(&output)).expect("JSON");
    assert_eq!(code(&output), 0);
    assert_eq!(shown["claims"]["team"], serde_json::json!(["a", 1]));
    assert_eq!(shown["valid"], true);
    let foreign = crate::support::tokens::signed(&good, &shown["claims"], &realm.foreign_pem());
    let output = realm.run(&["token", "inspect", "--json", &foreign]);
    let shown: Value = serde_json::from_str(&printed(&output)).expect("JSON");
    assert_eq!(code(&output), 1);
    assert_eq!(shown["valid"], false);
    assert_eq!(code(&realm.run(&["token", "inspect", "rubbish"])), 1);
}

#[test]
fn explain_says_what_the_gate_would() {
    let realm = Realm::new();
    let gate = realm.gate();
    let good = realm.mint("alice", &["--scope", "user:read"]);
    let revoked = realm.mint("alice", &[]);
    realm.revoke(&revoked);
    for (token, scopes) in [
        (good.as_str(), &[][..]),
        (&good, &["user:read"]),
        (&good, &["a"]),
        (&revoked, &[]),
        ("x.y.z", &[]),
    ] {
        let mut arguments = vec!["explain", "--json", "--token", token];
        arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let output = realm.run(&arguments);
        let explained: Value = serde_json::from_str(&printed(&output)).expect("JSON");
        let query: String = scopes.iter().map(|scope| format!("scope={scope}&")).collect();
        let path = format!("/validate_request?{}", query.trim_end_matches('&'));
        let answered = http::get(gate.address, &path, &[&http::bearer(token)]);
        assert_eq!(explained["status"], answered.status, "{explained}");
        assert_eq!(code(&output), i32::from(answered.status != 200));
        let last = explained["steps"].as_array().and_then(|steps| steps.last()).expect("a step");
        assert_eq!(last["passed"], answered.status == 200, "{explained}");
        assert!(!explained.to_string().contains(token), "{explained}");
    }
}

#[test]
fn generated_keys_serve_their_algorithm() {
    for algorithm in ["HS256", "HS512", "RS256", "PS384", "ES384", "EdDSA"] {
        let realm = Realm::new().without("PUBLIC_KEY_FILE").with("ALGORITHM", algorithm);
        let file = realm.folder().join("new").display().to_string();
        realm.ask(&["key", "generate", "--algorithm", algorithm, "--out", &file]);
        let name = if algorithm.starts_with("HS") { "SECRET_KEY_FILE" } else { "PRIVATE_KEY_FILE" };
        let realm = realm.without("PRIVATE_KEY_FILE").with(name, &file);
        let token = realm.mint("alice", &[]);
        let output = realm.run(&["explain", "--token", &token]);
        assert_eq!(code(&output), 0, "{algorithm}: {}", printed(&output));
        let made = realm.ask(&["key", "generate", "--algorithm", algorithm, "--json"]);
        let made: Value = serde_json::from_str(&made).expect("JSON");
        assert_eq!(made["algorithm"], algorithm);
        assert_eq!(made["key_id"].is_null(), algorithm.starts_with("HS"));
        assert!(made["key"].as_str().is_some_and(|key| key.len() > 32));
        let twice = realm.run(&["key", "generate", "--out", &file]);
        assert_eq!(code(&twice), 69, "a key is never overwritten");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(Realm::new().ask(&["completions", shell]).contains("portcullis"), "{shell}");
    }
}
