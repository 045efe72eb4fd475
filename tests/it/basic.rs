//! Names and passwords as credentials at the gate (RFC 7617), in a process that issues tokens too.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{
    PATIENCE,
    app::App,
    http::{Client, Response, bearer, get, request},
    issuer::{ALICE, Issuer, SCOPES},
    nginx::Nginx,
    poll,
    realm::Realm,
};

const TRAEFIK: &str = "/validate_request/traefik";

fn realm() -> Realm {
    Realm::issuing().with("ACCEPT_BASIC", "true")
}

fn basic(name: &str, password: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// The answer to Traefik's question for a client with these lines.
fn ask(gate: SocketAddr, lines: &[&str]) -> Response {
    get(gate, TRAEFIK, lines)
}

fn status(issuer: &Issuer, name: &str, password: &str) -> u16 {
    ask(issuer.gate.address, &[&basic(name, password)]).status
}

#[test]
fn a_name_and_a_password_stand_for_their_user_without_a_session() {
    let realm = realm();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let good = basic(ALICE.0, ALICE.1);
    for lines in [&[good.as_str()][..], &[&good.replace("Basic", "basic")]] {
        let response = ask(issuer.gate.address, lines);
        assert_eq!(response.status, 200, "{response:?}");
        for (name, value) in [
            ("x-auth-username", ALICE.0),
            ("x-auth-scopes", "user:read user:write"),
            ("x-auth-session", ""),
            ("x-auth-issuer", realm.setting("ISSUER").expect("set")),
        ] {
            assert_eq!(response.header(name), Some(value), "{name}: {response:?}");
        }
    }
    let needing = |scope: &str| {
        let path = format!("/validate_request?scope={scope}");
        get(issuer.gate.address, &path, &[&good]).status
    };
    assert_eq!((needing("user:write"), needing("user:admin")), (200, 403));
    // Exactly one credential is judged.
    let token = issuer.log_in()["access_token"].as_str().expect("a token").to_owned();
    let twice = ask(issuer.gate.address, &[&good, &bearer(&token)]);
    assert_eq!(twice.status, 401);
    assert_eq!(realm.ask_json(&["user", "show", ALICE.0, "--json"])["state"], "active");
    let log = issuer.gate.log();
    assert!(!log.contains(ALICE.1) && !log.contains(good.rsplit(' ').next().expect("one")));
}

#[test]
fn wrong_unknown_and_locked_are_answered_alike() {
    let realm = realm();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    realm.add_user("locked", ALICE.1, &SCOPES);
    realm.ask(&["user", "lock", "locked"]);
    let issuer = Issuer::start(&realm);
    let told = |name, password| {
        let mut response = ask(issuer.gate.address, &[&basic(name, password)]);
        response.headers.retain(|(name, _)| name != "x-request-id" && name != "date");
        (response.status, response.headers.clone(), response.text())
    };
    let wrong = told(ALICE.0, "wrong");
    assert_eq!(wrong.0, 401);
    let challenge = wrong.1.iter().find(|(name, _)| name == "www-authenticate").expect("one");
    let expected = "Bearer realm=\"portcullis\", Basic realm=\"portcullis\", charset=\"UTF-8\"";
    assert_eq!(challenge.1, expected);
    assert!(wrong.2.contains("wrong_password"), "{}", wrong.2);
    for (name, password) in
        [("nobody", "wrong"), ("locked", ALICE.1), (ALICE.0, ""), ("", ALICE.1), ("a\u{85}", "x")]
    {
        assert_eq!(told(name, password), wrong, "{name:?}");
    }
    let malformed = ask(issuer.gate.address, &["Authorization: Basic !"]);
    assert_eq!(malformed.status, 401);
    assert!(malformed.text().contains("malformed_credentials"), "{}", malformed.text());
    let refused = realm.events().into_iter().filter(|event| event["reason"] == "basic");
    assert_eq!(refused.filter(|event| event["event"] == "login_refused").count(), 6);
    assert!(!realm.audit_log().contains(ALICE.1));
}

#[test]
fn a_changed_password_a_lock_and_a_deletion_are_known_at_the_next_request() {
    const NEW: &str = "through the garden door, 9 roses";
    let realm = realm();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    assert_eq!(status(&issuer, ALICE.0, ALICE.1), 200);
    realm.exits(0, &["user", "passwd", ALICE.0], NEW);
    assert_eq!((status(&issuer, ALICE.0, ALICE.1), status(&issuer, ALICE.0, NEW)), (401, 200));
    realm.ask(&["user", "lock", ALICE.0]);
    assert_eq!(status(&issuer, ALICE.0, NEW), 401);
    realm.ask(&["user", "unlock", ALICE.0]);
    assert_eq!(status(&issuer, ALICE.0, NEW), 200);
    realm.ask(&["user", "delete", ALICE.0]);
    assert_eq!(status(&issuer, ALICE.0, NEW), 401);
}

#[test]
fn tries_under_a_name_are_counted_together_with_those_at_a_login() {
    let realm = realm().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "1000");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    realm.add_user("bob", ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    assert_eq!(status(&issuer, "bob", ALICE.1), 200, "cached from here on");
    // The same user by a name that nobody has used yet: two here, and one at the issuer.
    assert_eq!([(); 2].map(|()| status(&issuer, ALICE.0, "wrong")), [401; 2]);
    assert_eq!(issuer.by_password(ALICE.0, "wrong", &[]).status, 400);
    let early = ask(issuer.gate.address, &[&basic(ALICE.0, "wrong")]);
    assert_eq!(early.status, 429, "{early:?}");
    let wait: u64 = early.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=900).contains(&wait), "{wait}");
    assert!(early.text().contains("too_many_attempts"), "{}", early.text());
    assert_eq!(early.header("www-authenticate"), None);
    // nginx relays no 429.
    let nginx = get(issuer.gate.address, "/validate_request", &[&basic(ALICE.0, "wrong")]);
    assert_eq!(nginx.status, 403);
    assert_eq!(status(&issuer, "bob", ALICE.1), 200);
    let denied = [("verdict", "deny"), ("code", "too_many_attempts")];
    assert_eq!(issuer.gate.counter("portcullis_requests_total", &denied), 2.0);
}

#[test]
fn tries_of_an_address_are_counted_together_with_its_logins() {
    let realm = realm().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "2");
    let issuer = Issuer::start(&realm);
    let from = |address: &str, name: &str| {
        let line = format!("X-Forwarded-For: {address}");
        ask(issuer.gate.address, &[&basic(name, "wrong"), &line]).status
    };
    assert_eq!((from("198.51.100.7", "one"), from("198.51.100.7", "two")), (401, 429));
    assert_eq!(from("203.0.113.9", "three"), 401, "another address is another customer");
    let form = "grant_type=password&username=four&password=wrong";
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let login = |address: &str| {
        let lines = [kind, &format!("X-Forwarded-For: {address}")];
        issuer.send("POST", "/token", &lines, form.as_bytes()).status
    };
    assert_eq!((login("203.0.113.9"), login("192.0.2.1")), (429, 400));
    assert_eq!(from("192.0.2.1", "five"), 429);
}

/// A gateway that proved itself is believed who the client is; where nobody knows, its own address counts.
#[test]
fn tries_of_clients_who_are_not_known_count_as_those_of_their_gateway() {
    const SECRET: &str = "the-secret-of-the-gateway-in-32-bytes";
    let proof = format!("X-Portcullis-Gateway: {SECRET}");
    for (secret, another) in [(SECRET, 401), ("", 429)] {
        let realm = realm().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "2");
        let realm = realm.with("TRUSTED_PROXIES", "off").with("GATEWAY_SECRET", secret);
        let issuer = Issuer::start(&realm);
        let from = |address: &str, name: &str| {
            let line = format!("X-Forwarded-For: {address}");
            ask(issuer.gate.address, &[&basic(name, "wrong"), &line, &proof]).status
        };
        assert_eq!((from("198.51.100.7", "one"), from("198.51.100.7", "two")), (401, 429));
        assert_eq!(from("203.0.113.9", "three"), another, "{secret:?}");
        // The issuer has no proof of anybody, so this is the address of the gateway.
        let form = [("grant_type", "password"), ("username", "four"), ("password", "wrong")];
        let expected = if secret.is_empty() { 429 } else { 400 };
        assert_eq!(issuer.form("/token", &form, &[]).status, expected, "{secret:?}");
    }
}

#[test]
fn a_flood_of_wrong_passwords_keeps_no_good_one_out_that_was_checked() {
    let realm = realm()
        .with("PASSWORD_MEMORY_KIB", "65536")
        .with("PASSWORD_PASSES", "3")
        .with("PASSWORD_THREADS", "1")
        .with("PASSWORD_QUEUE", "1");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    // Hashing takes its time where the machine is busy, and is then 503 at first.
    let checked = || (status(&issuer, ALICE.0, ALICE.1) == 200).then_some(());
    poll("the password to be checked", PATIENCE, checked);
    let gate = issuer.gate.address;
    let flood: Vec<_> = (0..8)
        .map(|sender| {
            std::thread::spawn(move || {
                let tries = (0..6).map(|nth| basic("alice", &format!("guess {sender} {nth}")));
                tries.map(|line| ask(gate, &[&line]).status).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut asked = 0;
    while flood.iter().any(|sender| !sender.is_finished()) {
        assert_eq!(status(&issuer, ALICE.0, ALICE.1), 200, "after {asked}");
        asked += 1;
    }
    let told: Vec<u16> =
        flood.into_iter().flat_map(|sender| sender.join().expect("no panic")).collect();
    assert!(told.iter().all(|status| [401, 503].contains(status)), "{told:?}");
    assert!(told.contains(&503), "more were sent than one thread can hash: {told:?}");
    assert!(asked > 3, "{asked}");
}

/// The gate shares the accounts and the audit log with the issuer, whose listeners may end before its own.
#[test]
fn a_request_that_is_under_way_at_the_end_has_its_password_checked() {
    let realm = realm();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let mut issuer = Issuer::start(&realm);
    let bytes = request("GET", TRAEFIK, &[&basic(ALICE.0, ALICE.1)], b"");
    let (begun, rest) = bytes.split_at(20);
    let mut late = Client::connect(issuer.gate.address);
    late.send(begun);
    issuer.gate.signal("TERM");
    let drained = || (issuer.gate.log().matches(" drained ").count() >= 3).then_some(());
    poll("the end of the issuer's listeners", PATIENCE, drained);
    assert_eq!(late.exchange(rest).status, 200, "{}", issuer.gate.log());
    assert!(issuer.gate.wait().success());
}

#[test]
fn without_an_issuer_or_with_a_hook_it_is_a_mistake() {
    let alone = Realm::new().with("ACCEPT_BASIC", "true").exits(64, &["check-config"], "");
    assert!(alone.errors.contains("AUTHORIZATION_SERVER=true"), "{}", alone.errors);
    let hook = realm()
        .with("TOKEN_HOOK_URL", "http://127.0.0.1:9/login")
        .with("TOKEN_HOOK_SECRET", "sixteen bytes or more")
        .exits(64, &["check-config"], "");
    assert!(hook.errors.contains("TOKEN_HOOK_URL checks the passwords"), "{}", hook.errors);
    let off = Realm::issuing();
    off.add_user(ALICE.0, ALICE.1, &SCOPES);
    let response = ask(Issuer::start(&off).gate.address, &[&basic(ALICE.0, ALICE.1)]);
    assert_eq!(response.status, 401, "off, unless it is set");
    assert_eq!(response.header("www-authenticate"), Some("Bearer realm=\"portcullis\""));
}

#[test]
fn explain_checks_the_password_and_shows_none() {
    let realm = realm();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let explained = |password: &str, code| {
        let line = basic(ALICE.0, password);
        realm.exits(code, &["explain", "--header", &line], "").printed
    };
    let (good, bad) = (explained(ALICE.1, 0), explained("hunter22", 1));
    assert!(good.contains("a name and a password") && good.contains("verdict: allow"), "{good}");
    assert!(!good.contains("good for another"), "a password has no end: {good}");
    assert!(bad.contains("wrong_password") && !bad.contains("hunter22"), "{bad}");
}

#[test]
fn behind_nginx_a_browser_is_asked_for_a_password_and_gets_in_by_it() {
    let realm = realm();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let (issuer, app) = (Issuer::start(&realm), App::start());
    let Some(nginx) = Nginx::start(issuer.gate.address, app.address, &[]) else { return };
    let send =
        |lines: &[&str]| Client::connect(nginx.address).exchange(request("GET", "/", lines, b""));
    let asked = send(&[]);
    assert_eq!(asked.status, 401);
    let challenge = asked.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("Basic realm=\"portcullis\", charset=\"UTF-8\""), "{challenge}");
    assert_eq!(send(&[&basic(ALICE.0, "wrong")]).status, 401);
    app.take();
    assert_eq!(send(&[&basic(ALICE.0, ALICE.1)]).status, 200);
    assert_eq!(app.take_one().value("x-auth-username"), ALICE.0);
}

#[test]
fn a_token_for_the_app_that_is_made_of_a_password_has_an_end() {
    let realm = realm().with("UPSTREAM_JWT_HEADER", "X-Upstream-Jwt");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let response = ask(issuer.gate.address, &[&basic(ALICE.0, ALICE.1)]);
    let token = response.header("x-upstream-jwt").expect("a token");
    let payload = token.split('.').nth(1).expect("three parts");
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    let claims: serde_json::Value =
        serde_json::from_slice(&payload.expect("base64url")).expect("JSON");
    let time = |name: &str| claims[name].as_u64().expect("a time");
    assert_eq!(time("exp") - time("iat"), 300, "{claims}");
    assert_eq!(claims["username"], ALICE.0);
}
