//! Bounds of what strangers can make the server hold: fields, heads, bodies, connections.

use std::convert::Infallible;
use std::time::Duration;

use ::http::{HeaderValue, Request, StatusCode};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use tokio::task::JoinSet;

use super::{GET, Limits, Server, TIMEOUT};
use crate::wire::networks::Networks;

fn with_fields(path: &str, fields: usize) -> Request<BoxBody<Bytes, Infallible>> {
    let uri = format!("http://a{path}");
    let mut request = Request::get(uri).body(Empty::new().boxed()).unwrap();
    for _ in 0..fields {
        request.headers_mut().append("x", HeaderValue::from_static("v"));
    }
    request
}

/// Sends 40 requests on one connection, of which 8 are refused; the others are in flight.
async fn ask_8_too_many(
    sender: &http2::SendRequest<BoxBody<Bytes, Infallible>>,
    request: impl Fn() -> Request<BoxBody<Bytes, Infallible>>,
) -> JoinSet<StatusCode> {
    let mut asking = JoinSet::new();
    for _ in 0..40 {
        let (mut sender, request) = (sender.clone(), request());
        asking.spawn(async move { sender.send_request(request).await.unwrap().status() });
    }
    for _ in 0..8 {
        let refused = asking.join_next().await.unwrap().unwrap();
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    }
    asking
}

pub(super) fn loopback() -> Networks {
    Networks::parse(&["127.0.0.0/8".to_owned()]).unwrap()
}

pub(super) fn limits_of_heads(unfinished_heads: usize) -> Limits {
    Limits { unfinished_heads, ..Limits::default() }
}

/// A head of so many bytes for this path; `end` ends it or does not.
pub(super) fn head(path: &str, bytes: usize, end: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {}{end}", "c".repeat(bytes))
}

/// Waits until a fresh connection is answered.
async fn until_answered(server: &Server, request: &str) {
    let answered = async {
        loop {
            let mut client = server.connect().await;
            client.send(request).await;
            let mut first = [0; 12];
            let read = tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut first).await;
            if read.is_ok() && first.ends_with(b"200") {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, answered).await.expect("no answer");
}

#[tokio::test]
async fn http_2_has_no_more_fields_than_http_1() {
    let server = Server::start();
    let mut sender = server.connect_http2().await;
    for (fields, expected) in [(1_024, 200), (1_025, 431), (31_000, 431), (3, 200)] {
        let answer = sender.send_request(with_fields("/headers", fields)).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{fields}");
    }
}

#[tokio::test]
async fn the_streams_of_a_connection_share_the_memory_of_heads() {
    let server = Server::start();
    let mut sender = server.connect_http2().await;
    let mut asking = ask_8_too_many(&sender, || with_fields("/hold", 1_000)).await;
    let small = sender.send_request(with_fields("/", 3)).await.unwrap();
    assert_eq!(small.status(), 200, "there is room for usual heads");
    for _ in 0..32 {
        server.hold.release.notify_one();
        assert_eq!(asking.join_next().await.unwrap().unwrap(), 200);
    }
    let again = sender.send_request(with_fields("/", 1_000)).await.unwrap();
    assert_eq!(again.status(), 200);
}

#[tokio::test]
async fn so_many_streams_of_a_connection_wait_for_a_body() {
    let server = Server::start();
    let mut sender = server.connect_http2().await;
    let endless = || {
        let never = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        Request::post("http://a/read").body(StreamBody::new(never).boxed()).unwrap()
    };
    let mut asking = ask_8_too_many(&sender, endless).await;
    assert_eq!(sender.send_request(with_fields("/", 3)).await.unwrap().status(), 200);
    asking.abort_all();
}

#[tokio::test]
async fn large_heads_share_one_budget_until_they_are_answered() {
    let limits = Limits { gateways: loopback(), ..limits_of_heads(100 << 10) };
    let server = Server::with(&limits, TIMEOUT);
    let mut held = server.hold_with(&head("/hold", 60 << 10, "\r\n\r\n")).await;
    let mut late = server.connect().await;
    late.send(&head("/", 60 << 10, "")).await;
    late.assert_aborted().await;
    server.assert_alive().await;
    server.hold.release.notify_one();
    assert!(held.answer().await.ends_with("held"));
    // The first connection lives on, and what its head took is given back.
    until_answered(&server, &head("/", 60 << 10, "\r\n\r\n")).await;
    held.send(&head("/", 60 << 10, "\r\n\r\n")).await;
    assert!(held.answer().await.ends_with("hello"));
}

#[tokio::test]
async fn an_address_has_a_quarter_of_the_memory_of_heads() {
    let server = Server::with(&limits_of_heads(400 << 10), TIMEOUT);
    let mut held = server.hold_with(&head("/hold", 60 << 10, "\r\n\r\n")).await;
    let mut late = server.connect().await;
    late.send(&head("/", 60 << 10, "")).await;
    late.assert_aborted().await;
    let mut other = server.connect_from([127, 0, 0, 2]).await;
    other.send(&head("/", 60 << 10, "\r\n\r\n")).await;
    assert!(other.answer().await.ends_with("hello"), "another address has its own share");
    server.hold.release.notify_one();
    assert!(held.answer().await.ends_with("held"));
}

#[tokio::test]
async fn an_unfinished_http_2_head_counts_by_what_its_fields_take() {
    let limits = limits_of_heads(4 << 20);
    let server = Server::with(&limits, TIMEOUT);
    for (fields, is_aborted) in [(4_000_usize, false), (9_000, true)] {
        let mut client = server.connect().await;
        let [.., a, b, c] = fields.to_be_bytes();
        // "accept-encoding: gzip, deflate" as one byte each, in HEADERS without END_HEADERS; PING.
        let opening = [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
            &[a, b, c, 1, 0, 0, 0, 0, 1],
            &vec![0x90; fields],
        ]
        .concat();
        tokio::io::AsyncWriteExt::write_all(&mut client.0, &opening).await.unwrap();
        let mut answer = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut client.0, &mut answer);
        let limit = if is_aborted { TIMEOUT } else { Duration::from_millis(50) };
        let ended = tokio::time::timeout(limit, reading).await;
        assert_eq!(ended.is_ok(), is_aborted, "{fields}");
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_unless_it_is_a_listed_gateways() {
    let limits = Limits { max_per_address: 2, ..Limits::default() };
    let server = Server::with(&limits, TIMEOUT);
    let (first, _second) = (server.connect().await, server.connect().await);
    server.connect().await.assert_aborted().await;
    drop(first);
    until_answered(&server, GET).await;
    let server = Server::with(&Limits { gateways: loopback(), ..limits }, TIMEOUT);
    let _open = [server.connect().await, server.connect().await, server.connect().await];
    server.assert_alive().await;
}
