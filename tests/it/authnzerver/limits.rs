//! The limits on requests, which all processes count together.

use serde_json::{Value, json};

use crate::support::{
    authnzerver::start,
    free_address,
    issuer::{ALICE, Issuer},
    realm::Realm,
};

fn limited() -> Realm {
    // One request comes back after 20 seconds at the earliest: later than a test takes.
    Realm::issuing().with("RATE_LIMITS", "true").with(
        "AUTHNZERVER_RATELIMITS",
        "session:3; burst:3; user-passcheck-nosession:3; user-set-emailsent:2",
    )
}

#[test]
fn one_request_too_many_is_429_at_all_processes_and_of_this_client_alone() {
    let (realm, _issuer, frontend) = start(limited());
    let (_second, realm) =
        Issuer::beside(realm.with("AUTHNZERVER_LISTEN", &free_address().to_string()));
    let beside = realm.frontend();
    let body = json!({ "session_token": "nobody's" });
    for frontend in [&frontend, &beside, &frontend] {
        assert_eq!(frontend.send("session-exists", &body).status, 200);
    }
    for frontend in [&frontend, &beside] {
        let refused = frontend.send("session-exists", &body);
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("180")));
    }
    assert_eq!(frontend.send("session-delete", &body).status, 200, "another request");
    let other = realm.frontend().of_client("192.0.2.8");
    assert_eq!(other.send("session-exists", &body).status, 200, "another client");
}

#[test]
fn mails_to_one_address_are_limited_whoever_asks() {
    let (realm, _issuer, _) = start(limited());
    let sent = |client: &str, email: &str| {
        let frontend = realm.frontend().of_client(client);
        let body = json!({ "email": email, "email_type": "signup" });
        frontend.send("user-set-emailsent", &body).status
    };
    assert_eq!((sent("192.0.2.1", "a@b.test"), sent("192.0.2.2", "a@b.test")), (200, 200));
    assert_eq!(sent("192.0.2.3", "a@b.test"), 429);
    assert_eq!(sent("192.0.2.3", "c@b.test"), 200);
}

#[test]
fn a_request_without_its_client_is_400_while_there_are_limits() {
    let (_realm, _issuer, frontend) = start(limited());
    for client in [Value::Null, json!("")] {
        let content = json!({
            "request": "session-exists", "body": { "session_token": "t" }, "reqid": 1,
            "client_ipaddr": client,
        });
        assert_eq!(frontend.post(frontend.sealed(&content, 0).as_bytes()).status, 400, "{client}");
    }
}

#[test]
fn guesses_of_a_password_are_slowed_down_whether_the_user_exists_or_not() {
    let realm = limited()
        .with("AUTHNZERVER_RATELIMITS", "none")
        .with("AUTHNZERVER_USERLOCKTRIES", "4")
        .with("AUTHNZERVER_USERLOCKTIME", "3600");
    let (realm, _issuer, frontend) = start(realm);
    realm.add_user(ALICE.0, ALICE.1, &[]);
    for name in [ALICE.0, "nobody"] {
        let guess = json!({ "email": name, "password": "wrong" });
        for _ in 0..3 {
            frontend.fails("user-passcheck-nosession", &guess);
        }
        let refused = frontend.send("user-passcheck-nosession", &guess);
        assert_eq!(refused.status, 429, "{name}");
        assert!(refused.header("retry-after").is_some(), "{name}");
    }
}
