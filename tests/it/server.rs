//! The process as its operator sees it: where it listens, how it ends, and what stands before its paths.

use std::{os::unix::fs::PermissionsExt as _, thread::JoinHandle};

use crate::support::{
    PATIENCE,
    gate::Gate,
    http::{self, Client, bearer, request},
    poll,
    realm::Realm,
};

const PATH: &str = "/validate_request";

#[test]
fn several_addresses_answer_at_once_and_the_socket_goes_with_the_process() {
    let (realm, sockets) = (Realm::new(), tempfile::tempdir().expect("a folder"));
    let (socket, port) = (sockets.path().join("gate.sock"), crate::support::free_address());
    let listen = format!("unix:{},{port}", socket.display());
    let realm = realm.with("LISTEN", &listen).with("SOCKET_MODE", "600");
    let mut gate = realm.gate();
    let good = realm.mint("alice", &[]);
    let question = request("GET", PATH, &[&bearer(&good)], b"");
    let mut near = Client::connect_unix(&socket);
    for _ in 0..3 {
        assert_eq!(near.exchange(&question).header("x-auth-user"), Some("alice"));
        assert_eq!(near.exchange(request("GET", PATH, &[], b"")).status, 401);
        for address in [gate.address, port] {
            assert_eq!(Client::connect(address).exchange(&question).status, 200, "{address}");
        }
    }
    assert_eq!(socket.metadata().expect("a socket").permissions().mode() & 0o777, 0o600);
    assert!(gate.stop().success());
    assert!(!socket.exists(), "the socket stays behind");
    gate.restart();
    assert_eq!(Client::connect_unix(&socket).exchange(&question).status, 200);
    // What a killed process leaves is in nobody's way.
    gate.kill();
    assert!(socket.exists());
    gate.restart();
    assert_eq!(Client::connect_unix(&socket).exchange(&question).status, 200);
}

/// A client goes on until it is refused a connection; `Connection: close` is no loss, silence is.
#[test]
fn a_stop_under_load_loses_no_accepted_request() {
    let realm = Realm::new();
    let mut gate = realm.gate();
    let good = realm.mint("alice", &[]);
    for round in 0..3 {
        let clients: Vec<_> = (0..8).map(|_| ask_until_refused(&gate, &good)).collect();
        poll("a load", PATIENCE, || {
            let yes = [("verdict", "allow")];
            (gate.counter("portcullis_requests_total", &yes) > 200.0).then_some(())
        });
        assert!(gate.stop().success());
        let answered: usize =
            clients.into_iter().map(|it| it.join().expect("a client that lost no request")).sum();
        assert!(answered >= 200, "round {round}: {answered} answers are no load");
        gate.restart();
    }
}

/// Asks without a pause, on connections that are kept; how many answers it got.
fn ask_until_refused(gate: &Gate, token: &str) -> JoinHandle<usize> {
    let (address, question) = (gate.address, request("GET", PATH, &[&bearer(token)], b""));
    std::thread::spawn(move || {
        let mut answered = 0;
        while let Ok(mut client) = Client::try_connect(address) {
            loop {
                let response = client.try_exchange(&question);
                let response = response.unwrap_or_else(|| {
                    panic!("a request after {answered} others was lost without an answer")
                });
                assert_eq!(response.status, 200, "{response:?}");
                answered += 1;
                if response.says_close() {
                    assert!(client.is_closed(), "it said close and went on");
                    break;
                }
            }
        }
        answered
    })
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let realm = Realm::new();
    let mut gate = realm.gate();
    let body = serde_json::json!({ "jwt": realm.mint("alice", &[]) }).to_string();
    let bytes = request("POST", "/validate", &[], body.as_bytes());
    let mut client = Client::connect(gate.address);
    client.send(&bytes[..bytes.len() - 5]);
    is_in_flight(&gate);
    gate.signal("TERM");
    is_draining(&gate);
    assert_eq!(http::get(gate.metrics, "/ready", &[]).status, 503, "no more requests, please");
    client.send(&bytes[bytes.len() - 5..]);
    let response = client.read();
    assert_eq!((response.status, response.says_close()), (200, true), "{response:?}");
    assert!(client.is_closed());
    assert!(gate.wait().success());
}

#[test]
fn a_second_signal_ends_at_once() {
    let realm = Realm::new().with("SHUTDOWN_GRACE", "60");
    let mut gate = realm.gate();
    let mut stuck = Client::connect(gate.address);
    stuck.send("POST /validate HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{");
    is_in_flight(&gate);
    gate.signal("TERM");
    is_draining(&gate);
    assert_eq!(http::get(gate.metrics, "/health", &[]).status, 200, "it still waits for the body");
    gate.signal("TERM");
    gate.wait();
    // A body that never comes is given up after ten seconds, with an answer.
    assert!(stuck.is_closed(), "cut, without an answer");
}

/// Connections are accepted in turn, so what was sent on an earlier one is being read by now, or at
/// least waits where the drain looks.
fn is_in_flight(gate: &Gate) {
    for _ in 0..10 {
        assert_eq!(http::get(gate.address, PATH, &[]).status, 401);
    }
}

/// Waits until new connections are refused.
fn is_draining(gate: &Gate) {
    poll("the end of the listener", PATIENCE, || Client::try_connect(gate.address).err());
}

#[test]
fn the_prefix_stands_before_every_path_of_the_gate() {
    let open = "/jwks, /.well-known/jwks.json, /health, /ready, /";
    let realm = Realm::new().with("URL_PREFIX", "/auth").with("OPEN_GATE_PATHS", open);
    let gate = realm.gate();
    let credential = bearer(&realm.mint("alice", &[]));
    let jwt = serde_json::json!({ "jwt": &credential["Authorization: Bearer ".len()..] });
    for path in [
        "/validate_request",
        "/validate_request/traefik",
        "/jwks",
        "/.well-known/jwks.json",
        "/health",
        "/ready",
        "/",
    ] {
        let response = http::get(gate.address, &format!("/auth{path}"), &[&credential]);
        assert_eq!(response.status, 200, "/auth{path}: {response:?}");
        for wrong in [path.to_owned(), format!("/AUTH{path}"), format!("/auth/auth{path}")] {
            let response = http::get(gate.address, &wrong, &[&credential]);
            assert_eq!(response.status, 404, "{wrong}: {response:?}");
        }
    }
    for (path, status) in [("/auth/validate", 200), ("/validate", 404)] {
        let bytes = request("POST", path, &[], jwt.to_string().as_bytes());
        assert_eq!(Client::connect(gate.address).exchange(bytes).status, status, "{path}");
    }
    let response = http::get(gate.address, "/auth", &[&credential]);
    assert_eq!(response.status, 404, "/auth: {response:?}");
    // The metrics listener is not the gate.
    for path in ["/metrics", "/health", "/ready"] {
        assert_eq!(http::get(gate.metrics, path, &[]).status, 200, "{path}");
    }
}
