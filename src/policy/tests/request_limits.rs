//! How many requests a user may send, by the roles that he has.

use super::*;
use crate::policy::permissions::Permissions;

fn models() -> Models {
    let role = |limits: Value| {
        json!({
            "limits": limits, "can_own_items": [], "allowed_actions_for_owned": [],
            "allowed_actions_for_other": {},
        })
    };
    let most = |limit: u32| role(json!({"per_minute": {"type": "max", "limit": limit}}));
    let model = json!({
        "roles": ["superuser", "staff", "authenticated", "anonymous", "locked"],
        "items": [], "actions": [], "visibilities": [], "item_policy": {},
        "limits": {"max": {"type": "int", "operator": "lt"}},
        "role_policy": {
            "superuser": role(json!({})), "staff": most(60), "authenticated": most(6),
            "anonymous": most(2), "locked": most(0),
        },
    });
    let permissions = Permissions::parse(&model.to_string()).unwrap();
    Models { permissions: Some(Arc::new(permissions)), casbin: None }
}

fn limit(name: &str) -> RequestLimit {
    RequestLimit { name: name.to_owned(), period: Period::Minute }
}

/// The allowance of a user with these roles.
fn allowance(models: Models, roles: &Value, limit: &RequestLimit) -> (Option<u32>, bool) {
    let token = verified(&json!({ "roles": roles }));
    let policy = policy(Vec::new(), Access::Denied).with_models(models);
    let told = Told {
        method: Some("GET"),
        scheme: Some("https"),
        host: Some("a"),
        target: Some("/"),
        client: None,
    };
    let request = canonical(&told).unwrap();
    let (access, of_route) = (&Access::Public, Some(limit));
    let route = RouteMatch { name: None, access, limit: of_route, pattern: None };
    let facts = policy.facts_at(&route, &request, Facts::new(&token, None, NOW));
    let Allowance { requests, is_by_address } = facts.allowance(limit);
    (requests, is_by_address)
}

#[test]
fn the_best_role_of_a_user_counts_and_a_lock_ends_all() {
    for (roles, expected) in [
        (json!(["authenticated"]), (Some(6), false)),
        (json!(["authenticated", "staff"]), (Some(60), false)),
        (json!(["staff", "authenticated"]), (Some(60), false)),
        (json!(["superuser", "authenticated"]), (None, false)),
        (json!(["authenticated", "superuser"]), (None, false)),
        (json!("authenticated"), (Some(6), false)),
        (json!(["superuser", "locked"]), (Some(0), false)),
        // Whoever has no role of the model gets what strangers get, but is somebody.
        (json!([]), (Some(2), false)),
        (json!(["editor"]), (Some(2), false)),
        (json!(["editor", "staff"]), (Some(60), false)),
        // A session for everybody who asks is nobody's.
        (json!(["anonymous"]), (Some(2), true)),
        (json!(["anonymous", "authenticated"]), (Some(6), false)),
    ] {
        assert_eq!(allowance(models(), &roles, &limit("per_minute")), expected, "{roles}");
    }
}

#[test]
fn a_limit_without_its_model_allows_nothing_and_one_that_no_role_has_anything() {
    let roles = json!(["superuser"]);
    let without = allowance(Models::default(), &roles, &limit("per_minute"));
    assert_eq!(without, (Some(0), false));
    assert_eq!(allowance(models(), &json!(["staff"]), &limit("other")), (None, false));
    let policy = policy(Vec::new(), Access::Denied);
    assert_eq!(policy.allowance_of_nobody(&limit("per_minute")).requests, Some(0));
    let nobody = policy.with_models(models()).allowance_of_nobody(&limit("per_minute"));
    assert_eq!(nobody, Allowance { requests: Some(2), is_by_address: true });
}
