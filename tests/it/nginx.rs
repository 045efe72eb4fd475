//! Real nginx, with the file in examples/nginx.

use std::net::SocketAddr;

use crate::gateway::{promises, promises_of_demo};
use crate::support::{
    app::App,
    demo::{self, Demo},
    http::{Client, bearer, request},
    nginx::{Edits, Nginx},
    realm::Realm,
    suite::{self, Stack, requests},
};

/// Each client header goes to the gate, as in most configurations in the field.
const ALL_HEADERS_PASSED: Edits<'static> = &[("            proxy_pass_request_headers off;\n", "")];

/// The mistake of many a tutorial: the gate gets the client's Content-Length and never the body.
const LENGTH_WITHOUT_BODY: Edits<'static> = &[
    ("            proxy_pass_request_body    off;\n", ""),
    ("            proxy_pass_request_headers off;\n", ""),
    ("            proxy_set_header Content-Length    \"\";\n", ""),
];

/// No keep-alive to the gate, and HTTP/1.0: what nginx does before 1.29.7 where nobody says otherwise.
const HTTP_1_0: Edits<'static> = &[(
    "            proxy_http_version 1.1;\n            proxy_pass_request_body    off;\n",
    "            proxy_http_version 1.0;\n            proxy_pass_request_body    off;\n",
)];

fn stack_with(realm: Realm, edits: Edits<'_>) -> Option<Stack<Nginx>> {
    Stack::start(realm, |gate, app| {
        let nginx = Nginx::start(gate, app, edits)?;
        let address = nginx.address;
        Some((nginx, address))
    })
}

/// Runs promises in front of nginx as shipped; nginx must not have complained about any answer.
fn holds(edits: Edits<'_>, promises: &[fn(&Stack<Nginx>)]) {
    let Some(stack) = stack_with(Realm::new(), edits) else { return };
    promises.iter().for_each(|promise| promise(&stack));
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

promises! {
    only_a_good_token_gets_in: suite::only_a_good_token_gets_in;
    no_bad_token_gets_in: suite::no_bad_token_gets_in;
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
        assert_eq!(stack.gateway.errors(), Vec::<String>::new());
    }
}

#[test]
fn whoever_opens_a_page_is_led_to_the_login_page() {
    for edits in [&[][..], ALL_HEADERS_PASSED] {
        let Some(stack) = stack_with(suite::browsers::realm(), edits) else { return };
        suite::browsers::hold(&stack);
        assert_eq!(stack.gateway.errors(), Vec::<String>::new());
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
            suite::a_connection_header_makes_no_room_for_a_forgery,
            requests::a_clients_word_on_the_request_is_not_believed,
            requests::an_old_client_is_served,
        ],
    );
}

#[test]
fn a_length_without_a_body_does_not_disturb_the_next_question() {
    let Some(stack) = stack_with(Realm::new(), LENGTH_WITHOUT_BODY) else { return };
    let good = stack.alice();
    let (credential, body) = (bearer(&good), vec![b'x'; 3_000]);
    let mut client = Client::connect(stack.address);
    for round in 0..10 {
        let lines: &[&str] = if round % 3 == 2 { &[] } else { &[&credential] };
        let response = client.exchange(request("POST", "/form", lines, &body));
        assert_eq!(
            response.status,
            if lines.is_empty() { 401 } else { 200 },
            "request {round}: {response:?}"
        );
        let response = client.exchange(request("GET", "/", &[&credential], b""));
        assert_eq!(response.status, 200, "after request {round}: {response:?}");
    }
    stack.app.take();
    requests::bodies_reach_the_app_whole(&stack);
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

#[test]
fn as_many_cookies_as_nginx_takes_are_no_error() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let good = stack.alice();
    let cookie = |name: &str| format!("Cookie: {name}={}", "x".repeat(60_000));
    let cookies = ["a", "b", "c"].map(cookie);
    stack.reaches_the_app_as_alice("/", &good, &cookies.each_ref().map(String::as_str));
    stack.reaches_the_app_as_alice(
        &format!("/{}", "x".repeat(60_000)),
        &good,
        &[&cookies[0], &cookies[1]],
    );
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

#[test]
fn http_1_0_to_the_gate_gives_the_same_verdicts() {
    holds(
        HTTP_1_0,
        &[
            suite::only_a_good_token_gets_in,
            suite::no_bad_token_gets_in,
            requests::bodies_reach_the_app_whole,
        ],
    );
}

#[test]
fn the_connections_to_the_gate_are_kept() {
    for (edits, kept) in [(&[][..], true), (HTTP_1_0, false)] {
        let Some(stack) = stack_with(Realm::new(), edits) else { return };
        let before = stack.relay.accepted();
        requests::one_connection_carries_twenty_requests(&stack);
        let opened = stack.relay.accepted() - before;
        // One client connection is one worker's, and that worker needs one connection.
        assert_eq!(opened, if kept { 1 } else { 20 }, "kept: {kept}");
    }
}

#[test]
fn two_authorization_lines_are_refused() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    requests::two_authorization_lines_are_refused(&stack);
}

#[test]
fn the_questions_cannot_be_asked_from_outside() {
    let Some(stack) = stack_with(Realm::new(), &[]) else { return };
    let good = stack.alice();
    for path in
        ["/_portcullis/signed-in", "/_portcullis/user-write", "/_portcullis/", "/_portcullis/none"]
    {
        assert_eq!(stack.get(path, &good).status, 404, "{path}");
    }
    assert_eq!(stack.app.take().len(), 0);
}

#[test]
fn a_token_in_a_cookie_is_found_among_others() {
    let Some(stack) = stack_with(Realm::new().with("TOKEN_COOKIE", "session"), &[]) else { return };
    let good = stack.alice();
    let cookie = format!("Cookie: a=b; session={good}; session2=x");
    assert_eq!(stack.send("GET", "/", &[&cookie], b"").status, 200);
    suite::is_alice(&stack.app.take_one(), &good);
    for cookie in [
        "Cookie: session=",
        "Cookie: session=rubbish",
        "Cookie: xsession=1",
        "Cookie: =; ;;\"",
        "Cookie: a=b",
        "Cookie: \u{fc}=\u{fc}",
    ] {
        assert_eq!(stack.send("GET", "/", &[cookie], b"").status, 401, "{cookie}");
    }
    assert_eq!(stack.app.take().len(), 0);
}

#[test]
fn the_lines_of_the_readme_hold_what_they_say() {
    let nginx = |gate, app| {
        let nginx = Nginx::start_by_readme(gate, app)?;
        let address = nginx.address;
        Some((nginx, address))
    };
    let Some(stack) = Stack::start(suite::policy::realm().with("ACCEPT_API_KEYS", "true"), nginx)
    else {
        return;
    };
    suite::policy::the_least_configuration_holds(&stack);
    let Some(stack) = Stack::start(Realm::new(), nginx) else { return };
    suite::the_least_configuration_holds(&stack);
    requests::control_characters_are_no_error(&stack);
    requests::bodies_reach_the_app_whole(&stack);
    requests::two_authorization_lines_are_refused(&stack);
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

/// `proxy_pass` with another path than that of the question, or to another listener.
#[test]
fn a_question_at_another_path_lets_nobody_in() {
    let (realm, app) = (Realm::new(), App::start());
    let (gate, good) = (realm.gate(), realm.mint("alice", &[]));
    let asked = "proxy_pass http://portcullis/validate_request;";
    let told = ["Method $request_method", "Proto  $scheme", "Host   $host", "URI    $request_uri"];
    let told =
        told.map(|line| format!("            proxy_set_header X-Original-{line};\n")).concat();
    for path in ["", "/", "/health", "/ready", "/jwks", "/validate", "/validate_request/"] {
        let to = format!("proxy_pass http://portcullis{path};");
        // As in the example, and as in configurations that tell nothing of the client's request.
        for edits in [&[(asked, to.as_str())][..], &[(asked, &to), (&told, "")]] {
            let Some(nginx) = Nginx::start(gate.address, app.address, edits) else { return };
            suite::nobody_gets_in(&to, nginx.address, &app, &good);
        }
    }
    for path in ["/", "/health", "/ready", "/metrics"] {
        let to = format!("proxy_pass http://portcullis{path};");
        let edits = [(asked, to.as_str())];
        let Some(nginx) = Nginx::start(gate.metrics, app.address, &edits) else { return };
        suite::nobody_gets_in(&format!("the metrics listener, {to}"), nginx.address, &app, &good);
    }
    gate.wait_for_log("/validate_request (nginx");
}

#[test]
fn a_dead_gate_lets_nobody_in() {
    let Some(mut stack) = stack_with(Realm::new(), &[]) else { return };
    suite::a_dead_gate_lets_nobody_in(&mut stack);
}

/// The issuer behind nginx, as in the README: `portcullis dev` on the other side.
fn with_demo(check: impl FnOnce(SocketAddr, &App)) {
    let (demo, app) = (Demo::start(), App::start());
    let issuer = format!("server {};", demo.issuer);
    let edits = [("server 127.0.0.1:8081;", issuer.as_str())];
    let Some(nginx) = Nginx::start(demo.gate, app.address, &edits) else { return };
    check(nginx.address, &app);
    assert_eq!(nginx.errors(), Vec::<String>::new());
}

promises_of_demo! { "examples/nginx/README.md", "127.0.0.1:8088" }
