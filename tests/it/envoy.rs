//! Real Envoy that asks over HTTP, with examples/envoy/envoy-http.yaml. Its promises over gRPC are in `ext_authz.rs`.

use std::net::SocketAddr;

use crate::gateway::{promises, promises_of_demo};
use crate::support::{
    app::App,
    demo::{self, Demo},
    envoy::{Edits, Envoy, Protocol},
    http::bearer,
    realm::Realm,
    suite::{self, Stack, requests},
};

/// Each client header goes to the gate.
const ALL_HEADERS_PASSED: Edits<'static> =
    &[(1, "- { exact: cookie }", "- { safe_regex: { regex: .* } }")];

fn stack_with(realm: Realm, edits: Edits<'_>) -> Option<Stack<Envoy>> {
    Stack::start(realm, |gate, app| {
        let envoy = Envoy::start(Protocol::Http, gate, app, edits)?;
        let address = envoy.address;
        Some((envoy, address))
    })
}

fn holds(edits: Edits<'_>, promises: &[fn(&Stack<Envoy>)]) {
    let Some(stack) = stack_with(Realm::new(), edits) else { return };
    promises.iter().for_each(|promise| promise(&stack));
}

#[test]
fn only_a_good_token_gets_in() {
    holds(
        &[],
        &[
            suite::only_a_good_token_gets_in,
            suite::no_bad_token_gets_in,
            requests::two_authorization_lines_are_refused,
        ],
    );
}

promises! {
    a_revoked_session_is_over: suite::a_revoked_session_is_over;
    many_at_once_keep_their_identities: requests::many_at_once_keep_their_identities;
    a_route_asks_for_its_scope: suite::no_way_leads_around_a_scope;
    a_forged_identity_never_reaches_the_app: suite::nothing_forged_reaches_the_app;
    no_claim_breaks_out_of_its_header: suite::an_identity_arrives_whole_and_alone;
    odd_and_large_requests_are_no_error: requests::odd_and_large_requests_are_no_error;
}

#[test]
fn a_policy_holds() {
    for edits in [&[][..], ALL_HEADERS_PASSED] {
        let Some(stack) = stack_with(suite::policy::realm(), edits) else { return };
        suite::policy::holds(&stack);
    }
}

#[test]
fn whoever_opens_a_page_is_led_to_the_login_page() {
    for edits in [&[][..], ALL_HEADERS_PASSED] {
        let Some(stack) = stack_with(suite::browsers::realm(), edits) else { return };
        suite::browsers::hold(&stack);
    }
}

#[test]
fn with_all_client_headers_passed_on_nothing_changes() {
    holds(
        ALL_HEADERS_PASSED,
        &[
            suite::only_a_good_token_gets_in,
            requests::bodies_reach_the_app_whole,
            requests::conditions_and_ranges_do_not_change_the_verdict,
            suite::a_forged_identity_never_reaches_the_app,
            requests::a_clients_word_on_the_request_is_not_believed,
        ],
    );
}

#[test]
fn the_connections_to_the_gate_are_kept() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let before = stack.relay.accepted();
    requests::one_connection_carries_twenty_requests(&stack);
    let opened = stack.relay.accepted() - before;
    assert!(opened <= 2, "{opened} connections for twenty questions");
}

/// The reason for the line in the example: without it the test of forgeries would find one.
#[test]
fn without_the_first_filter_an_alias_would_reach_the_app() {
    let edits = [(1, "regex: \"x[^a-z0-9]auth[^a-z0-9].*\"", "regex: nothing")];
    let Some(stack) = stack_with(Realm::new(), &edits) else { return };
    let good = stack.alice();
    let response = stack.send("GET", "/", &[&bearer(&good), "X.Auth.User: root"], b"");
    assert_eq!(response.status, 200);
    let seen = stack.app.take_one();
    let mut users = seen.values("X-Auth-User");
    users.sort_unstable();
    assert_eq!(users, ["alice", "root"]);
}

#[test]
fn a_denial_is_shown_as_the_gate_wrote_it() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let response = stack.get("/users/1", &stack.alice());
    assert_eq!(response.status, 403);
    assert_eq!(response.json()["error"], "insufficient_scope");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert!(response.header("location").is_none(), "{response:?}");
}

/// `path_prefix` with another path than that of the question, or a port that answers no such question.
#[test]
fn a_question_at_another_path_lets_nobody_in() {
    let (realm, app) = (Realm::new(), App::start());
    let (gate, good) = (realm.gate(), realm.mint("alice", &[]));
    for (asked, path) in [
        (gate.address, "/"),
        (gate.address, "/validate_request"),
        (gate.address, "/validate_request/caddy"),
        (gate.address, "/health"),
        (gate.metrics, "/ready"),
        (gate.metrics, "/"),
    ] {
        let to = format!("path_prefix: {path}\n");
        let edits = [(1, "path_prefix: /validate_request/envoy\n", to.as_str())];
        let envoy = Envoy::start(Protocol::Http, asked, app.address, &edits);
        let Some(envoy) = envoy else { return };
        suite::nobody_gets_in(&to, envoy.address, &app, &good);
    }
    gate.wait_for_log("/validate_request/envoy (envoy)");
}

#[test]
fn a_dead_gate_lets_nobody_in() {
    let Some(mut stack) = stack_with(Realm::new(), &[]) else { return };
    suite::a_dead_gate_lets_nobody_in(&mut stack);
}

/// The issuer behind Envoy, as in the README: `portcullis dev` on the other side.
fn with_demo(check: impl FnOnce(SocketAddr, &App)) {
    let (demo, app) = (Demo::start(), App::start());
    let issuer = format!("port_value: {}", demo.issuer.port());
    let edits = [(1, "port_value: 8081", issuer.as_str())];
    let envoy = Envoy::start(Protocol::Http, demo.gate, app.address, &edits);
    let Some(envoy) = envoy else { return };
    app.take();
    check(envoy.address, &app);
}

promises_of_demo! { "examples/envoy/README.md", "127.0.0.1:8094" }
