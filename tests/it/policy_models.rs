//! The models beside the routes, through a real gate and issuer: authnzerver's permissions and Casbin's rules, as the
//! pages of the documents have them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::http::{self, bearer};
use crate::support::issuer::Issuer;
use crate::support::page::Page;
use crate::support::realm::Realm;
use crate::support::{PATIENCE, poll};

const PERMISSIONS_PAGE: &str = "docs/how-to/authnzerver-permissions.md";
const POLICY_PAGE: &str = "docs/reference/policy.md";

/// The model of authnzerver in the documents.
fn model() -> String {
    Page::read(PERMISSIONS_PAGE).blocks("json").concat()
}

/// The same realm with a file in its folder, named by a setting.
pub fn with_file(realm: Realm, setting: &str, name: &str, text: &str) -> Realm {
    let path = realm.folder().join(name);
    fs::write(&path, text).expect("writable");
    realm.with(setting, &path.display().to_string())
}

/// The same realm with the model of authnzerver in the documents.
pub fn with_permissions(realm: Realm) -> Realm {
    with_file(realm, "PERMISSIONS_FILE", "permissions.json", &model())
}

/// The same realm with Casbin's files in the documents.
pub fn with_casbin(realm: Realm) -> Realm {
    let page = Page::read(POLICY_PAGE);
    let realm = with_file(realm, "CASBIN_MODEL", "model.conf", &page.blocks("ini").concat());
    with_file(realm, "CASBIN_POLICY", "rules.csv", &page.blocks("csv").concat())
}

/// The answer to the question of nginx about a request to any host.
fn ask(gate: &Gate, method: &str, path: &str, token: &str) -> http::Response {
    let lines = [
        &format!("X-Original-Method: {method}"),
        "X-Original-Proto: https",
        "X-Original-Host: app.test",
        &format!("X-Original-URI: {path}"),
        &bearer(token),
    ];
    http::get(gate.address, "/validate_request", &lines)
}

#[test]
fn every_example_of_a_policy_is_accepted() {
    let guides = [
        "require-a-role",
        "protect-by-group",
        "public-path",
        "authnzerver-permissions",
        "sender-constrained-tokens",
    ];
    let guides = guides.map(|name| format!("docs/how-to/{name}.md"));
    for name in guides.iter().map(String::as_str).chain([POLICY_PAGE]) {
        let page = Page::read(name);
        let blocks = page.blocks("toml");
        assert!(!blocks.is_empty(), "{name} has no example");
        for block in blocks {
            let realm = with_permissions(Realm::new());
            let realm = if block.contains("casbin") { with_casbin(realm) } else { realm };
            let realm = with_file(realm, "POLICY_FILE", "policy.toml", block);
            let ended = realm.exits(0, &["check-config"], "");
            assert!(!ended.errors.contains("policy.toml:"), "{name}: {}", ended.errors);
        }
    }
}

#[test]
fn a_route_asks_authnzervers_model_for_each_role_of_the_user() {
    let routes = Page::read(PERMISSIONS_PAGE).blocks("toml").concat();
    let realm = with_permissions(Realm::new());
    let realm = with_file(realm, "POLICY_FILE", "policy.toml", &routes);
    let mint = |user: &str, roles: &[&str]| {
        let roles: Vec<&str> = roles.iter().flat_map(|role| ["--role", role]).collect();
        realm.mint(user, &roles)
    };
    let seven = mint("7", &["authenticated"]);
    let nine = mint("9", &["reader", "authenticated"]);
    let eight = mint("8", &["authenticated"]);
    let root = mint("1", &["superuser"]);
    let locked = mint("9", &["locked", "authenticated"]);
    let nobody = mint("7", &[]);
    let gate = realm.gate();
    for (method, path, token, status) in [
        ("GET", "/users/7/datasets/5", &seven, 200),
        ("GET", "/users/%37/datasets/5", &seven, 200),
        ("GET", "/users/7/datasets/5", &eight, 403),
        ("GET", "/users/07/datasets/5", &seven, 403),
        ("GET", "/users/7/datasets/5", &root, 200),
        ("GET", "/users/7/datasets/5", &nobody, 403),
        ("GET", "/users/9/datasets/5", &locked, 403),
        ("PUT", "/team/datasets/5", &seven, 200),
        ("PUT", "/team/datasets/5", &nine, 200),
        ("PUT", "/team/datasets/5", &eight, 403),
        ("PUT", "/team/datasets/5", &locked, 403),
        ("PUT", "/team/datasets/5", &root, 200),
        ("POST", "/team/datasets/5", &seven, 403),
    ] {
        let answer = ask(&gate, method, path, token);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    gate.wait_for_log("permission_denied");
    let url = "https://app.test/users/7/datasets/5";
    let explained = realm.exits(1, &["explain", "--url", url, "--token", &eight], "").printed;
    let step = explained.lines().find(|line| line.starts_with("NO  permission"));
    let words =
        "let 8, with the roles [authenticated], view the private dataset of 7; the answer is no";
    assert!(step.is_some_and(|step| step.contains(words)), "{explained}");
}

#[test]
fn a_route_asks_casbin_for_the_user() {
    let page = Page::read(POLICY_PAGE);
    let routes = page.blocks("toml");
    let routes = routes.iter().find(|block| block.contains("casbin")).expect("an example");
    let realm = with_file(with_casbin(Realm::new()), "POLICY_FILE", "policy.toml", routes);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| realm.mint(user, &[]));
    // A role in a token of our own is one of the accounts.
    let dave = realm.mint("dave", &["--role", "role:sales"]);
    let bob_too = realm.mint("bob", &["--role", "role:sales"]);
    let mallory = realm.mint("mallory", &["--role", "sales"]);
    let gate = realm.gate();
    for (method, path, token, status) in [
        ("PUT", "/orders/1", &alice, 200),
        ("PUT", "/orders/2", &bob, 200),
        ("PUT", "/orders/1", &bob, 403),
        ("GET", "/orders/1", &bob, 200),
        ("GET", "/orders/1", &carol, 200),
        ("HEAD", "/orders/1", &carol, 403),
        ("PUT", "/orders/1", &carol, 403),
        ("PUT", "/orders/1", &dave, 200),
        ("PUT", "/orders/1", &bob_too, 403),
        ("GET", "/orders/1", &mallory, 403),
        ("GET", "/orders/", &alice, 403),
    ] {
        let answer = ask(&gate, method, path, token);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let url = "https://app.test/orders/1";
    let explain = ["explain", "--url", url, "--method", "PUT", "--token"];
    let explained = realm.exits(1, &[&explain[..], &[&bob]].concat(), "").printed;
    let step = explained.lines().find(|line| line.starts_with("NO  casbin"));
    assert!(
        step.is_some_and(
            |step| step.contains("Casbin lets bob do PUT on order:1; the answer is no")
        ),
        "{explained}"
    );
}

/// One subject of two issuers is two users, also to Casbin.
#[test]
fn casbin_knows_a_user_by_the_name_that_applications_get() {
    let route = "[[route]]\npath = \"/page\"\nrequire = { casbin = { object = \"page\", action = \"read\" } }\n";
    let realm = with_file(with_casbin(Realm::new()), "POLICY_FILE", "policy.toml", route);
    let rules = "p, own:alice, page, read, allow\n";
    let realm = with_file(realm, "CASBIN_POLICY", "rules.csv", rules);
    let token = realm.mint("alice", &[]);
    assert_eq!(ask(&realm.gate(), "GET", "/page", &token).status, 403);
    let realm = realm.with("USER_PREFIX", "own:");
    assert_eq!(ask(&realm.gate(), "GET", "/page", &token).status, 200);
}

fn question(changes: &[(&str, Value)]) -> Value {
    let mut question: BTreeMap<&str, Value> = [
        ("user_id", json!("alice-id")),
        ("user_role", json!("authenticated")),
        ("action", json!("edit")),
        ("target_name", json!("dataset")),
        ("target_owner", json!(12)),
        ("target_visibility", json!("shared")),
        ("target_sharedwith", json!("3,alice-id")),
    ]
    .into();
    question.extend(changes.iter().cloned());
    json!(question)
}

/// An issuer with alice, who has a role, and with the user 12.
fn issuer() -> (Realm, Issuer) {
    let realm = with_permissions(Realm::issuing());
    let add = |name: &str, more: &[&str]| {
        realm.ask(&[&["user", "add", name, "--no-password"], more].concat());
    };
    add("alice", &["--id", "alice-id", "--role", "authenticated"]);
    add("zoe", &["--id", "12"]);
    add("lou", &["--id", "lou-id", "--role", "authenticated", "--role", "locked"]);
    let issuer = Issuer::start(&realm);
    (realm, issuer)
}

fn success(answer: &http::Response) -> bool {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
    body["success"].as_bool().expect("a yes or a no")
}

#[test]
fn a_service_asks_whether_a_user_may() {
    let (realm, issuer) = issuer();
    let may =
        |changes: &[(&str, Value)]| success(&issuer.json_internal("/check", &question(changes)));
    for (changes, is_granted) in [
        (&[][..], true),
        (&[("action", json!("delete"))], false),
        (&[("target_sharedwith", json!("3,4"))], false),
        (&[("target_sharedwith", json!("2"))], true),
        (&[("target_sharedwith", Value::Null)], false),
        (&[("target_visibility", json!("public")), ("action", json!("view"))], true),
        (&[("target_owner", json!("alice-id")), ("target_visibility", json!("private"))], true),
        // A role that the user does not have, a user and an owner who are not there.
        (&[("user_role", json!("superuser"))], false),
        (&[("user_id", json!("gone"))], false),
        (&[("user_id", json!("lou-id")), ("target_sharedwith", json!("lou-id"))], false),
        (&[("target_owner", json!(13))], false),
        (&[("user_id", json!("")), ("target_owner", json!(""))], false),
        // Nobody needs an account to be anonymous, and anonymous is all that he is.
        (&[("user_id", json!(2)), ("user_role", json!("anonymous"))], false),
        (
            &[
                ("user_id", json!(2)),
                ("user_role", json!("anonymous")),
                ("action", json!("view")),
                ("target_visibility", json!("public")),
            ],
            true,
        ),
        (&[("user_id", json!(2)), ("target_sharedwith", json!("2"))], false),
        (&[("target_name", json!("nothing"))], false),
    ] {
        assert_eq!(may(changes), is_granted, "{changes:?}");
    }
    for locked in ["alice", "zoe"] {
        realm.ask(&["user", "lock", locked]);
        assert!(!may(&[]), "{locked} is locked");
        realm.ask(&["user", "unlock", locked]);
        assert!(may(&[]), "{locked} is not");
    }
}

#[test]
fn a_service_asks_whether_a_value_is_within_a_limit() {
    let (_realm, issuer) = issuer();
    let with_user = |user: Value, role: &str, value: Value| json!({"user_id": user, "user_role": role, "limit_name": "max_requests", "value_to_check": value});
    for (body, is_within) in [
        (with_user(json!("alice-id"), "authenticated", json!(4999)), true),
        (with_user(json!("alice-id"), "authenticated", json!(5000)), false),
        (with_user(json!("alice-id"), "superuser", json!(1)), false),
        (with_user(json!("gone"), "authenticated", json!(1)), false),
        (with_user(Value::Null, "authenticated", json!(1)), true),
        (
            json!({"user_role": "superuser", "limit_name": "max_requests", "value_to_check": 5e5}),
            true,
        ),
        (json!({"user_role": "superuser", "limit_name": "none", "value_to_check": 1e18}), true),
        (json!({"user_role": "nobody", "limit_name": "none", "value_to_check": 0}), false),
    ] {
        assert_eq!(success(&issuer.json_internal("/check-limit", &body)), is_within, "{body}");
    }
}

#[test]
fn a_question_is_answered_to_the_administrator_alone_and_only_where_it_is_whole() {
    let (_realm, issuer) = issuer();
    let good = question(&[]).to_string();
    for (path, body) in [("/check", &*good), ("/check-limit", "{}")] {
        assert_eq!(issuer.ask_internal("POST", path, &[], body).status, 401, "{path}");
        let wrong = issuer.ask_internal("POST", path, &["Authorization: Bearer x"], body);
        assert_eq!(wrong.status, 401, "{path}");
        assert_eq!(issuer.as_admin("GET", path, b"").status, 405, "{path}");
        assert_eq!(issuer.send("POST", path, &[], body.as_bytes()).status, 404, "{path}");
        assert_eq!(http::get(issuer.gate.address, path, &[]).status, 404, "{path}");
    }
    for (path, body, why) in [
        ("/check", question(&[("target_sharedwit", json!("2"))]), "unknown field"),
        ("/check", question(&[("user_id", json!([7]))]), "a number or a text"),
        ("/check", question(&[("action", Value::Null)]), "invalid type: null"),
        ("/check", json!({}), "missing field `user_id`"),
        ("/check", json!([]), "invalid length 0"),
        ("/check-limit", json!({"user_role": "a", "limit_name": "b"}), "`value_to_check`"),
        (
            "/check-limit",
            json!({"user_role": "a", "limit_name": "b", "value_to_check": "1"}),
            "invalid type: string",
        ),
    ] {
        let answer = issuer.json_internal(path, &body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert_eq!(answer.json()["error"], "invalid_request");
        let description = answer.json()["error_description"].to_string();
        assert!(description.contains(why), "{body}: {description}");
    }
}

#[test]
fn the_model_that_changed_is_asked_without_routes_too() {
    let (realm, issuer) = issuer();
    let may = || success(&issuer.json_internal("/check", &question(&[])));
    assert!(may());
    let path = realm.setting("PERMISSIONS_FILE").expect("set").to_owned();
    let text =
        model().replace(r#""shared": ["list", "view", "edit"],"#, r#""shared": ["list", "view"],"#);
    assert_ne!(text, model());
    fs::write(Path::new(&path), &text).expect("writable");
    poll("the new model", PATIENCE, || (!may()).then_some(()));
    fs::write(Path::new(&path), "{").expect("writable");
    issuer.gate.wait_for_log("the policy cannot be used");
    assert!(!may());
    fs::write(Path::new(&path), model()).expect("writable");
    poll("the model as it was", PATIENCE, || may().then_some(()));
}

#[test]
fn where_a_hook_knows_the_users_the_role_is_believed() {
    let realm = with_permissions(Realm::issuing())
        .with("TOKEN_HOOK_URL", "https://hook.test/check")
        .with("TOKEN_HOOK_SECRET", "0123456789abcdef0123456789abcdef");
    let add = ["user", "add", "lou", "--id", "lou-id", "--no-password", "--role", "authenticated"];
    realm.ask(&add);
    realm.ask(&["user", "lock", "lou"]);
    let issuer = Issuer::start(&realm);
    let may = |user: &str| {
        let changes = [("user_id", json!(user)), ("target_sharedwith", json!(user))];
        success(&issuer.json_internal("/check", &question(&changes)))
    };
    assert!(may("somebody of the hook"));
    assert!(!may("lou-id"), "the accounts know that lou is locked");
}

#[test]
fn a_model_that_is_not_whole_stops_the_start() {
    let realm = with_file(Realm::new(), "PERMISSIONS_FILE", "permissions.json", "{}");
    let ended = realm.exits(64, &["check-config"], "");
    assert!(ended.errors.contains("permissions.json: missing field `roles`"), "{}", ended.errors);
    let realm = with_casbin(Realm::new());
    let ended = realm.exits(64, &["check-config"], "");
    assert!(ended.errors.contains("is asked by routes alone"), "{}", ended.errors);
    for one in ["CASBIN_MODEL", "CASBIN_POLICY"] {
        let ended = with_casbin(Realm::new()).without(one).exits(64, &["check-config"], "");
        assert!(ended.errors.contains(&format!("needs {one} too")), "{}", ended.errors);
    }
}
