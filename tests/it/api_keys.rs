//! API keys as credentials at the gate, kept by the command line while the gate runs.

mod bounds;
mod issuance;
mod management;
mod revocation;
mod rotation;

use serde_json::json;

use crate::support::{
    gate::Gate,
    http::{Response, bearer, get},
    nginx::Nginx,
    realm::Realm,
    suite::Stack,
};

fn realm() -> Realm {
    Realm::hashing_little().with("ACCEPT_API_KEYS", "true")
}

fn bob(realm: &Realm) {
    let scopes = ["--scope", "user:read", "--scope", "user:write", "--role", "editor"];
    let more = ["--email", "bob@example.com", "--claim", "team=\"blue\"", "--no-password"];
    realm.ask(&[&["user", "add", "bob"], &scopes[..], &more].concat());
}

fn by_header(gate: &Gate, key: &str) -> Response {
    get(gate.address, "/validate_request", &[&format!("X-Api-Key: {key}")])
}

#[test]
fn a_key_stands_for_its_user_in_either_header() {
    let realm = realm();
    bob(&realm);
    let key = realm.ask(&["apikey", "add", "bob"]);
    let gate = realm.gate();
    let header = format!("X-Api-Key: {key}");
    for lines in [vec![header.as_str()], vec![&bearer(&key)], vec![&bearer(&key), &header]] {
        let response = get(gate.address, "/validate_request", &lines);
        assert_eq!(response.status, 200, "{response:?}");
        for (name, value) in [
            ("x-auth-username", "bob"),
            ("x-auth-scopes", "user:read user:write"),
            ("x-auth-roles", "editor"),
            ("x-auth-issuer", "prismaticain"),
            ("x-auth-session", ""),
            ("x-auth-email", ""),
        ] {
            assert_eq!(response.header(name), Some(value), "{name}: {response:?}");
        }
        let user = response.header("x-auth-user").expect("a user");
        assert_eq!(user, realm.ask_json(&["user", "show", "bob", "--json"])["id"]);
    }
    assert!(!gate.log().contains(&key), "{}", gate.log());
}

#[test]
fn a_key_that_is_over_is_refused_at_the_next_request() {
    let realm = realm();
    bob(&realm);
    let gate = realm.gate();
    let key = || realm.ask(&["apikey", "add", "bob"]);
    let (revoked, of_locked) = (key(), key());
    assert_eq!(
        (by_header(&gate, &revoked).status, by_header(&gate, &of_locked).status),
        (200, 200)
    );
    let keys = realm.ask_json(&["apikey", "list", "bob", "--json"]);
    let newest_first = keys.as_array().expect("a list");
    let id = newest_first.last().expect("the first")["id"].as_str().expect("an id").to_owned();
    realm.ask(&["apikey", "revoke", &id]);
    let refused = [&revoked, &of_locked].map(|key| by_header(&gate, key).status);
    assert_eq!(
        {
            let mut both = refused;
            both.sort();
            both
        },
        [200, 401]
    );
    realm.ask(&["user", "lock", "bob"]);
    for key in [&revoked, &of_locked] {
        let response = by_header(&gate, key);
        assert_eq!(response.status, 401);
        let challenge = response.header("www-authenticate").expect("a challenge");
        assert!(
            challenge.contains("invalid_token") && challenge.contains("API key"),
            "{challenge}"
        );
    }
    realm.ask(&["user", "unlock", "bob"]);
    assert_eq!(
        [&revoked, &of_locked].map(|key| by_header(&gate, key).status).iter().sum::<u16>(),
        601
    );
}

#[test]
fn what_is_no_key_of_ours_is_no_credential() {
    let realm = realm();
    bob(&realm);
    let key = realm.ask(&["apikey", "add", "bob", "--scope", "user:read"]);
    let (gate, token) = (realm.gate(), realm.mint("alice", &[]));
    for (wrong, status) in [
        (key[..key.len() - 1].to_owned(), 401),
        (format!("{key}x"), 401),
        (key.to_uppercase(), 401),
        (key.trim_start_matches("pk_").to_owned(), 401),
        (token.clone(), 401),
        (String::new(), 401),
        (key.clone(), 200),
    ] {
        assert_eq!(by_header(&gate, &wrong).status, status, "{wrong}");
    }
    // A key for less than its user may do.
    let lines = [&*format!("X-Api-Key: {key}")];
    let ask = |scope: &str| get(gate.address, &format!("/validate_request?scope={scope}"), &lines);
    assert_eq!((ask("user:read").status, ask("user:write").status), (200, 403));
    // Two credentials are none.
    let both = get(gate.address, "/validate_request", &[&bearer(&token), lines[0]]);
    assert_eq!(both.status, 401);
    let denied = [("verdict", "deny"), ("code", "several_credentials")];
    assert_eq!(gate.counter("portcullis_requests_total", &denied), 1.0);
    let off = Realm::new();
    assert_eq!(by_header(&off.gate(), &key).status, 401, "off, unless it is set");
}

#[test]
fn behind_nginx_a_key_is_taken_in_the_header_that_the_example_passes_on() {
    let realm = realm();
    bob(&realm);
    let key = realm.ask(&["apikey", "add", "bob"]);
    let stack = Stack::start(realm, |gate, app| {
        let nginx = Nginx::start(gate, app, &[])?;
        let address = nginx.address;
        Some((nginx, address))
    });
    let Some(stack) = stack else { return };
    let response = stack.send("GET", "/", &[&format!("X-Api-Key: {key}")], b"");
    assert_eq!(response.status, 200, "{response:?}");
    let seen = stack.app.take_one();
    assert_eq!(seen.value("x-auth-username"), "bob");
    assert_eq!(json!(seen.value("x-api-key")), json!(key), "it is the client's own header");
}
