//! Users: they sign up, are found, changed, locked and deleted.

use serde_json::{Value, json};

use crate::support::{
    authnzerver::{Frontend, start},
    issuer::Issuer,
    realm::Realm,
};

/// A password that keeps the rules.
pub const GOOD: &str = "off with the gryphon's teapot";

/// The body by which somebody of this name signs up.
pub fn new(name: &str) -> Value {
    json!({ "full_name": format!("{name} Example"), "email": format!("{name}@example.org"), "password": GOOD })
}

/// Somebody who signed up and verified the e-mail; the number.
pub fn verified(frontend: &Frontend, name: &str) -> Value {
    let made = frontend.succeeds("user-new", &new(name));
    let email = json!({ "email": made["user_email"] });
    let verified = frontend.succeeds("user-set-emailverified", &email);
    assert_eq!(verified["user_id"], made["user_id"]);
    made["user_id"].clone()
}

/// A superuser with a session: the number and the token.
fn superuser(realm: &Realm, frontend: &Frontend) -> (Value, String) {
    let id = verified(frontend, "root");
    let id_text = id.to_string();
    realm.ask(&["user", "edit", &id_text, "--role", "superuser"]);
    let token = frontend.session_of(&id);
    (id, token)
}

fn of(frontend: &Frontend, id: &Value) -> Value {
    let listed = frontend.succeeds("user-list", &json!({ "user_id": id }));
    listed["user_info"][0].clone()
}

/// The numbers that these get, one after the other.
fn numbers_of(frontend: &Frontend, names: &[&str]) -> Vec<i64> {
    let number = |name: &&str| frontend.succeeds("user-new", &new(name))["user_id"].as_i64();
    names.iter().filter_map(number).collect()
}

#[test]
fn who_signs_up_has_the_next_number_and_waits_for_the_mail() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    let body = json!({
        "full_name": "  Alice   Liddell ", "email": "Alice@Example.org", "password": GOOD,
        "extra_info": { "theme": "dark" }, "system_id": "s-1", "verify_retry_wait": 2,
    });
    let made = frontend.succeeds("user-new", &body);
    assert_eq!(made["user_id"], 4);
    assert_eq!(
        (&made["user_email"], &made["system_id"]),
        (&json!("alice@example.org"), &json!("s-1"))
    );
    assert_eq!(made["send_verification"], true);
    let found = of(&frontend, &json!(4));
    assert_eq!(found.as_object().expect("columns").len(), 16, "{found}");
    for (column, expected) in [
        ("full_name", json!("Alice Liddell")),
        ("is_active", json!(false)),
        ("user_role", json!("locked")),
        ("email_verified", json!(false)),
        ("system_id", json!("s-1")),
    ] {
        assert_eq!(found[column], expected, "{column}");
    }
    assert_eq!(found["extra_info"]["theme"], "dark");
    assert!(found["emailverify_sent_datetime"].is_string(), "{found}");
    let check = json!({ "email": "alice@example.org", "password": GOOD });
    frontend.fails("user-passcheck-nosession", &check);
    let verified =
        frontend.succeeds("user-set-emailverified", &json!({ "email": "alice@example.org" }));
    assert_eq!(
        (&verified["is_active"], &verified["user_role"]),
        (&json!(true), &json!("authenticated"))
    );
    assert_eq!(frontend.succeeds("user-passcheck-nosession", &check)["user_id"], 4);
    assert_eq!(frontend.succeeds("user-new", &new("bob"))["user_id"], 5);
    assert_eq!(realm.ask_json(&["user", "show", "5", "--json"])["state"], "unverified");
}

#[test]
fn who_is_there_already_is_told_to_the_frontend_alone() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let first = frontend.succeeds("user-new", &new("alice"));
    let again = frontend.fails("user-new", &json!({
        "full_name": "Eve", "email": "ALICE@example.org", "password": "another good one, for eve!",
    }));
    assert_eq!((&again["failure_reason"], &again["user_id"]), (&json!("user exists"), &json!(4)));
    assert_eq!(again["messages"], first["messages"], "the same for whoever signs up");
    assert_eq!(
        (&again["send_verification"], &again["system_id"]),
        (&json!(false), &first["system_id"])
    );
    assert_eq!(of(&frontend, &json!(4))["full_name"], "alice Example");
    for (what, change) in [
        ("invalid email", json!({ "email": "alice" })),
        ("invalid full name", json!({ "full_name": "see https://evil.test" })),
        ("invalid password", json!({ "password": "alice@example.com" })),
    ] {
        let mut body = new("carol");
        body.as_object_mut().expect("an object").extend(change.as_object().expect("one").clone());
        let refused = frontend.fails("user-new", &body);
        assert_eq!((&refused["failure_reason"], &refused["user_id"]), (&json!(what), &Value::Null));
    }
    let listed = frontend.succeeds("user-list", &json!({ "user_id": null }));
    assert_eq!(listed["user_info"].as_array().map(Vec::len), Some(1), "nobody else was made");
}

#[test]
fn no_number_is_given_twice_whoever_asks_and_whoever_was_deleted() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    let other = crate::support::free_address().to_string();
    let (_second, realm) = Issuer::beside(realm.with("AUTHNZERVER_LISTEN", &other));
    let beside = realm.frontend();
    let mut numbers: Vec<i64> = std::thread::scope(|scope| {
        let one = scope.spawn(|| numbers_of(&frontend, &["a", "b", "c"]));
        let two = scope.spawn(|| numbers_of(&beside, &["d", "e", "f"]));
        [one, two].into_iter().flat_map(|thread| thread.join().expect("answers")).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, [4, 5, 6, 7, 8, 9]);
    frontend.succeeds("internal-user-delete", &json!({ "target_userid": 9 }));
    assert_eq!(frontend.succeeds("user-new", &new("g"))["user_id"], 10);
}

#[test]
fn users_are_found_by_what_is_shown_and_by_nothing_else() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let (alice, bob) = (verified(&frontend, "alice"), verified(&frontend, "bob"));
    let edit = json!({ "target_userid": bob, "update_dict": { "extra_info": { "team": "blue" } } });
    frontend.succeeds("internal-user-edit", &edit);
    let by_email = frontend.succeeds("user-lookup-email", &json!({ "email": "ALICE@example.org" }));
    assert_eq!(by_email["user_info"]["user_id"], alice);
    frontend.fails("user-lookup-email", &json!({ "email": "nobody@example.org" }));
    let found = |by: &str, wanted: Value| -> Vec<Value> {
        let found = frontend.succeeds("user-lookup-match", &json!({ "by": by, "match": wanted }));
        let infos = found["user_info"].as_array().expect("a list");
        infos.iter().map(|info| info["user_id"].clone()).collect()
    };
    assert_eq!(found("full_name", json!("bob Example")), std::slice::from_ref(&bob));
    assert_eq!(found("user_id", alice.clone()), std::slice::from_ref(&alice));
    assert_eq!(found("email", json!("Bob@example.org")), std::slice::from_ref(&bob));
    assert_eq!(found("extra_info", json!({ "team": "blue" })), std::slice::from_ref(&bob));
    assert_eq!(found("user_role", json!("authenticated")), [alice, bob]);
    assert_eq!(found("is_active", json!("true")), [Value::Null; 0]);
    for (by, wanted) in [
        ("password", json!("x")),
        ("nothing", json!("x")),
        ("full_name", json!({})),
        ("extra_info", json!("x")),
    ] {
        frontend.fails("user-lookup-match", &json!({ "by": by, "match": wanted }));
    }
}

#[test]
fn everybody_changes_himself_and_a_superuser_anybody() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    let alice = verified(&frontend, "alice");
    let token = frontend.session_of(&alice);
    let (root, root_token) = superuser(&realm, &frontend);
    let edit = |who: (&Value, &str, &str), target: &Value, update: Value| {
        json!({
            "user_id": who.0, "user_role": who.1, "session_token": who.2,
            "target_userid": target, "update_dict": update,
        })
    };
    let as_alice = (&alice, "authenticated", token.as_str());
    let as_root = (&root, "superuser", root_token.as_str());
    let name = json!({ "full_name": "Alice P. Liddell" });
    let changed = frontend.succeeds("user-edit", &edit(as_alice, &alice, name.clone()));
    assert_eq!(changed["user_info"]["full_name"], "Alice P. Liddell");
    for (what, body) in [
        ("her role", edit(as_alice, &alice, json!({ "user_role": "superuser" }))),
        ("somebody else", edit(as_alice, &root, name.clone())),
        ("with a role that she has not", edit((&alice, "superuser", &token), &root, name.clone())),
        ("with another's session", edit((&root, "superuser", &token), &alice, name.clone())),
        ("the anonymous user", edit(as_root, &json!(2), name)),
        ("no such role", edit(as_root, &alice, json!({ "user_role": "emperor" }))),
        ("a password", edit(as_root, &alice, json!({ "password": "x" }))),
    ] {
        let refused = frontend.fails("user-edit", &body);
        assert_eq!(refused["user_info"], Value::Null, "{what}");
    }
    let staff =
        frontend.succeeds("user-edit", &edit(as_root, &alice, json!({ "user_role": "staff" })));
    assert_eq!(staff["user_info"]["user_role"], "staff");
    assert!(!frontend.lives(&token), "a role that was taken away ends the sessions");
    let off = frontend.succeeds("user-edit", &edit(as_root, &alice, json!({ "is_active": false })));
    assert_eq!(off["user_info"]["user_role"], "locked");
    let on = frontend.succeeds("user-edit", &edit(as_root, &alice, json!({ "is_active": true })));
    assert_eq!(on["user_info"]["user_role"], "staff", "the role is back");
}

#[test]
fn a_lock_ends_all_sessions_and_gives_the_role_back() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    let alice = verified(&frontend, "alice");
    let (root, root_token) = superuser(&realm, &frontend);
    let token = frontend.session_of(&alice);
    let lock = |action: &str| {
        json!({
            "user_id": root, "user_role": "superuser", "session_token": root_token,
            "target_userid": alice, "action": action,
        })
    };
    let locked = frontend.succeeds("user-lock", &lock("lock"));
    assert_eq!(
        (&locked["user_info"]["is_active"], &locked["user_info"]["user_role"]),
        (&json!(false), &json!("locked"))
    );
    assert!(!frontend.lives(&token));
    let check = json!({ "email": "alice@example.org", "password": GOOD });
    frontend.fails("user-passcheck-nosession", &check);
    let unlocked = frontend.succeeds("user-lock", &lock("unlock"));
    assert_eq!(unlocked["user_info"]["user_role"], "authenticated");
    frontend.succeeds("user-passcheck-nosession", &check);
    frontend.fails("user-lock", &lock("twist"));
    let mut own = lock("lock");
    own["target_userid"] = root.clone();
    frontend.fails("user-lock", &own);
    let mut weak = lock("lock");
    weak["user_role"] = json!("staff");
    frontend.fails("user-lock", &weak);
    frontend.succeeds("internal-user-lock", &json!({ "target_userid": alice, "action": "lock" }));
    assert_eq!(of(&frontend, &alice)["user_role"], "locked");
    for target in [json!(2), json!(3), json!(4711)] {
        frontend.fails("internal-user-lock", &json!({ "target_userid": target, "action": "lock" }));
    }
    let new = frontend.succeeds("user-new", &new("bob"))["user_id"].clone();
    frontend.fails("internal-user-lock", &json!({ "target_userid": new, "action": "unlock" }));
    assert_eq!(of(&frontend, &new)["is_active"], false, "no lock stands in for the mail");
}

#[test]
fn a_user_is_deleted_by_his_password_and_a_superuser_never_by_his_own() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    let alice = verified(&frontend, "alice");
    let (root, _) = superuser(&realm, &frontend);
    let token = frontend.session_of(&alice);
    let delete = |id: &Value, email: &str, password: &str| json!({ "user_id": id, "email": email, "password": password });
    frontend.fails("user-delete", &delete(&alice, "alice@example.org", "wrong"));
    frontend.fails("user-delete", &delete(&alice, "root@example.org", GOOD));
    let refused = frontend.fails("user-delete", &delete(&root, "root@example.org", GOOD));
    assert_eq!(refused["failure_reason"], "a superuser is not deleted");
    assert!(frontend.lives(&token));
    frontend.succeeds("user-delete", &delete(&alice, "alice@example.org", GOOD));
    assert!(!frontend.lives(&token));
    assert_eq!(of(&frontend, &alice), Value::Null);
    frontend.succeeds("internal-user-delete", &json!({ "target_userid": alice }));
    frontend.fails("internal-user-delete", &json!({ "target_userid": 2 }));
}

#[test]
fn a_frontend_changes_what_it_keeps_of_a_user() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let alice = verified(&frontend, "alice");
    let edit = |update: Value| json!({ "target_userid": alice, "update_dict": update });
    let info =
        frontend.succeeds("internal-user-edit", &edit(json!({ "extra_info": { "a": 1, "b": 2 } })));
    assert_eq!(info["user_info"]["extra_info"]["b"], 2);
    let info = frontend
        .succeeds("internal-user-edit", &edit(json!({ "extra_info": { "b": "__delete__" } })));
    assert_eq!(info["user_info"]["extra_info"]["a"], 1);
    assert_eq!(info["user_info"]["extra_info"].get("b"), None);
    let other =
        frontend.succeeds("internal-user-edit", &edit(json!({ "email": "new@example.org" })));
    assert_eq!(other["user_info"]["email_verified"], false);
    let check = json!({ "email": "new@example.org", "password": GOOD });
    frontend.succeeds("user-passcheck-nosession", &check);
    verified(&frontend, "bob");
    for update in [
        json!({}),
        json!({ "password": "x" }),
        json!({ "system_id": "x" }),
        json!({ "created_on": "x" }),
        json!({ "email": "bob@example.org" }),
        json!({ "anything": 1 }),
    ] {
        frontend.fails("internal-user-edit", &edit(update));
    }
    let sent = json!({ "email": "bob@example.org", "email_type": "forgotpass" });
    let noted = frontend.succeeds("user-set-emailsent", &sent);
    assert!(noted["emailforgotpass_sent_datetime"].is_string(), "{noted}");
    frontend.fails("user-set-emailsent", &json!({ "email": "bob@example.org", "email_type": "x" }));
    frontend
        .fails("user-set-emailsent", &json!({ "email": "x@example.org", "email_type": "signup" }));
    frontend.fails("user-set-emailverified", &json!({ "email": "x@example.org" }));
}
