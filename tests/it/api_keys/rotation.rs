//! Keys refreshed by the real program, and by many at once.

use std::thread;

use serde_json::{Value, json};

use super::management::{make, start};
use crate::support::{
    http::{Client, Response, request},
    issuer::{Issuer, text},
    realm::Realm,
};

fn refresh(issuer: &Issuer, token: &Value) -> Response {
    issuer.json("/keys/refresh", &json!({ "refresh_token": token }))
}

#[test]
fn a_key_is_refreshed_once_and_reuse_ends_all_that_came_of_it() {
    let (realm, issuer) = start(Realm::issuing());
    let login = issuer.log_in();
    let asked = json!({
        "label": "ci", "audience": "gate.test", "address": "127.0.0.1", "expires_in": 600,
        "refresh_expires_in": 6000,
    });
    let first = make(&issuer, text(&login, "access_token"), &asked);
    let other = make(&issuer, text(&login, "access_token"), &json!({"refresh_expires_in": 600}));
    let second = refresh(&issuer, &first["refresh_token"]);
    assert_eq!(second.status, 200, "{second:?}");
    let second = second.json();
    for same in ["label", "audience", "address", "scopes", "user_id"] {
        assert_eq!(second[same], first[same], "{same}");
    }
    for new in ["id", "key", "refresh_token"] {
        assert_ne!(second[new], first[new], "{new}");
    }
    let listed = realm.ask_json(&["apikey", "list", "--json"]);
    let ids: Vec<&str> =
        listed.as_array().expect("a list").iter().map(|key| text(key, "id")).collect();
    assert!(ids.contains(&text(&second, "id")) && !ids.contains(&text(&first, "id")), "{ids:?}");
    // A refresh token is no key, and a key no refresh token.
    assert_eq!(issuer.check(text(&second, "refresh_token")), 401);
    assert_eq!(refresh(&issuer, &second["key"]).status, 400);
    let third = refresh(&issuer, &second["refresh_token"]).json();
    let next = refresh(&issuer, &other["refresh_token"]).json();
    assert_eq!([&other, &next].map(|key| issuer.check(text(key, "key"))), [401, 200]);
    let reused = refresh(&issuer, &first["refresh_token"]);
    assert_eq!((reused.status, reused.json()["error"].clone()), (400, json!("invalid_grant")));
    assert_eq!(refresh(&issuer, &third["refresh_token"]).status, 400, "the family has ended");
    assert_eq!(issuer.check(text(&next, "key")), 200, "another family goes on");
    let left = realm.ask_json(&["apikey", "list", "--json"]);
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    let events = realm.events();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((of("key_refreshed"), of("refresh_reuse")), (3, 1));
    for secret in [&first, &second, &third].map(|key| text(key, "refresh_token")) {
        assert!(!format!("{}{}", issuer.gate.log(), realm.audit_log()).contains(secret));
    }
}

#[test]
fn of_many_who_refresh_one_key_at_once_one_gets_the_next() {
    let (realm, issuer) = start(Realm::issuing());
    let (beside, _realm) = Issuer::beside(realm);
    let login = issuer.log_in();
    let first = make(&issuer, text(&login, "access_token"), &json!({"refresh_expires_in": 600}));
    let body = json!({"refresh_token": first["refresh_token"]}).to_string();
    let asked =
        request("POST", "/keys/refresh", &["Content-Type: application/json"], body.as_bytes());
    let statuses: Vec<u16> = thread::scope(|scope| {
        let asking = (0..8).map(|n| {
            let at = if n % 2 == 0 { issuer.public } else { beside.public };
            let asked = &asked;
            scope.spawn(move || Client::connect(at).exchange(asked).status)
        });
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|asked| asked.join().expect("an answer")).collect()
    });
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(200), count(400)), (1, 7), "{statuses:?}");
}
