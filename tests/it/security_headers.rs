//! Security headers: on every answer of every route of the document, on errors, on pages, and on the listeners that no
//! browser should see.

use crate::issuer_document::operations;
use crate::support::{
    http::{self, Client, Response, bearer, request},
    issuer::Issuer,
    realm::Realm,
};

/// The headers of every answer, with a beginning of their value.
const ALWAYS: [(&str, &str); 7] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "accelerometer=()"),
    ("content-security-policy", "default-src 'none'"),
    ("cache-control", ""),
];
/// The paths that say nothing of anybody, and may be kept for a while.
const PUBLIC: [&str; 3] =
    ["/jwks", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"];

fn is_guarded(what: &str, answer: &Response) {
    for (name, beginning) in ALWAYS {
        assert_eq!(answer.count(name), 1, "{what}: {name} in {answer:?}");
        let value = answer.header(name).unwrap_or_default();
        assert!(value.starts_with(beginning), "{what}: {name}: {value}");
    }
}

fn is_kept_by_nobody(what: &str, answer: &Response) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}: {answer:?}");
}

/// The paths of pages of a path like those of the document.
fn filled(path: &str) -> String {
    let mut filled = String::new();
    let mut parts = path.split(['{', '}']);
    while let Some(part) = parts.next() {
        filled.push_str(part);
        if parts.next().is_some() {
            filled.push('x');
        }
    }
    filled
}

#[test]
fn every_answer_of_every_route_keeps_browsers_in_bounds() {
    let issuer = Issuer::start(&Realm::issuing().with("TOKEN_COOKIES", "host"));
    let document = http::get(issuer.public, "/openapi.json", &[]).json();
    let admin = bearer(&issuer.admin_token);
    let large = vec![b'x'; 70_000];
    let mut seen = std::collections::BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        if tag == "gate" {
            continue;
        }
        let at = if tag == "internal" { issuer.internal } else { issuer.public };
        let own = format!("Host: {at}");
        let path = filled(&path);
        let other = if method == "POST" { "PUT" } else { "POST" };
        for (method, lines, body) in [
            (method.as_str(), &[&*own][..], &b""[..]),
            (method.as_str(), &[&*own, &admin], b""),
            (method.as_str(), &[&*own, &admin], b"{"),
            (method.as_str(), &[&*own, &admin], &large),
            (method.as_str(), &[&*own, &own], b""),
            (other, &[&*own, &admin], b""),
            ("TRACE", &[&*own, &admin], b""),
        ] {
            let answer = Client::connect(at).exchange(request(method, &path, lines, body));
            let what = format!("{method} {path} {}", answer.status);
            is_guarded(&what, &answer);
            if !PUBLIC.contains(&path.as_str()) || answer.status != 200 {
                is_kept_by_nobody(&what, &answer);
            }
            assert_eq!(answer.count("strict-transport-security"), 0, "{what}: this is no https");
            seen.insert(answer.status);
        }
    }
    for status in [200, 400, 401, 405, 413] {
        assert!(seen.contains(&status), "{status} was not put to the test: {seen:?}");
    }
    for at in [issuer.public, issuer.internal] {
        let lines = [format!("Host: {at}"), admin.clone()];
        let answer = http::get(at, "/nowhere", &[&lines[0], &lines[1]]);
        assert_eq!(answer.status, 404);
        is_guarded("404", &answer);
    }
}

#[test]
fn pages_documents_and_metrics_are_guarded_too() {
    let issuer = Issuer::start(&Realm::issuing());
    for path in
        ["/redoc", "/docs", "/docs/", "/docs/swagger-ui.css", "/docs/openapi.json", "/openapi.json"]
    {
        is_guarded(path, &http::get(issuer.public, path, &[]));
    }
    for path in ["/metrics", "/health", "/ready", "/nowhere"] {
        let answer = http::get(issuer.gate.metrics, path, &[]);
        is_guarded(path, &answer);
        is_kept_by_nobody(path, &answer);
    }
    for path in ["/nowhere", "/validate"] {
        is_guarded(path, &http::get(issuer.gate.address, path, &[]));
    }
    let answer = issuer.send("POST", "/validate", &[], b"{\"jwt\": \"x\"}");
    is_guarded("/validate beside the issuer", &answer);
}

#[test]
fn a_verdict_says_to_a_gateway_what_it_said_before() {
    let realm = Realm::new();
    let gate = realm.gate();
    let token = realm.mint("alice", &[]);
    for (token, status) in [(&*token, 200), ("x", 401)] {
        let answer = gate.check(token);
        assert_eq!(answer.status, status);
        for name in ["content-security-policy", "permissions-policy", "referrer-policy"] {
            assert_eq!(answer.count(name), 0, "{status}: {name}");
        }
    }
}

#[test]
fn browsers_that_come_by_https_are_told_to_stay_there() {
    let realm = Realm::issuing().without("ISSUER").with("PUBLIC_URL", "https://id.example");
    let issuer = Issuer::start(&realm);
    for path in ["/health", "/nowhere", "/redoc", "/token"] {
        let answer = http::get(issuer.public, path, &[]);
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"), "{path}");
    }
    let internal = issuer.as_admin("GET", "/admin/sessions", b"");
    assert_eq!(internal.count("strict-transport-security"), 0, "PUBLIC_URL says nothing of it");
}
