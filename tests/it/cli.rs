//! The commands, as scripts and people use them.

use serde_json::Value;

use crate::support::http;
use crate::support::process::Running;
use crate::support::realm::{Ended, Realm};

#[test]
fn what_a_script_needs_is_alone_on_standard_output() {
    let realm = Realm::new();
    let output = realm.exits(0, &["token", "mint", "--user", "alice", "--scope", "user:read"], "");
    let token = output.printed;
    assert_eq!(token.lines().count(), 1);
    assert_eq!(token.split('.').count(), 3);
    assert!(output.errors.contains("session "), "{}", output.errors);

    let gate = realm.gate();
    assert_eq!(gate.check(&token).status, 200);
    let revoked = realm.run(&["session", "revoke", "--token", &token]);
    assert_eq!((revoked.code, revoked.printed.as_str()), (0, ""));
    assert_eq!(gate.check(&token).status, 401);
    // There is nothing left to end.
    realm.exits(1, &["session", "revoke", "--token", &token], "");
}

#[test]
fn all_sessions_of_a_user_end_together_and_nobody_elses() {
    let realm = Realm::new();
    let gate = realm.gate();
    let (one, two) = (realm.mint("alice", &[]), realm.mint("alice", &[]));
    let other = realm.mint("bob", &[]);
    let listed = realm.ask_json(&["session", "list", "--user", "alice", "--json"]);
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
        let stderr = realm.exits(64, &[command], "").errors;
        for name in ["LEEWAY", "PORT", "ALGORITHM"] {
            assert!(stderr.contains(&format!("  {name}: ")), "{stderr}");
        }
        assert!(!stderr.contains("ready to answer"), "{stderr}");
    }
}

#[test]
fn a_configuration_is_checked_for_people_and_for_machines() {
    let stderr = Realm::new().exits(0, &["check-config"], "").errors;
    assert!(
        !stderr.contains("SqlitePath") && !stderr.contains("Sqlite("),
        "no debug text: {stderr}"
    );
    let good = Realm::new().ask(&["check-config", "--json"]);
    assert_eq!(good, r#"{"good":true,"mistakes":[],"warnings":[]}"#);
    let bad = Realm::new().with("LEEWAY", "ten").with("PORT", "x");
    let report = bad.exits(64, &["check-config", "--json"], "").json();
    assert_eq!(report["good"], false);
    assert_eq!(report["mistakes"].as_array().map(Vec::len), Some(2), "{report}");
}

/// A full configuration, which is told in words before and at start.
const ISSUER: [(&str, &str); 8] = [
    ("AUTHORIZATION_SERVER", "true"),
    ("ISSUER", "https://id.example.com"),
    ("EXPIRY", "5"),
    ("LEEWAY", "30"),
    ("SESSION_RULE", "required"),
    ("LISTEN", "127.0.0.1:0"),
    ("ISSUER_LISTEN", "127.0.0.1:0"),
    ("GRPC_LISTEN", "127.0.0.1:0"),
];

#[test]
fn what_is_listened_on_issued_and_stored_is_told_in_words() {
    let realm = ISSUER.iter().fold(Realm::new(), |realm, (name, value)| realm.with(name, value));
    let realm = realm.with("DB_URL", "redis://:hunter2@127.0.0.1:6399");
    let stderr = realm.run(&["check-config"]).errors;
    for line in [
        "accepts    tokens of https://id.example.com: ES256, keys in the settings; audiences \
         https://id.example.com, or no `aud`; sessions required; leeway 30 min",
        "issues     tokens of https://id.example.com, signed with ES256, for https://id.example.com; \
         good for 5 min; refresh tokens work once, for 7 days; passwords checked by the built-in accounts",
        "gate       127.0.0.1:0, paths below /",
        "gateways   no proof is asked for",
        "policy     none: a good credential suffices",
        "metrics    127.0.0.1:9090",
        "issuer     127.0.0.1:0, known as https://id.example.com",
        "internal   127.0.0.1:8082",
        "gRPC       127.0.0.1:0",
        "sessions   redis 127.0.0.1:6399",
        "accounts   sqlite ",
        "audit log  ",
        "believed   sessions for 0 s; while the store is down 0 s",
        "warning    LEEWAY: is 30 minutes, not seconds",
    ] {
        assert!(stderr.contains(&format!("  {line}")), "{line}\n{stderr}");
    }
    for debug in ["Some(", "None", "Secret", "hunter2", "{", "\""] {
        assert!(!stderr.contains(debug), "{debug}: {stderr}");
    }
}

#[test]
fn at_start_every_issuer_listener_and_store_is_named() {
    let realm = ISSUER.iter().fold(Realm::new(), |realm, (name, value)| realm.with(name, value));
    let realm = realm.with("LOG_FORMAT", "json").with("INTERNAL_LISTEN", "127.0.0.1:0");
    let mut command = realm.command(&["serve", "--metrics-listen", "off"]);
    let mut running = Running::start(&mut command, &realm.folder().join("serve.log"));
    let mut log = String::new();
    running.wait_until("ready", || {
        log = std::fs::read_to_string(realm.folder().join("serve.log")).unwrap_or_default();
        log.contains("ready to answer")
    });
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of =
        |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let accepted = of("accepts tokens");
    assert_eq!(accepted.len(), 1, "{log}");
    for (field, value) in [
        ("issuer", "https://id.example.com"),
        ("algorithms", "ES256"),
        ("sessions", "required"),
        ("leeway", "30 min"),
    ] {
        assert_eq!(accepted[0][field], value, "{log}");
    }
    let listeners: Vec<_> = of("listens").iter().map(|line| line["listener"].clone()).collect();
    assert_eq!(listeners, ["gate", "metrics", "issuer", "internal", "gRPC"], "{log}");
    assert!(of("listens").iter().all(|line| line["addresses"] != "127.0.0.1:0"), "{log}");
    let kept: Vec<_> = of("keeps").iter().map(|line| line["what"].clone()).collect();
    assert_eq!(kept, ["sessions", "accounts", "audit log"], "{log}");
    assert!(log.contains("issues tokens of https://id.example.com"), "{log}");
    assert!(log.contains("LEEWAY: is 30 minutes, not seconds"), "{log}");
}

#[test]
fn a_mistyped_flag_is_told_the_nearest() {
    let stderr = Realm::new().run(&["serve", "--leway", "5"]).errors;
    assert!(stderr.contains("--leeway"), "{stderr}");
}

#[test]
fn a_session_that_is_not_there_is_a_no_beside_those_that_end() {
    let realm = Realm::new();
    let token = realm.mint("alice", &[]);
    let sid = crate::support::tokens::claims(&token)["sid"].as_str().expect("a session").to_owned();
    let typo = format!("{sid}x");
    realm.exits(1, &["session", "revoke", &sid, &typo], "");
    assert_eq!(realm.gate().check(&token).status, 401, "the one that was there is over");
}

#[test]
fn no_session_is_opened_for_a_token_that_cannot_be_printed() {
    let realm = Realm::new();
    let mut mint = realm.command(&["token", "mint", "--user", "alice"]);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = Ended::of(mint.stdout(full).output().expect("it runs"));
    assert_eq!(output.code, 70, "{}", output.errors);
    assert_eq!(realm.ask(&["session", "list", "--json"]), "[]");
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
        realm.exits(64, arguments, "");
    }
    for arguments in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let output = realm.exits(0, arguments, "");
        assert!(!output.printed.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_secret_has_no_flag() {
    let help = Realm::new().ask(&["serve", "--help-settings"]);
    for flag in ["--secret-key ", "--private-key ", "--rsa-private-key "] {
        assert!(!help.contains(flag), "{flag}");
    }
    assert!(help.contains("--secret-key-file "));
}

#[test]
fn a_token_that_no_gate_would_read_is_not_minted() {
    let realm = Realm::new().with("MAX_TOKEN_BYTES", "1024");
    let story = format!("story={}", "x".repeat(1024));
    let output = realm.exits(64, &["token", "mint", "--user", "alice", "--claim", &story], "");
    assert!(output.errors.contains("MAX_TOKEN_BYTES is 1024"), "{}", output.errors);
    assert_eq!(output.printed, "");
    realm.mint("alice", &[]);
}

#[test]
fn an_address_in_use_is_69() {
    let realm = Realm::new();
    let gate = realm.gate();
    let address = gate.address.to_string();
    let output = realm.exits(69, &["serve", "--listen", &address, "--metrics-listen", "off"], "");
    assert!(output.errors.contains(&address), "{}", output.errors);
}

#[test]
fn a_store_that_cannot_be_opened_is_69() {
    let realm = Realm::new().with("DB_URL", "sqlite:/proc/nonexistent/x.db");
    realm.exits(69, &["session", "list"], "");
}

#[test]
fn a_store_in_a_folder_that_is_not_there_is_69_and_no_folder_but_data_dir_is_made() {
    let realm = Realm::new();
    let (nowhere, data) = (realm.folder().join("nope"), realm.folder().join("data"));
    let file = nowhere.join("x.db").display().to_string();
    let realm = realm.with("DATA_DIR", &data.display().to_string());
    for name in ["DB_URL", "ACCOUNTS_URL"] {
        let realm = Realm::new().with(name, &format!("sqlite:{file}"));
        let output = realm.exits(69, &["user", "lock", "alice"], "");
        assert!(output.errors.contains(&file), "{name}: {}", output.errors);
    }
    let output = realm.run(&["user", "list", "--audit-log", &file]);
    assert!(!nowhere.exists(), "{}", output.errors);
    let realm = realm.without("DB_URL");
    realm.ask(&["session", "list"]);
    assert!(data.join("portcullis.db").exists());
}

#[test]
fn no_command_leaves_a_log_beside_the_file_whatever_comes_of_it() {
    let realm = Realm::new();
    let companions = |suffix| realm.folder().join(format!("portcullis.db-{suffix}")).exists();
    let token = realm.mint("alice", &[]);
    for (arguments, expected) in [
        (&["user", "list"][..], 0),
        (&["session", "list", "--json"], 0),
        (&["token", "inspect", &token], 0),
        (&["explain", "--token", &token], 0),
        (&["explain", "--token", "rubbish"], 1),
        (&["user", "lock", "nobody"], 1),
        (&["session", "revoke", "no such id"], 64),
        (&["apikey", "revoke", "nothing"], 1),
        (&["client", "add", "app", "--grant", "password"], 0),
        (&["client", "add", "app", "--grant", "password"], 1),
        (&["session", "revoke", "--token", &token], 0),
        (&["serve", "--listen", "192.0.2.1:1", "--metrics-listen", "off"], 69),
    ] {
        realm.exits(expected, arguments, "");
        assert!(!companions("wal") && !companions("shm"), "{arguments:?}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut listing = realm.command(&["client", "list"]);
    assert!(!listing.stdout(full).status().expect("portcullis runs").success());
    assert!(!companions("wal"), "what it printed was lost");
}

#[test]
fn tokens_are_inspected_without_being_trusted() {
    let realm = Realm::new();
    let good = realm.mint("alice", &["--claim", "team=[\"a\",1]"]);
    let shown = realm.ask_json(&["token", "inspect", "--json", &good]);
    assert_eq!(shown["claims"]["team"], serde_json::json!(["a", 1]));
    assert_eq!(shown["valid"], true);
    let foreign = crate::support::tokens::signed(&good, &shown["claims"], &realm.foreign_pem());
    let shown = realm.exits(1, &["token", "inspect", "--json", &foreign], "").json();
    assert_eq!(shown["valid"], false);
    realm.exits(1, &["token", "inspect", "rubbish"], "");
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
        let explained = output.json();
        let query: String = scopes.iter().map(|scope| format!("scope={scope}&")).collect();
        let path = format!("/validate_request?{}", query.trim_end_matches('&'));
        let answered = http::get(gate.address, &path, &[&http::bearer(token)]);
        assert_eq!(explained["status"], answered.status, "{explained}");
        assert_eq!(output.code, i32::from(answered.status != 200));
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
        assert_eq!(output.code, 0, "{algorithm}: {}", output.printed);
        let made = realm.ask_json(&["key", "generate", "--algorithm", algorithm, "--json"]);
        assert_eq!(made["algorithm"], algorithm);
        assert_eq!(made["key_id"].is_null(), algorithm.starts_with("HS"));
        assert!(made["key"].as_str().is_some_and(|key| key.len() > 32));
        let twice = realm.run(&["key", "generate", "--out", &file]);
        assert_eq!(twice.code, 69, "a key is never overwritten");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(Realm::new().ask(&["completions", shell]).contains("portcullis"), "{shell}");
    }
}
