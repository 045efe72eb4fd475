//! `ext_authz` over gRPC: real Envoy with examples/envoy/envoy-grpc.yaml, and clients of gRPC behind it.

mod bounds;
mod calls;
mod service;

use crate::gateway::promises;
use crate::support::{
    app::App,
    envoy::{Edits, Envoy, Protocol},
    free_address,
    http::{self, bearer},
    realm::Realm,
    suite::{self, Stack, requests},
};

/// Headers as texts instead of bytes, as a gateway sends them that has no such setting.
const AS_TEXTS: Edits<'static> = &[(1, "encode_raw_headers: true", "encode_raw_headers: false")];

/// The realm with the listener, and its address.
fn listening(realm: Realm) -> (Realm, std::net::SocketAddr) {
    let address = free_address();
    (realm.with("EXT_AUTHZ_LISTEN", &address.to_string()), address)
}

fn stack_with(realm: Realm, edits: Edits<'_>) -> Option<Stack<Envoy>> {
    let (realm, asked) = listening(realm);
    Stack::start(realm, |_, app| {
        let envoy = Envoy::start(Protocol::Grpc, asked, app, edits)?;
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
    for edits in [&[][..], AS_TEXTS] {
        holds(
            edits,
            &[
                suite::only_a_good_token_gets_in,
                suite::no_bad_token_gets_in,
                requests::two_authorization_lines_are_refused,
            ],
        );
    }
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
    for edits in [&[][..], AS_TEXTS] {
        let Some(stack) = stack_with(suite::policy::realm(), edits) else { return };
        suite::policy::holds(&stack);
    }
}

#[test]
fn whoever_opens_a_page_is_led_to_the_login_page() {
    let Some(stack) = stack_with(suite::browsers::realm(), &[]) else { return };
    suite::browsers::hold(&stack);
}

/// The answer itself removes what an app could take for an identity; the filter of the example would do it too.
#[test]
fn a_forged_identity_is_removed_without_the_first_filter() {
    let edits = [
        (1, "regex: \"x[^a-z0-9]auth[^a-z0-9].*\"", "regex: nothing"),
        (
            1,
            "headers_with_underscores_action: DROP_HEADER",
            "headers_with_underscores_action: ALLOW",
        ),
    ];
    let Some(stack) = stack_with(Realm::new(), &edits) else { return };
    let good = stack.alice();
    for name in
        ["X-Auth-User", "X_Auth_User", "x_auth-user", "X.Auth.User", "X-Auth_Email", "X~Auth~Roles"]
    {
        let line = format!("{name}: root");
        let seen = stack.reaches_the_app_as_alice("/", &good, &[&line, &line]);
        assert!(!format!("{seen:?}").contains("root"), "{line}: {seen:?}");
    }
}

#[test]
fn a_denial_is_shown_as_the_gate_wrote_it() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let response = stack.get("/users/1", &stack.alice());
    assert_eq!(response.status, 403);
    assert_eq!(response.json()["error"], "insufficient_scope");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert!(response.header("location").is_none(), "{response:?}");
    let logged = format!("request_id=\"{}\"", response.header("x-request-id").expect("an id"));
    stack.gate.wait_for_log(&logged);
    assert!(stack.gate.log().contains("entry_point=\"ext_authz\""), "{}", stack.gate.log());
}

#[test]
fn the_gateway_learns_who_it_was() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    assert_eq!(stack.get("/", &stack.alice()).status, 200);
    let told = || stack.gateway.log().contains(" alice\n").then_some(());
    crate::support::poll("alice in Envoy's access log", crate::support::PATIENCE, told);
}

#[test]
fn a_dead_gate_lets_nobody_in() {
    let Some(mut stack) = stack_with(Realm::new(), &[]) else { return };
    suite::a_dead_gate_lets_nobody_in(&mut stack);
}

/// The lines of the README by which Envoy shows a secret, over both protocols; a client's own is not taken for it.
#[test]
fn envoy_proves_itself_by_a_secret() {
    const SECRET: &str = "the-secret-of-the-gateway-in-32-bytes";
    let header = format!("[{{ key: x-portcullis-gateway, value: {SECRET} }}]");
    let by_http = format!(
        "path_prefix: /validate_request/envoy\n                authorization_request: {{ headers_to_add: {header} }}\n"
    );
    let by_grpc = format!(
        "envoy_grpc: {{ cluster_name: portcullis }}\n                initial_metadata: {header}\n"
    );
    let (realm, asked) = listening(Realm::new().with("GATEWAY_SECRET", SECRET));
    let (gate, good, app) = (realm.gate(), bearer(&realm.mint("alice", &[])), App::start());
    for (protocol, asked, from, to) in [
        (Protocol::Http, gate.address, "path_prefix: /validate_request/envoy\n", &by_http),
        (Protocol::Grpc, asked, "envoy_grpc: { cluster_name: portcullis }\n", &by_grpc),
    ] {
        for (edits, expected) in [(&[][..], 403), (&[(1, from, to.as_str())], 200)] {
            let envoy = Envoy::start(protocol, asked, app.address, edits);
            let Some(envoy) = envoy else { return };
            let claimed = format!("X-Portcullis-Gateway: {SECRET}");
            let response = http::get(envoy.address, "/", &[&good, &claimed]);
            assert_eq!(response.status, expected, "{protocol:?} {edits:?}: {response:?}");
        }
    }
}

/// A route that asks for what the gate does not know is closed.
#[test]
fn a_misspelt_demand_lets_nobody_in() {
    let edits = [(
        1,
        "context_extensions: { scope: \"user:write\" }",
        "context_extensions: { scop: \"a\" }",
    )];
    let Some(stack) = stack_with(Realm::new(), &edits) else { return };
    let writer = stack.realm.mint("bob", &["--scope", "user:read user:write"]);
    stack.is_denied("scop", &stack.get("/users/1", &writer), 403);
    let response = stack.send("GET", "/", &[&bearer(&writer), "scope: a"], b"");
    assert_eq!(response.status, 200, "a header demands nothing");
}
