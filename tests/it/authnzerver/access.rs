//! Permissions and limits, by authnzerver's model.

use serde_json::{Value, json};

use crate::support::{authnzerver::start, in_repository, realm::Realm};

/// The same realm with a model of permissions for objects and API keys.
pub fn with_permissions(realm: Realm) -> Realm {
    let model = in_repository("tests/it/authnzerver/permissions.json");
    realm.with("PERMISSIONS_FILE", &model.display().to_string())
}

#[test]
fn access_and_limits_are_those_of_the_model_and_of_a_user_who_is_there() {
    let (realm, _issuer, frontend) = start(with_permissions(Realm::issuing()));
    realm.exits(
        0,
        &["user", "add", "alice", "--role", "authenticated"],
        "a looking-glass and 7 pawns",
    );
    let alice = realm.ask_json(&["user", "show", "alice", "--json"])["id"].clone();
    let access = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({
            "user_id": alice, "user_role": "authenticated", "action": "view", "target_name": "object",
            "target_owner": alice, "target_visibility": "private", "target_sharedwith": "",
        });
        change(&mut body);
        frontend.ask("user-check-access", &body)["success"] == true
    };
    assert!(access(&|_| {}));
    assert!(!access(&|body| body["target_owner"] = json!(2)), "another's");
    assert!(!access(&|body| body["user_role"] = json!("superuser")), "a role that she has not");
    assert!(!access(&|body| body["user_id"] = json!(4711)), "nobody");
    assert!(!access(&|body| body["action"] = json!("devour")), "no action");
    let limit = |role: &str, value: Value| {
        let body = json!({
            "user_id": alice, "user_role": role, "limit_name": "max_requests_per_minute",
            "value_to_check": value,
        });
        frontend.ask("user-check-limit", &body)["success"] == true
    };
    assert!(limit("authenticated", json!(1)));
    assert!(!limit("authenticated", json!(1_000_000_000)));
    assert!(!limit("staff", json!(1)), "a role that she has not");
    assert!(!limit("authenticated", json!("many")), "no number");
    realm.ask(&["user", "lock", "alice"]);
    assert!(!access(&|_| {}) && !limit("authenticated", json!(1)), "locked");
}

#[test]
fn without_a_model_nothing_is_granted() {
    let (_realm, _issuer, frontend) = start(Realm::issuing());
    let body = json!({
        "user_id": 2, "user_role": "anonymous", "action": "view", "target_name": "object",
        "target_owner": 2, "target_visibility": "public", "target_sharedwith": "",
    });
    let refused = frontend.fails("user-check-access", &body);
    let reason = refused["failure_reason"].as_str().expect("a reason");
    assert!(reason.contains("PERMISSIONS_FILE"), "{reason}");
}
