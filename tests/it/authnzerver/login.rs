//! Logging in and out, and the check of a password.

use serde_json::{Value, json};

use crate::support::{authnzerver::start, issuer::ALICE, realm::Realm};

#[test]
fn a_login_ends_the_session_that_it_came_with_right_or_wrong() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    realm.add_user(ALICE.0, ALICE.1, &[]);
    let alice = realm.ask_json(&["user", "show", "alice", "--json"])["id"].clone();
    for (password, is_right) in [(ALICE.1, true), ("wrong", false)] {
        let token = frontend.session_of(&json!(null));
        let login = json!({ "session_token": token, "email": ALICE.0, "password": password });
        if is_right {
            let right = frontend.succeeds("user-login", &login);
            assert_eq!((&right["user_id"], &right["user_role"]), (&alice, &json!("authenticated")));
        } else {
            assert_eq!(frontend.fails("user-login", &login)["user_id"], Value::Null);
        }
        assert!(!frontend.lives(&token), "{password}");
        let reason = &frontend.fails("user-login", &login)["failure_reason"];
        assert_eq!(reason, "session does not exist");
    }
    let logins: Vec<_> = realm.events().into_iter().map(|it| it["event"].clone()).collect();
    assert!(logins.contains(&json!("login")) && logins.contains(&json!("login_refused")));
}

#[test]
fn a_logout_is_for_the_sessions_own_user() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    realm.add_user(ALICE.0, ALICE.1, &[]);
    let alice = realm.ask_json(&["user", "show", "alice", "--json"])["id"].clone();
    let token = frontend.session_of(&alice);
    let logout = |user: &Value| json!({ "session_token": token, "user_id": user });
    frontend.fails("user-logout", &logout(&json!(2)));
    assert!(frontend.lives(&token));
    assert_eq!(frontend.succeeds("user-logout", &logout(&alice))["user_id"], alice);
    assert!(!frontend.lives(&token));
    frontend.fails("user-logout", &logout(&alice));
}

#[test]
fn a_password_is_checked_with_a_session_and_without() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    realm.add_user(ALICE.0, ALICE.1, &[]);
    let alice = realm.ask_json(&["user", "show", "alice", "--json"])["id"].clone();
    let token = frontend.session_of(&alice);
    let of_session = |password: &str| json!({ "session_token": token, "password": password });
    let of_email = |email: &str, password: &str| json!({ "email": email, "password": password });
    for right in [
        frontend.succeeds("user-passcheck", &of_session(ALICE.1)),
        frontend.succeeds("user-passcheck-nosession", &of_email("ALICE", ALICE.1)),
    ] {
        assert_eq!((&right["user_id"], &right["user_role"]), (&alice, &json!("authenticated")));
    }
    assert!(frontend.lives(&token), "a check ends nothing");
    frontend.fails("user-passcheck", &of_session("wrong"));
    let wrong = frontend.fails("user-passcheck-nosession", &of_email(ALICE.0, "wrong"));
    let nobody = frontend.fails("user-passcheck-nosession", &of_email("nobody", "wrong"));
    assert_eq!(wrong, nobody, "nobody learns who has an account");
    let anonymous = frontend.session_of(&json!(null));
    let check = json!({ "session_token": anonymous, "password": "" });
    frontend.fails("user-passcheck", &check);
    realm.ask(&["user", "lock", "alice"]);
    let locked = frontend.fails("user-passcheck-nosession", &of_email(ALICE.0, ALICE.1));
    assert_eq!(locked, nobody);
}
