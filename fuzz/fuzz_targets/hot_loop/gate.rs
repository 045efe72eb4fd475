//! The gate itself, in the state that it has with the default settings, a store in memory and a key of this file.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use portcullis::app::App;
use portcullis::clock::{ManualClock, UnixTime};
use portcullis::config::{Config, Sources};
use portcullis::gate::gateway_proof::Peer;
use portcullis::gate::service::GateService;
use portcullis::secret::fingerprint::Fingerprint;
use portcullis::secret::{Random, RandomFailed};
use portcullis::server::HeadService;
use portcullis::wire::connection::Connection;
use portcullis::wire::request_head::RequestHead;
use portcullis::wire::whole_head::WholeHead;

use crate::pair::Pair;

/// The time at which the token of the seeds is good.
const NOW: u64 = 1_800_000_000;

const SETTINGS: [(&str, &str); 6] = [
    ("ALGORITHM", "HS256"),
    ("SECRET_KEY", "a secret of the fuzz target, thirty-two bytes or more"),
    ("ISSUER", "fuzz"),
    ("DB_URL", "memory:"),
    ("ACCESS_LOG", "off"),
    ("TOKEN_COOKIE", "session"),
];

/// Seeds that are let in: were they not, only denials would be compared.
const GOOD: &[u8] = include_bytes!("../../seeds/hot_loop/good_token");
const NGINX: &[u8] = include_bytes!("../../seeds/hot_loop/nginx");

/// Starts the servers.
pub async fn start() -> Pair {
    let environment = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let sources = Sources { environment: environment.into(), ..Sources::default() };
    let config = Config::load(&sources).expect("good settings");
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
    let app = App::build(&config, clock, Arc::new(Same)).await.expect("a gate");
    let service = app.service;
    let heads = Heads(Arc::clone(&service));
    let (deciding, asked) = (Arc::clone(&service), Arc::clone(&service));
    let pair = Pair::start("gate", heads, move |connection, request: Request<Incoming>| {
        let service = Arc::clone(&service);
        async move { service.answer(peer(connection), request).await }
    });
    // A client that goes away before a decision is answered by the loop, and not by hyper.
    let pair = pair.waiting_while(move || deciding.gate().decisions().in_flight() > 0);
    for head in [GOOD, NGINX] {
        for answer in pair.answers(&[head]).await {
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
        }
    }
    let other_id =
        String::from_utf8_lossy(NGINX).replace("X-Request-Id: abc", "X-Request-Id: other");
    let head = WholeHead::of(other_id.as_bytes()).expect("a head");
    let known = asked.head_fingerprint(peer(Connection::accepted(None)), &head);
    let is_known =
        known.is_some_and(|known| asked.answer_head_again(known, head.id, &mut Vec::new()));
    assert!(is_known && head.id == Some("other"), "the head of nginx was not remembered");
    pair
}

fn peer(connection: Connection) -> Peer {
    Peer::new(connection, false)
}

#[derive(Clone)]
struct Heads(Arc<GateService>);

impl HeadService for Heads {
    fn fingerprint(&self, connection: Connection, head: &WholeHead<'_>) -> Option<Fingerprint> {
        self.0.head_fingerprint(peer(connection), head)
    }

    fn answer_again(&self, head: Fingerprint, id: Option<&str>, out: &mut Vec<u8>) -> bool {
        self.0.answer_head_again(head, id, out)
    }

    fn answer_now(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        fingerprint: Option<Fingerprint>,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        self.0.answer_head_now(peer(connection), head, fingerprint, out)
    }

    async fn answer(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        self.0.answer_head(peer(connection), head, out).await
    }
}

/// The ids of requests are the same in both servers.
#[derive(Debug)]
struct Same;

impl Random for Same {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        bytes.fill(7);
        Ok(())
    }
}
