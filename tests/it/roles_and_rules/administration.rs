//! Rules and roles as they are looked after: by the internal API and by commands, which do the same.

use serde_json::{Value, json};

use super::{add_user, authorize, log_in, status, with_rules, with_token};
use crate::support::{PATIENCE, issuer::Issuer, poll, realm::Realm, tokens};

const RULES: &str = "/admin/policy/rules";

/// The rules that the API lists, and their version.
fn listed(issuer: &Issuer) -> (Vec<Value>, u64) {
    let answer = issuer.as_admin("GET", RULES, b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let rules = answer["rules"].as_array().expect("rules").iter();
    (
        rules.map(|rule| rule["rule"].clone()).collect(),
        answer["version"].as_u64().expect("a number"),
    )
}

/// The audit log's lines of one kind: without their times.
fn events(realm: &Realm, kind: &str) -> Vec<Value> {
    let mut found = realm.events();
    found.retain(|event| event["event"] == kind);
    for event in &mut found {
        event.as_object_mut().expect("an object").remove("time");
    }
    found
}

#[test]
fn rules_are_added_listed_and_removed_by_the_api_and_by_commands() {
    let realm = with_rules(Realm::issuing());
    let issuer = Issuer::start(&realm);
    let (rules, first) = listed(&issuer);
    assert!(rules.is_empty());
    let body =
        json!({"rules": [["p", "reader", "doc:*", "GET", "allow"], ["g", "dan, jr", "reader"]]});
    let added = issuer.json_internal(RULES, &body);
    assert_eq!((added.status, added.json()), (200, json!({"changed": 2})));
    assert_eq!(issuer.json_internal(RULES, &body).json(), json!({"changed": 0}));
    assert_eq!(listed(&issuer).0, body["rules"].as_array().expect("rules").clone());
    assert!(listed(&issuer).1 > first);
    poll("the new rules", PATIENCE, || {
        (authorize(&issuer, "dan, jr", "doc:7", "GET") == (200, json!(true))).then_some(())
    });
    assert_eq!(authorize(&issuer, "dan, jr", "doc:7", "PUT"), (200, json!(false)));
    // The same by a command; exit code 1 where there was nothing to do.
    let rule = ["p", "eve", "doc:7", "GET", "deny"];
    realm.ask(&[&["policy", "rule", "add"][..], &rule].concat());
    realm.exits(1, &[&["policy", "rule", "add"][..], &rule].concat(), "");
    let shown = realm.ask_json(&["policy", "rule", "list", "--json"]);
    assert_eq!(shown[2]["rule"], json!(rule));
    assert_eq!(
        (&shown[0]["created_by"], &shown[2]["created_by"]),
        (&json!("administrator"), &json!("command"))
    );
    let csv = realm.folder().join("rules.csv");
    std::fs::write(&csv, "# two, of which one is there\ng, \"dan, jr\", reader\ng, finn, reader\n")
        .expect("writable");
    let import = ["policy", "rule", "import", &csv.display().to_string()];
    let told = realm.exits(0, &import, "").errors;
    assert!(told.contains("2 rules, of which 1 were not there yet"), "{told}");
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("rule", "g, \"dan, jr\", reader")
        .append_pair("rule", "g, nobody, reader")
        .finish();
    let removed = issuer.as_admin("DELETE", &format!("{RULES}?{query}"), b"");
    assert_eq!((removed.status, removed.json()), (200, json!({"changed": 1})));
    poll("without the rule", PATIENCE, || {
        (authorize(&issuer, "dan, jr", "doc:7", "GET") == (200, json!(false))).then_some(())
    });
    realm.exits(1, &["policy", "rule", "remove", "g", "nobody", "reader"], "");
    assert_eq!(listed(&issuer).0.len(), 3);
    let added = events(&realm, "policy_rule_added");
    assert_eq!(added.len(), 3, "{added:?}");
    assert_eq!(added[1]["rule"], "p, eve, doc:7, GET, deny");
    assert_eq!((&added[0]["count"], &added[0]["reason"]), (&json!(2), &json!("administrator")));
    assert_eq!(events(&realm, "policy_rule_removed").len(), 1);
}

#[test]
fn a_rule_that_the_model_does_not_understand_is_refused_with_all_beside_it() {
    let realm = with_rules(Realm::issuing());
    let issuer = Issuer::start(&realm);
    for (bad, words) in [
        (json!(["p", "a", "b", "GET"]), "has 4 values, not 3"),
        (json!(["p", "a", "b", "GET", "Deny"]), "allow or deny"),
        (json!(["p2", "a", "b", "GET", "allow"]), "the model asks for no"),
        (json!(["p", "a\u{0}", "b", "GET", "allow"]), "no control characters"),
        (json!(["p"]), "its kind"),
        (json!([]), "its kind"),
    ] {
        let body = json!({"rules": [["p", "a", "b", "GET", "allow"], bad]});
        let refused = issuer.json_internal(RULES, &body);
        let told = refused.json()["error_description"].to_string();
        assert!(refused.status == 400 && told.contains(words), "{bad}: {told}");
    }
    for body in [json!({"rules": []}), json!({"rules": ["p"]}), json!({"rule": []})] {
        assert_eq!(issuer.json_internal(RULES, &body).status, 400, "{body}");
    }
    for query in ["", "?rule=p", "?rule=", "?rules=p,a,b,c,allow"] {
        assert_eq!(
            issuer.as_admin("DELETE", &format!("{RULES}{query}"), b"").status,
            400,
            "{query}"
        );
    }
    let told = realm.exits(64, &["policy", "rule", "add", "p", "a", "b", "GET"], "").errors;
    assert!(told.contains("has 4 values, not 3"), "{told}");
    let csv = realm.folder().join("rules.csv");
    std::fs::write(&csv, "p, a, b, GET, allow\n\np\n").expect("writable");
    let told =
        realm.exits(64, &["policy", "rule", "import", &csv.display().to_string()], "").errors;
    assert!(told.contains("rules.csv, line 3"), "{told}");
    assert!(listed(&issuer).0.is_empty());
    // Where rules of the database do not count, none is taken.
    let off = realm.clone().without("CASBIN_STORED_RULES").without("POLICY_FILE");
    let told = off.exits(64, &["policy", "rule", "add", "p", "a", "b", "GET", "allow"], "").errors;
    assert!(told.contains("CASBIN_STORED_RULES: is not set"), "{told}");
    let (issuer, _) = Issuer::beside(off);
    assert_eq!(issuer.as_admin("GET", RULES, b"").status, 404);
    assert_eq!(authorize_status(&issuer), 404);
}

fn authorize_status(issuer: &Issuer) -> u16 {
    let body = json!({ "subject": "a", "object": "b", "action": "c" });
    issuer.json_internal("/admin/authorize", &body).status
}

#[test]
fn a_role_that_is_given_is_in_the_next_token_and_one_that_is_taken_ends_all_of_them() {
    let realm = with_rules(Realm::issuing());
    let id = add_user(&realm, "alice", &["reader"]);
    add_user(&realm, "bob", &["reader"]);
    let issuer = Issuer::start(&realm);
    let (gate, old) = (issuer.gate.address, log_in(&issuer, "alice"));
    let path = "/admin/users/alice/roles/staff";
    let granted = issuer.as_admin("PUT", path, b"").json();
    let expected =
        json!({"user_id": id, "roles": ["reader", "staff"], "changed": true, "ended": 0});
    assert_eq!(granted, expected);
    assert_eq!(issuer.as_admin("PUT", path, b"").json()["changed"], false);
    assert_eq!(status(gate, "/staff", &with_token(&old)), 403, "the token says what it said");
    let new = log_in(&issuer, "alice");
    assert_eq!(tokens::claims(&new)["roles"], json!(["reader", "staff"]));
    assert_eq!(status(gate, "/staff", &with_token(&new)), 200);
    let listed = issuer.as_admin("GET", "/admin/roles", b"").json();
    assert_eq!(listed["roles"][0], json!({"role": "reader", "users": 2}));
    assert_eq!(listed["roles"][1], json!({"role": "staff", "users": 1}));
    assert_eq!(realm.ask_json(&["role", "list", "--json"]), listed["roles"]);
    let who = realm.ask_json(&["user", "list", "--role", "staff", "--json"]);
    assert_eq!((who.as_array().map(Vec::len), &who[0]["username"]), (Some(1), &json!("alice")));
    let ended = realm.ask_json(&["role", "revoke", "alice", "staff", "--json"]);
    assert_eq!((&ended["sessions_ended"], &ended["roles"]), (&json!(2), &json!(["reader"])));
    for token in [&old, &new] {
        assert_eq!(status(gate, "/any", &with_token(token)), 401);
    }
    realm.exits(1, &["role", "revoke", "alice", "staff"], "");
    let [granted, revoked] = ["role_granted", "role_revoked"].map(|kind| events(&realm, kind));
    assert_eq!((granted.len(), revoked.len()), (1, 1), "{granted:?} {revoked:?}");
    assert_eq!((&granted[0]["user"], &granted[0]["role"]), (&json!(id), &json!("staff")));
    assert_eq!((&revoked[0]["count"], &revoked[0]["reason"]), (&json!(2), &json!("command")));
}

#[test]
fn no_role_is_named_as_a_user_is_and_nobody_has_none() {
    let realm = Realm::issuing();
    realm.ask(&["user", "add", "root", "--id", "root-id", "--no-password"]);
    realm.ask(&["user", "add", "alice", "--no-password"]);
    let issuer = Issuer::start(&realm);
    for (method, path, status) in [
        ("PUT", "/admin/users/alice/roles/root-id", 400),
        ("PUT", "/admin/users/alice/roles/a%2Cb", 400),
        ("PUT", "/admin/users/nobody/roles/staff", 404),
        ("DELETE", "/admin/users/nobody/roles/staff", 404),
        ("DELETE", "/admin/users/alice/roles/staff", 200),
    ] {
        assert_eq!(issuer.as_admin(method, path, b"").status, status, "{method} {path}");
    }
    for role in ["a,b", "", "*", "a b"] {
        realm.exits(64, &["role", "grant", "alice", role], "");
        realm.exits(64, &["user", "add", "bob", "--no-password", "--role", role], "");
    }
    realm.exits(64, &["role", "grant", "alice", "root-id"], "");
    realm.exits(1, &["role", "grant", "nobody", "staff"], "");
    assert_eq!(realm.ask_json(&["user", "show", "alice", "--json"])["roles"], json!([]));
    // A name that was taken over from elsewhere can be taken away all the same.
    realm.exits(1, &["role", "revoke", "alice", "a,b"], "");
}
