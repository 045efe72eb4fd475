//! Documents as mdb-engine 0.15.1 writes them.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::account::password::HashConfig;
use crate::secret::SystemRandom;

/// Made by bcrypt 5.0.0 of "Passw0rd-6b86b273ff34", with its usual cost.
const HASH: &str = "$2b$12$ikz.txWe44Kyzo5OZAdi0uPxL3zbG1vrVw1/XJ8jprDqXzu7YHQUO";
/// The same in base 64.
const BYTES: &str =
    "JDJiJDEyJGlrei50eFdlNDRLeXpvNU9aQWRpMHVQeEwzemJHMXZyVncxL1hKOGpwckRxWHp1N1lIUVVP";

fn read(document: &Value) -> anyhow::Result<Taken> {
    let config = HashConfig { memory_kib: 64, passes: 1, lanes: 1, threads: 1, queue: 1 };
    let passwords = Passwords::new(config, Arc::new(SystemRandom)).expect("valid parameters");
    let reading = Reading { passwords: &passwords, now: UnixTime::from_secs(9) };
    reading.document(document.as_object().expect("an object"))
}

fn user(document: &Value) -> (User, Vec<&'static str>) {
    match read(document) {
        Ok(Taken::User(user, without)) => (*user, without),
        other => panic!("{other:?}"),
    }
}

/// A user with more fields, or other values of them.
fn with(more: &Value) -> Value {
    let mut document = json!({"_id": {"$oid": "6b091a3722c515297a767d26"}, "email": "Ann@example.net",
        "password_hash": HASH});
    let fields = document.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    document
}

#[test]
fn a_shared_user_is_taken_over_with_the_roles_of_each_application() {
    let (user, without) = user(&with(&json!({
        "app_roles": {"shop": ["viewer"], "wiki": ["editor", "admin"]}, "is_active": true,
        "created_at": {"$date": "1970-01-01T00:00:05Z"}, "updated_at": {"$date": "1970-01-01T00:00:06Z"},
        "last_login": null, "name": " Ann\tB ", "phone": "+1", "preferences": {"n": {"$numberInt": "1"}},
    })));
    assert_eq!(
        (user.id.as_str(), user.username.as_str()),
        ("6b091a3722c515297a767d26", "Ann@example.net")
    );
    assert_eq!(user.email, Some(user.username.clone()));
    assert!(!user.email_verified, "mdb-engine never asked");
    assert_eq!(user.roles, ["shop:viewer", "wiki:editor", "wiki:admin"]);
    assert_eq!((user.state, user.full_name.as_deref()), (UserState::Active, Some("Ann B")));
    let at = UnixTime::from_secs;
    assert_eq!((user.created, user.updated, user.last_login), (at(5), at(6), None));
    assert_eq!(user.password, Some(Secret::new(HASH)));
    let properties = Value::Object(user.properties);
    assert_eq!(properties, json!({"phone": "+1", "preferences": {"n": 1}}));
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn an_applications_user_has_its_hash_as_bytes() {
    let hash = json!({"$binary": {"base64": BYTES, "subType": "00"}});
    let (user, _) = user(&with(&json!({"password_hash": hash, "role": "admin",
        "date_created": {"$date": {"$numberLong": "5000"}}, "app_id": "shop"})));
    assert_eq!(user.password, Some(Secret::new(HASH)));
    assert_eq!(user.roles, ["admin"]);
    assert_eq!(user.created, UnixTime::from_secs(5));
}

#[test]
fn who_may_only_look_has_the_role_of_it_once() {
    for (more, roles) in [
        (json!({"role": "user", "is_demo": true}), &["user", "demo"][..]),
        (json!({"demo_mode": true}), &["demo"]),
        (json!({"email": "DEMO@example.com"}), &["demo"]),
        (json!({"role": "demo", "is_demo": true, "roles": ["demo", "x"]}), &["demo", "x"]),
        (json!({"is_demo": false, "email": "democrat@example.com"}), &[]),
    ] {
        assert_eq!(user(&with(&more)).0.roles, roles, "{more}");
    }
}

#[test]
fn only_who_is_said_to_be_active_may_log_in() {
    for (is_active, state) in [
        (json!(true), UserState::Active),
        (json!(false), UserState::Locked),
        (json!(null), UserState::Locked),
        (json!("no"), UserState::Locked),
    ] {
        let (user, _) = user(&with(&json!({"is_active": is_active})));
        assert_eq!(user.state, state, "{is_active}");
    }
}

#[test]
fn a_password_that_was_refused_there_is_no_password_here() {
    for more in [
        json!({"password_hash": null}),
        json!({"password_hash": ""}),
        json!({"password_hash": null, "password": "hunter2"}),
        json!({"password_hash": "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"}),
        json!({"password_hash": {"$binary": {"base64": "aHVudGVyMg==", "subType": "00"}}}),
    ] {
        let (user, without) = user(&with(&more));
        assert_eq!((user.password, without.len()), (None, 1), "{more}");
    }
    let (user, _) = user(&with(&json!({"password_hash": null, "password": HASH})));
    assert_eq!(user.password, Some(Secret::new(HASH)), "its older field");
}

#[test]
fn what_may_be_secret_becomes_no_property() {
    let (user, without) =
        user(&with(&json!({"resetToken": "x", "totp_secret": "x", "old_password_hash": "x",
        "my_api_key": "x", "city": "Cork"})));
    assert_eq!(Value::Object(user.properties), json!({"city": "Cork"}));
    assert_eq!(without.len(), 4, "{without:?}");
}

#[test]
fn documents_that_are_no_users_are_told_by_their_fields() {
    for (document, told) in [
        (json!({"refresh_jti": "x", "user_id": "1", "active": true}), "active sessions"),
        (json!({"refresh_jti": "x", "user_id": "1", "active": false}), "sessions that have ended"),
        (json!({"ptype": "p", "v0": "admin"}), "rules of Casbin"),
        (json!({"jti": "x", "expires_at": null}), "revoked tokens"),
        (with(&json!({"is_anonymous": true})), "guests"),
        (with(&json!({"gdpr_anonymized": true})), "users who were erased"),
        (with(&json!({"deleted": true})), "users who were erased"),
    ] {
        let taken = read(&document);
        let Ok(Taken::LeftOut(why)) = taken else { panic!("{document}: {taken:?}") };
        assert!(why.starts_with(told), "{document}: {why}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_without_a_word_of_it() {
    for more in [
        json!({"_id": null}),
        json!({"_id": {"hunter2": 1, "x": 2}}),
        json!({"_id": "client:hunter2"}),
        json!({"email": null}),
        json!({"email": "client:hunter2"}),
        json!({"role": ["hunter2"]}),
        json!({"roles": "hunter2"}),
        json!({"app_roles": {"shop": "hunter2"}}),
        json!({"app_roles": "hunter2"}),
    ] {
        let told = format!("{:#}", read(&with(&more)).expect_err("it is refused"));
        assert!(!told.contains("hunter2"), "{more}: {told}");
    }
}
