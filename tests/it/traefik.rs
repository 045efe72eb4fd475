//! Real Traefik, with the files in examples/traefik.

use std::net::SocketAddr;

use crate::gateway::{promises, promises_of_demo};
use crate::support::{
    app::App,
    demo::{self, Demo},
    http::bearer,
    realm::Realm,
    suite::{self, Stack, requests},
    traefik::{Edits, Traefik},
};

/// Each client header goes to the gate: Traefik's own default.
const ALL_HEADERS_PASSED: Edits<'static> = Edits {
    fixed: &[],
    routes: &[(
        1,
        "        authRequestHeaders: [Authorization, Cookie, X-Api-Key, DPoP, X-Request-Id, Origin, Access-Control-Request-Method, Accept, Content-Type, Sec-Fetch-Mode, Sec-Fetch-Dest, X-Requested-With, User-Agent, Sec-WebSocket-Version, Sec-WebSocket-Protocol]\n",
        "",
    )],
};

/// The client's method instead of GET.
const METHOD_PRESERVED: Edits<'static> = Edits {
    fixed: &[],
    routes: &[(
        1,
        "        trustForwardHeader: false\n",
        "        trustForwardHeader: false\n        preserveRequestMethod: true\n",
    )],
};

/// The way in which Traefik treats `X_Auth_User` where nobody says otherwise.
const ALIASES_KEPT: Edits<'static> = Edits {
    fixed: &[(1, "aliasHeadersStrategy: delete", "aliasHeadersStrategy: keep")],
    routes: &[],
};

fn stack_with(realm: Realm, edits: Edits<'_>) -> Option<Stack<Traefik>> {
    Stack::start(realm, |gate, app| {
        let traefik = Traefik::start(gate, app, edits)?;
        let address = traefik.address;
        Some((traefik, address))
    })
}

fn holds(edits: Edits<'_>, promises: &[fn(&Stack<Traefik>)]) {
    let Some(stack) = stack_with(Realm::new(), edits) else { return };
    promises.iter().for_each(|promise| promise(&stack));
}

#[test]
fn only_a_good_token_gets_in() {
    holds(
        Edits::default(),
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
    for edits in [Edits::default(), ALL_HEADERS_PASSED] {
        let Some(stack) = stack_with(suite::policy::realm(), edits) else { return };
        suite::policy::holds(&stack);
    }
}

#[test]
fn whoever_opens_a_page_is_led_to_the_login_page() {
    for edits in [Edits::default(), ALL_HEADERS_PASSED] {
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
            requests::many_and_large_headers_are_no_error,
            suite::a_forged_identity_never_reaches_the_app,
            requests::a_clients_word_on_the_request_is_not_believed,
        ],
    );
}

#[test]
fn with_the_clients_method_nothing_changes() {
    holds(
        METHOD_PRESERVED,
        &[suite::only_a_good_token_gets_in, requests::bodies_reach_the_app_whole],
    );
}

#[test]
fn the_connections_to_the_gate_are_kept() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let before = stack.relay.accepted();
    requests::one_connection_carries_twenty_requests(&stack);
    let opened = stack.relay.accepted() - before;
    assert!(opened <= 2, "{opened} connections for twenty questions");
}

/// The reason for the line in the example: without it the test of forgeries would find one.
#[test]
fn without_the_strategy_an_alias_would_reach_the_app() {
    let Some(stack) = stack_with(Realm::new(), ALIASES_KEPT) else { return };
    let good = stack.alice();
    let response = stack.send("GET", "/", &[&bearer(&good), "X_Auth_User: root"], b"");
    assert_eq!(response.status, 200);
    let mut users = stack
        .app
        .take_one()
        .values("X-Auth-User")
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    users.sort();
    assert_eq!(users, ["alice", "root"]);
}

#[test]
fn a_denial_is_shown_as_the_gate_wrote_it() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let reader = stack.alice();
    let response = stack.get("/users/1", &reader);
    assert_eq!(response.status, 403);
    assert_eq!(response.json()["error"], "insufficient_scope");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert!(response.header("location").is_none(), "{response:?}");
}

/// `address` with another path than that of the question, or to another listener.
#[test]
fn a_question_at_another_path_lets_nobody_in() {
    let (realm, app) = (Realm::new(), App::start());
    let (gate, good) = (realm.gate(), realm.mint("alice", &[]));
    for (asked, path) in [
        (gate.address, ""),
        (gate.address, "/"),
        (gate.address, "/health"),
        (gate.address, "/ready"),
        (gate.metrics, "/ready"),
        (gate.metrics, ""),
    ] {
        let from = format!("address: http://{asked}/validate_request/traefik\n");
        let to = format!("address: http://{asked}{path}\n");
        let routes = [(1, from.as_str(), to.as_str())];
        let edits = Edits { fixed: &[], routes: &routes };
        let Some(traefik) = Traefik::start(asked, app.address, edits) else { return };
        suite::nobody_gets_in(&to, traefik.address, &app, &good);
    }
    gate.wait_for_log("/validate_request/traefik (traefik)");
}

#[test]
fn a_dead_gate_lets_nobody_in() {
    let Some(mut stack) = stack_with(Realm::new(), Edits::default()) else { return };
    suite::a_dead_gate_lets_nobody_in(&mut stack);
}

#[test]
fn the_lines_of_the_readme_hold_what_they_say() {
    let traefik = |gate, app| {
        let traefik = Traefik::start_by_readme(gate, app)?;
        let address = traefik.address;
        Some((traefik, address))
    };
    let Some(stack) = Stack::start(suite::policy::realm().with("ACCEPT_API_KEYS", "true"), traefik)
    else {
        return;
    };
    suite::policy::the_least_configuration_holds(&stack);
    let Some(stack) = Stack::start(Realm::new(), traefik) else { return };
    suite::the_least_configuration_holds(&stack);
}

/// The issuer behind Traefik, as in the README: `portcullis dev` on the other side.
fn with_demo(check: impl FnOnce(SocketAddr, &App)) {
    let (demo, app) = (Demo::start(), App::start());
    let issuer = format!("url: http://{}", demo.issuer);
    let routes = [(1, "url: http://127.0.0.1:8081", issuer.as_str())];
    let edits = Edits { fixed: &[], routes: &routes };
    let Some(traefik) = Traefik::start(demo.gate, app.address, edits) else { return };
    app.take();
    check(traefik.address, &app);
}

promises_of_demo! { "examples/traefik/README.md", "127.0.0.1:8090" }
