//! Bytes that somebody sends do not come back in an answer, where a browser could run them (CVE-2026-33525).

use std::net::SocketAddr;

use crate::support::{
    http::{Client, Response, request},
    issuer::{ALICE, Issuer},
    realm::Realm,
};

/// What a browser would run.
const SCRIPT: &str = "<script>alert(1)</script>";

/// An answer, if the bytes were taken for a request at all.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Response> {
    Client::connect(address).try_exchange(bytes)
}

#[track_caller]
fn is_not_repeated(what: &str, response: &Response) {
    let text = response.text();
    assert!(!text.contains(SCRIPT), "{what}: {text}");
    for (name, value) in &response.headers {
        assert!(!value.contains(SCRIPT), "{what}: {name}: {value}");
    }
}

/// The same of the issuer, whose JSON no browser takes for a page.
#[track_caller]
fn is_json(what: &str, response: &Response) {
    is_not_repeated(what, response);
    if !response.body.is_empty() {
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{what}");
        let kind = response.header("content-type").unwrap_or_default();
        assert!(!kind.contains("html"), "{what}: {kind}");
    }
}

#[test]
fn no_answer_repeats_what_was_sent_in_a_path_or_a_header() {
    let realm = Realm::issuing();
    let issuer = Issuer::start(&realm);
    let gate = &issuer.gate;
    let encoded = "%3Cscript%3Ealert(1)%3C/script%3E";
    let own = format!("Host: {}", issuer.internal);
    let lines = [
        "Authorization: Bearer",
        "Cookie: a=",
        "Origin:",
        "X-Request-Id:",
        "User-Agent:",
        "X-Original-URI: /",
        "X-Forwarded-Host:",
        "X-Api-Key:",
        "Accept: text/html,",
    ];
    let mut answered = 0;
    for address in [gate.address, gate.metrics, issuer.public, issuer.internal] {
        for path in
            ["/", "/validate_request", "/docs/", "/sessions/", "/admin/users/", "/.well-known/"]
        {
            for target in [
                format!("{path}{encoded}"),
                format!("{path}{SCRIPT}"),
                format!("{path}?x={SCRIPT}&{SCRIPT}"),
                format!("{path}?scope={encoded}"),
            ] {
                let bytes = request("GET", &target, &[&own], b"");
                let Some(response) = exchange(address, &bytes) else { continue };
                answered += 1;
                is_not_repeated(&format!("{address} {target}"), &response);
            }
        }
        for line in lines {
            let line = format!("{line} {SCRIPT}");
            for path in ["/validate_request/traefik", "/sessions", "/x"] {
                let Some(response) = exchange(address, &request("GET", path, &[&own, &line], b""))
                else {
                    continue;
                };
                answered += 1;
                is_not_repeated(&format!("{address} {path} {line}"), &response);
            }
        }
    }
    assert!(answered > 150, "only {answered} answers");
}

#[test]
fn no_answer_repeats_what_was_sent_in_a_body() {
    let realm = Realm::issuing();
    realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    let good = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    for path in ["/token", "/revoke", "/introspect", "/refresh", "/logout"] {
        for name in [
            "grant_type",
            "username",
            "password",
            "scope",
            "client_id",
            "client_secret",
            "audience",
            "resource",
            "refresh_token",
            "token",
            "token_type_hint",
            SCRIPT,
        ] {
            let others = good.iter().filter(|(other, _)| *other != name).copied();
            let fields: Vec<_> = others.chain([(name, SCRIPT)]).collect();
            is_json(&format!("{path} {name}"), &issuer.form(path, &fields, &[]));
        }
    }
    for path in [
        "/token",
        "/authenticate",
        "/refresh",
        "/validate",
        "/register_key",
        "/check",
        "/check-limit",
    ] {
        for body in [
            serde_json::json!({ "key": SCRIPT, "jwt": SCRIPT, "user": SCRIPT, "refresh_token": SCRIPT }),
            serde_json::json!({ SCRIPT: SCRIPT }),
            serde_json::json!([SCRIPT]),
            serde_json::json!({ "key": [SCRIPT], "jwt": { SCRIPT: 1 }, "user": 1 }),
            serde_json::json!(SCRIPT),
        ] {
            // At `/validate` the gate answers.
            let check = if path == "/validate" { is_not_repeated } else { is_json };
            check(&format!("{path} {body}"), &issuer.json(path, &body));
            is_json(&format!("internal {path} {body}"), &issuer.json_internal(path, &body));
        }
    }
}
