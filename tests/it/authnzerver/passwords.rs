//! Passwords: changed, reset, and tried out.

use serde_json::{Value, json};

use super::users::{GOOD, verified};
use crate::support::{
    authnzerver::{Frontend, start},
    realm::Realm,
};

const NEW: &str = "a mad hatter pours 12 cups";

fn is_password(frontend: &Frontend, password: &str) -> bool {
    let check = json!({ "email": "alice@example.org", "password": password });
    frontend.ask("user-passcheck-nosession", &check)["success"] == true
}

fn change(id: &Value, session: Option<&str>, present: &str, new: &str) -> Value {
    let mut body = json!({
        "user_id": id, "full_name": "alice Example", "email": "alice@example.org",
        "current_password": present, "new_password": new,
    });
    if let Some(session) = session {
        body["session_token"] = json!(session);
    }
    body
}

#[test]
fn a_changed_password_ends_the_other_sessions() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let alice = verified(&frontend, "alice");
    let (own, other) = (frontend.session_of(&alice), frontend.session_of(&alice));
    let anonymous = frontend.session_of(&json!(null));
    for (what, session, present, new) in [
        ("wrong", own.as_str(), "wrong", NEW),
        ("the same", &own, GOOD, GOOD),
        ("weak", &own, GOOD, "alice@example.org"),
        ("another's session", &anonymous, GOOD, NEW),
    ] {
        let refused =
            frontend.fails("user-changepass", &change(&alice, Some(session), present, new));
        assert_eq!(
            (&refused["user_id"], &refused["email"]),
            (&alice, &json!("alice@example.org")),
            "{what}"
        );
    }
    assert!(frontend.lives(&other) && is_password(&frontend, GOOD), "nothing was changed so far");
    frontend.succeeds("user-changepass", &change(&alice, Some(&own), GOOD, NEW));
    assert!(frontend.lives(&own) && !frontend.lives(&other));
    assert!(is_password(&frontend, NEW) && !is_password(&frontend, GOOD));
    frontend.succeeds("user-changepass-nosession", &change(&alice, None, NEW, GOOD));
    assert!(!frontend.lives(&own), "without a session all end");
}

#[test]
fn a_reset_password_ends_all_sessions_and_needs_one_that_may_be_its_users() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let (alice, bob) = (verified(&frontend, "alice"), verified(&frontend, "bob"));
    let token = frontend.session_of(&alice);
    let (anonymous, bobs) = (frontend.session_of(&json!(null)), frontend.session_of(&bob));
    let reset = |session: &str, password: &str| json!({ "email_address": "alice@example.org", "new_password": password, "session_token": session });
    frontend.fails("user-resetpass", &reset("nobody's", NEW));
    frontend.fails("user-resetpass", &reset(&bobs, NEW));
    frontend.fails("user-resetpass", &reset(&anonymous, "alice@example.org"));
    assert!(frontend.lives(&token) && is_password(&frontend, GOOD));
    frontend.succeeds("user-resetpass", &reset(&anonymous, NEW));
    assert!(!frontend.lives(&token) && is_password(&frontend, NEW));
    let bare = |is_active: bool| json!({ "email_address": "alice@example.org", "new_password": GOOD, "required_active": is_active });
    frontend.fails("user-resetpass-nosession", &bare(false));
    frontend.succeeds("user-resetpass-nosession", &bare(true));
    assert!(is_password(&frontend, GOOD));
}

#[test]
fn a_password_is_tried_out_by_the_rules_of_the_request() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let body = |password: &str| json!({ "password": password, "email": "alice@example.org", "full_name": "Alice Liddell" });
    frontend.succeeds("user-validatepass", &body(GOOD));
    for weak in
        ["short", "alice@example.org", "aaaaaaaaaaaaaaaaaaa", "839471620583", "password1234"]
    {
        let refused = frontend.fails("user-validatepass", &body(weak));
        assert_eq!(refused["failure_reason"], "password is insecure or invalid", "{weak}");
    }
    let mut strict = body(GOOD);
    strict["min_pass_length"] = json!(60);
    frontend.fails("user-validatepass", &strict);
    strict["min_pass_length"] = json!(true);
    frontend.fails("user-validatepass", &strict);
}
