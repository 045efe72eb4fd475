//! The options of Traefik's forwardAuth that the example leaves out, or sets: each one's effect, with real Traefik and a policy.

use std::net::SocketAddr;

use crate::support::{
    canned_response,
    http::{Client, bearer, request},
    realm::Realm,
    suite::{self, Stack, requests},
    traefik::{Edits, Traefik},
};

/// The line of the example beside which the options stand.
const TRUST_NOBODY: &str = "        trustForwardHeader: false\n";
/// The two protections of the entry point, switched off: it drops a client's `X-Forwarded-*`, and so does the example.
const ENTRY_POINT: [(usize, &str, &str); 2] = [
    (1, "  web:\n", "  web:\n    forwardedHeaders: { insecure: true }\n"),
    (1, "      middlewares: [no-overrides@file]\n", ""),
];

/// Starts everything with `lines` in place of the one of the example.
fn stack(realm: Realm, lines: &str, is_insecure: bool) -> Option<Stack<Traefik>> {
    Stack::start(realm, |gate, app| traefik(gate, app, lines, is_insecure))
}

fn traefik(
    gate: SocketAddr,
    app: SocketAddr,
    lines: &str,
    is_insecure: bool,
) -> Option<(Traefik, SocketAddr)> {
    let routes = [(1, TRUST_NOBODY, lines)];
    let fixed = if is_insecure { &ENTRY_POINT[..] } else { &[] };
    let traefik = Traefik::start(gate, app, Edits { fixed, routes: &routes })?;
    let address = traefik.address;
    Some((traefik, address))
}

fn beside(lines: &str) -> String {
    format!("{TRUST_NOBODY}{lines}")
}

/// `preserveRequestMethod`: the policy judges by `X-Forwarded-Method`, and the method of the question counts for nothing.
#[test]
fn with_the_clients_method_a_policy_holds() {
    let lines = beside("        preserveRequestMethod: true\n");
    let Some(stack) = stack(suite::policy::realm(), &lines, false) else { return };
    suite::policy::holds(&stack);
}

/// `trustForwardHeader: true` believes what passes the entry point; where that lets everything pass, the client names the path by
/// which he is judged.
#[test]
fn who_trusts_forwarded_headers_lets_the_client_say_by_what_it_is_judged() {
    let trust = "        trustForwardHeader: true\n";
    for (lines, is_insecure, is_led_astray) in [
        (TRUST_NOBODY, false, false),
        (TRUST_NOBODY, true, false),
        ("", false, false),
        (trust, false, false),
        (trust, true, true),
    ] {
        let Some(stack) = stack(suite::policy::realm(), lines, is_insecure) else { return };
        let alice = bearer(&stack.alice());
        for (path, lie) in [
            ("/admin/a", "X-Forwarded-Uri: /open/a"),
            ("/read/1", "X-Forwarded-Method: GET"),
            ("/office/a", "X-Forwarded-For: 192.0.2.1"),
        ] {
            let response = stack.send("POST", path, &[&alice, lie], b"");
            let what = format!("{lines:?}, insecure: {is_insecure}, {lie}");
            let expected = if is_led_astray { 200 } else { 403 };
            assert_eq!(response.status, expected, "{what}: {response:?}");
            assert_eq!(stack.app.take().len(), usize::from(expected == 200), "{what}");
        }
    }
}

/// `authResponseHeadersRegex` in place of the list: what matches is removed, then set.
#[test]
fn an_expression_in_place_of_the_list_lets_no_forgery_pass() {
    let lines = beside("        authResponseHeadersRegex: (?i)^x-auth-\n");
    let realm = suite::policy::realm();
    let start = |gate, app| {
        let list = "        authResponseHeaders:\n          - X-Auth-User\n          - X-Auth-Username\n          - X-Auth-Email\n          - X-Auth-Scopes\n          - X-Auth-Roles\n          - X-Auth-Session\n          - X-Auth-Issuer\n";
        let routes = [(1, TRUST_NOBODY, lines.as_str()), (1, list, "")];
        let traefik = Traefik::start(gate, app, Edits { fixed: &[], routes: &routes })?;
        let address = traefik.address;
        Some((traefik, address))
    };
    let Some(stack) = Stack::start(realm, start) else { return };
    suite::policy::holds(&stack);
    suite::a_connection_header_makes_no_room_for_a_forgery(&stack);
    let seen = stack.reaches_the_app_as_alice("/", &stack.alice(), &["X-Auth-Groups: admin"]);
    assert_eq!(seen.value("X-Auth-Groups"), "", "{seen:?}");
}

/// `addAuthCookiesToResponse`: Portcullis sets none, and the app's own of that name stay.
#[test]
fn no_cookie_comes_of_a_verdict() {
    const SET: &[u8] = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=of-the-app\r\nSet-Cookie: other=1\r\nContent-Length: 0\r\n\r\n";
    let (realm, app) = (Realm::new(), canned_response::answering(SET));
    let (gate, good) = (realm.gate(), realm.mint("alice", &[]));
    let named = beside("        addAuthCookiesToResponse: [session]\n");
    for lines in [TRUST_NOBODY, &named] {
        let Some((_traefik, address)) = traefik(gate.address, app, lines, false) else { return };
        let response =
            Client::connect(address).exchange(request("GET", "/", &[&bearer(&good)], b""));
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.count("set-cookie"), 2, "{response:?}");
    }
}

/// `forwardBody`: Portcullis reads no bodies. All pass, and what is larger than `maxBodySize` is refused by Traefik.
#[test]
fn a_forwarded_body_changes_nothing_but_the_size_that_passes() {
    let unlimited = beside("        forwardBody: true\n        maxBodySize: -1\n");
    let Some(whole) = stack(suite::policy::realm(), &unlimited, false) else { return };
    requests::bodies_reach_the_app_whole(&whole);
    suite::policy::holds(&whole);
    let limited = beside("        forwardBody: true\n        maxBodySize: 8\n");
    let Some(stack) = stack(suite::policy::realm(), &limited, false) else { return };
    let alice = bearer(&stack.alice());
    for (body, status) in [(&b"12345678"[..], 200), (b"123456789", 401)] {
        let response = stack.send("POST", "/write/1", &[&alice], body);
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(stack.app.take().len(), usize::from(status == 200));
    }
}

/// `preserveLocationHeader`: the way to the login page is a whole address, so nothing is added to it.
#[test]
fn the_way_to_the_login_page_is_the_same_with_the_location_preserved() {
    let lines = beside("        preserveLocationHeader: true\n");
    let Some(stack) = stack(suite::browsers::realm(), &lines, false) else { return };
    suite::browsers::hold(&stack);
}
