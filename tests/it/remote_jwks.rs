//! Keys from a URL: never waited for, never flooded, swapped whole.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use portcullis::secret::SystemRandom;
use portcullis::token::{Algorithm, SigningKey, key};
use serde_json::json;

use crate::support::realm::Realm;
use crate::support::{PATIENCE, http, poll};

/// A server that publishes keys, and can be made silent or broken.
struct JwksServer {
    address: SocketAddr,
    body: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
    is_silent: Arc<AtomicBool>,
}

impl JwksServer {
    fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            body: Arc::new(Mutex::new(set(keys))),
            fetches: Arc::default(),
            is_silent: Arc::default(),
        };
        let (body, fetches, is_silent) =
            (server.body.clone(), server.fetches.clone(), server.is_silent.clone());
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                fetches.fetch_add(1, Ordering::SeqCst);
                if is_silent.load(Ordering::SeqCst) {
                    held.push(stream);
                    continue;
                }
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let body = body.lock().expect("no test panics with it").clone();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        server
    }

    fn publish(&self, keys: &[&SigningKey]) {
        *self.body.lock().expect("no test panics with it") = set(keys);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn realm(&self, refresh: &str) -> Realm {
        Realm::new()
            .without("PUBLIC_KEY_FILE")
            .without("PRIVATE_KEY_FILE")
            .without("ALGORITHM")
            .with("JWKS_URL", &format!("http://{}/keys", self.address))
            .with("JWKS_REFRESH", refresh)
            .with("JWKS_COOLDOWN", "1")
    }
}

fn set(keys: &[&SigningKey]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| key.verifying().public().expect("a public key").jwk().clone())
        .collect();
    json!({ "keys": keys }).to_string()
}

fn new_key() -> SigningKey {
    let pem = key::generate(Algorithm::ES256, &SystemRandom).expect("a key");
    SigningKey::from_private_pem(Algorithm::ES256, &pem).expect("a key")
}

fn token(key: &SigningKey) -> String {
    key.sign(&json!({"iss": "prismaticain", "sub": "alice", "exp": 4_000_000_000_u64}))
        .expect("a token")
}

#[test]
fn unknown_keys_neither_block_known_ones_nor_flood_the_source() {
    let known = new_key();
    let server = JwksServer::start(&[&known]);
    let realm = server.realm("300");
    let gate = realm.gate();
    let good = token(&known);
    poll("the first fetch", PATIENCE, || (gate.check(&good).status == 200).then_some(()));
    let before = server.fetches();
    // From here on a fetch never ends by itself.
    server.is_silent.store(true, Ordering::SeqCst);
    let started = Instant::now();
    for _ in 0..300 {
        assert_eq!(gate.check(&token(&new_key())).status, 401);
        assert_eq!(gate.check(&good).status, 200);
    }
    // At most one in each cooldown of a second, and one more for the part of one.
    let allowed = usize::try_from(started.elapsed().as_secs()).expect("few") + 1;
    assert!(server.fetches() - before <= allowed, "{} fetches", server.fetches() - before);
}

#[test]
fn a_new_key_is_learnt_of_by_its_first_token_and_a_withdrawn_one_forgotten() {
    let (first, second) = (new_key(), new_key());
    let server = JwksServer::start(&[&first]);
    let realm = server.realm("300");
    let gate = realm.gate();
    let (old, new) = (token(&first), token(&second));
    poll("the first fetch", PATIENCE, || (gate.check(&old).status == 200).then_some(()));
    assert_eq!(gate.check(&new).status, 401);
    server.publish(&[&second]);
    poll("the second key", PATIENCE, || (gate.check(&new).status == 200).then_some(()));
    assert_eq!(gate.check(&old).status, 401, "the set is swapped whole");
}

#[test]
fn keys_stay_in_use_while_the_source_is_broken() {
    let known = new_key();
    let server = JwksServer::start(&[&known]);
    let realm = server.realm("1");
    let gate = realm.gate();
    let good = token(&known);
    poll("the first fetch", PATIENCE, || (gate.check(&good).status == 200).then_some(()));
    for broken in ["", "{}", "{\"keys\":5}", "<html>"] {
        *server.body.lock().expect("no test panics with it") = broken.to_owned();
        let before = server.fetches();
        poll("another fetch", PATIENCE, || (server.fetches() > before).then_some(()));
        assert_eq!(gate.check(&good).status, 200, "{broken}");
    }
}

#[test]
fn an_issuer_that_withdraws_its_keys_is_believed_at_once() {
    let known = new_key();
    let server = JwksServer::start(&[&known]);
    let realm = server.realm("1");
    let gate = realm.gate();
    let good = token(&known);
    let until = |what: &str, status: u16| {
        poll(what, PATIENCE, || (gate.check(&good).status == status).then_some(()));
    };
    until("the first fetch", 200);
    // None at all, and none that is for signatures: both are the issuer's word.
    let mut encrypts = json!(known.verifying().public().expect("a public key").jwk());
    (encrypts["use"], encrypts["kid"]) = ("enc".into(), "enc-1".into());
    for withdrawn in [json!({"keys": []}), json!({"keys": [encrypts]})] {
        *server.body.lock().expect("no test panics with it") = withdrawn.to_string();
        until("the end of its tokens", 401);
        assert_eq!(http::get(gate.metrics, "/ready", &[]).status, 200, "others may have keys");
        server.publish(&[&known]);
        until("the keys again", 200);
    }
    for line in ["no key that can verify", "key 1 (enc-1) is left out"] {
        gate.wait_for_log(line);
    }
}

#[test]
fn without_keys_nobody_is_let_in_and_the_gate_is_not_ready() {
    let known = new_key();
    let server = JwksServer::start(&[]);
    *server.body.lock().expect("no test panics with it") = "not yet".to_owned();
    let realm = server.realm("1");
    let gate = realm.gate();
    assert_eq!(gate.check(&token(&known)).status, 503);
    assert_eq!(gate.ready().status, 503);
    assert_eq!(http::get(gate.metrics, "/health", &[]).status, 200);
    server.publish(&[&known]);
    poll("the keys", PATIENCE, || (gate.check(&token(&known)).status == 200).then_some(()));
    let ready = gate.ready();
    assert_eq!(ready.status, 200, "{} {}", ready.text(), gate.log());
}

#[test]
fn keys_that_are_too_old_are_not_used() {
    let known = new_key();
    let server = JwksServer::start(&[&known]);
    let realm = server.realm("1").with("JWKS_MAX_AGE", "2");
    let gate = realm.gate();
    let good = token(&known);
    poll("the first fetch", PATIENCE, || (gate.check(&good).status == 200).then_some(()));
    server.is_silent.store(true, Ordering::SeqCst);
    poll("the bound", PATIENCE, || (gate.check(&good).status == 503).then_some(()));
}
