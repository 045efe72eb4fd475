//! The bounds of a key, each compared by the gate with every request, also where the key is in its cache.

use portcullis::account::{AccountStore as _, ApiKey, KeyDigest, SqliteAccounts};
use portcullis::clock::UnixTime;
use portcullis::gate::denial::DenialCode;
use portcullis::secret::Secret;
use portcullis::session::UserId;

use super::{bob, realm};
use crate::support::{
    gate::Gate,
    http::{self, Response, bearer},
    issuer::Issuer,
    nginx::Nginx,
    realm::Realm,
    suite::Stack,
    tokens,
    topology::runtime,
};

/// A part of the client's request that differs from the usual one; an empty value is not told.
type Change = (&'static str, &'static str);

const HOST: &str = "X-Original-Host";
const TARGET: &str = "X-Original-URI";
const CLIENT: &str = "X-Forwarded-For";

/// The answer of the gate about `GET https://app.test/reports/q1` from 198.51.100.7, but for one part.
fn ask(gate: &Gate, key: &str, changed: Option<Change>) -> Response {
    let usual = [
        ("X-Original-Method", "GET"),
        ("X-Original-Proto", "https"),
        (HOST, "app.test"),
        (TARGET, "/reports/q1?page=2"),
        (CLIENT, "198.51.100.7"),
    ];
    let changed = |name| changed.filter(|(changed, _)| *changed == name).map(|(_, value)| value);
    let told = usual.map(|(name, value)| (name, changed(name).unwrap_or(value)));
    let told = told.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<String> = told.map(|(name, value)| format!("{name}: {value}")).collect();
    let credential = bearer(key);
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain([&*credential]).collect();
    http::get(gate.address, "/validate_request", &lines)
}

/// Asserts that it is refused for this reason, in the words that say what to do.
#[track_caller]
fn is_refused(response: &Response, code: &str, what: &str) {
    let code = DenialCode::ALL.iter().find(|known| known.as_str() == code).expect(code);
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert_eq!(response.status, 401, "{what}: {response:?}");
    assert!(challenge.contains(code.description()), "{what}: {challenge}");
}

/// A realm whose gates answer from their caches for a while, and a user bob; his id.
fn cached() -> (Realm, String) {
    let realm = realm().with("SESSION_STALENESS", "60").with("JWT_AUDIENCE", "reports-service");
    bob(&realm);
    let id = realm.ask_json(&["user", "show", "bob", "--json"])["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    (realm, id)
}

#[test]
fn each_bound_is_compared_with_every_request() {
    let (realm, id) = cached();
    let gate = realm.gate();
    for (flag, value, good, bad, code) in [
        ("--audience", "app.test", None, (HOST, "other.test"), "api_key_wrong_audience"),
        (
            "--audience",
            "APP.test",
            Some((HOST, "app.test:8443")),
            (HOST, "xapp.test"),
            "api_key_wrong_audience",
        ),
        ("--audience", "app.test:443", None, (HOST, "app.test:8443"), "api_key_wrong_audience"),
        (
            "--audience",
            "app.test:8443",
            Some((HOST, "app.test:8443")),
            (HOST, "app.test"),
            "api_key_wrong_audience",
        ),
        (
            "--subject",
            "/reports",
            Some((TARGET, "/%72eports")),
            (TARGET, "/reportsx"),
            "api_key_wrong_subject",
        ),
        ("--subject", "/reports/q1", None, (TARGET, "/reports"), "api_key_wrong_subject"),
        ("--address", "198.51.100.0/24", None, (CLIENT, "203.0.113.7"), "api_key_wrong_address"),
        ("--address", "198.51.100.7", None, (CLIENT, ""), "api_key_wrong_address"),
        (
            "--address",
            "198.51.100.7",
            None,
            (CLIENT, "198.51.100.7, 203.0.113.7"),
            "api_key_wrong_address",
        ),
    ] {
        let key = realm.ask(&["apikey", "add", "bob", flag, value]);
        for round in 0..2 {
            let what = format!("{flag} {value}, {bad:?}, round {round}");
            assert_eq!(ask(&gate, &key, good).status, 200, "{what}");
            is_refused(&ask(&gate, &key, Some(bad)), code, &what);
        }
    }
    let hits = gate.counter("portcullis_cache_requests_total", &[("outcome", "hit")]);
    assert!(hits > 20.0, "{hits} answers from the cache: nothing was put to the test");
    // The gate's own name, and the user's own id, are met by all requests.
    for (flag, value) in
        [("--audience", "reports-service"), ("--subject", &id), ("--key-issuer", "prismaticain")]
    {
        let key = realm.ask(&["apikey", "add", "bob", flag, value]);
        for changed in [None, Some((HOST, "")), Some((TARGET, "")), Some((CLIENT, ""))] {
            assert_eq!(ask(&gate, &key, changed).status, 200, "{flag} {value} {changed:?}");
        }
    }
}

/// Such a token would be good for what the key is not.
#[test]
fn no_token_is_made_for_the_application_of_a_key_that_is_good_for_some_requests_alone() {
    let realm = Realm::issuing()
        .with("ACCEPT_API_KEYS", "true")
        .with("UPSTREAM_JWT_HEADER", "X-Upstream-Jwt");
    bob(&realm);
    let issuer = Issuer::start(&realm);
    let told = |flags: &[&str]| {
        let key = realm.ask(&[&["apikey", "add", "bob"], flags].concat());
        let answer = ask(&issuer.gate, &key, None);
        assert_eq!(answer.status, 200, "{flags:?}: {answer:?}");
        answer.header("x-upstream-jwt").map(str::to_owned).unwrap_or_default()
    };
    assert!(told(&[]).split('.').count() == 3, "a key for everything is as good as its user");
    for (flag, value) in
        [("--audience", "app.test"), ("--subject", "/reports"), ("--address", "198.51.100.7")]
    {
        assert_eq!(told(&[flag, value]), "", "{flag}");
    }
}

#[test]
fn what_no_request_can_meet_is_refused_from_the_beginning() {
    let (realm, _) = cached();
    let gate = realm.gate();
    for (flags, code) in [
        (["--key-issuer", "https://elsewhere.example"], "api_key_wrong_issuer"),
        (["--subject", "somebody-else"], "api_key_wrong_subject"),
        (["--not-before", "3600"], "api_key_not_yet_valid"),
    ] {
        let key = realm.ask(&[&["apikey", "add", "bob"], &flags[..]].concat());
        is_refused(&ask(&gate, &key, None), code, &flags.join(" "));
    }
}

#[test]
fn a_request_that_is_not_told_in_full_meets_no_bound_that_looks_at_it() {
    let (realm, _) = cached();
    let gate = realm.gate();
    for flags in [["--audience", "app.test"], ["--subject", "/reports"]] {
        let key = realm.ask(&[&["apikey", "add", "bob"], &flags[..]].concat());
        assert_eq!(ask(&gate, &key, None).status, 200);
        for untold in
            [(HOST, ""), (TARGET, ""), (TARGET, "/reports/../admin"), (TARGET, "/reports//q1")]
        {
            let refused = ask(&gate, &key, Some(untold));
            assert_eq!(refused.status, 403, "{flags:?} {untold:?}: {refused:?}");
        }
        // Who asks about a credential alone tells of no request.
        let body = serde_json::json!({ "jwt": key }).to_string();
        let length = format!("Content-Length: {}", body.len());
        let asked = http::request("POST", "/validate", &[&length], b"");
        let asked = [asked.as_slice(), body.as_bytes()].concat();
        assert_eq!(http::Client::connect(gate.address).exchange(asked).status, 401, "{flags:?}");
    }
}

#[test]
fn a_key_that_is_over_is_refused_by_its_own_name() {
    let (realm, id) = cached();
    let gate = realm.gate();
    let secret = realm.ask(&["apikey", "add", "bob"]);
    assert_eq!(ask(&gate, &secret, None).status, 200);
    let secret = format!("pk_{}", "A".repeat(43));
    let digest = KeyDigest::of(&Secret::new(secret.as_str()));
    let user = UserId::parse(&id).expect("an id");
    let over = ApiKey {
        expires: Some(UnixTime::from_secs(1)),
        ..ApiKey::new("key_over".to_owned(), user, digest, UnixTime::EPOCH)
    };
    runtime().block_on(async {
        let path = realm.folder().join("portcullis.db");
        let store =
            SqliteAccounts::open(&path, crate::support::patient_sqlite()).await.expect("open");
        store.add_key(&over).await.expect("key");
        store.close().await;
    });
    is_refused(&ask(&gate, &secret, None), "api_key_expired", "it ended long ago");
}

#[test]
fn a_key_that_is_bound_to_a_session_is_good_as_long_as_that() {
    let (realm, id) = cached();
    let gate = realm.gate();
    let token = realm.mint(&id, &[]);
    let session = tokens::claims(&token)["sid"].as_str().expect("a session").to_owned();
    let key = realm.ask(&["apikey", "add", "bob", "--session", &session]);
    for _ in 0..2 {
        let response = ask(&gate, &key, None);
        assert_eq!((response.status, response.header("x-auth-session")), (200, Some(&*session)));
    }
    realm.revoke(&token);
    // Well before SESSION_STALENESS: the end of the session is told, as that of a token's.
    crate::support::poll("the end of the session", crate::support::PATIENCE, || {
        (ask(&gate, &key, None).status == 401).then_some(())
    });
    is_refused(&ask(&gate, &key, None), "session_unknown", "after its session");
    let others = realm.mint("alice", &[]);
    let others = tokens::claims(&others)["sid"].as_str().expect("a session").to_owned();
    for none in [&session, &others, &"none".to_owned()] {
        let refused = realm.exits(1, &["apikey", "add", "bob", "--session", none], "");
        assert!(refused.errors.contains("no session"), "{}", refused.errors);
    }
}

#[test]
fn explain_names_the_bounds_and_the_one_that_is_not_met() {
    let (realm, _) = cached();
    let bounds =
        ["--audience", "app.test", "--subject", "/reports", "--address", "198.51.100.0/24"];
    let key = realm.ask(&[&["apikey", "add", "bob"], &bounds[..]].concat());
    let explained = |url: &str, client: &str, code| {
        let flags = ["explain", "--token", &key, "--url", url, "--client", client, "--json"];
        let steps = realm.exits(code, &flags, "").json()["steps"].clone();
        let steps = steps.as_array().expect("steps").clone();
        let step = steps.iter().find(|step| step["step"] == "bounds").expect("a step").clone();
        (
            step["passed"].as_bool().expect("a boolean"),
            step["finding"].as_str().expect("a text").to_owned(),
        )
    };
    let (passed, finding) = explained("https://app.test/reports/1", "198.51.100.7", 0);
    assert!(
        passed && finding.contains("subject /reports") && finding.contains("198.51.100.0/24"),
        "{finding}"
    );
    for (url, client, words) in [
        ("https://app.test/other", "198.51.100.7", "for other paths"),
        ("https://else.test/reports", "198.51.100.7", "for another service"),
        ("https://app.test/reports", "192.0.2.1", "from this address"),
    ] {
        let (passed, finding) = explained(url, client, 1);
        assert!(
            !passed && finding.contains(words) && finding.contains("audience app.test"),
            "{finding}"
        );
    }
    assert!(!realm.exits(1, &["explain", "--token", &key], "").printed.contains(&key));
}

#[test]
fn behind_nginx_the_bounds_are_compared_with_what_nginx_tells() {
    let realm = realm();
    bob(&realm);
    let bounds = ["--audience", "api.test", "--subject", "/reports", "--address", "127.0.0.0/8"];
    let key = realm.ask(&[&["apikey", "add", "bob"], &bounds[..]].concat());
    let far = realm.ask(&["apikey", "add", "bob", "--address", "192.0.2.0/24"]);
    let stack = Stack::start(realm, |gate, app| {
        let nginx = Nginx::start(gate, app, &[])?;
        let address = nginx.address;
        Some((nginx, address))
    });
    let Some(stack) = stack else { return };
    assert_eq!(stack.get_from("api.test", "/reports/q1", &key).status, 200);
    stack.app.take_one();
    for (host, path) in [("other.test", "/reports/q1"), ("api.test", "/admin"), ("api.test", "/")] {
        stack.is_denied(path, &stack.get_from(host, path, &key), 401);
    }
    stack.is_denied("another address", &stack.get_from("api.test", "/", &far), 401);
    // What the client says of itself is not believed.
    let credential = bearer(&far);
    for forged in ["X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.1", "Forwarded: for=192.0.2.1"]
    {
        let response = stack.send("GET", "/", &[&credential, forged], b"");
        stack.is_denied(forged, &response, 401);
    }
    let credential = bearer(&key);
    for forged in ["X-Original-URI: /reports/q1", "X-Rewrite-URL: /reports/q1"] {
        let lines = ["Host: api.test", &credential, forged];
        stack.is_denied(forged, &stack.send("GET", "/admin", &lines, b""), 401);
    }
}
