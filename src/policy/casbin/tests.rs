//! Casbin's own examples through the one call, and every mistake in its files that it would pass over.

use super::*;

const MODEL: &str = "\
[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act)
";

/// The roles of a user who has none beside the rules.
const NO_ROLES: &[&str] = &[];

const POLICY: &str = "\
# Roles have names that no user has.
p, role:editor, article:*, GET|PUT, allow
p, role:admin, *, .*, allow
p, bob, article:secret, GET, deny

g, alice, role:admin
g, bob, role:editor
g, role:admin, role:editor
";

fn compile(model: &str, policy: &str) -> Result<Casbin, BadCasbin> {
    Casbin::compile(model, policy)
}

#[test]
fn a_text_that_no_rule_could_mean_is_denied_unasked() {
    let casbin = compile(MODEL, POLICY).expect("good files");
    let object = |length: usize| format!("article:{}", "x".repeat(length - "article:".len()));
    assert!(casbin.allows("alice", NO_ROLES, &object(1_024), "GET"));
    assert!(!casbin.allows("alice", NO_ROLES, &object(1_025), "GET"));
}

#[test]
fn a_model_by_which_nothing_can_be_denied_is_a_mistake() {
    let unless_denied = "!some(where (p.eft == deny))";
    let effect = "some(where (p.eft == allow)) && !some(where (p.eft == deny))";
    let with = MODEL.replace(effect, unless_denied);
    let casbin = compile(&with, POLICY).expect("what rules deny is denied");
    assert!(!casbin.allows("bob", NO_ROLES, "article:secret", "GET"));
    for (model, policy, place) in [
        (with.replace(", eft", ""), "p, bob, article:secret, GET", "[policy_definition]"),
        (format!("{MODEL}m2 = r.act == \"GET\"\n"), POLICY, "[matchers]"),
    ] {
        let mistake = compile(&model, policy).expect_err("a mistake");
        assert!(mistake.to_string().starts_with(place), "{mistake}");
    }
}

#[test]
fn a_subject_may_do_what_its_roles_may_and_no_rule_denies() {
    let casbin = compile(MODEL, POLICY).expect("good files");
    assert_eq!(casbin.rules(), 6);
    for (subject, object, action, is_allowed) in [
        ("alice", "article:1", "GET", true),
        ("alice", "order:1", "DELETE", true),
        ("bob", "article:1", "GET", true),
        ("bob", "article:1", "PUT", true),
        ("bob", "article:1", "DELETE", false),
        ("bob", "order:1", "GET", false),
        ("bob", "article:secret", "GET", false),
        ("alice", "article:secret", "GET", true),
        ("carol", "article:1", "GET", false),
        ("", "", "", false),
        ("Alice", "article:1", "GET", false),
    ] {
        // The second time from memory.
        for _ in 0..2 {
            let found = casbin.allows(subject, NO_ROLES, object, action);
            assert_eq!(found, is_allowed, "{subject} {action} {object}");
        }
    }
}

#[test]
fn decisions_of_texts_that_read_the_same_when_they_are_joined_are_apart() {
    let model = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n\
        [policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\n\
        m = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n";
    let casbin = compile(model, "p, ab, c, d\n").expect("good files");
    for (subject, object, action, is_allowed) in [
        ("ab", "c", "d", true),
        ("a", "bc", "d", false),
        ("ab", "cd", "", false),
        ("", "abc", "d", false),
        ("1:1:ab", "c", "d", false),
    ] {
        assert_eq!(
            casbin.allows(subject, NO_ROLES, object, action),
            is_allowed,
            "{subject} {object}"
        );
    }
}

/// Casbin's own function would panic at half a letter.
#[test]
fn letters_of_several_bytes_are_matched_as_others_are() {
    let casbin = compile(MODEL, "p, bob, orde*, GET, allow\np, bob, żółw*, GET, allow\n");
    let casbin = casbin.expect("good files");
    for (object, is_allowed) in [
        ("żó", false),
        ("żółwie", true),
        ("żółw", true),
        ("ordé", false),
        ("orde", true),
        ("é", false),
    ] {
        assert_eq!(casbin.allows("bob", NO_ROLES, object, "GET"), is_allowed, "{object}");
    }
}

/// A text that looks like an object, or like code, is a text.
#[test]
fn what_a_client_sends_is_never_interpreted() {
    let casbin = compile(MODEL, POLICY).expect("good files");
    for text in [r#"{"sub":"alice"}"#, "alice\"", "alice\" || true || \"", "eval(true)", "#{a:1}"] {
        assert!(!casbin.allows(text, NO_ROLES, "article:1", "GET"), "{text}");
        assert!(!casbin.allows("carol", NO_ROLES, text, "GET"), "{text}");
    }
}

#[test]
fn a_mistake_in_the_model_is_named() {
    for (from, to, mistake) in [
        ("[matchers]", "[matcher]", "[matchers] has no `m`; Casbin knows no section [matcher]"),
        ("[policy_effect]\ne", "[policy_effect]\nf", "[policy_effect] has no `e`"),
        ("r = sub, obj, act", "r = sub, obj", "not 2 parts"),
        ("e = some(where (p.eft == allow)) && ", "e = every(where) && ", "Casbin knows no"),
        ("g = _, _", "g = _", "role definition"),
        ("m = g", "m g", "parse content error"),
        ("&& regex", "& & regex", "Failed to compile matcher"),
    ] {
        assert!(MODEL.contains(from), "{from}");
        let found = compile(&MODEL.replace(from, to), POLICY).map(|_| ()).expect_err(to);
        assert!(matches!(&found, BadCasbin::Model(it) if it.contains(mistake)), "{to}: {found:?}");
    }
    // Only a rule shows it, and it is not the rule's mistake.
    for (from, to, mistake) in [
        ("keyMatch(", "keyMach(", "[matchers]: there is no function `keyMach`"),
        ("r.obj", "r.object", "[matchers]: there is no `r.object`"),
    ] {
        let found = compile(&MODEL.replace(from, to), POLICY).map(|_| ()).expect_err(to);
        assert_eq!(found, BadCasbin::Model(mistake.to_owned()), "{to}");
    }
}

#[test]
fn a_line_that_casbin_would_pass_over_is_a_mistake() {
    for (line, mistake) in [
        ("p, bob, article:1, GET", "\"p\" has 4 values, not 3"),
        ("p, bob, article:1, GET, allow, more", "\"p\" has 4 values, not 5"),
        ("p, bob, article:1, GET, Deny", "an effect is allow or deny, not \"Deny\""),
        ("p2, bob, article:1, GET, deny", "the model asks for no \"p2\""),
        ("d, bob, article:1, GET, deny", "the model asks for no \"d\""),
        ("g2, bob, role:admin", "the model asks for no \"g2\""),
        ("g, bob", "\"g\" has 2 values, not 1"),
        ("g, bob, role:admin, domain", "\"g\" has 2 values, not 3"),
        ("p, \"bob, article:1, GET, deny", "a quote does not end"),
        ("p, bob, article:1, [, allow", "Casbin cannot decide by it"),
    ] {
        let found = compile(MODEL, &format!("{POLICY}{line}\n")).map(|_| ()).expect_err(line);
        let BadCasbin::Rule { line: at, problem } = found else { panic!("{line}: {found:?}") };
        assert!(at == 9 && problem.contains(mistake), "{line}: {at} {problem}");
    }
    for empty in ["", "# nothing\n", "g, alice, role:admin\n"] {
        let found = compile(MODEL, empty).map(|_| ()).expect_err(empty);
        assert!(found.to_string().contains("no rule"), "{empty}: {found}");
    }
}

#[test]
fn what_casbin_cannot_decide_is_denied() {
    // A pattern that only some requests make a bad one.
    let model = MODEL.replace("regexMatch(r.act, p.act)", "regexMatch(p.act, r.act)");
    let casbin = compile(&model, "p, bob, *, GET, allow\n").expect("good files");
    assert!(casbin.allows("bob", NO_ROLES, "article:1", "GET"));
    assert!(!casbin.allows("bob", NO_ROLES, "article:1", "["));
    assert!(casbin.allows("bob", NO_ROLES, "article:1", "G.T"));
}

#[test]
fn roles_of_an_account_are_roles_of_the_user_and_a_denial_of_him_stays() {
    let casbin = compile(MODEL, POLICY).expect("good files");
    for (subject, roles, object, action, is_allowed) in [
        ("carol", &["role:editor"][..], "article:1", "PUT", true),
        ("carol", &["role:editor"], "article:1", "DELETE", false),
        ("carol", &["role:editor"], "order:1", "GET", false),
        // By way of another role, as rules have it.
        ("carol", &["role:admin"], "order:1", "DELETE", true),
        ("carol", &["unknown", "role:editor"], "article:1", "GET", true),
        ("carol", &["role:editor "], "article:1", "GET", false),
        ("carol", &[], "article:1", "GET", false),
        // A rule that denies the user denies him whatever his roles.
        ("bob", &["role:admin"], "article:secret", "GET", false),
        ("bob", &["role:admin"], "order:1", "GET", true),
        // And one that denies somebody else's name denies whoever has it as a role.
        ("carol", &["role:admin", "bob"], "article:secret", "GET", false),
    ] {
        // The second time from memory, and in between somebody without these roles.
        for _ in 0..2 {
            let found = casbin.allows(subject, roles, object, action);
            assert_eq!(found, is_allowed, "{subject} {roles:?} {action} {object}");
            assert!(!casbin.allows("dave", NO_ROLES, object, action), "{action} {object}");
        }
    }
}

#[test]
fn roles_of_an_account_are_not_those_of_an_object_of_its_name() {
    let model = MODEL.replace("g = _, _", "g = _, _\ng2 = _, _");
    let model = model.replace("keyMatch(r.obj, p.obj)", "g2(r.obj, p.obj)");
    let policy = "p, reader, secrets, GET, allow\ng, alice, reader\ng2, safe, secrets\n";
    let casbin = compile(&model, policy).expect("good files");
    assert!(casbin.allows("alice", &["secrets"], "safe", "GET"));
    assert!(!casbin.allows("alice", &["secrets"], "alice", "GET"));
}
