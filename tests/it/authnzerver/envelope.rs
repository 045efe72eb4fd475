//! The messages that are served at all: those of the last minute, made with the key, each once, by the right name and path.

use serde_json::{Value, json};

use crate::support::{
    authnzerver::{Frontend, start},
    http::{Client, request},
    issuer::Issuer,
    realm::Realm,
};

const OTHER_KEY: &str = "YW5vdGhlciBrZXksIHdoaWNoIG5vYm9keSBrbm93cyE=";

fn unknown_session() -> Value {
    json!({ "session_token": "nobody's" })
}

#[test]
fn a_message_is_served_once_by_all_processes_together() {
    let (realm, issuer, frontend) = start(Realm::issuing());
    let other = crate::support::free_address().to_string();
    let (second, realm) = Issuer::beside(realm.with("AUTHNZERVER_LISTEN", &other));
    let beside = realm.frontend();
    for seconds in [0, -50, 20] {
        let content = frontend.content("session-exists", &unknown_session());
        let message = frontend.sealed(&content, seconds);
        assert_eq!(frontend.post(message.as_bytes()).status, 200, "{seconds}");
        assert_eq!(frontend.post(message.as_bytes()).status, 401, "again, {seconds}");
        assert_eq!(beside.post(message.as_bytes()).status, 401, "elsewhere, {seconds}");
        let anew = frontend.sealed(&content, seconds);
        assert_eq!(beside.post(anew.as_bytes()).status, 200, "the same, made anew: {seconds}");
    }
    drop((issuer, second));
}

#[test]
fn what_is_old_changed_or_made_with_another_key_is_401_and_nothing_is_done() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let token = frontend.session_of(&json!(null));
    let content = frontend.content("session-delete", &json!({ "session_token": token }));
    let stranger = Frontend::new(frontend.address, OTHER_KEY);
    let good = frontend.sealed(&content, 0);
    let changed = good.replacen(&good[40..41], if &good[40..41] == "A" { "B" } else { "A" }, 1);
    for (what, message) in [
        ("old", frontend.sealed(&content, -61)),
        ("from the future", frontend.sealed(&content, 45)),
        ("another key", stranger.sealed(&content, 0)),
        ("changed", changed),
        ("plain", content.to_string()),
        ("empty", String::new()),
        ("garbage", "!!!".to_owned()),
    ] {
        let answer = frontend.post(message.as_bytes());
        assert_eq!(answer.status, 401, "{what}");
        assert!(answer.text().starts_with("HTTP 401: "), "{what}: {}", answer.text());
        assert!(frontend.lives(&token), "{what}");
    }
    assert_eq!(frontend.post(good.as_bytes()).status, 200);
    assert!(!frontend.lives(&token), "the same, as it is");
}

#[test]
fn what_is_no_request_is_400_whatever_it_holds() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let body = unknown_session();
    for content in [
        json!(null),
        json!([1]),
        json!({}),
        json!({ "request": "echo", "body": {}, "reqid": 1 }),
        json!({ "request": "session-none", "body": {}, "reqid": 1 }),
        json!({ "request": 7, "body": {}, "reqid": 1 }),
        json!({ "request": "session-exists", "body": [], "reqid": 1 }),
        json!({ "request": "session-exists", "body": body }),
        json!({ "request": "session-exists", "body": body, "reqid": null }),
        json!({ "request": "session-exists", "body": body, "reqid": {} }),
        json!({ "request": "session-exists", "body": body, "reqid": "x".repeat(257) }),
        json!({ "request": "session-exists", "body": body, "reqid": 1, "client_ipaddr": 7 }),
    ] {
        let answer = frontend.post(frontend.sealed(&content, 0).as_bytes());
        assert_eq!(answer.status, 400, "{content}");
        assert!(answer.text().starts_with("HTTP 400: "), "{content}: {}", answer.text());
    }
    for reqid in [json!(1), json!("id"), json!(-7)] {
        let content = json!({ "request": "session-exists", "body": body, "reqid": reqid });
        let answer = frontend.post(frontend.sealed(&content, 0).as_bytes());
        assert_eq!(frontend.opened(&answer)["reqid"], reqid);
    }
}

#[test]
fn wrong_parameters_are_listed_as_authnzerver_lists_them() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let answer = frontend.ask("session-delete-userid", &json!({ "user_id": true }));
    assert_eq!(
        answer["messages"],
        json!(["request 'session-delete-userid' has invalid parameters"])
    );
    assert_eq!(answer.get("failure_reason"), None);
    let nested = &answer["response"]["response"];
    assert_eq!(nested["failure_reason"], "invalid request parameters");
    assert_eq!(
        nested["problems"],
        json!([
            { "param": "session_token", "problem": "missing", "required_type": "str", "required_param": true },
            { "param": "user_id", "problem": "incorrect type", "required_type": "int", "required_param": true },
            { "param": "keep_current_session", "problem": "missing", "required_type": "bool", "required_param": true },
        ])
    );
}

#[test]
fn the_wire_answers_to_its_own_names_and_paths_alone() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    let at = frontend.address;
    let ask = |method: &str, path: &str, host: &str| {
        let host = format!("Host: {host}");
        Client::connect(at).exchange(request(method, path, &[&host], b""))
    };
    for (method, path, host, status) in [
        ("GET", "/", "localhost", 405),
        ("PUT", "/", "localhost", 405),
        ("POST", "/health", "localhost", 405),
        ("POST", "/echo", "localhost", 404),
        ("GET", "/validate_request", "localhost", 404),
        ("POST", "/", "localhost", 401),
        ("POST", "/", "127.0.0.1:13431", 401),
        ("POST", "/", "evil.example", 404),
        ("POST", "/", "localhost.evil.example", 404),
        ("GET", "/health", "evil.example", 404),
    ] {
        assert_eq!(ask(method, path, host).status, status, "{method} {path} of {host}");
    }
    let health = ask("GET", "/health", "LOCALHOST");
    assert_eq!((health.status, health.header("cache-control")), (200, Some("no-store")));
    let health = health.json();
    assert_eq!(health["Health-Ok"], true);
    assert_eq!(health["Workers"], json!({ "sessions": "ok", "accounts": "ok", "limits": "ok" }));
    let named = realm.with("AUTHNZERVER_ALLOWEDHOSTS", "auth.internal; 127.0.0.1");
    let (_second, realm) = Issuer::beside(
        named.with("AUTHNZERVER_LISTEN", &crate::support::free_address().to_string()),
    );
    let at = realm.frontend().address;
    for (host, status) in [("auth.internal", 401), ("localhost", 404)] {
        let line = format!("Host: {host}");
        let answer = Client::connect(at).exchange(request("POST", "/", &[&line], b""));
        assert_eq!(answer.status, status, "{host}");
    }
}

#[test]
fn the_wire_is_off_until_it_is_asked_for_and_wants_a_key() {
    let realm = Realm::issuing();
    let out = realm.ask(&["check-config"]);
    assert!(!out.contains("13431"), "{out}");
    let short = "c2hvcnQ=";
    for (realm, told) in [
        (Realm::issuing().with("AUTHNZERVER_LISTEN", "127.0.0.1"), "AUTHNZERVER_SECRET_FILE"),
        (Realm::issuing().with_wire().with("AUTHNZERVER_SECRET", short), "Fernet key"),
        (Realm::issuing().with_wire().with("AUTHNZERVER_SECRET", "/nowhere"), "cannot read"),
        (Realm::issuing().with_wire().with("AUTHNZERVER_RATELIMITS", "user"), "user:480"),
        (Realm::issuing().with_wire().with("AUTHNZERVER_ALLOWEDHOSTS", "*"), "localhost;127.0.0.1"),
        (Realm::issuing().with_wire().with("AUTHNZERVER_LISTEN", "nowhere"), "is no address"),
    ] {
        let refused = realm.exits(64, &["check-config"], "");
        assert!(refused.errors.contains(told), "{told}: {}", refused.errors);
        assert!(!refused.errors.contains(short), "{}", refused.errors);
    }
    let realm = Realm::issuing().with_wire();
    let file = realm.folder().join("key");
    std::fs::write(&file, format!("{}\n", crate::support::authnzerver::KEY)).expect("writable");
    let named = realm.with("AUTHNZERVER_SECRET", &file.display().to_string());
    assert_eq!(named.run(&["check-config"]).code, 0, "a path in place of the key");
}

#[test]
fn neither_the_key_nor_a_message_nor_a_password_is_in_the_log() {
    let (realm, mut issuer, frontend) = start(Realm::issuing().with("LOG_LEVEL", "trace"));
    realm.add_user("alice", "a looking-glass and 7 pawns", &[]);
    let token = frontend.session_of(&json!(null));
    let login = json!({ "session_token": token, "email": "alice", "password": "a looking-glass and 7 pawns" });
    let message = frontend.sealed(&frontend.content("user-login", &login), 0);
    for _ in 0..2 {
        frontend.post(message.as_bytes());
    }
    frontend.fails(
        "user-passcheck-nosession",
        &json!({ "email": "alice", "password": "a wrong guess of hers" }),
    );
    issuer.gate.stop();
    let log = [issuer.gate.log(), realm.audit_log()].concat();
    assert!(log.contains("a message came a second time"), "{log}");
    for secret in
        [crate::support::authnzerver::KEY, &token, "looking-glass", "wrong guess", &message[..60]]
    {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
}
