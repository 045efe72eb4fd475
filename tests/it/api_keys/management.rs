//! Keys made, listed and revoked over HTTP: by their users, and by administrators.

use serde_json::{Value, json};

use crate::support::{
    http::{Response, bearer},
    issuer::{ALICE, Issuer, SCOPES, text},
    realm::Realm,
};

pub(super) fn start(realm: Realm) -> (Realm, Issuer) {
    let realm = realm.with("ACCEPT_API_KEYS", "true");
    realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    (realm, issuer)
}

pub(super) fn post(issuer: &Issuer, path: &str, token: &str, body: &Value) -> Response {
    let lines = ["Content-Type: application/json", &bearer(token)];
    issuer.send("POST", path, &lines, body.to_string().as_bytes())
}

#[track_caller]
pub(super) fn make(issuer: &Issuer, token: &str, body: &Value) -> Value {
    let answer = post(issuer, "/keys", token, body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn list(issuer: &Issuer, token: &str) -> Vec<Value> {
    let answer = issuer.with_bearer("GET", "/keys", token);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["keys"].as_array().expect("a list").clone()
}

#[test]
fn a_user_makes_lists_and_revokes_keys_of_his_own() {
    let (realm, issuer) = start(Realm::issuing());
    let login = issuer.log_in();
    let token = text(&login, "access_token");
    let asked = json!({
        "label": "nightly", "scopes": [SCOPES[0]], "expires_in": 3600, "audience": "gate.test",
        "address": "127.0.0.1", "version": "2", "refresh_expires_in": 7200,
    });
    let made = make(&issuer, token, &asked);
    let (key, id) = (text(&made, "key"), text(&made, "id"));
    assert!(key.starts_with("pk_") && text(&made, "refresh_token").starts_with("pr_"), "{made}");
    let plain = make(&issuer, token, &json!({}));
    assert!(plain.get("refresh_token").is_none(), "{plain}");
    let listed = list(&issuer, token);
    let ids: Vec<_> = listed.iter().map(|key| text(key, "id")).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&id) && ids.contains(&text(&plain, "id")), "{ids:?}");
    let shown = listed.iter().find(|key| key["id"] == id).expect("the first");
    for (name, value) in [
        ("label", "nightly"),
        ("audience", "gate.test"),
        ("address", "127.0.0.1"),
        ("version", "2"),
    ] {
        assert_eq!(shown[name], value, "{shown}");
    }
    assert_eq!((&shown["scopes"], &shown["session"]), (&json!([SCOPES[0]]), &Value::Null));
    for secret in [key, text(&made, "refresh_token"), text(&plain, "key")] {
        let log = format!("{}{}{}", json!(listed), issuer.gate.log(), realm.audit_log());
        assert!(!log.contains(secret), "a secret shows");
    }
    assert_eq!(issuer.check(text(&plain, "key")), 200);
    let ended = issuer.with_bearer("DELETE", &format!("/keys/{}", text(&plain, "id")), token);
    assert_eq!((ended.status, ended.json()), (200, json!({"revoked": 1})));
    assert_eq!(issuer.check(text(&plain, "key")), 401);
    assert_eq!(issuer.with_bearer("DELETE", "/keys/key_none", token).status, 404);
    let all = issuer.with_bearer("DELETE", "/keys", token);
    assert_eq!((all.status, all.json()), (200, json!({"revoked": 1})));
    assert_eq!(list(&issuer, token), Vec::<Value>::new());
    let events: Vec<_> = realm.events().iter().map(|event| event["event"].clone()).collect();
    for event in ["key_made", "key_revoked", "keys_revoked"] {
        assert!(events.contains(&json!(event)), "{event} is not in {events:?}");
    }
}

#[test]
fn nobody_has_a_say_about_the_keys_of_others() {
    let (realm, issuer) = start(Realm::issuing());
    realm.add_user("bob", "a walrus and 2 oysters", &SCOPES);
    let alice = issuer.log_in();
    let bob = issuer.by_password("bob", "a walrus and 2 oysters", &[]).json();
    let made = make(&issuer, text(&alice, "access_token"), &json!({}));
    let path = format!("/keys/{}", text(&made, "id"));
    let bob = text(&bob, "access_token");
    assert_eq!(issuer.with_bearer("DELETE", &path, bob).status, 404);
    assert_eq!(issuer.with_bearer("DELETE", "/keys", bob).json(), json!({"revoked": 0}));
    assert_eq!((issuer.check(text(&made, "key")), list(&issuer, bob).len()), (200, 0));
    for (method, path) in
        [("GET", "/keys"), ("POST", "/keys"), ("DELETE", "/keys"), ("DELETE", &*path)]
    {
        assert_eq!(issuer.send(method, path, &[], b"").status, 401, "{method} {path}");
        assert_eq!(
            issuer.with_bearer(method, path, text(&made, "key")).status,
            401,
            "a key is no token"
        );
    }
}

#[test]
fn a_key_makes_no_keys_and_a_narrow_token_none_that_may_more() {
    let (realm, issuer) = start(Realm::issuing().with("SESSIONS_SCOPE", SCOPES[0]));
    let key = realm.ask(&["apikey", "add", ALICE.0]);
    let fields = [("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", &*key)];
    let by_key = issuer.form("/token", &fields, &[]).json();
    assert!(text(&by_key, "scope").contains(SCOPES[0]), "{by_key}");
    let by_key = text(&by_key, "access_token");
    for (method, path) in
        [("GET", "/keys"), ("POST", "/keys"), ("DELETE", "/keys"), ("DELETE", "/keys/x")]
    {
        let answer = issuer.with_bearer(method, path, by_key);
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
    }
    let narrow = issuer.by_password(ALICE.0, ALICE.1, &[("scope", SCOPES[0])]).json();
    let narrow = text(&narrow, "access_token");
    let made = make(&issuer, narrow, &json!({}));
    assert_eq!(made["scopes"], json!([SCOPES[0]]), "what its token grants, not what its user has");
    for scopes in [json!([SCOPES[1]]), json!(["admin"])] {
        let refused = post(&issuer, "/keys", narrow, &json!({ "scopes": scopes }));
        assert_eq!(
            (refused.status, refused.json()["error"].clone()),
            (400, json!("invalid_scope"))
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_made() {
    let (_realm, issuer) = start(Realm::issuing());
    let login = issuer.log_in();
    let token = text(&login, "access_token");
    for body in [
        json!({"address": "somewhere"}),
        json!({"subject": "/a/../b"}),
        json!({"expires_in": 0}),
        json!({"expires_in": 10, "not_before": 10}),
        json!({"audience": ""}),
        json!({"label": "x".repeat(300)}),
        json!({"session": "another"}),
        json!({"scopes": "user:read"}),
        json!({"days": 5}),
        json!([]),
    ] {
        let refused = post(&issuer, "/keys", token, &body);
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
    }
    assert_eq!(list(&issuer, token), Vec::<Value>::new());
}

#[test]
fn a_key_that_is_bound_to_the_session_ends_with_it_and_is_not_exchanged() {
    let (_realm, issuer) = start(Realm::issuing());
    let (login, other) = (issuer.log_in(), issuer.log_in());
    let token = text(&login, "access_token");
    let made =
        make(&issuer, token, &json!({"session": "current", "refresh_expires_in": 99_999_999}));
    let key = text(&made, "key");
    assert_eq!((issuer.check(key), made["expires"].is_string()), (200, true), "{made}");
    assert_eq!(made["refresh_expires"], made["expires"], "neither is longer than the session");
    // A token for it would have a session of its own.
    let exchange = |key: &str| {
        let fields = [("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", key)];
        issuer.form("/token", &fields, &[]).status
    };
    let bound = make(&issuer, token, &json!({"subject": "/reports"}));
    let plain = make(&issuer, token, &json!({}));
    assert_eq!([key, text(&bound, "key"), text(&plain, "key")].map(exchange), [403, 403, 200]);
    assert_eq!(issuer.with_bearer("POST", "/logout", token).status, 200);
    assert_eq!(issuer.check(key), 401);
    let left = list(&issuer, text(&other, "access_token"));
    assert_eq!(left.len(), 2, "the one that is over is not listed: {left:?}");
    let refresh = json!({"refresh_token": made["refresh_token"]});
    assert_eq!(issuer.json("/keys/refresh", &refresh).status, 400);
}

#[test]
fn an_administrator_makes_lists_and_revokes_keys_of_anybody() {
    let (_realm, issuer) = start(Realm::issuing());
    let path = format!("/admin/users/{}/keys", ALICE.0);
    let made = issuer.json_internal(&path, &json!({"label": "by hand", "scopes": [SCOPES[1]]}));
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!(issuer.check(text(&made, "key")), 200);
    let listed = issuer.as_admin("GET", &path, b"").json();
    assert_eq!(listed["keys"][0]["id"], made["id"]);
    let one = format!("/admin/keys/{}", text(&made, "id"));
    assert_eq!([(); 2].map(|()| issuer.as_admin("DELETE", &one, b"").status), [200, 404]);
    assert_eq!(issuer.check(text(&made, "key")), 401);
    let login = issuer.log_in();
    let sid = crate::support::tokens::claims(text(&login, "access_token"))["sid"].clone();
    for (session, status) in [(sid, 201), (json!("none"), 404)] {
        assert_eq!(issuer.json_internal(&path, &json!({"session": session})).status, status);
    }
    assert_eq!(issuer.as_admin("DELETE", &path, b"").json(), json!({"revoked": 1}));
    for method in ["GET", "POST", "DELETE"] {
        assert_eq!(
            issuer.as_admin(method, "/admin/users/nobody/keys", b"").status,
            404,
            "{method}"
        );
    }
    assert_eq!(
        issuer.send("GET", &path, &[&bearer(&issuer.admin_token)], b"").status,
        404,
        "it is not public"
    );
}
