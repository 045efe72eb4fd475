//! The same life through the internal API, where tokens go back to the application, and by commands.

use serde_json::{Value, json};

use super::{EMAIL, FIRST, SECOND, THIRD, with_token};
use crate::support::issuer::{Issuer, text};
use crate::support::realm::Realm;

#[test]
fn an_application_brings_the_links_where_no_mail_is_sent() {
    let issuer = Issuer::start(&Realm::issuing());
    let made = json!({
        "username": "alice", "email": EMAIL, "password": FIRST, "unverified": true,
        "roles": ["staff"], "scopes": ["read"], "properties": {"plan": "free"},
    });
    let alice = issuer.administrate("/admin/users", &made);
    assert_eq!((&alice["state"], &alice["has_password"]), (&json!("unverified"), &json!(true)));
    assert_eq!(issuer.json_internal("/admin/users", &made).status, 409);
    assert_eq!(issuer.log_in_status("alice", FIRST), 400);
    let link = |purpose: &str, more: &Value| {
        let mut body = json!({"purpose": purpose});
        body.as_object_mut().expect("it").extend(more.as_object().expect("it").clone());
        issuer.json_internal("/admin/users/alice/links", &body)
    };
    let token = |purpose: &str, more: Value| {
        let answer = link(purpose, &more);
        assert_eq!(answer.status, 201, "{answer:?}");
        text(&answer.json(), "token").to_owned()
    };
    let verify = token("verify-email", json!({}));
    assert_eq!(issuer.post("/account/verify", &with_token(&verify, FIRST)), 200);
    let session = issuer.token_of("alice", FIRST);
    let reset = token("reset-password", json!({}));
    assert_eq!(issuer.post("/account/reset-password", &with_token(&reset, SECOND)), 200);
    assert_eq!((issuer.check(&session), issuer.log_in_status(EMAIL, SECOND)), (401, 200));
    let moved = token("change-email", json!({"email": "new@wonder.example"}));
    assert_eq!(issuer.post("/account/verify", &with_token(&moved, SECOND)), 200);
    assert_eq!(issuer.log_in_status("new@wonder.example", SECOND), 200);
    for (purpose, more, status) in [
        ("invitation", json!({}), 400),
        ("change-email", json!({}), 400),
        ("change-email", json!({"email": "no address"}), 400),
        ("reset-password", json!({"send": true}), 501),
    ] {
        assert_eq!(link(purpose, &more).status, status, "{purpose} {more}");
    }
    assert_eq!(issuer.json("/account", &json!({"email": EMAIL, "password": FIRST})).status, 404);
    let forgot = issuer.json("/account/forgot-password", &json!({"email": EMAIL}));
    assert_eq!(forgot.status, 501, "nobody would get a mail");
}

#[test]
fn an_administrator_finds_changes_locks_and_deletes_users() {
    let issuer = Issuer::start(&Realm::issuing());
    for name in ["alice", "bob", "carol"] {
        let id = format!("{name}-id");
        let made =
            json!({"username": name, "id": id, "password": FIRST, "roles": ["staff", "admin"]});
        issuer.administrate("/admin/users", &made);
    }
    let page = |query: &str| {
        let page = issuer.as_admin("GET", &format!("/admin/users?{query}"), b"").json();
        let ids = page["users"].as_array().expect("users").iter();
        let ids: Vec<_> = ids.map(|user| text(user, "id").to_owned()).collect();
        (ids, page["next"].clone())
    };
    assert_eq!(page("limit=2"), (vec!["alice-id".into(), "bob-id".into()], json!("bob-id")));
    assert_eq!(page("limit=2&after=bob-id"), (vec!["carol-id".into()], json!(null)));
    let at = |name: &str| format!("/admin/users/{name}");
    for name in ["alice-id", "ALICE"] {
        assert_eq!(issuer.as_admin("GET", &at(name), b"").json()["username"], "alice");
    }
    assert_eq!(issuer.as_admin("GET", &at("nobody"), b"").status, 404);

    let patch = |body: Value| issuer.as_admin("PATCH", &at("alice"), body.to_string().as_bytes());
    let session = issuer.token_of("alice", FIRST);
    let more = patch(json!({"email": EMAIL, "roles": ["staff", "admin", "owner"]})).json();
    assert_eq!((&more["email"], &more["email_verified"]), (&json!(EMAIL), &json!(false)));
    assert_eq!(issuer.check(&session), 200, "a role more ends nothing");
    assert_eq!(patch(json!({"roles": ["staff"]})).json()["roles"], json!(["staff"]));
    assert_eq!(issuer.check(&session), 401, "a role less does");
    for (body, status) in [
        (json!({"username": "bob"}), 409),
        (json!({"email": "BOB"}), 400),
        (json!({"claims": {"sub": "root"}}), 400),
        (json!({"state": "active"}), 400),
        (json!({"scopes": ["a b"]}), 400),
    ] {
        assert_eq!(patch(body.clone()).status, status, "{body}");
    }

    let session = issuer.token_of("alice", FIRST);
    assert_eq!(issuer.administrate(&format!("{}/lock", at("alice")), &json!({}))["ended"], 1);
    assert_eq!((issuer.check(&session), issuer.log_in_status("alice", FIRST)), (401, 400));
    let unlocked = issuer.administrate(&format!("{}/unlock", at("alice")), &json!({}));
    assert_eq!((&unlocked["state"], &unlocked["roles"]), (&json!("active"), &json!(["staff"])));
    let session = issuer.token_of("alice", FIRST);
    let set = |password: &str| {
        issuer.json_internal(&format!("{}/password", at("alice")), &json!({"password": password}))
    };
    assert_eq!(set("alice.wonder").status, 400);
    assert_eq!((set(SECOND).status, issuer.check(&session)), (200, 401));
    assert_eq!(
        issuer.administrate(&format!("{}/verify", at("alice")), &json!({}))["email_verified"],
        true
    );
    assert_eq!(issuer.as_admin("DELETE", &at("alice"), b"").status, 200);
    assert_eq!(issuer.as_admin("DELETE", &at("alice"), b"").status, 404);
    assert_eq!(issuer.log_in_status("alice", SECOND), 400);
}

#[test]
fn who_is_invited_signs_up_once_with_the_rights_of_the_invitation() {
    let issuer = Issuer::start(&Realm::issuing().with("SIGN_UP", "invitation"));
    let invite = json!({"email": EMAIL, "roles": ["editor"], "scopes": ["write"]});
    let invitation = issuer.administrate("/admin/invitations", &invite);
    let invitation = text(&invitation, "token");
    let wish = |invitation: &str, email: &str, password: &str| {
        let body = json!({"invitation": invitation, "email": email, "password": password});
        issuer.json("/account", &body)
    };
    let without = issuer.json("/account", &json!({"email": EMAIL, "password": FIRST}));
    assert_eq!(without.status, 403);
    assert_eq!(wish(invitation, "eve@wonder.example", FIRST).status, 400, "another's");
    assert_eq!(wish(invitation, EMAIL, "password").status, 400, "and it stays good");
    let more = json!({"invitation": invitation, "password": FIRST, "roles": ["admin"]});
    assert_eq!(issuer.json("/account", &more).status, 400, "no rights of one's own choice");
    let made = wish(invitation, EMAIL, FIRST);
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!((&made["roles"], &made["state"]), (&json!(["editor"]), &json!("active")));
    assert_eq!(issuer.log_in_status(EMAIL, FIRST), 200);
    assert_eq!(wish(invitation, EMAIL, SECOND).status, 400, "used");
}

#[test]
fn commands_make_links_and_invitations_that_the_issuer_takes() {
    let realm = Realm::issuing().with("SIGN_UP", "invitation");
    let issuer = Issuer::start(&realm);
    let invitation = realm.ask(&["user", "invite", EMAIL, "--role", "editor"]);
    let wish = json!({"invitation": invitation, "password": FIRST});
    assert_eq!(issuer.post("/account", &wish), 201);
    let link = realm.ask_json(&["user", "link", EMAIL, "--json"]);
    assert_eq!((&link["purpose"], &link["email"]), (&json!("reset-password"), &json!(EMAIL)));
    let used = issuer.post("/account/reset-password", &with_token(text(&link, "token"), SECOND));
    assert_eq!((used, issuer.log_in_status(EMAIL, SECOND)), (200, 200));
    let session = issuer.token_of(EMAIL, SECOND);
    realm.ask(&["user", "edit", EMAIL, "--no-roles"]);
    let shown = realm.ask_json(&["user", "show", EMAIL, "--json"]);
    assert_eq!(shown["roles"], json!([]));
    assert_eq!(issuer.with_bearer("GET", "/account", &session).status, 401);
    realm.exits(0, &["user", "passwd", EMAIL], THIRD);
    assert_eq!(issuer.log_in_status(EMAIL, THIRD), 200);
    let audit = realm.audit_log();
    assert!(!audit.contains(&invitation) && !audit.contains(text(&link, "token")), "{audit}");
}

#[test]
fn a_password_is_tried_out_with_all_reasons() {
    let issuer = Issuer::start(&Realm::issuing());
    let check = |password: &str| {
        let body = json!({"password": password, "email": EMAIL, "full_name": "Alice Liddell"});
        issuer.json("/account/password/check", &body).json()
    };
    let bad = check("77777777");
    let codes = bad["problems"].as_array().expect("a list").iter();
    let codes: Vec<_> = codes.map(|problem| text(problem, "code").to_owned()).collect();
    assert_eq!(bad["acceptable"], false);
    assert_eq!(codes, ["too_short", "repeated_character", "only_digits", "common"]);
    assert_eq!(check("Alice Liddell!")["problems"][0]["code"], "like_a_name");
    assert_eq!(check(FIRST), json!({"acceptable": true, "problems": []}));
}
