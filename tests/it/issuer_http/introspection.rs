//! Introspection and revocation: for clients with the right to it, and for tokens of others' audiences.

use serde_json::json;

use super::{ADMIN, start};
use crate::support::{
    http,
    issuer::{ALICE, DEMO, text},
    realm::Realm,
};

#[test]
fn only_those_may_introspect_who_were_given_the_right() {
    let (realm, issuer, secret) = start(Realm::issuing().with("ADMIN_TOKEN", ADMIN));
    let other = realm.add_client("other", &["--grant", "password"]);
    let login = issuer.log_in();
    let ask = |token: &str, client: &[(&str, &str)], lines: &[&str]| {
        issuer.form("/introspect", &[&[("token", token)], client].concat(), lines)
    };
    let demo = [("client_id", DEMO), ("client_secret", secret.as_str())];
    for name in ["access_token", "refresh_token"] {
        let known = ask(text(&login, name), &demo, &[]);
        assert_eq!((known.status, &known.json()["active"]), (200, &json!(true)), "{name}");
        assert_eq!(known.json()["sub"], login["user_id"]);
    }
    let admin = http::bearer(ADMIN);
    assert_eq!(ask(text(&login, "access_token"), &[], &[&admin]).json()["active"], true);
    assert_eq!(ask("rubbish", &demo, &[]).json(), json!({"active": false}));
    assert_eq!(ask("rubbish", &[], &[]).status, 401);
    assert_eq!(ask("rubbish", &demo[..1], &[]).status, 401);
    assert_eq!(ask("x", &[("client_id", "other"), ("client_secret", &other)], &[]).status, 403);
    let own = http::bearer(text(&login, "access_token"));
    assert_eq!(ask("x", &[], &[&own]).status, 401, "no user's token will do");
    issuer.form("/revoke", &[("token", text(&login, "refresh_token"))], &[]);
    assert_eq!(ask(text(&login, "access_token"), &demo, &[]).json(), json!({"active": false}));
}

#[test]
fn a_token_for_somebody_else_is_revoked_and_introspected_by_who_issued_it() {
    let (realm, issuer, _) = start(Realm::issuing());
    let grants = ["--grant", "password", "--grant", "refresh_token"];
    let more = ["--audience", "https://api2.example", "--introspect"];
    let secret = realm.add_client("shop", &[&grants[..], &more].concat());
    let shop = [("client_id", "shop"), ("client_secret", secret.as_str())];
    let resource = [("resource", "https://api2.example")];
    let login = issuer.by_password(ALICE.0, ALICE.1, &[&resource[..], &shop].concat()).json();
    let token = text(&login, "access_token");
    assert_eq!(issuer.gate.check(token).status, 401, "it is not for this gate");
    let known = |token: &str| {
        issuer.form("/introspect", &[&[("token", token)][..], &shop].concat(), &[]).json()["active"]
            .clone()
    };
    assert_eq!(known(token), true);
    let refresh = |resource: &str, token: &str| {
        issuer.by_refresh(token, &[&[("resource", resource)][..], &shop].concat())
    };
    let refused = refresh("https://api3.example", text(&login, "refresh_token"));
    assert_eq!(text(&refused.json(), "error"), "invalid_target");
    let next = refresh("https://api2.example", text(&login, "refresh_token"));
    assert_eq!(next.status, 200, "{}", next.text());
    let next = next.json();
    assert_eq!(issuer.form("/revoke", &[&[("token", token)][..], &shop].concat(), &[]).status, 200);
    assert_eq!(known(text(&next, "access_token")), false, "its session has ended");
}
