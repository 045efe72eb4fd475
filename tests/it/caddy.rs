//! Real Caddy, with the file in examples/caddy.

use std::net::SocketAddr;

use crate::gateway::{promises, promises_of_demo};
use crate::support::{
    app::App,
    caddy::{Caddy, Edits},
    canned_response,
    demo::{self, Demo},
    http::{Client, bearer},
    realm::Realm,
    suite::{self, IDENTITY, Stack, requests},
};

fn stack_with(realm: Realm, edits: Edits<'_>) -> Option<Stack<Caddy>> {
    Stack::start(realm, |gate, app| {
        let caddy = Caddy::start(gate, app, edits)?;
        let address = caddy.address;
        Some((caddy, address))
    })
}

fn holds(edits: Edits<'_>, promises: &[fn(&Stack<Caddy>)]) {
    let Some(stack) = stack_with(Realm::new(), edits) else { return };
    promises.iter().for_each(|promise| promise(&stack));
}

promises! {
    only_a_good_token_gets_in: suite::only_a_good_token_gets_in;
    no_bad_token_gets_in: suite::no_bad_token_gets_in;
    two_authorization_lines_are_refused: requests::two_authorization_lines_are_refused;
    a_revoked_session_is_over: suite::a_revoked_session_is_over;
    many_at_once_keep_their_identities: requests::many_at_once_keep_their_identities;
    a_route_asks_for_its_scope: suite::no_way_leads_around_a_scope;
    a_forged_identity_never_reaches_the_app: suite::nothing_forged_reaches_the_app;
    no_claim_breaks_out_of_its_header: suite::an_identity_arrives_whole_and_alone;
    odd_and_large_requests_are_no_error: requests::odd_and_large_requests_are_no_error;
}

#[test]
fn a_policy_holds() {
    let Some(stack) = stack_with(suite::policy::realm(), &[]) else { return };
    suite::policy::holds(&stack);
}

#[test]
fn whoever_opens_a_page_is_led_to_the_login_page() {
    let Some(stack) = stack_with(suite::browsers::realm(), &[]) else { return };
    suite::browsers::hold(&stack);
}

#[test]
fn the_connections_to_the_gate_are_kept() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let before = stack.relay.accepted();
    requests::one_connection_carries_twenty_requests(&stack);
    let opened = stack.relay.accepted() - before;
    assert!(opened <= 2, "{opened} connections for twenty questions");
}

/// The client's query stays out of the question: a token in it might come to a log on the way.
#[test]
fn a_denial_is_shown_as_the_gate_wrote_it() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let reader = stack.alice();
    let response = stack.get("/users/1?scope=user:read&x", &reader);
    assert_eq!(response.status, 403);
    assert_eq!(response.json()["error"], "insufficient_scope");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert!(response.header("location").is_none(), "{response:?}");
}

/// The reasons for two lines of the example: without them the test of forgeries would find something.
#[test]
fn without_two_lines_an_alias_reaches_the_app_and_a_true_header_does_not() {
    let aliases = [(1, "\trequest_header -*~*\n", "")];
    let hops = [(1, "\t\trequest_header @no-websocket -Connection\n", "")];
    for (edits, line, expected) in [
        (&[][..], "X~Auth~User: root", &["alice"][..]),
        (&aliases[..], "X~Auth~User: root", &["alice", "root"][..]),
        (&[][..], "Connection: X-Auth-User", &["alice"][..]),
        (&hops[..], "Connection: X-Auth-User", &[][..]),
    ] {
        let Some(stack) = stack_with(Realm::new(), edits) else { return };
        let good = bearer(&stack.alice());
        assert_eq!(stack.send("GET", "/", &[&good, line], b"").status, 200);
        let seen = stack.app.take_one();
        let mut users = seen.values("X-Auth-User");
        users.sort_unstable();
        assert_eq!(users, expected, "{line}");
    }
}

/// Caddy replaces what stands in braces, in its own file and nowhere else.
#[test]
fn a_claim_in_braces_is_no_placeholder() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let claim = "email=\"{http.request.header.Authorization}{env.HOME}\"";
    let token = stack.realm.mint("alice", &["--claim", claim]);
    assert_eq!(stack.get("/", &token).status, 200);
    let email = stack.app.take_one().value("X-Auth-Email").to_owned();
    let plain = percent_encoding::percent_decode_str(&email).decode_utf8_lossy();
    assert_eq!(plain, "{http.request.header.Authorization}{env.HOME}");
}

#[test]
fn only_web_sockets_open_a_tunnel() {
    holds(&[], &[requests::only_web_sockets_open_a_tunnel]);
    let (realm, app) = (Realm::new(), canned_response::answering(requests::WEB_SOCKET_OPENED));
    let (gate, good) = (realm.gate(), realm.mint("alice", &[]));
    let Some(caddy) = Caddy::start(gate.address, app, &[]) else { return };
    requests::a_web_socket_is_opened(caddy.address, &good);
}

/// Each target that is no path, or that Caddy and an app may read in two ways.
#[test]
fn what_can_be_read_in_two_ways_is_400() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let good = bearer(&stack.alice());
    for target in [
        "/users/../public/page",
        "/users/%2e%2e/public/page",
        "/users%2f..%2fpublic/page",
        "//public/users",
        "/public//users",
        "/a/..",
        "/.?a",
        "/a%00",
        "/a;b",
        "/a%3Bb",
        "/a\\b",
        "/a%5cb",
        "/%2575sers",
        "/u%C5%BFers",
        "/to%e2%84%aaen",
        "*",
        "a:b",
        "http://gate.test/users/../public/page",
    ] {
        let response = stack.send("GET", target, &[&good], b"");
        stack.is_denied(target, &response, 400);
    }
    for path in ["/a.b/..c?x=/../;%00", "/.well-known/x", "/caf%C3%A9", "/a%20b/"] {
        assert_eq!(stack.send("GET", path, &[&good], b"").status, 200, "{path}");
        assert_eq!(stack.app.take_one().target, path);
    }
}

/// A path at which no question is answered, and another listener.
#[test]
fn a_question_at_another_path_lets_nobody_in() {
    let (realm, app) = (Realm::new(), App::start());
    let (gate, good) = (realm.gate(), realm.mint("alice", &[]));
    for (asked, path) in [
        (gate.address, "/"),
        (gate.address, "/health"),
        (gate.address, "/validate_request/"),
        (gate.address, "/validate_request/caddy,role=admin"),
        (gate.metrics, "/ready"),
        (gate.metrics, "/"),
    ] {
        let (from, to) =
            ("import portcullis /validate_request/caddy\n", format!("import portcullis {path}\n"));
        let Some(caddy) = Caddy::start(asked, app.address, &[(2, from, &to)]) else { return };
        suite::nobody_gets_in(&to, caddy.address, &app, &good);
    }
    gate.wait_for_log("/validate_request/caddy");
}

#[test]
fn a_dead_gate_lets_nobody_in() {
    let Some(mut stack) = stack_with(Realm::new(), &[]) else { return };
    suite::a_dead_gate_lets_nobody_in(&mut stack);
}

/// The app of the example shows whose request it is; nothing else is between it and Caddy.
#[test]
fn the_stand_in_shows_the_identity() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let shown = Client::connect(stack.gateway.stand_in)
        .exchange("GET /a?b HTTP/1.1\r\nHost: a.test\r\nX-Auth-User: alice\r\n\r\n");
    assert_eq!(shown.status, 200, "{shown:?}");
    let text = shown.text();
    assert!(text.starts_with("GET /a?b\nuser: alice\nusername: \n"), "{text:?}");
    assert_eq!(text.lines().count(), 1 + IDENTITY.len(), "{text:?}");
}

/// The issuer behind Caddy, as in the README: `portcullis dev` on the other side.
fn with_demo(check: impl FnOnce(SocketAddr, &App)) {
    let (demo, app) = (Demo::start(), App::start());
    let issuer = format!("reverse_proxy {}", demo.issuer);
    let edits = [(1, "reverse_proxy 127.0.0.1:8081", issuer.as_str())];
    let Some(caddy) = Caddy::start(demo.gate, app.address, &edits) else { return };
    check(caddy.address, &app);
}

promises_of_demo! { "examples/caddy/README.md", "127.0.0.1:8092" }
