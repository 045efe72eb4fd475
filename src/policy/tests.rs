//! Which route a request takes, and whether a user meets what it demands.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::canonical::{Told, canonical};
use super::requirement::{Condition, ExpectedValue};
use super::template::Template;
use super::*;
use crate::clock::UnixTime;
use crate::session::{Session, SessionId, UserId};
use crate::token::{Claims, Thumbprint, Verified};
use crate::wire::networks::Networks;

mod decisions;
mod models;
mod near;
mod request_limits;

const NOW: UnixTime = UnixTime::from_secs(1_000_000);

fn verified(claims: &Value) -> Verified {
    let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
    Verified {
        subject: "alice".to_owned(),
        scopes: claims.scopes().unwrap(),
        claims,
        session: None,
        issuer: Arc::default(),
        signature: None,
        usable_from: UnixTime::EPOCH,
        usable_until: NOW.after(Duration::from_secs(60)),
    }
}

fn session(created: UnixTime, claims: Value) -> Session {
    let id = SessionId::parse("0123456789abcdef").unwrap();
    let user = UserId::parse("alice").unwrap();
    let Value::Object(claims) = claims else { panic!("an object") };
    Session { claims, ..Session::new(id, user, created, NOW.after(Duration::from_secs(60))) }
}

fn route(name: &str, methods: &[&str], networks: Option<&str>, access: Access) -> Route {
    let networks = networks.map(|network| Networks::parse(&[network.to_owned()]).unwrap());
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    Route { name: name.into(), methods, networks, access, limit: None }
}

fn policy(places: Vec<(&str, &str, Vec<Route>)>, default: Access) -> Policy {
    let place = |(host, path, routes): (&str, &str, _)| {
        (host.to_owned(), PathPattern::parse(path).unwrap(), routes)
    };
    let roles = ["roles", "role"].map(ClaimPath::parse).to_vec();
    Policy::compile(places.into_iter().map(place).collect(), default, false, roles).unwrap()
}

fn name_of(policy: &Policy, method: &str, target: &str, client: Option<&str>) -> Option<String> {
    find(policy, method, target, client).unwrap()
}

fn find(
    policy: &Policy,
    method: &str,
    target: &str,
    client: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let told = Told {
        method: Some(method),
        scheme: Some("https"),
        host: Some("app.test"),
        target: Some(target),
        client: client.map(|client| client.parse::<IpAddr>().unwrap()),
    };
    let found = policy.find(&canonical(&told).unwrap())?;
    let name = |found: RouteMatch<'_>| found.name.map_or("default".to_owned(), ToString::to_string);
    Ok(found.map(name))
}

#[test]
fn the_first_route_of_the_most_specific_place_whose_method_and_network_fit_is_taken() {
    let routes = vec![
        route("read", &["GET"], None, Access::Public),
        route("office", &["PUT", "DELETE"], Some("10.0.0.0/8"), Access::Public),
        route("write", &["PUT"], None, Access::Required(Requirement::default())),
    ];
    let wide = vec![route("rest", &[], None, Access::Public)];
    let policy =
        policy(vec![("app.test", "/a/*", routes), ("app.test", "/*", wide)], Access::Denied);
    for (method, target, client, expected) in [
        ("GET", "/a/b", None, Some("read")),
        ("HEAD", "/a/b", None, Some("read")),
        ("PUT", "/a/b", Some("10.1.2.3"), Some("office")),
        ("PUT", "/a/b", Some("::ffff:10.1.2.3"), Some("office")),
        ("PUT", "/a/b", Some("192.0.2.1"), Some("write")),
        ("DELETE", "/a/b", Some("10.1.2.3"), Some("office")),
        // Nothing falls through to a broader path.
        ("DELETE", "/a/b", Some("192.0.2.1"), None),
        ("POST", "/a/b", Some("10.1.2.3"), None),
        ("POST", "/b", None, Some("rest")),
    ] {
        let found = name_of(&policy, method, target, client);
        assert_eq!(found.as_deref(), expected, "{method} {target} {client:?}");
    }
    assert_eq!(policy.len(), 4);
    // Where the client decides, and nobody knows who that is, no route is guessed.
    for method in ["PUT", "DELETE"] {
        assert_eq!(find(&policy, method, "/a/b", None).unwrap_err(), Refusal::UnknownClient);
    }
}

#[test]
fn what_no_route_names_takes_the_default_and_what_a_place_refuses_does_not() {
    let there = || vec![("app.test", "/a", vec![route("a", &["GET"], None, Access::Public)])];
    for (default, expected) in [
        (Access::Denied, None),
        (Access::Public, Some("default")),
        (Access::Required(Requirement::default()), Some("default")),
    ] {
        let policy = policy(there(), default);
        assert_eq!(name_of(&policy, "GET", "/b", None).as_deref(), expected);
        assert_eq!(name_of(&policy, "GET", "/a", None).as_deref(), Some("a"));
        assert_eq!(name_of(&policy, "POST", "/a", None), None);
    }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn claim(name: &str, value: &str) -> Condition {
    let values = vec![ExpectedValue::Text(value.to_owned())];
    Condition::Claim { claim: ClaimPath::parse(name), values }
}

fn check(condition: Condition, token: &Verified, session: Option<&Session>) -> Result<(), Unmet> {
    let policy = policy(Vec::new(), Access::Denied);
    let (path, access) = ("/", &Access::Denied);
    let route = RouteMatch { name: None, access, limit: None, pattern: None };
    let told = Told {
        method: Some("GET"),
        scheme: Some("https"),
        host: Some("a"),
        target: Some(path),
        client: None,
    };
    let request = canonical(&told).unwrap();
    let facts = policy.facts_at(&route, &request, Facts::new(token, session, NOW));
    Requirement::all(vec![condition]).check(&facts)
}

#[test]
fn each_condition_holds_for_whom_it_names_and_for_nobody_else() {
    let token = verified(&json!({
        "iss": "https://one.test", "aud": ["app", "api"], "scope": "read write",
        "roles": ["editor", "a b"], "tenant": {"id": 5}, "vip": true, "groups": ["x", 7],
        "email": "a@example.test", "email_verified": false, "share": 1.5,
    }));
    for (condition, unmet) in [
        (Condition::AllScopes(texts(&["read", "write"])), None),
        (Condition::AllScopes(texts(&["read", "admin"])), Some(Unmet::Scope("read admin".into()))),
        (Condition::AnyScope(texts(&["admin", "read"])), None),
        (Condition::AnyScope(texts(&["admin", "rea"])), Some(Unmet::Scope("admin".into()))),
        (Condition::AllRoles(texts(&["editor", "a b"])), None),
        (Condition::AllRoles(texts(&["editor", "admin"])), Some(Unmet::Role)),
        (Condition::AnyRole(texts(&["admin", "editor"])), None),
        (Condition::AnyRole(texts(&["Editor", "a", "b"])), Some(Unmet::Role)),
        (Condition::Issuer(texts(&["https://two.test", "https://one.test"])), None),
        (Condition::Issuer(texts(&["https://one.test/"])), Some(Unmet::Issuer)),
        (Condition::Audience(texts(&["api"])), None),
        (Condition::Audience(texts(&["ap"])), Some(Unmet::Audience)),
        (claim("tenant.id", "5"), None),
        (claim("tenant.id", "50"), Some(Unmet::Claim)),
        (claim("vip", "true"), None),
        (claim("groups", "x"), None),
        (claim("groups", "7"), None),
        (claim("groups", "y"), Some(Unmet::Claim)),
        (claim("nothing", ""), Some(Unmet::Claim)),
        // Nobody verified the one, and other numbers are written like the other.
        (claim("email", "a@example.test"), Some(Unmet::Claim)),
        (claim("share", "1.5"), Some(Unmet::Claim)),
        (Condition::AnyOf(Vec::new()), Some(Unmet::Claim)),
        (
            Condition::AnyOf(vec![
                Requirement::all(vec![claim("vip", "false")]),
                Requirement::scopes(texts(&["read"])),
            ]),
            None,
        ),
        (
            Condition::AnyOf(vec![
                Requirement::all(vec![Condition::AnyRole(texts(&["admin"]))]),
                Requirement::scopes(texts(&["admin"])),
            ]),
            Some(Unmet::Role),
        ),
    ] {
        let expected = unmet.map_or(Ok(()), Err);
        assert_eq!(check(condition.clone(), &token, None), expected, "{condition:?}");
    }
}

#[test]
fn a_user_of_one_issuer_is_none_of_another() {
    let mut token = verified(&json!({"sub": "alice", "tenant": "t1"}));
    let prefix = "b:".to_owned();
    token.issuer = Arc::new(crate::token::Issuer { user_prefix: prefix, ..Default::default() });
    for (condition, holds) in [
        (claim("sub", "alice"), false),
        (claim("sub", "b:alice"), true),
        (claim("tenant", "t1"), true),
        (claim("tenant", "b:t1"), false),
    ] {
        assert_eq!(check(condition.clone(), &token, None).is_ok(), holds, "{condition:?}");
    }
}

#[test]
fn a_session_adds_what_the_token_does_not_say() {
    let of_session = session(NOW, json!({"roles": ["admin"], "tenant": "t1"}));
    let (without, with) = (verified(&json!({})), verified(&json!({"role": "editor"})));
    let admin = || Condition::AnyRole(texts(&["admin"]));
    assert_eq!(check(admin(), &without, Some(&of_session)), Ok(()));
    assert_eq!(check(claim("tenant", "t1"), &with, Some(&of_session)), Ok(()));
    // Roles of both would be those of nobody.
    assert_eq!(check(admin(), &with, Some(&of_session)), Err(Unmet::Role));
    assert_eq!(check(admin(), &without, None), Err(Unmet::Role));
}

#[test]
fn a_login_has_an_age_by_its_claim_or_else_by_its_session() {
    let limit = Duration::from_secs(300);
    let ago = |seconds: u64| UnixTime::from_secs(1_000_000 - seconds);
    for (auth_time, created, is_recent) in [
        (Some(json!(1_000_000 - 300)), None, true),
        (Some(json!(1_000_000 - 301)), None, false),
        // The session of a refreshed token is older than the last login.
        (Some(json!(1_000_000 - 10)), Some(ago(9_000)), true),
        (Some(json!(1_000_000 - 9_000)), Some(ago(10)), false),
        (Some(json!("now")), Some(ago(10)), false),
        (Some(json!(1_000_000 + 60)), None, true),
        (Some(json!(1_000_000 + 61)), None, false),
        (Some(json!(1_000_000_000)), Some(ago(10)), false),
        (None, Some(ago(300)), true),
        (None, Some(ago(301)), false),
        (None, None, false),
    ] {
        let token = verified(&auth_time.map_or(json!({}), |time| json!({ "auth_time": time })));
        let session = created.map(|created| session(created, json!({})));
        let expected = if is_recent { Ok(()) } else { Err(Unmet::LoginAge(limit)) };
        let found = check(Condition::MaxLoginAge(limit), &token, session.as_ref());
        assert_eq!(found, expected, "{token:?} {created:?}");
    }
}

#[test]
fn what_looks_at_the_time_or_asks_others_may_change_wherever_it_stands() {
    let age = || Condition::MaxLoginAge(Duration::from_secs(300));
    let casbin = || {
        let template = |text| Template::parse(text, |_| false).unwrap();
        Condition::Casbin { object: template("page"), action: template("read") }
    };
    let scope = || Condition::AllScopes(texts(&["read"]));
    let nested = |condition| {
        Condition::AnyOf(vec![
            Requirement::all(vec![scope()]),
            Requirement::all(vec![
                scope(),
                Condition::AnyOf(vec![Requirement::all(vec![condition])]),
            ]),
        ])
    };
    for (conditions, may_change) in [
        (vec![], false),
        (vec![scope(), claim("tenant", "t1"), Condition::GatewayCertificate], false),
        (vec![nested(scope())], false),
        (vec![scope(), age()], true),
        (vec![casbin()], true),
        (vec![nested(age())], true),
        (vec![nested(casbin()), scope()], true),
    ] {
        let requirement = Requirement::all(conditions);
        assert_eq!(requirement.may_change(), may_change, "{requirement:?}");
    }
}

#[test]
fn a_certificate_counts_for_whoever_showed_it() {
    let token = verified(&json!({}));
    let (one, two) = (Thumbprint::of(b"one"), Thumbprint::of(b"two"));
    let any = || Condition::ClientCertificate(Vec::new());
    let listed = |list: &[Thumbprint]| Condition::ClientCertificate(list.to_vec());
    for (condition, is_gateway_certified, client, unmet) in [
        (Condition::GatewayCertificate, true, None, None),
        (Condition::GatewayCertificate, false, Some(one), Some(Unmet::GatewayCertificate)),
        (any(), false, Some(one), None),
        (any(), true, None, Some(Unmet::ClientCertificate)),
        (listed(&[one, two]), false, Some(two), None),
        (listed(&[one]), true, Some(two), Some(Unmet::ClientCertificate)),
        (listed(&[one]), true, None, Some(Unmet::ClientCertificate)),
    ] {
        let certificates = Certificates { is_gateway_certified, client };
        let facts = Facts::new(&token, None, NOW).with_certificates(certificates);
        assert_eq!(condition.check(&facts).err(), unmet, "{condition:?} {certificates:?}");
        // Who says nothing of certificates has shown none.
        assert!(condition.check(&Facts::new(&token, None, NOW)).is_err(), "{condition:?}");
    }
}

#[test]
fn a_claim_is_compared_with_a_part_of_the_path_to_the_letter() {
    let values = vec![ExpectedValue::Parameter("id".to_owned())];
    let own = Condition::Claim { claim: ClaimPath::parse("sub"), values };
    let requirement = Requirement::all(vec![own]);
    let access = Access::Required(requirement.clone());
    let policy =
        policy(vec![("*", "/users/{id}/*", vec![route("own", &[], None, access)])], Access::Denied);
    for (sub, target, is_own) in [
        (json!("alice"), "/users/alice/x", true),
        (json!("alice"), "/users/%61lice/x", true),
        (json!("a b"), "/users/a%20b/", true),
        (json!("a+b"), "/users/a+b/", true),
        (json!(17), "/users/17/", true),
        (json!("alice"), "/users/Alice/x", false),
        (json!("alice"), "/users/alice2/x", false),
        (json!("a b"), "/users/a+b/", false),
        (json!(""), "/users/alice/x", false),
        (json!(null), "/users/null/x", false),
        (json!(1.5), "/users/1.5/x", false),
    ] {
        let told = Told {
            method: Some("GET"),
            scheme: Some("https"),
            host: Some("app.test"),
            target: Some(target),
            client: None,
        };
        let request = canonical(&told).unwrap();
        let route = policy.find(&request).unwrap().expect("a route");
        let token = verified(&json!({ "sub": sub }));
        let facts = policy.facts_at(&route, &request, Facts::new(&token, None, NOW));
        assert_eq!(requirement.check(&facts).is_ok(), is_own, "{sub} {target}");
    }
}
