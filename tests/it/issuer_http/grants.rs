//! Logins and refreshes: what `/token` answers, and what it refuses.

use serde_json::json;

use super::{UUID, start};
use crate::support::{
    http,
    issuer::{ALICE, DEMO, text},
    realm::Realm,
};

#[test]
fn a_login_is_answered_as_oauth_and_tp_auth_want_it() {
    let (_realm, issuer, secret) = start(Realm::issuing());
    let demo = [("client_id", DEMO), ("client_secret", secret.as_str())];
    let scope = [("scope", "user:read root")];
    let answer = issuer.by_password("ALICE ", ALICE.1, &[&demo[..], &scope].concat());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    let answer = answer.json();
    assert_eq!(answer["token_type"], "Bearer");
    // It is counted in whole seconds of the clock, one of which may have passed since.
    assert!((890..=900).contains(&answer["expires_in"].as_u64().expect("seconds")), "{answer}");
    assert_eq!(answer["scope"], "user:read", "narrowed, never widened");
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(text(&answer, "refresh_token").len(), 43);
    assert_eq!(issuer.gate.check(text(&answer, "access_token")).status, 200);
}

#[test]
fn what_is_refused_is_refused_with_the_rfcs_codes() {
    let (_realm, issuer, secret) = start(Realm::issuing());
    let alice = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    let demo = [("client_id", DEMO), ("client_secret", secret.as_str())];
    let check = |fields: &[&[(&str, &str)]], status: u16, error: &str| {
        let answer = issuer.form("/token", &fields.concat(), &[]);
        assert_eq!((answer.status, text(&answer.json(), "error")), (status, error), "{fields:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{fields:?}");
        answer
    };
    check(&[], 400, "invalid_request");
    check(&[&[("grant_type", "")]], 400, "invalid_request");
    check(&[&[("grant_type", "authorization_code")]], 400, "unsupported_grant_type");
    check(&[&alice[..2]], 400, "invalid_request");
    check(&[&alice, &[("password", "x")]], 400, "invalid_request");
    check(&[&alice[..2], &[("password", "x")]], 400, "invalid_grant");
    check(
        &[&[("grant_type", "password"), ("username", "nobody"), ("password", "x")]],
        400,
        "invalid_grant",
    );
    check(&[&alice, &[("scope", "root")]], 400, "invalid_scope");
    check(&[&alice, &[("scope", "a\"b")]], 400, "invalid_scope");
    check(&[&alice, &[("resource", "https://elsewhere.example")]], 400, "invalid_target");
    check(&[&alice, &demo[..1]], 401, "invalid_client");
    let refused =
        check(&[&alice, &[("client_id", "nobody"), ("client_secret", "x")]], 401, "invalid_client");
    assert!(refused.header("www-authenticate").is_some_and(|it| it.starts_with("Basic ")));
    check(&[&[("grant_type", "client_credentials")]], 401, "invalid_client");
    check(&[&[("grant_type", "refresh_token"), ("refresh_token", "x")]], 400, "invalid_grant");
    let key = [("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", "x")];
    check(&[&key], 400, "invalid_grant");
    check(&[&key, &demo], 400, "unauthorized_client");
    let json = issuer.json("/token", &json!({ "grant_type": "password" }));
    assert_eq!((json.status, text(&json.json(), "error")), (400, "invalid_request"));
    assert_eq!(http::get(issuer.public, "/token", &[]).status, 405);
    assert_eq!(http::get(issuer.public, "/nothing", &[]).status, 404);
    let large = [("grant_type", "password"), ("password", &"x".repeat(70_000))];
    assert_eq!(issuer.form("/token", &large, &[]).status, 413);
}

#[test]
fn a_clients_refresh_token_is_the_clients_alone() {
    let (realm, issuer, secret) = start(Realm::issuing());
    let other = realm.add_client("other", &["--grant", "refresh_token"]);
    let demo = [("client_id", DEMO), ("client_secret", secret.as_str())];
    let login = issuer.by_password(ALICE.0, ALICE.1, &demo).json();
    let refresh =
        |client: &[(&str, &str)]| issuer.by_refresh(text(&login, "refresh_token"), client);
    for form in [&[][..], &[("client_id", "other"), ("client_secret", &other)]] {
        let answer = refresh(form);
        assert_eq!((answer.status, text(&answer.json(), "error")), (400, "invalid_grant"));
    }
    let by_jwthenticator = json!({"refresh_token": login["refresh_token"], "identifier": UUID});
    assert_eq!(issuer.json("/refresh", &by_jwthenticator).status, 401);
    let good = refresh(&demo);
    assert_eq!(good.status, 200, "nobody who was refused used it up: {}", good.text());
    // Whoever comes with a used one ends the family; rubbish ends nothing.
    let next = good.json();
    assert_eq!(refresh(&[("client_id", DEMO), ("client_secret", "wrong")]).status, 401);
    assert_eq!(issuer.gate.check(text(&next, "access_token")).status, 200);
    assert_eq!(refresh(&demo).status, 400);
    assert_eq!(issuer.gate.check(text(&next, "access_token")).status, 401);
}

#[test]
fn tp_auths_one_token_slides() {
    let realm = Realm::issuing()
        .with("TOKEN_MODE", "opaque")
        .with("REFRESH_POLICY", "sliding")
        .with("EXPIRY", "60")
        .with("REFRESH_RESTRICT_MINUTES", "60");
    let (_realm, issuer, _) = start(realm);
    let login = issuer.log_in();
    assert_eq!(login["access_token"], login["refresh_token"]);
    let token = text(&login, "access_token");
    for _ in 0..3 {
        let again = issuer.by_refresh(token, &[]);
        assert_eq!(again.status, 200, "{}", again.text());
        assert_eq!(again.json()["access_token"], token, "the same handle lives on");
    }
    assert_eq!(issuer.gate.check(token).status, 200);
}

#[test]
fn tokens_of_an_issuer_without_a_name_are_accepted_by_its_own_gate() {
    let (_realm, issuer, _) = start(Realm::issuing().with("ISSUER", ""));
    let login = issuer.log_in();
    assert_eq!(issuer.gate.check(text(&login, "access_token")).status, 200);
    assert_eq!(issuer.with_bearer("GET", "/sessions", text(&login, "access_token")).status, 200);
}
