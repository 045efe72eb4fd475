//! Methods, versions, lengths and bodies: where one request ends and the next begins.

use std::{io::Write as _, net::TcpStream};

use super::{Edge, PATH, is_no, is_yes};
use crate::support::{
    h2c,
    http::{Client, Response, bearer, request},
    realm::Realm,
};

#[test]
fn any_method_may_ask() {
    let edge = Edge::start(Realm::new());
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW"]
    {
        for path in [PATH, "/validate_request/traefik"] {
            is_yes(&edge.connect().exchange(request(method, path, &[&bearer(&edge.good)], b"")));
            is_no(method, &edge.connect().exchange(request(method, path, &[], b"")));
        }
    }
    let mut client = edge.connect();
    for _ in 0..3 {
        // What follows the head must be the next answer, so HEAD may not bring a body.
        is_yes(&client.exchange_head(request("HEAD", PATH, &[&bearer(&edge.good)], b"")));
        is_no(
            "HEAD",
            &client.exchange_head(request("HEAD", "/validate_request/traefik", &[], b"")),
        );
    }
    is_yes(&client.exchange(request("GET", PATH, &[&bearer(&edge.good)], b"")));
}

#[test]
fn a_length_without_a_body_is_answered_at_once_and_the_next_request_is_read_as_one() {
    let edge = Edge::start(Realm::new());
    let credential = bearer(&edge.good);
    for (method, length) in
        [("GET", 100), ("GET", 1), ("GET", 1_000_000_000), ("POST", 100), ("HEAD", 7)]
    {
        let length = format!("Content-Length: {length}");
        let bytes = request(method, PATH, &[&credential, &length], b"");
        let mut client = edge.connect();
        // The body never comes: an answer that waited for it would never come either.
        let response =
            if method == "HEAD" { client.exchange_head(bytes) } else { client.exchange(bytes) };
        is_yes(&response);
        next_is_an_answer_or_the_end(&mut client, &response, &edge);
    }
}

#[test]
fn a_body_is_never_read_as_the_next_request() {
    let edge = Edge::start(Realm::new());
    let hidden = request("GET", "/hidden", &[], b"");
    let chunked = format!(
        "POST {PATH} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        hidden.len()
    );
    let chunked = [chunked.as_bytes(), &hidden, b"\r\n0\r\n\r\n"].concat();
    for bytes in [request("POST", PATH, &[], &hidden), request("GET", PATH, &[], &hidden), chunked]
    {
        let mut client = edge.connect();
        let response = client.exchange(bytes);
        is_no("a body", &response);
        next_is_an_answer_or_the_end(&mut client, &response, &edge);
    }
    for smuggled in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: -1",
        "Transfer-Encoding: chunked, identity",
    ] {
        let mut client = edge.connect();
        client.send(format!("POST {PATH} HTTP/1.1\r\nHost: a\r\n{smuggled}\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.read();
        assert!(matches!(response.status, 400 | 401), "{smuggled}: {response:?}");
        assert!(client.is_closed(), "{smuggled}: the connection goes on");
    }
}

/// Either the gate said that it closes, and does, or the next request gets its own answer.
fn next_is_an_answer_or_the_end(client: &mut Client, response: &Response, edge: &Edge) {
    if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        assert!(client.is_closed(), "it said close and went on");
    } else {
        is_yes(&client.exchange(request("GET", PATH, &[&bearer(&edge.good)], b"")));
    }
}

#[test]
fn http_1_0_is_served_with_and_without_keep_alive() {
    let edge = Edge::start(Realm::new());
    let credential = bearer(&edge.good);
    let mut client = edge.connect();
    is_yes(&client.exchange(format!("GET {PATH} HTTP/1.0\r\n{credential}\r\n\r\n")));
    assert!(client.is_closed(), "HTTP/1.0 ends with its answer");
    is_no("HTTP/1.0", &edge.connect().exchange(format!("GET {PATH} HTTP/1.0\r\n\r\n")));
    let kept = format!("GET {PATH} HTTP/1.0\r\nConnection: keep-alive\r\n{credential}\r\n\r\n");
    let mut client = edge.connect();
    let response = client.exchange(&kept);
    is_yes(&response);
    if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")) {
        is_yes(&client.exchange(&kept));
    } else {
        assert!(client.is_closed(), "neither kept nor closed");
    }
}

#[test]
fn http_2_gives_the_same_verdicts() {
    let edge = Edge::start(Realm::new());
    let credential = format!("Bearer {}", edge.good);
    let (status, headers) = h2c::get(
        edge.gate.address,
        PATH,
        &[("authorization", &credential), ("x-auth-user", "root")],
    );
    assert_eq!(status, 200);
    let users: Vec<_> = headers.get_all("x-auth-user").iter().collect();
    assert_eq!(users, ["alice"]);
    assert_eq!(headers["cache-control"], "no-store");
    for headers in [
        &[][..],
        &[("authorization", "Bearer rubbish")],
        &[("authorization", &credential), ("authorization", &credential)],
    ] {
        let (status, answer) = h2c::get(edge.gate.address, PATH, headers);
        assert_eq!(status, 401, "{} credentials", headers.len());
        assert!(
            answer.contains_key("www-authenticate") && !answer.contains_key("x-auth-user"),
            "{answer:?}"
        );
    }
}

#[test]
fn requests_in_one_packet_are_answered_in_turn() {
    let edge = Edge::start(Realm::new());
    let (yes, no) =
        (request("GET", PATH, &[&bearer(&edge.good)], b""), request("GET", PATH, &[], b""));
    let mut client = edge.connect();
    client.send([&yes[..], &no, &yes, &no].concat());
    is_yes(&client.read());
    is_no("second", &client.read());
    is_yes(&client.read());
    is_no("fourth", &client.read());
}

#[test]
fn many_and_large_headers_are_read() {
    let edge = Edge::start(Realm::new());
    let many: Vec<String> = (0..150).map(|n| format!("X-Filler-{n}: {n}")).collect();
    let mut lines: Vec<&str> = many.iter().map(String::as_str).collect();
    let cookie = format!("Cookie: a={}", "x".repeat(60_000));
    lines.extend([cookie.as_str(), &cookie]);
    is_yes(&edge.good(PATH, &lines));
    is_no("many headers", &edge.get(PATH, &lines));
}

#[test]
fn a_stalled_connection_holds_nobody_up() {
    let edge = Edge::start(Realm::new());
    let stalled: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(edge.gate.address).expect("a connection");
            stream
                .write_all(b"GET /validate_request HTTP/1.1\r\nHost: a\r\nAuth")
                .expect("a write");
            stream
        })
        .collect();
    is_yes(&edge.good(PATH, &[]));
    drop(stalled);
}
