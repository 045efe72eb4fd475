//! Keys that are handed over while gates run: nobody is turned away, and no key is lost.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::support::gate::Gate;
use crate::support::issuer::{ALICE, Issuer, SCOPES};
use crate::support::page::{self, Page};
use crate::support::realm::{Ended, Realm};
use crate::support::{PATIENCE, http, poll, tokens};

/// A realm whose own keys are in a ring, which is not there yet, and the path of that.
fn realm() -> (Realm, PathBuf) {
    let realm = Realm::new().without("PUBLIC_KEY_FILE").without("ALGORITHM");
    let ring = realm.folder().join("ring.json");
    let path = ring.display().to_string();
    let realm = realm.without("PRIVATE_KEY_FILE").with("KEY_RING_FILE", &path);
    (realm.with("OPEN_GATE_PATHS", "/jwks"), ring)
}

/// The new key signs at once, the old one still verifies.
const AT_ONCE: &[&str] = &["--publish-ahead", "0"];

fn rotate(realm: &Realm, more: &[&str]) -> String {
    realm.ask(&[&["key", "rotate"], more].concat())
}

fn listed(realm: &Realm) -> Vec<(String, String)> {
    let list = realm.ask_json(&["key", "ring", "list", "--json"]);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let keys = list["keys"].as_array().expect("keys");
    keys.iter().map(|key| (text(&key["kid"]), text(&key["state"]))).collect()
}

fn published(gate: &Gate) -> Vec<String> {
    let answer = http::get(gate.address, "/jwks", &[]);
    let set: Value = serde_json::from_str(&answer.text()).expect("JSON");
    let keys = set["keys"].as_array().expect("keys");
    assert!(keys.iter().all(|key| key.get("d").is_none()), "{set}");
    keys.iter().map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

fn kid(token: &str) -> String {
    tokens::header(token)["kid"].as_str().expect("a kid").to_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    poll(what, PATIENCE, || holds().then_some(()));
}

#[test]
fn a_running_gate_learns_of_a_new_key_and_forgets_a_retired_one() {
    let (realm, _) = realm();
    let first = rotate(&realm, &[]);
    let gate = realm.gate();
    let old = realm.mint("alice", &[]);
    assert_eq!((gate.check(&old).status, kid(&old)), (200, first.clone()));
    assert_eq!(published(&gate), [first.as_str()]);

    let second = rotate(&realm, AT_ONCE);
    let new = realm.mint("alice", &[]);
    assert_eq!(kid(&new), second, "`token mint` signs with the ring's key");
    until("the new key", || gate.check(&new).status == 200);
    assert_eq!(gate.check(&old).status, 200, "what the old key signed is still good");
    assert_eq!(published(&gate), [first, second]);

    let third = rotate(&realm, &["--now", "--overlap", "0"]);
    until("the end of the others", || gate.check(&old).status == 401);
    assert_eq!(gate.check(&new).status, 401);
    assert_eq!(gate.check(&realm.mint("alice", &[])).status, 200);
    assert_eq!(published(&gate), [third]);
    assert!(!gate.log().contains("PRIVATE"), "{}", gate.log());
}

#[test]
fn a_new_key_is_published_before_it_signs() {
    let (realm, _) = realm();
    let first = rotate(&realm, &["--algorithm", "EdDSA"]);
    let gate = realm.gate();
    let output = realm.exits(0, &["key", "rotate", "--publish-ahead", "3600"], "");
    assert!(output.errors.contains("EdDSA") && output.errors.contains("retires at"));
    let second = output.printed;
    until("both keys", || published(&gate) == [first.clone(), second.clone()]);
    assert_eq!(kid(&realm.mint("alice", &[])), first);
    let states = [(first, "signing".to_owned()), (second, "coming".to_owned())];
    assert_eq!(listed(&realm), states);
    let people = realm.ask(&["key", "ring", "list"]);
    assert!(people.lines().count() == 2 && people.contains("retires"), "{people}");
}

#[test]
fn a_key_that_is_coming_is_dropped_with_the_others_when_one_was_stolen() {
    let (realm, ring) = realm();
    let first = rotate(&realm, &[]);
    let coming = rotate(&realm, &["--publish-ahead", "600"]);
    // Whoever has the file has that key too, and signs with it before it is due.
    let stolen = std::fs::read_to_string(&ring).expect("the ring");
    let forged = {
        let keys: Value = serde_json::from_str(&stolen).expect("JSON");
        let pem = keys["keys"][1]["private_pem"].as_str().expect("a key").to_owned();
        let key = jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes()).expect("an EC key");
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.kid = Some(coming.clone());
        let good = tokens::claims(&realm.mint("alice", &["--no-session"]));
        jsonwebtoken::encode(&header, &good, &key).expect("a token")
    };
    let gate = realm.gate();
    assert_eq!(gate.check(&forged).status, 200, "the thief is in");

    let output = realm.exits(0, &["key", "rotate", "--now", "--overlap", "0"], "");
    let stderr = output.errors;
    for dropped in [&first, &coming] {
        assert!(stderr.contains(&format!("key {dropped} is dropped")), "{stderr}");
    }
    until("the end of the thief's token", || gate.check(&forged).status == 401);
    assert_eq!(listed(&realm).len(), 1, "no other key is left");
    let log = realm.audit_log();
    for dropped in [&first, &coming] {
        let event = log
            .lines()
            .find(|line| line.contains("signing_key_dropped") && line.contains(dropped.as_str()));
        assert!(event.is_some(), "{dropped} in {log}");
    }
    let output = realm.exits(64, &["key", "rotate", "--now", "--overlap", "60"], "");
    assert!(output.errors.contains("--publish-ahead 0"), "{}", output.errors);
}

#[test]
fn what_to_do_about_a_stolen_key_can_be_typed() {
    let (realm, _) = realm();
    rotate(&realm, &[]);
    rotate(&realm, &["--publish-ahead", "600"]);
    let gate = realm.gate();
    let stolen = realm.mint("alice", &[]);
    assert_eq!(gate.check(&stolen).status, 200);
    let page = Page::read("docs/how-to/stolen-key.md").with("127.0.0.1:8080", gate.address);
    let mut shell = page::shell(realm.folder());
    shell.envs(realm.settings()).env("STOLEN", &stolen);
    let shown = page.type_in(&mut shell, "");
    let lines: Vec<_> = shown.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 3, "the new key, the one that is left, a status: {shown}");
    assert!(lines[1].contains(lines[0]) && lines[1].contains("signing"), "{shown}");
    assert_eq!(lines[2], "401");
    assert_eq!(gate.check(&realm.mint("alice", &[])).status, 200);
}

#[test]
fn a_handle_stands_for_a_token_of_a_key_that_is_still_ours() {
    let realm = Realm::issuing().without("PUBLIC_KEY_FILE").without("PRIVATE_KEY_FILE");
    let ring = realm.folder().join("ring.json").display().to_string();
    let realm = realm
        .without("ALGORITHM")
        .with("KEY_RING_FILE", &ring)
        .with("TOKEN_MODE", "opaque")
        .with("SESSION_STALENESS", "300")
        .with("UPSTREAM_JWT_HEADER", "X-Auth-Token");
    let stolen = rotate(&realm, &[]);
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let login = issuer.log_in();
    let handle = login["access_token"].as_str().expect("a handle");
    let handed = || {
        let answer = issuer.gate.check(handle);
        assert_eq!(answer.status, 200, "{answer:?}");
        kid(answer.header("x-auth-token").expect("a token"))
    };
    assert_eq!((handed(), handed()), (stolen.clone(), stolen));
    let new = rotate(&realm, &["--now"]);
    until("a token of the new key, though the handle is remembered", || handed() == new);
}

#[test]
fn an_answer_that_is_given_again_holds_no_token_of_a_key_that_was_dropped() {
    for (policy, value) in [("rotate", "300"), ("sliding", "0")] {
        let realm = Realm::issuing().without("PUBLIC_KEY_FILE").without("PRIVATE_KEY_FILE");
        let ring = realm.folder().join("ring.json").display().to_string();
        let realm = realm
            .without("ALGORITHM")
            .with("KEY_RING_FILE", &ring)
            .with("REFRESH_POLICY", policy)
            .with("REFRESH_RESTRICT_MINUTES", "10")
            .with("REFRESH_GRACE_SECONDS", value);
        rotate(&realm, &[]);
        realm.add_user(ALICE.0, ALICE.1, &SCOPES);
        let issuer = Issuer::start(&realm);
        let login = issuer.log_in();
        let token = login["refresh_token"].as_str().expect("a refresh token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let refresh = || {
            let answer = issuer.form("/token", &form, &[]);
            assert_eq!(answer.status, 200, "{policy}: {answer:?}");
            answer.json()
        };
        let access = |answer: &Value| answer["access_token"].as_str().expect("a token").to_owned();
        let first = refresh();
        assert_eq!(access(&refresh()), access(&first), "{policy}: the same answer");
        let new = rotate(&realm, &["--now"]);
        until("the end of the old key", || issuer.check(&access(&first)) == 401);
        let again = refresh();
        assert_eq!(again["refresh_token"], first["refresh_token"], "{policy}");
        assert_eq!(kid(&access(&again)), new, "{policy}");
        assert_eq!(issuer.check(&access(&again)), 200, "{policy}");
    }
}

#[test]
fn ten_rotations_at_once_lose_no_key() {
    let (realm, ring) = realm();
    let running: Vec<_> = (0..10)
        .map(|_| {
            let mut command = realm.command(&["key", "rotate"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("portcullis runs")
        })
        .collect();
    let mut made: Vec<String> = running
        .into_iter()
        .map(|child| {
            let ended = Ended::of(child.wait_with_output().expect("own child"));
            assert_eq!(ended.code, 0, "{}", ended.errors);
            ended.printed
        })
        .collect();
    let listed = listed(&realm);
    let mut kept: Vec<_> = listed.iter().map(|(kid, _)| kid.clone()).collect();
    made.sort();
    kept.sort();
    assert_eq!(kept, made);
    assert_eq!(listed.iter().filter(|(_, state)| state == "signing").count(), 1, "{listed:?}");
    let mode = std::fs::metadata(&ring).expect("the ring").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_ring_that_breaks_stops_no_running_gate_but_keeps_one_from_starting() {
    let (realm, ring) = realm();
    rotate(&realm, &[]);
    let gate = realm.gate();
    let token = realm.mint("alice", &[]);
    let good = std::fs::read(&ring).expect("the ring");
    std::fs::write(&ring, &good[..good.len() / 2]).expect("a writable ring");
    until("the complaint", || gate.log().contains("the key ring cannot be used"));
    assert_eq!((gate.check(&token).status, published(&gate).len()), (200, 1));
    let output = realm.exits(64, &["serve"], "");
    assert!(output.errors.contains("KEY_RING_FILE"), "{}", output.errors);
    let output = realm.run(&["key", "rotate"]);
    assert_eq!(output.code, 69, "a broken ring is not written over");

    std::fs::write(&ring, &good).expect("a writable ring");
    let new = rotate(&realm, AT_ONCE);
    until("the good file", || published(&gate).contains(&new));
    assert_eq!(gate.check(&token).status, 200);
}

#[test]
fn the_present_key_is_taken_over_and_its_tokens_with_it() {
    let before = Realm::new();
    let private = before.setting("PRIVATE_KEY_FILE").expect("a key").to_owned();
    let old = before.mint("alice", &["--no-session"]);
    // From an older system, under a name that this one would not give the key.
    let mut header = tokens::header(&old);
    header["kid"] = "sha1-of-something".into();
    let foreign = signed_with(&before, &header, &old);

    let (realm, _) = realm();
    let taken = rotate(&realm, &["--import", &private]);
    assert_eq!(taken, kid(&old));
    let gate = realm.gate();
    rotate(&realm, AT_ONCE);
    let new = realm.mint("alice", &[]);
    until("the new key", || gate.check(&new).status == 200);
    assert_eq!((gate.check(&old).status, gate.check(&foreign).status), (200, 200));
    realm.exits(64, &["key", "rotate", "--import", &private], "");
}

/// The claims of a token under another header, signed by the realm's key.
fn signed_with(realm: &Realm, header: &Value, token: &str) -> String {
    let header: jsonwebtoken::Header =
        serde_json::from_value(header.clone()).expect("a header of a token");
    let key = jsonwebtoken::EncodingKey::from_ec_pem(realm.private_pem().as_bytes());
    jsonwebtoken::encode(&header, &tokens::claims(token), &key.expect("an EC key"))
        .expect("a token")
}

#[test]
fn what_is_set_amiss_is_told_with_the_way_out() {
    let (realm, ring) = realm();
    let stderr = |realm: &Realm, command: &[&str]| {
        let output = realm.exits(64, command, "");
        output.errors
    };
    let missing = stderr(&realm, &["check-config"]);
    assert!(missing.contains("key rotate --ring"), "{missing}");
    rotate(&realm, &[]);
    realm.ask(&["check-config"]);
    for (name, value) in [
        ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ("JWKS_URL", "https://idp.example/keys"),
        ("PUBLIC_KEY_FILE", ring.to_str().expect("UTF-8")),
    ] {
        let realm = Realm::new().without("PRIVATE_KEY_FILE").without("PUBLIC_KEY_FILE");
        let realm = realm.with("KEY_RING_FILE", ring.to_str().expect("UTF-8")).with(name, value);
        let stderr = stderr(&realm, &["check-config"]);
        let name = name.trim_end_matches("_FILE");
        assert!(stderr.contains(&format!("KEY_RING_FILE: {name} is set too")), "{stderr}");
        assert!(stderr.contains("--import"), "{stderr}");
    }
    let secret = stderr(&realm, &["key", "rotate", "--algorithm", "HS256"]);
    assert!(secret.contains("cannot be published"), "{secret}");
    let nowhere = stderr(&realm.without("KEY_RING_FILE"), &["key", "rotate"]);
    assert!(nowhere.contains("--ring FILE"), "{nowhere}");
}

/// Each says for itself what came of it: the line about the ring is of the one who follows it.
#[test]
fn on_sighup_the_ring_and_published_keys_are_read_again_at_once() {
    let (realm, ring) = realm();
    rotate(&realm, &[]);
    let gate = realm.gate();
    gate.signal("HUP");
    gate.wait_for_log("SIGHUP: these are read again");
    gate.wait_for_log("the key ring was read again");
    let token = realm.mint("alice", &[]);
    std::fs::write(&ring, "{").expect("writable");
    gate.signal("HUP");
    gate.wait_for_log("the key ring cannot be used");
    assert_eq!(gate.check(&token).status, 200);
}
