//! Real HAProxy, with the configuration and the script in examples/haproxy.

use std::{net::SocketAddr, sync::atomic::Ordering};

use crate::gateway::{promises, promises_of_demo};
use crate::support::{
    app::App,
    canned_response,
    demo::{self, Demo},
    free_address,
    haproxy::{Edits, Haproxy},
    http::{Client, bearer, request},
    realm::Realm,
    suite::{self, IDENTITY, Stack, requests},
};

fn stack_with(realm: Realm, edits: Edits<'_>) -> Option<Stack<Haproxy>> {
    Stack::start(realm, |gate, app| {
        let haproxy = Haproxy::start(gate, app, edits)?;
        let address = haproxy.address;
        Some((haproxy, address))
    })
}

fn holds(edits: Edits<'_>, promises: &[fn(&Stack<Haproxy>)]) {
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
    a_forged_identity_never_reaches_the_app: suite::a_forged_identity_never_reaches_the_app;
    a_connection_header_makes_no_room_for_a_forgery:
        suite::a_connection_header_makes_no_room_for_a_forgery;
    a_clients_word_on_the_request_is_not_believed:
        requests::a_clients_word_on_the_request_is_not_believed;
    no_claim_breaks_out_of_its_header: suite::an_identity_arrives_whole_and_alone;
    odd_and_large_requests_are_no_error: requests::odd_and_large_requests_are_no_error;
}

/// In place of `requests::an_absolute_target_decides_the_host`: HAProxy refuses a request that names two hosts.
#[test]
fn an_absolute_target_with_another_host_is_refused() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let good = stack.alice();
    let of = |host: &str| {
        let credential = bearer(&good);
        format!("GET http://true.test/page HTTP/1.1\r\nHost: {host}\r\n{credential}\r\n\r\n")
    };
    let refused = Client::connect(stack.address).exchange(of("false.test"));
    stack.is_denied("two hosts", &refused, 400);
    assert_eq!(Client::connect(stack.address).exchange(of("true.test")).status, 200);
    let seen = stack.app.take_one();
    suite::is_alice(&seen, &good);
    assert_eq!((seen.target.as_str(), seen.value("Host")), ("/page", "true.test"));
}

#[test]
fn the_connections_to_the_gate_are_kept() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let before = stack.relay.accepted();
    requests::one_connection_carries_twenty_requests(&stack);
    let opened = stack.relay.accepted() - before;
    assert!(opened <= 2, "{opened} connections for twenty questions");
}

#[test]
fn a_policy_holds() {
    let Some(stack) = stack_with(suite::policy::realm(), Edits::default()) else { return };
    suite::policy::holds(&stack);
}

#[test]
fn whoever_opens_a_page_is_led_to_the_login_page() {
    let Some(stack) = stack_with(suite::browsers::realm(), Edits::default()) else { return };
    suite::browsers::hold(&stack);
}

#[test]
fn a_denial_is_shown_as_the_gate_wrote_it() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let reader = stack.alice();
    let response = stack.get("/users/1?scope=user:read&x", &reader);
    assert_eq!(response.status, 403);
    assert_eq!(response.json()["error"], "insufficient_scope");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert!(response.header("location").is_none(), "{response:?}");
}

/// A denial has a body that a HEAD must not have: the next answer would begin with it.
#[test]
fn a_denied_head_leaves_nothing_on_the_connection() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let mut client = Client::connect(stack.address);
    assert_eq!(client.exchange_head(request("HEAD", "/", &[], b"")).status, 401);
    let response = client.exchange(request("GET", "/", &[], b""));
    stack.is_denied("the next one", &response, 401);
    assert!(response.json()["error"].is_string(), "{}", response.text());
}

/// HAProxy 2.6 hands a trailer on, and has no rule for it. The README says what helps.
#[test]
fn a_trailer_stays_behind_the_body() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    for path in ["/public/page", "/"] {
        requests::send_trailer(&stack, path);
    }
}

/// HAProxy goes on to the next rule where a script fails; the rule behind it must deny.
#[test]
fn a_script_that_fails_lets_nobody_in() {
    let begin = "function(txn, url)\n    local is_judged";
    for (broken, text) in [
        ("an error", "function(txn, url)\n    error('broken')\n    local is_judged"),
        ("nothing", "function(txn, url)\n    if txn then return end\n    local is_judged"),
        ("the end", "function(txn, url)\n    core.done()\n    local is_judged"),
    ] {
        let script = [(1, begin, text)];
        let edits = Edits { script: &script, ..Edits::default() };
        let Some(stack) = stack_with(Realm::new(), edits) else { return };
        let good = bearer(&stack.alice());
        let bytes = request("GET", "/", &[&good], b"");
        stack.is_denied(broken, &Client::connect(stack.address).exchange(bytes), 503);
    }
}

/// The reason for that rule: without it a script that fails opens the door.
#[test]
fn without_the_rule_behind_it_a_script_that_fails_lets_everybody_in() {
    let rule = "    http-request deny deny_status 503 unless public || issuer || { var(txn.portcullis_allowed) -m bool }\n";
    let begin = "    local is_judged";
    let edits = Edits {
        rules: &[(1, rule, "")],
        script: &[(1, begin, "    error('broken')\n    local is_judged")],
        ..Edits::default()
    };
    let Some(stack) = stack_with(Realm::new(), edits) else { return };
    assert_eq!(stack.send("GET", "/", &[], b"").status, 200);
    assert_eq!(stack.app.take_one().value("X-Auth-User"), "");
}

/// A 200 that names no identity comes from somebody else, or from another path.
#[test]
fn a_stranger_who_says_yes_lets_nobody_in() {
    let (stranger, app) = (App::start(), App::start());
    let Some(haproxy) = Haproxy::start(stranger.address, app.address, Edits::default()) else {
        return;
    };
    suite::nobody_gets_in("a stranger", haproxy.address, &app, "rubbish");
    assert!(!stranger.take().is_empty(), "asked");
    haproxy.wait_for_log("a 200 without an identity");
}

/// The reason for a line in the example: without it the test of forgeries would find something.
#[test]
fn without_the_line_an_alias_reaches_the_app() {
    let rules = [(1, "    http-request del-header [^A-Za-z0-9-] -m reg\n", "")];
    let edits = Edits { rules: &rules, ..Edits::default() };
    let Some(stack) = stack_with(Realm::new(), edits) else { return };
    let good = bearer(&stack.alice());
    assert_eq!(stack.send("GET", "/", &[&good, "X_Auth_User: root"], b"").status, 200);
    let seen = stack.app.take_one();
    let mut users = seen.values("X-Auth-User");
    users.sort_unstable();
    assert_eq!(users, ["alice", "root"]);
}

#[test]
fn only_web_sockets_open_a_tunnel() {
    holds(Edits::default(), &[requests::only_web_sockets_open_a_tunnel]);
    let (realm, app) = (Realm::new(), canned_response::answering(requests::WEB_SOCKET_OPENED));
    let (gate, good) = (realm.gate(), realm.mint("alice", &[]));
    let Some(haproxy) = Haproxy::start(gate.address, app, Edits::default()) else { return };
    requests::a_web_socket_is_opened(haproxy.address, &good);
}

/// Each target that is no path, or that HAProxy and an app may read in two ways.
#[test]
fn what_can_be_read_in_two_ways_is_400() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
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
        "/a#b",
        "/a\\b",
        "/a%5cb",
        "/%2575sers",
        "/users/%zz",
        "/users/%2",
        "/users/%",
        "/u%C5%BFers",
        "/to%e2%84%aaen",
        "*",
        "http://gate.test",
        "http://gate.test/users/../public/page",
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let response = stack.send(method, target, &[&good], b"");
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
        (gate.address, ""),
        (gate.address, "/"),
        (gate.address, "/health"),
        (gate.address, "/validate_request/"),
        (gate.address, "/validate_request/haproxy,role=admin"),
        (gate.metrics, "/ready"),
        (gate.metrics, ""),
    ] {
        let to = format!("{path} unless");
        let rules = [(1, "/validate_request/haproxy unless", to.as_str())];
        let edits = Edits { rules: &rules, ..Edits::default() };
        let Some(haproxy) = Haproxy::start(asked, app.address, edits) else { return };
        suite::nobody_gets_in(&to, haproxy.address, &app, &good);
    }
    gate.wait_for_log("/validate_request/haproxy");
}

/// HAProxy's own client would ask four times, and leave the user waiting for all of them.
#[test]
fn a_silent_gate_is_asked_once() {
    let (gate, questions) = canned_response::silent();
    let app = App::start();
    let Some(haproxy) = Haproxy::start(gate, app.address, Edits::default()) else { return };
    let response = Client::connect(haproxy.address).exchange(request("GET", "/", &[], b""));
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.json()["error"], "unavailable");
    assert_eq!(questions.load(Ordering::Relaxed), 1, "questions");
    assert!(app.take().is_empty(), "reached the app");
}

/// As the page on several instances has it. Without it every second question would be a 503.
#[test]
fn of_several_gates_a_dead_one_is_passed_over() {
    let dead = free_address();
    let lines = format!("    retries 1\n    option redispatch\n    server dead {dead}\n");
    let rules = [(1, "    retries 0\n", lines.as_str())];
    let edits = Edits { rules: &rules, ..Edits::default() };
    let Some(stack) = stack_with(Realm::new(), edits) else { return };
    let good = stack.alice();
    for _ in 0..6 {
        stack.reaches_the_app_as_alice("/", &good, &[]);
    }
}

#[test]
fn a_dead_gate_lets_nobody_in() {
    let Some(mut stack) = stack_with(Realm::new(), Edits::default()) else { return };
    suite::a_dead_gate_lets_nobody_in(&mut stack);
    stack.gateway.wait_for_log("portcullis: ");
}

/// The app of the example shows whose request it is.
#[test]
fn the_stand_in_shows_the_identity() {
    let Some(stack) = stack_with(Realm::new(), Edits::default()) else { return };
    let shown = Client::connect(stack.gateway.stand_in)
        .exchange("GET /a?b HTTP/1.1\r\nHost: a.test\r\nX-Auth-User: alice\r\n\r\n");
    assert_eq!(shown.status, 200, "{shown:?}");
    let text = shown.text();
    assert!(text.starts_with("GET /a?b\nuser: alice\nusername: \n"), "{text:?}");
    assert_eq!(text.lines().count(), 1 + IDENTITY.len(), "{text:?}");
}

/// The issuer behind HAProxy, as in the README: `portcullis dev` on the other side.
fn with_demo(check: impl FnOnce(SocketAddr, &App)) {
    let (demo, app) = (Demo::start(), App::start());
    let issuer = format!("server issuer {}", demo.issuer);
    let rules = [(1, "server issuer 127.0.0.1:8081", issuer.as_str())];
    let edits = Edits { rules: &rules, ..Edits::default() };
    let Some(haproxy) = Haproxy::start(demo.gate, app.address, edits) else { return };
    check(haproxy.address, &app);
}

promises_of_demo! { "examples/haproxy/README.md", "127.0.0.1:8094" }
