//! Heads that come again, which a service answers before they are parsed.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Client, TIMEOUT};
use crate::secret::SystemRandom;
use crate::secret::fingerprint::{Fingerprint, FingerprintKey};
use crate::server::{Address, HeadService, Limits, Listeners, Shutdown};
use crate::wire::connection::Connection;
use crate::wire::http1;
use crate::wire::request_head::RequestHead;
use crate::wire::whole_head::WholeHead;

/// Says of a head whether one like it was answered before.
#[derive(Clone)]
struct Repeating(Arc<FingerprintKey>, Arc<Mutex<HashSet<u64>>>);

impl HeadService for Repeating {
    fn fingerprint(&self, _: Connection, head: &WholeHead<'_>) -> Option<Fingerprint> {
        Some(self.0.of_parts([0; 24], head.before_id, head.after_id))
    }

    fn answer_again(&self, head: Fingerprint, id: Option<&str>, out: &mut Vec<u8>) -> bool {
        let is_known = self.1.lock().unwrap().contains(&head.place());
        if is_known {
            let again = Full::from(format!("again {}", id.unwrap_or_default()));
            http1::append_response(Response::new(again), false, 0, out);
        }
        is_known
    }

    fn answer_now(
        &self,
        _: Connection,
        _: &RequestHead<'_>,
        fingerprint: Option<Fingerprint>,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        self.1.lock().unwrap().extend(fingerprint.map(Fingerprint::place));
        http1::append_response(Response::new(Full::from("first")), false, 0, out);
        Some(true)
    }

    async fn answer(&self, _: Connection, _: &RequestHead<'_>, _: &mut Vec<u8>) -> bool {
        false
    }
}

/// A server with that service, and how to stop it.
fn start_repeating(limits: &Limits) -> (SocketAddr, Shutdown) {
    let key = Arc::new(FingerprintKey::new(&SystemRandom).expect("randomness"));
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listeners = Listeners::bind(&[any], limits).unwrap();
    let [Address::Tcp(address)] = listeners.addresses()[..] else { panic!("one TCP address") };
    let (service, shutdown) = (Repeating(key, Arc::default()), Shutdown::new(TIMEOUT));
    let by_hyper = async |_, _: Request<Incoming>| Response::new(Full::<Bytes>::from("by hyper"));
    let handle = shutdown.clone();
    tokio::spawn(async move { listeners.serve_with(Some(service), by_hyper, &handle).await });
    (address, shutdown)
}

#[tokio::test]
async fn a_head_that_comes_again_is_answered_again_until_the_server_drains() {
    let (address, shutdown) = start_repeating(&Limits::default());
    let mut client = Client(TcpStream::connect(address).await.unwrap());
    let asked = |id: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\n\r\n");
    for (id, answer) in [("1", "first"), ("2", "again 2"), ("3", "again 3")] {
        client.send(&asked(id)).await;
        let said = client.answer().await;
        assert!(said.ends_with(answer), "{id}: {said}");
    }
    // Several at once are each parsed, and of two ids none is left out.
    client.send(&[asked("4"), asked("5")].concat()).await;
    assert!(client.answer().await.ends_with("first") && client.answer().await.ends_with("first"));
    let two_ids = "GET / HTTP/1.1\r\nX-Request-Id: 1\r\nX-Request-Id: 2\r\n\r\n";
    for _ in 0..3 {
        client.send(two_ids).await;
        assert!(client.answer().await.ends_with("first"));
    }
    shutdown.begin();
    client.send(&asked("6")).await;
    let last = client.rest().await;
    assert!(last.contains("connection: close") && last.ends_with("by hyper"), "{last}");
}

#[tokio::test]
async fn empty_lines_are_no_requests_and_keep_no_connection_open() {
    let idle_timeout = Duration::from_millis(200);
    let (address, _running) = start_repeating(&Limits { idle_timeout, ..Limits::default() });
    let mut client = TcpStream::connect(address).await.unwrap();
    let trickle = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while client.write_all(b"\r\n\r\n").await.is_ok() {
            ticks.tick().await;
        }
    };
    timeout(TIMEOUT, trickle).await.expect("still open");
}
