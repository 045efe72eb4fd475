//! Sessions that frontends open: their life, their end, and what frontends keep there.

use serde_json::{Value, json};

use crate::support::{
    authnzerver::{Frontend, start},
    realm::Realm,
};

fn new(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({
        "ip_address": "192.0.2.7", "user_agent": "test/1", "user_id": null,
        "expires": "2099-01-01T00:00:00.000000", "extra_info_json": null,
    });
    change(&mut body);
    body
}

fn info(frontend: &Frontend, token: &str) -> Value {
    let found = frontend.succeeds("session-exists", &json!({ "session_token": token }));
    found["session_info"].clone()
}

#[test]
fn a_session_says_who_it_is_of_and_what_is_kept_there() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    realm.add_user("alice", "a looking-glass and 7 pawns", &[]);
    let alice = realm.ask_json(&["user", "show", "alice", "--json"])["id"].clone();
    let body = new(|body| {
        body["user_id"] = alice.clone();
        body["expires"] = json!("2026-12-01T10:20:30.123456");
        body["extra_info_json"] = json!({ "theme": "dark", "list": [1] });
    });
    let opened = frontend.succeeds("session-new", &body);
    let token = opened["session_token"].as_str().expect("a token");
    assert_eq!((token.len(), &opened["expires"]), (43, &json!("2026-12-01T10:20:30.123000")));
    let found = info(&frontend, token);
    for (column, expected) in [
        ("user_id", alice),
        ("session_token", json!(token)),
        ("ip_address", json!("192.0.2.7")),
        ("user_agent", json!("test/1")),
        ("expires", opened["expires"].clone()),
        ("extra_info_json", json!({ "theme": "dark", "list": [1] })),
        ("user_role", json!("authenticated")),
        ("is_active", json!(true)),
    ] {
        assert_eq!(found[column], expected, "{column}");
    }
    assert_eq!(found.as_object().expect("an object").len(), 18, "{found}");
    let anonymous = info(&frontend, &frontend.session_of(&json!(null)));
    assert_eq!((&anonymous["user_id"], &anonymous["user_role"]), (&json!(2), &json!("anonymous")));
}

#[test]
fn what_makes_no_session_is_refused_with_a_reason() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    realm.add_user("locked", "a looking-glass and 7 pawns", &[]);
    realm.ask(&["user", "lock", "locked"]);
    let locked = realm.ask_json(&["user", "show", "locked", "--json"])["id"].clone();
    for (what, body) in [
        ("no address", new(|body| body["ip_address"] = json!("localhost"))),
        ("nobody", new(|body| body["user_id"] = json!(4711))),
        ("a locked user", new(|body| body["user_id"] = locked.clone())),
        ("no time", new(|body| body["expires"] = json!("30"))),
        ("over", new(|body| body["expires"] = json!("2020-01-01T00:00:00.000000"))),
    ] {
        let refused = frontend.fails("session-new", &body);
        assert_eq!(refused["session_token"], Value::Null, "{what}");
        assert!(refused["failure_reason"].is_string(), "{what}");
    }
}

#[test]
fn a_session_ends_by_its_token_with_its_user_and_by_an_administrator() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    realm.add_user("alice", "a looking-glass and 7 pawns", &[]);
    let alice = realm.ask_json(&["user", "show", "alice", "--json"])["id"].clone();
    let open = || frontend.session_of(&alice);
    let gone = |token: &str| assert!(!frontend.lives(token), "it lives on");

    let token = open();
    frontend.succeeds("session-delete", &json!({ "session_token": token }));
    gone(&token);
    frontend.fails("session-delete", &json!({ "session_token": token }));

    let (kept, others) = (open(), [open(), open()]);
    let all = |keep: bool| json!({ "session_token": kept, "user_id": alice, "keep_current_session": keep });
    frontend.succeeds("session-delete-userid", &all(true));
    others.iter().for_each(|token| gone(token));
    assert!(frontend.lives(&kept));
    frontend.fails("session-delete-userid", &all(true));
    frontend.succeeds("session-delete-userid", &all(false));
    gone(&kept);

    let token = open();
    let listed = realm.ask(&["session", "list", "--user", alice.as_str().expect("an id")]);
    assert!(!listed.contains(&token), "no list shows a secret: {listed}");
    realm.ask(&["user", "lock", "alice"]);
    gone(&token);
}

#[test]
fn what_a_frontend_keeps_in_a_session_is_merged() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let token = frontend.session_of(&json!(null));
    let edit = |token: &str, update: Value| json!({ "target_session_token": token, "update_dict": update });
    let update = json!({ "theme": "__delete__", "page": 3, "none": null });
    let edited = frontend.succeeds("internal-session-edit", &edit(&token, update));
    assert_eq!(edited["session_info"]["extra_info_json"], json!({ "page": 3, "none": null }));
    assert_eq!(info(&frontend, &token)["extra_info_json"], json!({ "page": 3, "none": null }));
    frontend.fails("internal-session-edit", &edit(&token, json!({})));
    frontend.fails("internal-session-edit", &edit("nobody's", json!({ "a": 1 })));
    frontend.succeeds("session-delete", &json!({ "session_token": token }));
    frontend.fails("internal-session-edit", &edit(&token, json!({ "a": 1 })));
    assert!(!frontend.lives(&token), "no edit brings a session back");
}
