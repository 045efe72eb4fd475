//! A gateway that asks on a listener that answers no such question: no answer there may be its yes.

use crate::support::free_address;
use crate::support::h2c;
use crate::support::http::{self, bearer};
use crate::support::issuer::Issuer;
use crate::support::realm::Realm;

/// The headers of the questions of Traefik and Caddy, and of nginx by our example.
const QUESTIONS: [&[&str]; 2] = [
    &["X-Forwarded-Method: GET", "X-Forwarded-Uri: /", "X-Forwarded-Host: a.test"],
    &["X-Original-Method: GET", "X-Original-URI: /"],
];

#[test]
fn the_issuer_answers_no_gateways_question_but_at_the_gates_own_paths() {
    let realm = Realm::issuing();
    let issuer = Issuer::start(&realm);
    for path in ["/", "/health", "/ready", "/api/healthcheck", "/jwks", "/docs", "/openapi.json"] {
        let usual = http::get(issuer.public, path, &[]).status;
        assert!(matches!(usual, 200 | 303), "{path}: {usual}");
        let proxied = ["X-Forwarded-For: 192.0.2.1", "X-Original-URI: /x"];
        assert_eq!(http::get(issuer.public, path, &proxied).status, usual, "{path}, proxied");
        for lines in QUESTIONS {
            let response = http::get(issuer.public, path, lines);
            assert_eq!(response.status, 403, "{path} {lines:?}: {response:?}");
        }
    }
    issuer.gate.wait_for_log("/validate_request/traefik (traefik)");
    for lines in QUESTIONS {
        assert_eq!(http::get(issuer.public, "/validate_request", lines).status, 401, "a verdict");
        let host = format!("Host: {}", issuer.internal);
        for path in ["/", "/health", "/admin/sessions"] {
            let lines = [&[host.as_str()], lines].concat();
            let response = http::get(issuer.internal, path, &lines);
            assert!(response.status >= 400, "internal, {path} {lines:?}: {response:?}");
        }
    }
}

/// gRPC says 200 with every failure: over HTTP/2 a gateway would take it for a yes.
#[test]
fn grpc_answers_nothing_but_calls_with_200() {
    let realm = Realm::issuing();
    let issuer = Issuer::start(&realm);
    let credential = bearer("rubbish");
    let credential = credential.trim_start_matches("Authorization: ");
    for path in ["/", "/validate_request", "/portcullis.v1.TokenService/Validate"] {
        for headers in [
            &[][..],
            &[("authorization", credential)],
            &[("content-type", "application/grpc"), ("x-forwarded-method", "POST")],
            &[("content-type", "application/json"), ("x-forwarded-uri", "/")],
        ] {
            let (status, _) = h2c::get(issuer.grpc, path, headers);
            assert_eq!(status, 415, "{path} {headers:?}");
        }
        assert_eq!(http::get(issuer.grpc, path, &[]).status, 415, "{path} over HTTP/1.1");
    }
}

/// A call of gRPC as bytes: a message of the protocol behind its prefix.
fn call(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// In grpc-go a path without its first slash led to the method and past whoever judged by the path (CVE-2026-33186).
#[test]
fn a_path_without_a_slash_calls_nothing() {
    let asked = free_address();
    let realm = Realm::issuing().with("EXT_AUTHZ_LISTEN", &asked.to_string());
    let issuer = Issuer::start(&realm);
    let credential = format!("Bearer {}", issuer.admin_token);
    for (address, method, message) in [
        (issuer.grpc, "portcullis.v1.TokenService/Validate", &b"\x0a\x01x"[..]),
        (issuer.grpc, "grpc.health.v1.Health/Check", b""),
        (asked, "envoy.service.auth.v3.Authorization/Check", b""),
    ] {
        let answered = |path: &str| {
            let fields = [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "gate.test"),
                (":path", path),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("authorization", &credential),
            ];
            !h2c::body_of(address, &fields, &call(message)).is_empty()
        };
        assert!(answered(&format!("/{method}")), "{method}: a call is answered");
        for path in [method.to_owned(), format!("//{method}"), format!("./{method}")] {
            assert!(!answered(&path), "{path} was called");
        }
    }
}
