//! The loop in front of hyper beside hyper alone: the same bytes, whatever comes.

use std::sync::Arc;

use ::http::{HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::memory::{head, limits_of_heads, loopback};
use super::{Client, HoldSignals, TIMEOUT};
use crate::secret::fingerprint::Fingerprint;
use crate::server::{Address, HeadService, Limits, Listeners, Shutdown};
use crate::wire::connection::Connection;
use crate::wire::http1;
use crate::wire::request_head::RequestHead;

/// Answers a head with all that was read of it.
fn echo(head: &RequestHead<'_>) -> Response<Full<Bytes>> {
    let mut fields: Vec<_> = head.fields.iter().collect();
    fields.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    let mut body = format!("{} {}\n", head.method, head.target).into_bytes();
    for (name, value) in fields {
        let line = [name.to_ascii_lowercase().as_bytes(), b": ", value.as_bytes(), b"\n"].concat();
        body.extend_from_slice(&line);
    }
    if head.method == "HEAD" || head.path() == "/empty" {
        body.clear();
    }
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert("x-answer", HeaderValue::from_static("yes"));
    if head.path() == "/denied" {
        *response.status_mut() = ::http::StatusCode::UNAUTHORIZED;
    }
    response
}

#[derive(Clone)]
struct Echo;

impl HeadService for Echo {
    fn answer_now(
        &self,
        _: Connection,
        head: &RequestHead<'_>,
        _: Option<Fingerprint>,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let is_taken = head.path() != "/elsewhere";
        if is_taken && head.target.len() % 2 == 1 {
            // As if it had to be waited for.
            return None;
        }
        if is_taken {
            http1::append_response(echo(head), head.method == "HEAD", 0, out);
        }
        Some(is_taken)
    }

    async fn answer(&self, _: Connection, head: &RequestHead<'_>, out: &mut Vec<u8>) -> bool {
        tokio::task::yield_now().await;
        let is_taken = head.path() != "/elsewhere";
        if is_taken {
            http1::append_response(echo(head), head.method == "HEAD", 0, out);
        }
        is_taken
    }
}

/// Answers once it is released, and then like `/hold` of the other tests.
#[derive(Clone)]
struct Held(Arc<HoldSignals>);

impl HeadService for Held {
    fn answer_now(
        &self,
        _: Connection,
        _: &RequestHead<'_>,
        _: Option<Fingerprint>,
        _: &mut Vec<u8>,
    ) -> Option<bool> {
        None
    }

    async fn answer(&self, _: Connection, _: &RequestHead<'_>, out: &mut Vec<u8>) -> bool {
        self.0.started.notify_one();
        self.0.release.notified().await;
        http1::append_response(Response::new(Full::from("held")), false, 0, out);
        true
    }
}

#[tokio::test]
async fn the_memory_of_a_head_is_taken_until_its_answer_was_waited_for() {
    let limits = Limits { gateways: loopback(), hot_loop: true, ..limits_of_heads(8 << 10) };
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listeners = Listeners::bind(&[any], &limits).unwrap();
    let [Address::Tcp(address)] = listeners.addresses()[..] else { panic!("one TCP address") };
    let hold = Arc::new(HoldSignals::default());
    let service = Held(Arc::clone(&hold));
    let elsewhere = async |_, _: Request<Incoming>| Response::new(Full::<Bytes>::default());
    tokio::spawn(async move {
        listeners.serve_with(Some(service), elsewhere, &Shutdown::new(TIMEOUT)).await
    });
    let mut held = Client(TcpStream::connect(address).await.unwrap());
    held.send(&head("/", 14 << 10, "\r\n\r\n")).await;
    hold.started.notified().await;
    let mut late = Client(TcpStream::connect(address).await.unwrap());
    late.send(&head("/", 14 << 10, "")).await;
    late.assert_aborted().await;
    hold.release.notify_one();
    assert!(held.answer().await.ends_with("held"));
}

/// A server with the loop, or with hyper alone.
fn start(hot_loop: bool) -> std::net::SocketAddr {
    let limits = Limits { hot_loop, ..Limits::default() };
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listeners = Listeners::bind(&[any], &limits).unwrap();
    let [Address::Tcp(address)] = listeners.addresses()[..] else { panic!("one TCP address") };
    let answer = |_, request: Request<Incoming>| async move {
        echo(&RequestHead::from(&request.into_parts().0))
    };
    tokio::spawn(
        async move { listeners.serve_with(Some(Echo), answer, &Shutdown::new(TIMEOUT)).await },
    );
    address
}

/// All that a server answers to these chunks, with nothing in place of dates.
async fn answers(address: std::net::SocketAddr, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.set_nodelay(true).unwrap();
    let mut read = Vec::new();
    for chunk in chunks {
        // A server that has closed already reads no more.
        if client.write_all(chunk).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    // The last request says that it is the last, but for what takes it for a body. Then this is the end. The clock stands
    // still while anybody has something to do, so no busy machine makes it early.
    let read_all = async {
        let _ = client.read_to_end(&mut read).await;
    };
    if timeout(std::time::Duration::from_millis(200), read_all).await.is_err() {
        let _ = client.shutdown().await;
        let _ = timeout(TIMEOUT, client.read_to_end(&mut read)).await.expect("an end");
    }
    without_dates(&read)
}

fn without_dates(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"date: ")).flatten().copied().collect()
}

const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

async fn check_alike(servers: [std::net::SocketAddr; 2], chunks: &[Vec<u8>]) {
    let [hot, plain] = servers;
    let (hot, plain) = (answers(hot, chunks).await, answers(plain, chunks).await);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let sent = text(&chunks.concat());
    assert_eq!(text(&hot), text(&plain), "sent: {sent:?}");
}

/// Requests that are odd in how they begin, end or are framed, and a few that are not.
const HEADS: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n",
    "T / HTTP/1.\u{e9}\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /empty?a=b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /empty HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /denied HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n",
    "get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET //b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\"<>^`{|}\\ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET / http/1.1\r\nHost: a\r\n\r\n",
    "GET /\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nX: a\tb \t\r\nY:\r\nZ:  \r\n\r\n",
    "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
    "GET / HTTP/1.1\r\nX: \u{e9}\r\n\r\n",
    "GET / HTTP/1.1\r\nX y: a\r\n\r\n",
    "GET / HTTP/1.1\r\n: a\r\n\r\n",
    "GET / HTTP/1.1\r\nAuthorization: a\r\nauthorization: b\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 00\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: +0\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 0x0\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 0, 0\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\ntransfer_encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
    "GET / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
    "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.1\r\nConnection: Close\r\n\r\n",
    "GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nConnection: keep-alive, close\r\n\r\n",
    "GET / HTTP/1.1\r\nConnection: authorization\r\n\r\n",
    "GET / HTTP/1.1\r\nTE: trailers\r\nTrailer: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost",
    "PRI * HTTP/2.0\r\n\r\n",
];

#[tokio::test(start_paused = true)]
async fn what_is_odd_in_a_request_is_answered_as_by_hyper_alone() {
    let servers = [start(true), start(false)];
    for head in HEADS {
        check_alike(servers, &[head.as_bytes().to_vec(), LAST.into()]).await;
        // Behind a request that was answered in the loop, in one piece and in two.
        let first = &b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"[..];
        check_alike(servers, &[[first, head.as_bytes(), LAST].concat()]).await;
        let (one, other) = head.as_bytes().split_at(head.len() / 2);
        check_alike(servers, &[[first, one].concat(), [other, LAST].concat()]).await;
    }
    // In pieces of every size, however the lines of the head end, and with nothing behind it: an end that is not
    // noticed is waited for.
    for end in ["\n\n", "\n\r\n", "\r\n\n", "\r\n\r\n"] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close{end}");
        for at in head.len() - 5..head.len() {
            let (one, other) = head.as_bytes().split_at(at);
            check_alike(servers, &[one.into(), other.into()]).await;
        }
    }
    // Empty lines behind a request, and then what is no head and has no end.
    for lines in ["\n", "\r\n", "\n\n", "\n\r\n", "\r\n\n", "\r\n\r\n", "\n\n\n\n"] {
        let first = format!("GET /first HTTP/1.1\r\nHost: a\r\n\r\n{lines}");
        check_alike(servers, &[first.into(), b"GET / HTTP/1.1\r\nHost: a\r\x08".into()]).await;
    }
    let many = "X-Many: x\r\n".repeat(100);
    let long = format!("Authorization: Bearer {}\r\n", "t".repeat(20_000));
    for lines in [many, long] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        check_alike(servers, &[head.into(), LAST.into()]).await;
    }
    let pipelined = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n".repeat(700);
    check_alike(servers, &[pipelined.into(), LAST.into()]).await;
}

/// Pieces of requests, of which some make sense in some order.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "HEAD /empty HTTP/1.1\r\n",
        "POST /denied?x HTTP/1.1\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "Host: a\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: keep-alive\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: x\r\n",
        "Authorization: Bearer a\r\n",
        "X-A: b\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        ":",
        "0\r\n\r\n",
        "4\r\nabcd\r\n",
    ]);
    prop_oneof![
        12 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_whatever_pieces_is_answered_as_by_hyper_alone(
        chunks in prop::collection::vec(prop::collection::vec(piece(), 1..8), 1..4),
    ) {
        let mut chunks: Vec<Vec<u8>> = chunks.iter().map(|pieces| pieces.concat()).collect();
        chunks.push([b"\r\n\r\n", LAST].concat());
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { check_alike([start(true), start(false)], &chunks).await });
    }
}
