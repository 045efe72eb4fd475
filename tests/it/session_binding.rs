//! Sessions that are bound to the browser and the address of their login (SESSION_BINDING).

use std::net::SocketAddr;

use crate::support::{
    app::App,
    http::{Client, Response, bearer, get, request},
    issuer::{ALICE, Issuer, SCOPES, text},
    nginx::Nginx,
    realm::Realm,
};

const TRAEFIK: &str = "/validate_request/traefik";
const FIREFOX: &str = "User-Agent: Firefox";
const OTHER: &str = "User-Agent: Other";
const HOME: &str = "X-Forwarded-For: 192.0.2.1";
const ELSEWHERE: &str = "X-Forwarded-For: 192.0.2.2";

fn start(binding: &str) -> (Realm, Issuer) {
    let realm = Realm::issuing().with("SESSION_BINDING", binding);
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    (realm, issuer)
}

/// Alice logs in with these header lines.
fn log_in(issuer: &Issuer, lines: &[&str]) -> Response {
    let form = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    issuer.form("/token", &form, lines)
}

fn checked(gate: SocketAddr, token: &str, lines: &[&str]) -> u16 {
    get(gate, TRAEFIK, &[&[bearer(token).as_str()], lines].concat()).status
}

#[test]
fn a_token_is_taken_of_the_client_that_logged_in_and_of_no_other() {
    for (binding, answers) in [
        ("user-agent,address", [200, 401, 401, 403, 403, 403]),
        ("user-agent", [200, 401, 200, 403, 200, 403]),
        ("address", [200, 200, 401, 200, 403, 200]),
        ("off", [200, 200, 200, 200, 200, 200]),
    ] {
        let (_realm, issuer) = start(binding);
        let login = log_in(&issuer, &[FIREFOX, HOME]).json();
        let token = text(&login, "access_token");
        let told = || {
            [
                &[FIREFOX, HOME][..],
                &[OTHER, HOME],
                &[FIREFOX, ELSEWHERE],
                &[HOME],
                &[FIREFOX],
                // Two lines tell nothing.
                &[FIREFOX, OTHER, HOME],
            ]
            .map(|lines| checked(issuer.gate.address, token, lines))
        };
        // Also where the decision is in the cache.
        assert_eq!((told(), told()), (answers, answers), "{binding}");
    }
}

#[test]
fn what_has_no_session_is_bound_to_nothing() {
    let realm =
        Realm::issuing().with("SESSION_BINDING", "user-agent").with("ACCEPT_API_KEYS", "true");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let key = format!("X-Api-Key: {}", realm.ask(&["apikey", "add", ALICE.0]));
    assert_eq!(get(issuer.gate.address, TRAEFIK, &[&key]).status, 200);
    // A session that does not say where it was opened is nobody's.
    let minted = realm.mint("alice", &[]);
    assert_eq!(checked(issuer.gate.address, &minted, &[FIREFOX]), 401);
}

#[test]
fn a_session_of_before_is_bound_from_then_on() {
    let (realm, issuer) = start("off");
    let login = log_in(&issuer, &[FIREFOX, HOME]).json();
    let token = text(&login, "access_token");
    let (second, _realm) = Issuer::beside(realm.with("SESSION_BINDING", "user-agent,address"));
    assert_eq!(checked(second.gate.address, token, &[FIREFOX, HOME]), 200);
    assert_eq!(checked(second.gate.address, token, &[OTHER, HOME]), 401);
}

#[test]
fn another_client_gets_no_new_tokens_and_uses_none_up() {
    for (policy, grace) in [("rotate", "0"), ("rotate", "60"), ("sliding", "0"), ("reusable", "0")]
    {
        let realm = Realm::issuing()
            .with("SESSION_BINDING", "user-agent")
            .with("REFRESH_POLICY", policy)
            .with("REFRESH_GRACE_SECONDS", grace);
        realm.add_user(ALICE.0, ALICE.1, &SCOPES);
        let issuer = Issuer::start(&realm);
        let login = log_in(&issuer, &[FIREFOX]).json();
        let token = text(&login, "refresh_token");
        let refresh = |line: &str| {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
            let answer = issuer.form("/token", &fields, &[line]);
            (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
        };
        let refused = (400, "invalid_grant".to_owned());
        assert_eq!((refresh(OTHER), refresh("X-Nothing: x")), (refused.clone(), refused.clone()));
        assert_eq!(refresh(FIREFOX).0, 200, "{policy}");
        if grace != "0" {
            // Nor does it get the answer again that was given.
            assert_eq!((refresh(OTHER), refresh(FIREFOX).0), (refused, 200));
        }
    }
}

#[test]
fn another_client_does_nothing_with_the_sessions_and_gets_no_ticket() {
    let (_realm, issuer) = start("user-agent");
    let login = log_in(&issuer, &[FIREFOX]).json();
    let credential = bearer(text(&login, "access_token"));
    let status = |method: &str, path: &str, line: &str| {
        issuer.send(method, path, &[&credential, line], b"").status
    };
    for (method, path) in [
        ("GET", "/sessions"),
        ("DELETE", "/sessions?except=current"),
        ("DELETE", "/sessions"),
        ("POST", "/logout"),
        ("POST", "/ticket"),
    ] {
        assert_eq!(status(method, path, OTHER), 401, "{method} {path}");
    }
    assert_eq!(status("POST", "/ticket", FIREFOX), 200);
    assert_eq!(status("POST", "/logout", FIREFOX), 200);
}

#[test]
fn nobody_logs_in_who_does_not_tell_what_sessions_are_bound_to() {
    let (realm, issuer) = start("user-agent");
    let answer = log_in(&issuer, &[HOME]);
    assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()));
    assert!(realm.ask_json(&["session", "list", "--json"]).as_array().is_some_and(Vec::is_empty));
    let told = Realm::new().with("SESSION_BINDING", "ip").exits(64, &["check-config"], "").errors;
    assert!(told.contains("SESSION_BINDING: ") && told.contains("`user-agent,address`"), "{told}");
    let bound = Realm::new().with("SESSION_BINDING", "address,user-agent");
    let bound = bound.exits(0, &["check-config"], "").errors;
    assert!(bound.contains("sessions to the User-Agent, which gateways must pass on"), "{bound}");
    let open = Realm::new()
        .with("SESSION_BINDING", "address")
        .with("LISTEN", "0.0.0.0:0")
        .run(&["check-config"])
        .errors;
    assert!(open.contains("SESSION_BINDING: no gateway that asks at LISTEN"), "{open}");
}

#[test]
fn a_session_is_bound_behind_nginx_as_the_example_has_it() {
    let (_realm, issuer) = start("user-agent,address");
    let app = App::start();
    let to_issuer = format!("server {};", issuer.public);
    let edits = [("server 127.0.0.1:8081;", to_issuer.as_str())];
    let Some(nginx) = Nginx::start(issuer.gate.address, app.address, &edits) else { return };
    let send = |method: &str, path: &str, lines: &[&str], body: &str| {
        Client::connect(nginx.address).exchange(request(method, path, lines, body.as_bytes()))
    };
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)])
        .finish();
    let lines = [FIREFOX, "Content-Type: application/x-www-form-urlencoded"];
    let login = send("POST", "/token", &lines, &form);
    assert_eq!(login.status, 200, "{login:?}");
    let credential = bearer(text(&login.json(), "access_token"));
    app.take();
    for (lines, status) in [
        (&[FIREFOX][..], 200),
        (&[OTHER], 401),
        (&[], 403),
        // nginx says who the client is, and nobody else.
        (&[FIREFOX, HOME], 200),
    ] {
        let answer = send("GET", "/", &[&[credential.as_str()], lines].concat(), "");
        assert_eq!(answer.status, status, "{lines:?}: {answer:?}");
    }
    assert_eq!(app.take().len(), 2);
    let bound = [("verdict", "deny"), ("code", "session_bound")];
    assert_eq!(issuer.gate.counter("portcullis_requests_total", &bound), 1.0);
}
