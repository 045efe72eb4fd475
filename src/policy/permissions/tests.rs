//! The model that authnzerver comes with, in the parts that matter, and every rule of it.

use serde_json::{Value, json};

use super::*;

const ALL: [&str; 7] =
    ["list", "view", "create", "delete", "edit", "change_visibility", "change_owner"];

fn role(own: &Value, owned: &Value, others: &[Value; 4], most: u64) -> Value {
    let [public, unlisted, shared, private] = others;
    json!({
        "limits": {
            "max_requests": {"type": "max", "limit": most},
            "share": {"type": "part", "limit": 0.5},
        },
        "can_own_items": own,
        "allowed_actions_for_owned": owned,
        "allowed_actions_for_other": {
            "public": public, "unlisted": unlisted, "shared": shared, "private": private,
        },
    })
}

fn model() -> Value {
    let none = [json!([]), json!([]), json!([]), json!([])];
    let all = [json!(ALL), json!(ALL), json!(ALL), json!(ALL)];
    let some =
        [json!(["list", "view"]), json!(["view"]), json!(["list", "view", "edit"]), json!([])];
    json!({
        "roles": ["superuser", "authenticated", "anonymous", "locked"],
        "items": ["dataset", "object", "user"],
        "actions": ALL,
        "visibilities": ["public", "unlisted", "private", "shared"],
        "limits": {
            "max": {"type": "int", "operator": "lt"},
            "part": {"type": "float", "operator": "gt"},
        },
        "item_policy": {
            "dataset": {
                "valid_role_actions": ALL,
                "valid_visibilities": ["public", "unlisted", "shared", "private"],
                "invalid_roles": ["locked"],
            },
            "object": {
                "valid_role_actions": ALL,
                "valid_visibilities": ["public", "private"],
                "invalid_roles": ["locked"],
            },
            "user": {
                "valid_role_actions": ["list", "view"],
                "valid_visibilities": ["private"],
                "invalid_roles": ["authenticated", "anonymous", "locked"],
            },
        },
        "role_policy": {
            "superuser": role(&json!(["dataset", "object"]), &json!(ALL), &all, 5_000_000),
            "authenticated": role(&json!(["dataset"]), &json!(["view", "edit"]), &some, 100),
            "anonymous": role(&json!([]), &json!([]), &none, 10),
            "locked": role(&json!([]), &json!([]), &none, 0),
        },
    })
}

fn permissions() -> Permissions {
    Permissions::parse(&model().to_string()).unwrap()
}

#[test]
fn an_action_needs_the_role_the_item_and_the_visibility() {
    let permissions = permissions();
    for (user, role, action, item, owner, visibility, shared_with, is_granted) in [
        ("7", "authenticated", "edit", "dataset", "7", "private", "", true),
        ("7", "authenticated", "delete", "dataset", "7", "private", "", false),
        ("7", "authenticated", "view", "dataset", "8", "private", "", false),
        ("7", "authenticated", "view", "dataset", "8", "public", "", true),
        ("7", "authenticated", "edit", "dataset", "8", "public", "", false),
        ("7", "authenticated", "view", "dataset", "8", "unlisted", "", true),
        ("7", "authenticated", "list", "dataset", "8", "unlisted", "", false),
        ("7", "authenticated", "edit", "dataset", "8", "shared", "9, 7", true),
        ("7", "authenticated", "edit", "dataset", "8", "shared", "9,77", false),
        ("7", "authenticated", "edit", "dataset", "8", "shared", "", false),
        // What is shared with the anonymous user is shared with everybody.
        ("7", "authenticated", "edit", "dataset", "8", "shared", "2", true),
        ("7", "authenticated", "edit", "dataset", "7", "shared", "", true),
        // An item that the role may not own.
        ("7", "authenticated", "view", "object", "7", "public", "", false),
        ("7", "authenticated", "view", "object", "8", "public", "", true),
        // A visibility that the item does not have.
        ("7", "authenticated", "view", "object", "8", "unlisted", "", false),
        ("7", "authenticated", "view", "user", "8", "private", "", false),
        ("1", "superuser", "view", "user", "8", "private", "", true),
        ("1", "superuser", "delete", "user", "8", "private", "", false),
        ("1", "superuser", "delete", "dataset", "8", "private", "", true),
        ("7", "locked", "view", "dataset", "8", "public", "", false),
        // What nobody named.
        ("7", "nobody", "view", "dataset", "8", "public", "", false),
        ("7", "authenticated", "burn", "dataset", "7", "public", "", false),
        ("7", "authenticated", "view", "page", "8", "public", "", false),
        ("7", "superuser", "view", "dataset", "8", "secret", "", false),
    ] {
        let question = AccessQuestion { user, role, action, item, owner, visibility, shared_with };
        assert_eq!(permissions.grants(&question), is_granted, "{question:?}");
    }
}

#[test]
fn a_value_that_equals_its_limit_is_over() {
    let permissions = permissions();
    for (role, limit, value, is_within) in [
        ("authenticated", "max_requests", 99.0, true),
        ("authenticated", "max_requests", 99.9, true),
        ("authenticated", "max_requests", 100.0, false),
        ("locked", "max_requests", 0.0, false),
        ("authenticated", "share", 0.6, true),
        ("authenticated", "share", 0.5, false),
        ("authenticated", "nothing", 1e9, true),
        ("nobody", "max_requests", 0.0, false),
        ("authenticated", "max_requests", f64::NAN, false),
    ] {
        assert_eq!(permissions.is_within(role, limit, value), is_within, "{role} {limit} {value}");
    }
}

#[test]
fn a_mistake_in_the_model_is_named() {
    for (pointer, value, mistake) in [
        ("/roles", json!(["superuser", "authenticated", "locked"]), "roles has no \"anonymous\""),
        ("/item_policy/dataset/invalid_roles", json!(["root"]), "roles has no \"root\""),
        (
            "/item_policy/user/valid_role_actions",
            json!(["burn"]),
            "item_policy.user.valid_role_actions: actions has no \"burn\"",
        ),
        ("/item_policy/user/valid_visibilities", json!(["x"]), "visibilities has no \"x\""),
        (
            "/role_policy/locked/can_own_items",
            json!(["page"]),
            "role_policy.locked.can_own_items: items has no \"page\"",
        ),
        ("/role_policy/locked/limits/share/type", json!("x"), "has no type in limits"),
        ("/limits/max/operator", json!("le"), "limits.max.operator: unknown variant `le`"),
        ("/limits/max/type", json!("text"), "unknown variant `text`"),
        ("/items", json!(null), "items: write a list, not null"),
    ] {
        let mut model = model();
        *model.pointer_mut(pointer).expect(pointer) = value;
        let found = Permissions::parse(&model.to_string()).expect_err(pointer);
        assert!(found.contains(mistake), "{pointer}: {found}");
    }
    assert!(Permissions::parse("{}").is_err());
    assert!(Permissions::parse("").is_err());
}
