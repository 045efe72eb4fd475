//! Requests of clients and gateways, and their answers.

use std::fmt::Write;

use ::http::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};

use super::{GET, Limits, Server, TIMEOUT};

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let server = Server::start();
    let mut client = server.connect().await;
    for byte in "PUT / HTTP/1.1\r\nHost: a\r\n\r\n".bytes() {
        client.send(std::str::from_utf8(&[byte]).unwrap()).await;
        tokio::task::yield_now().await;
    }
    assert!(client.answer().await.ends_with("hello"));
}

#[tokio::test]
async fn http_2_may_carry_as_large_a_head() {
    let server = Server::start();
    let mut sender = server.connect_http2::<Empty<Bytes>>().await;
    let mut request = Request::get("http://a/headers").body(Empty::new()).unwrap();
    for n in 0..20 {
        let value = "v".repeat(30_000).parse().unwrap();
        request
            .headers_mut()
            .insert(format!("x-{n}").parse::<::http::HeaderName>().unwrap(), value);
    }
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "20 fields, 600000 bytes");
}

#[tokio::test]
async fn head_gets_the_length_without_the_body() {
    let server = Server::start();
    let answer = server.exchange("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("content-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_announced_and_never_sent_is_not_waited_for() {
    for announced in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let server = Server::start();
        for _ in 0..2 {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{announced}\r\n\r\n");
            let answer = server.exchange(&request).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_empty_body_keeps_the_connection() {
    let server = Server::start();
    let mut client = server.connect().await;
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        assert!(!client.answer().await.contains("connection:"));
    }
}

#[tokio::test]
async fn a_large_body_that_nobody_reads_does_not_cost_the_answer() {
    let server = Server::start();
    let body = "b".repeat(1 << 20);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n";
    for _ in 0..20 {
        let answer = server.exchange(&format!("{head}{body}")).await;
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    }
    // Most clients write all of a body before they read: none of it may meet a reset.
    let mut client = server.connect().await;
    client.send(head).await;
    assert!(client.answer().await.ends_with("hello"));
    for piece in 0..64 {
        client.send(&body[piece << 14..(piece + 1) << 14]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_body_that_was_read_keeps_the_connection() {
    let server = Server::start();
    let mut client = server.connect().await;
    let body = "b".repeat(100_000);
    for _ in 0..3 {
        let head = "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
        client.send(&format!("{head}{body}")).await;
        let answer = client.answer().await;
        assert!(answer.ends_with("read 100000") && !answer.contains("connection:"), "{answer}");
    }
}

#[tokio::test]
async fn heads_as_large_as_gateways_forward_them_are_read() {
    let server = Server::start();
    let mut fields = String::new();
    for n in 0..150 {
        write!(fields, "X-Field-{n}: v\r\n").unwrap();
    }
    let cases = [
        (fields, "150 fields, 150 bytes"),
        (format!("Cookie: {}\r\n", "c".repeat(32 << 10)), "1 fields, 32768 bytes"),
        (format!("Cookie: {}\r\n", "c".repeat(60_000)).repeat(10), "10 fields, 600000 bytes"),
        ("X: v\r\n".repeat(512), "512 fields, 512 bytes"),
    ];
    for (fields, expected) in cases {
        let mut client = server.connect().await;
        client.send(&format!("GET /headers HTTP/1.1\r\n{fields}\r\n")).await;
        assert!(client.answer().await.ends_with(expected), "{expected}");
    }
}

#[tokio::test]
async fn a_head_beyond_the_limits_is_answered_431() {
    let limits = Limits { max_head_bytes: 64 << 10, ..Limits::default() };
    let server = Server::with(&limits, TIMEOUT);
    for fields in ["X: v\r\n".repeat(1_025), format!("Cookie: {}\r\n", "c".repeat(512 << 10))] {
        let answer = server.exchange(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = Server::start();
    for garbage in ["\x16\x03\x01\x02\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "GET\r\n\r\n"] {
        let answer = server.exchange(garbage).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{garbage:?}: {answer}");
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn a_panic_of_the_service_ends_its_connection_alone() {
    let server = Server::start();
    let mut other = server.connect().await;
    let mut client = server.connect().await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.assert_aborted().await;
    let mut sender = server.connect_http2::<Empty<Bytes>>().await;
    let request = Request::get("http://a/panic").body(Empty::new()).unwrap();
    assert!(sender.send_request(request).await.is_err());
    other.send(GET).await;
    assert!(other.answer().await.ends_with("hello"));
    server.shutdown.begin();
    drop((other, sender));
    assert_eq!(server.report().await.aborted, 0);
}
