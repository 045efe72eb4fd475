//! Routes that ask a model, and the mistakes between a route and its model.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::{PolicySet, PolicySource};
use crate::policy::claim::ClaimPath;

const MODEL: &str = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n\
    [policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\n\
    m = r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act\n";

const PERMISSIONS: &str = r#"{
    "roles": ["superuser", "authenticated", "anonymous", "locked"],
    "items": ["dataset"], "actions": ["view"], "visibilities": ["public", "private"],
    "item_policy": {"dataset": {
        "valid_role_actions": ["view"], "valid_visibilities": ["public", "private"],
        "invalid_roles": ["locked"]
    }},
    "role_policy": {
        "superuser": ROLE, "authenticated": ROLE, "anonymous": NONE, "locked": NONE
    }
}"#;

fn permissions() -> String {
    let role = r#"{"can_own_items": ["dataset"], "allowed_actions_for_owned": ["view"],
        "allowed_actions_for_other": {"public": ["view"]}}"#;
    let none = r#"{"can_own_items": [], "allowed_actions_for_owned": [],
        "allowed_actions_for_other": {}}"#;
    PERMISSIONS.replace("ROLE", role).replace("NONE", none)
}

struct Files {
    folder: TempDir,
    files: PolicyFiles,
}

/// All files, of which the test changes some.
fn files(requires: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let route =
        format!("[[route]]\npath = \"/data/{{owner}}/{{id}}\"\nrequire = {{ {requires} }}\n");
    let casbin = CasbinFiles {
        model: Some(write("model.conf", MODEL)),
        policy: Some(write("policy.csv", "p, alice, order:*, GET\n")),
        stored: None,
    };
    let files = PolicyFiles {
        routes: Some(write("policy.toml", &route)),
        permissions: Some(write("permissions.json", &permissions())),
        casbin: Some(casbin),
    };
    Files { folder, files }
}

impl Files {
    fn read(&self) -> Result<(PolicySet, Vec<String>), Vec<String>> {
        let source = PolicySource::new(self.files.clone(), vec![ClaimPath::parse("roles")]);
        let folder = format!("{}/", self.folder.path().display());
        let plain = |lines: Vec<String>| lines.iter().map(|it| it.replace(&folder, "")).collect();
        match source.read() {
            Ok((set, found)) => Ok((set, plain(found.warnings()))),
            Err(mistakes) => Err(plain(mistakes.lines())),
        }
    }
}

const PERMISSION: &str = r#"permission = { item = "dataset", action = "view", owner = "{owner}", visibility = "private" }"#;
const CASBIN: &str = r#"casbin = { object = "order:{id}", action = "{method}" }"#;

#[test]
fn a_route_may_ask_both_models() {
    for requires in [
        PERMISSION,
        CASBIN,
        &format!("{PERMISSION}, {CASBIN}, roles = [\"authenticated\"]"),
        &format!("any = [{{ {PERMISSION} }}, {{ {CASBIN} }}]"),
        r#"permission = { item = "{id}", action = "{method}", owner = "7", visibility = "{owner}", shared_with = "7,{id}" }"#,
    ] {
        let (set, warnings) = files(requires).read().expect(requires);
        let asks_casbin = requires.contains("casbin");
        assert_eq!(warnings.is_empty(), asks_casbin, "{requires}: {warnings:?}");
        assert!(warnings.iter().all(|it| it.contains("no route asks it")), "{warnings:?}");
        assert!(set.policy.is_some() && set.permissions.is_some(), "{requires}");
    }
}

#[test]
fn a_mistake_between_a_route_and_its_model_is_named() {
    for (from, to, mistake) in [
        (r#"item = "dataset""#, r#"item = "object""#, "the model has no item \"object\""),
        (r#"action = "view""#, r#"action = "edit""#, "the model has no action \"edit\""),
        (r#""private""#, r#""shared""#, "the model has no visibility \"shared\""),
        (r#"action = "view", "#, "", "missing field `action`"),
        (r#""{owner}""#, r#""""#, "permission: `owner` is empty"),
        (r#""{owner}""#, r#""{user}""#, "permission: `owner`: {user} is neither a parameter"),
        ("visibility", "visible", "unknown field `visible`"),
        ("{id}", "{order}", "casbin: `object`: {order} is neither a parameter"),
        ("{id}", "{id", "casbin: `object`: a brace stands alone"),
        ("order:{id}", "", "casbin: `object` is empty"),
    ] {
        let requires = format!("{PERMISSION}, {CASBIN}");
        assert!(requires.contains(from), "{from}");
        let found = files(&requires.replacen(from, to, 1)).read().map(|_| ()).expect_err(to);
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert!(found[0].starts_with("policy.toml, line "), "{found:?}");
        assert!(found[0].contains(" (route 1): "), "{found:?}");
        assert!(found[0].contains(mistake), "{to}: {found:?}");
    }
}

#[test]
fn a_route_asks_no_model_that_is_not_set() {
    let mut without = files(&format!("{PERMISSION}, {CASBIN}"));
    (without.files.permissions, without.files.casbin) = (None, None);
    let found = without.read().map(|_| ()).expect_err("no models");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("permission: there is no model to ask; set PERMISSIONS_FILE"));
    assert!(found[1].contains("casbin: there is no model to ask; set CASBIN_MODEL"), "{found:?}");
}

/// A model with a mistake is no reason to say that routes ask for one that is not there.
#[test]
fn a_mistake_in_a_model_is_told_once_and_with_its_place() {
    for (name, text, mistake) in [
        ("model.conf", "[matchers]\nm = true\n", "model.conf: [request_definition] has no `r`"),
        ("policy.csv", "p, alice\n", "policy.csv, line 1: \"p\" has 3 values, not 1"),
        ("permissions.json", "{", "permissions.json: EOF while parsing"),
        ("permissions.json", "{}", "permissions.json: missing field `roles`"),
    ] {
        let files = files(&format!("{PERMISSION}, {CASBIN}"));
        fs::write(files.folder.path().join(name), text).unwrap();
        let found = files.read().map(|_| ()).expect_err(name);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(mistake), "{found:?}");
    }
    let files = files(CASBIN);
    fs::remove_file(files.folder.path().join("policy.csv")).unwrap();
    let found = files.read().map(|_| ()).expect_err("no file");
    assert!(found[0].starts_with("policy.csv: cannot read it: "), "{found:?}");
}

#[test]
fn many_rules_are_said_to_be_slow() {
    let files = files(CASBIN);
    let rules: Vec<_> = (0..1001).map(|n| format!("p, user{n}, order:{n}, GET")).collect();
    fs::write(files.folder.path().join("policy.csv"), rules.join("\n")).unwrap();
    let (_, warnings) = files.read().expect("good files");
    assert!(warnings[0].contains("Casbin looks at 1001 rules for a decision"), "{warnings:?}");
}
