//! Conditions that ask a model: what they ask about, and for whom.

use super::*;
use crate::clock::{Clock as _, ManualClock, Moment};
use crate::policy::casbin::{CasbinInForce, CasbinSource, KnownRules, StoredRules};
use crate::policy::permissions::Permissions;
use crate::policy::requirement::ItemAction;
use crate::policy::template::Template;
use crate::token::Issuer;

const MODEL: &str = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n\
    [role_definition]\ng = _, _\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\n\
    m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act\n";
const RULES: &str = "p, reader, order:17, GET\np, b:alice, order:17, PUT\ng, alice, reader\n";

fn permissions() -> Permissions {
    let role = |owned: &[&str], shared: &[&str]| {
        json!({
            "can_own_items": ["order"],
            "allowed_actions_for_owned": owned,
            "allowed_actions_for_other": {"shared": shared},
        })
    };
    let model = json!({
        "roles": ["superuser", "clerk", "guest", "anonymous", "locked"],
        "items": ["order"], "actions": ["view", "edit"], "visibilities": ["shared", "private"],
        "item_policy": {"order": {
            "valid_role_actions": ["view", "edit"], "valid_visibilities": ["shared", "private"],
            "invalid_roles": [],
        }},
        "role_policy": {
            "superuser": role(&[], &[]), "anonymous": role(&[], &[]), "locked": role(&["view"], &[]),
            "clerk": role(&["view", "edit"], &["view"]), "guest": role(&["view"], &[]),
        },
    });
    Permissions::parse(&model.to_string()).unwrap()
}

fn models() -> Models {
    let source = CasbinSource { model: MODEL.to_owned(), rules: Some(RULES.to_owned()) };
    let casbin = CasbinInForce::compile(source, None).unwrap();
    Models { permissions: Some(Arc::new(permissions())), casbin: Some(Arc::new(casbin)) }
}

fn template(text: &str) -> Template {
    Template::parse(text, |name| ["owner", "order"].contains(&name)).unwrap()
}

fn asks_permission(action: &str, visibility: &str, shared_with: &str) -> Condition {
    Condition::Permission(ItemAction {
        item: template("order"),
        action: template(action),
        owner: template("{owner}"),
        visibility: template(visibility),
        shared_with: template(shared_with),
    })
}

fn asks_casbin() -> Condition {
    Condition::Casbin { object: template("order:{order}"), action: template("{method}") }
}

/// The same of a user of the built-in accounts.
fn of_accounts(subject: &str, roles: &[&str]) -> Verified {
    let issuer = Issuer { has_accounts: true, ..Issuer::default() };
    Verified { issuer: Arc::new(issuer), ..token(subject, "", roles) }
}

/// The token of a user by this prefix, with these roles.
fn token(subject: &str, prefix: &str, roles: &[&str]) -> Verified {
    let issuer = Issuer { user_prefix: prefix.to_owned(), ..Issuer::default() };
    let verified = verified(&json!({ "roles": roles }));
    Verified { subject: subject.to_owned(), issuer: Arc::new(issuer), ..verified }
}

/// Looks at the facts about a request to `/{owner}/{order}`, where this is the one condition.
fn look<T>(
    condition: &Condition,
    models: Models,
    token: &Verified,
    request: (&str, &str),
    look: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let access = Access::Required(Requirement::all(vec![condition.clone()]));
    let routes = vec![route("order", &[], None, access)];
    let policy = policy(vec![("*", "/{owner}/{order}", routes)], Access::Denied);
    let policy = policy.with_models(models);
    let told = Told {
        method: Some(request.0),
        scheme: Some("https"),
        host: Some("app.test"),
        target: Some(request.1),
        client: None,
    };
    let request = canonical(&told).unwrap();
    let route = policy.find(&request).unwrap().expect("a route");
    look(&policy.facts_at(&route, &request, Facts::new(token, None, NOW)))
}

/// Returns whether the condition holds for a request.
fn holds(condition: &Condition, models: Models, token: &Verified, request: (&str, &str)) -> bool {
    match look(condition, models, token, request, |facts| condition.check(facts)) {
        Ok(()) => true,
        Err(unmet) => {
            assert_eq!(unmet, Unmet::Permission);
            false
        }
    }
}

#[test]
fn an_explanation_says_for_whom_and_about_what_a_model_is_asked() {
    let claim = Condition::Claim {
        claim: ClaimPath::parse("sub"),
        values: vec![ExpectedValue::Parameter("owner".to_owned())],
    };
    let both = Requirement::all(vec![claim.clone(), Condition::AnyRole(vec!["boss".to_owned()])]);
    let ways = Condition::AnyOf(vec![Requirement::all(vec![asks_casbin()]), both]);
    for (condition, words) in [
        (asks_casbin(), "that Casbin lets b:8 do PUT on order:17"),
        (
            asks_permission("edit", "private", ""),
            "that the permissions let b:8, with the roles [clerk guest], edit the private order of 7",
        ),
        (claim, "sub is one of [7]"),
        (
            ways,
            "one of: casbin (that Casbin lets b:8 do PUT on order:17), or claims (sub is one of [7]) and \
             roles (one of [boss] among the user's roles [clerk guest])",
        ),
    ] {
        let token = token("8", "b:", &["clerk", "guest"]);
        let told =
            look(&condition, models(), &token, ("PUT", "/7/17"), |it| condition.asked_of(it));
        assert_eq!(told, words);
    }
}

#[test]
fn one_role_that_authnzervers_model_lets_suffices_and_none_that_is_locked() {
    for (subject, prefix, roles, action, visibility, shared_with, is_granted) in [
        ("7", "", &["guest"][..], "view", "private", "", true),
        ("7", "", &["guest"], "edit", "private", "", false),
        ("7", "", &["guest", "clerk"], "edit", "private", "", true),
        ("7", "", &["guest", "locked"], "view", "private", "", false),
        ("7", "", &[], "view", "private", "", false),
        ("7", "", &["nobody"], "view", "private", "", false),
        ("8", "", &["clerk"], "view", "private", "", false),
        ("8", "", &["clerk"], "view", "shared", "8,9", true),
        ("8", "", &["clerk"], "view", "shared", "{order},9", false),
        ("17", "", &["clerk"], "view", "shared", "{order},9", true),
        // Of another issuer, this is another user.
        ("7", "b:", &["guest"], "view", "private", "", false),
    ] {
        let condition = asks_permission(action, visibility, shared_with);
        let token = token(subject, prefix, roles);
        let found = holds(&condition, models(), &token, ("GET", "/7/17"));
        assert_eq!(found, is_granted, "{prefix}{subject} {roles:?} {condition}");
    }
}

#[test]
fn casbin_is_asked_for_the_user_the_object_and_the_method_of_the_request() {
    for (subject, prefix, method, path, is_allowed) in [
        ("alice", "", "GET", "/x/17", true),
        ("alice", "", "GET", "/x/%317", true),
        ("alice", "", "PUT", "/x/17", false),
        ("alice", "", "GET", "/x/18", false),
        ("alice", "b:", "PUT", "/x/17", true),
        ("alice", "b:", "GET", "/x/17", false),
        ("bob", "", "GET", "/x/17", false),
        // A user who is called like a role has what the role has: roles have names of their own.
        ("reader", "", "GET", "/x/17", true),
    ] {
        let token = token(subject, prefix, &["reader"]);
        let found = holds(&asks_casbin(), models(), &token, (method, path));
        assert_eq!(found, is_allowed, "{prefix}{subject} {method} {path}");
    }
}

#[test]
fn a_model_that_is_not_there_lets_nobody_do_anything() {
    for condition in [asks_permission("view", "private", ""), asks_casbin()] {
        let token = token("7", "", &["clerk"]);
        assert!(!holds(&condition, Models::default(), &token, ("GET", "/7/17")), "{condition}");
        // Nor does a condition at no route.
        let facts = Facts::new(&token, None, NOW);
        assert_eq!(condition.check(&facts), Err(Unmet::Permission), "{condition}");
    }
}

/// Whoever may write roles into tokens of another issuer gives none here.
#[test]
fn casbin_believes_the_roles_of_the_accounts_alone() {
    for (token, is_allowed) in [
        (of_accounts("bob", &["reader"]), true),
        (of_accounts("bob", &["writer"]), false),
        (of_accounts("bob", &[]), false),
        (token("bob", "", &["reader"]), false),
        (token("bob", "", &["b:alice"]), false),
    ] {
        let found = holds(&asks_casbin(), models(), &token, ("GET", "/x/17"));
        assert_eq!(found, is_allowed, "{:?}", token.claims);
    }
}

#[test]
fn rules_of_the_database_that_are_too_old_are_no_answer_whatever_else_is_asked() {
    let clock = ManualClock::at(NOW);
    let stored = Arc::new(StoredRules::new(Duration::from_secs(2)));
    let read = Moment::now(&clock);
    stored.set_known(KnownRules { version: 1, rules: Arc::default(), read });
    let source = CasbinSource { model: MODEL.to_owned(), rules: Some(RULES.to_owned()) };
    let casbin = Some(Arc::new(CasbinInForce::compile(source, Some(stored)).unwrap()));
    let models = Models { casbin, ..Models::default() };
    let boss = Requirement::all(vec![Condition::AnyRole(vec!["boss".to_owned()])]);
    let reads = Requirement::all(vec![asks_casbin()]);
    let either = Condition::AnyOf(vec![boss, reads]);
    let check = |roles: &[&str], condition: &Condition| {
        let token = token("alice", "", roles);
        look(condition, models.clone(), &token, ("GET", "/x/17"), |facts| {
            condition.check(&facts.at(clock.monotonic()))
        })
    };
    assert_eq!(check(&[], &asks_casbin()), Ok(()));
    assert_eq!(check(&[], &either), Ok(()));
    clock.advance(Duration::from_secs(2));
    assert_eq!(check(&[], &asks_casbin()), Err(Unmet::Unavailable));
    assert_eq!(check(&[], &either), Err(Unmet::Unavailable), "it may be open");
    assert_eq!(check(&["boss"], &either), Ok(()), "another way is open all the same");
}
