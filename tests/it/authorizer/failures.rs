//! Answers that are no yes: of an authorizer that is broken, forged, silent, or not there.

use serde_json::json;

use super::{TOKEN, ask, decided, realm};
use crate::support::{
    PATIENCE, canned_response, free_address, poll, scripted_server::ScriptedServer,
};

/// The code by which a denial says that there was no decision.
const UNAVAILABLE: &str = "authorizer_unavailable";

#[test]
fn no_answer_that_can_be_used_is_503_and_never_a_yes() {
    let server = ScriptedServer::start();
    let realm = realm(&server.url("/decide"));
    let alice = realm.mint("alice", &[]);
    let gate = realm.gate();
    let yes = &br#"{"allow": true}"#[..];
    let huge = [&br#"{"allow": true, "x": ""#[..], &[b'x'; 70_000], b"\"}"].concat();
    let redirect = format!("Location: {}\r\n", server.url("/elsewhere"));
    for (status, lines, body) in [
        ("200 OK", "", &b""[..]),
        ("200 OK", "", b"<html>"),
        ("200 OK", "", b"true"),
        ("200 OK", "", b"[true]"),
        ("200 OK", "", b"{}"),
        ("200 OK", "", br#"{"allow": "true"}"#),
        ("200 OK", "", br#"{"allow": 1}"#),
        ("200 OK", "", br#"{"allowed": true}"#),
        ("200 OK", "", br#"{"result": true}"#),
        ("200 OK", "", br#"{"allow": false, "allow": true}"#),
        ("200 OK", "", &huge),
        ("204 No Content", "", b""),
        ("201 Created", "", yes),
        ("302 Found", &redirect, yes),
        ("307 Temporary Redirect", &redirect, yes),
        ("401 Unauthorized", "", yes),
        ("403 Forbidden", "", yes),
        ("429 Too Many Requests", "", yes),
        ("500 Internal Server Error", "", yes),
    ] {
        server.answers(status, lines, body);
        let response = ask(&gate, "GET", "/orders/1", &alice);
        assert_eq!(response.status, 503, "{status} {response:?}");
        assert!(response.text().contains(UNAVAILABLE), "{status} {}", response.text());
        assert_eq!(response.header("retry-after"), Some("1"), "{status}");
        // A circuit that failed often is open for a moment: a good answer closes it again.
        server.says(&json!({"allow": false}));
        poll("an answer", PATIENCE, || {
            (ask(&gate, "GET", "/orders/2", &alice).status == 403).then_some(())
        });
    }
    let questions = server.take();
    assert!(questions.iter().all(|it| it.starts_with("POST /decide ")), "{questions:?}");
    for cut in ["HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"allow\": true}", "", "rubbish\r\n"]
    {
        server.sends(cut.as_bytes().to_vec());
        assert_eq!(ask(&gate, "GET", "/orders/1", &alice).status, 503, "{cut}");
    }
    assert!(decided(&gate, "failed") >= 19.0);
    gate.wait_for_log("the authorizer gave no answer");
    assert!(!gate.log().contains(TOKEN), "{}", gate.log());
    assert_eq!(gate.ready().status, 200, "others may get in");
    assert_eq!(ask(&gate, "GET", "/plain/1", &alice).status, 200);
}

#[test]
fn a_silent_authorizer_costs_no_more_than_its_time_and_lets_nobody_in() {
    let (address, _) = canned_response::silent();
    let realm = realm(&format!("http://{address}/decide")).with("AUTHORIZER_TIMEOUT", "0.05");
    let alice = realm.mint("alice", &[]);
    let gate = realm.gate();
    // The gate answers by itself; without a deadline the client here would lose its patience.
    assert_eq!([(); 12].map(|()| ask(&gate, "GET", "/orders/1", &alice).status), [503; 12]);
    assert_eq!(ask(&gate, "GET", "/plain/1", &alice).status, 200);
}

#[test]
fn an_authorizer_that_is_not_there_lets_nobody_in_and_is_asked_again_when_it_is() {
    let realm = realm(&format!("http://{}/decide", free_address()));
    let alice = realm.mint("alice", &[]);
    let gate = realm.gate();
    assert_eq!([(); 12].map(|()| ask(&gate, "GET", "/orders/1", &alice).status), [503; 12]);
}

#[test]
fn an_authorizer_that_fails_is_left_alone_and_one_that_answers_something_else_is_not() {
    let server = ScriptedServer::start();
    let realm = realm(&server.url("/decide"));
    let alice = realm.mint("alice", &[]);
    let gate = realm.gate();
    server.answers("400 Bad Request", "", b"");
    assert_eq!([(); 20].map(|()| ask(&gate, "GET", "/orders/1", &alice).status), [503; 20]);
    assert_eq!(server.take().len(), 20);
    server.answers("500 Internal Server Error", "", b"");
    assert_eq!([(); 20].map(|()| ask(&gate, "GET", "/orders/1", &alice).status), [503; 20]);
    assert!(server.take().len() < 20, "it is left alone for a while");
    server.says(&json!({"allow": true}));
    poll("a yes", PATIENCE, || {
        (ask(&gate, "GET", "/orders/1", &alice).status == 200).then_some(())
    });
}

/// Open Policy Agent says nothing at all where no rule does: that is a no, and the operator is told.
#[test]
fn a_decision_that_is_undefined_is_a_no_with_a_warning() {
    let server = ScriptedServer::start();
    server.says(&json!({}));
    let realm = realm(&server.url("/v1/data/app/alow")).with("AUTHORIZER_FORMAT", "opa");
    let alice = realm.mint("alice", &[]);
    let gate = realm.gate();
    assert_eq!(ask(&gate, "GET", "/orders/1", &alice).status, 403);
    gate.wait_for_log("the authorizer has no decision, which is a no");
}
