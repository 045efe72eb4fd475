//! The proof that whoever asks is a gateway: by a secret, a network, a unix socket; certificates are in `tls.rs`.

use std::net::SocketAddr;

use crate::support::{
    caddy::Caddy,
    haproxy::{Edits, Haproxy},
    http::{Client, bearer, get, request},
    in_repository,
    nginx::Nginx,
    realm::Realm,
    suite::{self, Stack},
};

const SECRET: &str = "a-secret-of-the-gateway-of-40-characters";
const NEXT: &str = "the-next-secret-that-replaces-it-by-and-by";

#[test]
fn who_does_not_know_the_secret_is_not_heard() {
    let realm = Realm::new().with("GATEWAY_SECRET", &format!("{SECRET},{NEXT}"));
    let (gate, token) = (realm.gate(), realm.mint("alice", &[]));
    let credential = bearer(&token);
    let header = |secret: &str| format!("X-Portcullis-Gateway: {secret}");
    for path in ["/validate_request", "/validate_request/traefik", "/validate_request/envoy/x"] {
        for secret in [SECRET, NEXT] {
            let response = get(gate.address, path, &[&credential, &header(secret)]);
            assert_eq!(response.status, 200, "{path}: {response:?}");
        }
        for lines in [
            vec![],
            vec![header("")],
            vec![header(&SECRET[1..])],
            vec![header(&SECRET.to_uppercase())],
            vec![header(SECRET), header(SECRET)],
            vec![header(&format!("{SECRET},{NEXT}"))],
            vec![format!("X_Portcullis_Gateway: {SECRET}")],
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let response = get(gate.address, path, &[&[credential.as_str()], &lines[..]].concat());
            assert_eq!(response.status, 403, "{path} {lines:?}: {response:?}");
        }
    }
    let denied = [("verdict", "deny"), ("code", "unknown_gateway")];
    assert_eq!(gate.counter("portcullis_requests_total", &denied), 21.0);
    assert!(!gate.log().contains(SECRET) && !gate.log().contains(NEXT), "{}", gate.log());
    // jwthenticator's clients are no gateways: what they ask is about a token alone.
    let body = format!("{{\"jwt\":\"{token}\"}}");
    let lines = ["Content-Type: application/json"];
    let bytes = request("POST", "/validate", &lines, body.as_bytes());
    assert_eq!(Client::connect(gate.address).exchange(bytes).status, 200);
}

#[test]
fn who_is_in_a_listed_network_is_heard() {
    for (networks, status) in [("127.0.0.0/8", 200), ("::1,10.0.0.0/8", 403)] {
        let realm = Realm::new().with("GATEWAY_NETWORKS", networks);
        let gate = realm.gate();
        assert_eq!(gate.check(&realm.mint("alice", &[])).status, status, "{networks}");
    }
}

#[test]
fn who_may_connect_to_a_unix_socket_is_heard() {
    let realm = Realm::new().with("GATEWAY_SECRET", SECRET);
    let socket = realm.folder().join("gate.sock");
    let realm = realm.with("LISTEN", &format!("unix:{}", socket.display()));
    let gate = realm.gate();
    let token = realm.mint("alice", &[]);
    assert_eq!(gate.check(&token).status, 403);
    let bytes = request("GET", "/validate_request", &[&bearer(&token)], b"");
    assert_eq!(Client::connect_unix(&socket).exchange(bytes).status, 200);
}

#[test]
fn nginx_proves_itself_by_the_secret() {
    let line = "            proxy_set_header X-Original-Method $request_method;\n";
    let proof = format!("            proxy_set_header X-Portcullis-Gateway {SECRET};\n{line}");
    for (edits, is_heard) in [(&[(line, proof.as_str())][..], true), (&[], false)] {
        let realm = suite::policy::realm().with("GATEWAY_SECRET", SECRET);
        let stack = Stack::start(realm, |gate, app| {
            let nginx = Nginx::start(gate, app, edits)?;
            let address = nginx.address;
            Some((nginx, address))
        });
        let Some(stack) = stack else { return };
        if is_heard {
            suite::policy::holds(&stack);
        } else {
            let response = stack.get("/", &stack.alice());
            stack.is_denied("without the secret", &response, 403);
        }
    }
}

/// The secret of the page and none; a client's own word is no proof, and the app never learns the true one.
fn holds_by_the_secret<G>(start: impl Fn(bool, SocketAddr, SocketAddr) -> Option<(G, SocketAddr)>) {
    for knows in [true, false] {
        let realm = suite::policy::realm().with("GATEWAY_SECRET", SECRET);
        let started = Stack::start(realm, |gate, app| start(knows, gate, app));
        let Some(stack) = started else { return };
        let (alice, guess) = (stack.alice(), format!("X-Portcullis-Gateway: {NEXT}"));
        if knows {
            suite::policy::holds(&stack);
            let seen = stack.reaches_the_app_as_alice("/", &alice, &[&guess]);
            assert_eq!(seen.value("X-Portcullis-Gateway"), "");
        } else {
            let lines = [bearer(&alice), format!("X-Portcullis-Gateway: {SECRET}")];
            let response = stack.send("GET", "/", &lines.each_ref().map(String::as_str), b"");
            stack.is_denied("a secret of the client's", &response, 403);
        }
    }
}

#[test]
fn caddy_proves_itself_by_the_secret() {
    let page = in_repository("docs/how-to/prove-the-gateway.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let line = page.lines().map(str::trim).find(|line| line.starts_with("header_up "));
    let line = line.expect("the line for Caddy").replace("{$GATEWAY_SECRET}", SECRET);
    holds_by_the_secret(|knows, gate, app| {
        let before = "\t\turi {args[0]}?\n";
        let lines = format!("{before}\t\t{line}\n");
        let edits = [(1, before, lines.as_str())];
        let edits = if knows { &edits[..] } else { &[] };
        let caddy = Caddy::start(gate, app, edits)?;
        let address = caddy.address;
        Some((caddy, address))
    });
}

#[test]
fn haproxy_proves_itself_by_the_secret_in_its_environment() {
    holds_by_the_secret(|knows, gate, app| {
        let edits = Edits { secret: knows.then_some(SECRET), ..Edits::default() };
        let haproxy = Haproxy::start(gate, app, edits)?;
        let address = haproxy.address;
        Some((haproxy, address))
    });
}

/// A route for some networks alone.
const OFFICE: &str =
    "[[route]]\npath = \"/*\"\nnetworks = [\"192.0.2.0/24\"]\nrequire = \"nothing\"\n";

/// A proof of the gateway is as good as a place among TRUSTED_PROXIES.
#[test]
fn who_proved_to_be_a_gateway_is_believed_who_the_client_is() {
    for (name, value, office) in [
        ("GATEWAY_SECRET", SECRET, 200),
        ("GATEWAY_NETWORKS", "127.0.0.0/8", 200),
        ("TRUSTED_PROXIES", "127.0.0.0/8", 200),
        ("TRUSTED_PROXIES", "10.0.0.0/8", 403),
    ] {
        let realm = Realm::new().with("TRUSTED_PROXIES", "off").with(name, value);
        let realm = realm.with_policy(OFFICE);
        let gate = realm.gate();
        let from = |client: &str| {
            let proof = format!("X-Portcullis-Gateway: {SECRET}");
            let forwarded = format!("X-Forwarded-For: {client}");
            let lines = [
                "X-Forwarded-Method: GET",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Host: app.test",
                "X-Forwarded-Uri: /x",
                &forwarded,
                &proof,
            ];
            get(gate.address, "/validate_request/traefik", &lines).status
        };
        assert_eq!((from("192.0.2.7"), from("198.51.100.7")), (office, 403), "{name}={value}");
    }
}

#[test]
fn a_proof_that_everybody_has_is_a_mistake() {
    for (name, value, problem) in [
        ("GATEWAY_SECRET", "short", "is shorter than 32 bytes"),
        ("GATEWAY_SECRET", &format!("{SECRET},short"), "is shorter than 32 bytes"),
        ("GATEWAY_NETWORKS", "0.0.0.0/0", "holds everybody"),
        ("GATEWAY_NETWORKS", "10.0.0.0/8,::/0", "holds everybody"),
        ("GATEWAY_NETWORKS", "10.0.0", "is no network"),
    ] {
        let ended = Realm::new().with(name, value).exits(64, &["check-config"], "");
        assert!(ended.errors.contains(problem), "{name}={value}: {}", ended.errors);
        assert!(!ended.errors.contains(SECRET), "{}", ended.errors);
    }
}

/// A secret that cannot be read is no reason to do without (CVE-2026-54762).
#[test]
fn a_secret_that_cannot_be_read_stops_the_start() {
    let realm = Realm::new();
    let folder = realm.folder().to_owned();
    std::fs::write(folder.join("empty"), "\n").expect("writable");
    let realm = ["missing", "empty", "."].into_iter().fold(realm, |realm, file| {
        let path = folder.join(file).display().to_string();
        let realm = realm.with("GATEWAY_SECRET_FILE", &path);
        for command in ["check-config", "serve"] {
            let ended = realm.exits(64, &[command], "");
            assert!(ended.errors.contains("GATEWAY_SECRET"), "{command}, {file}: {}", ended.errors);
        }
        realm
    });
    drop(realm);
}

#[test]
fn a_policy_that_anybody_can_reach_is_warned_of() {
    let (open, calls) = (("LISTEN", "0.0.0.0:8080"), ("EXT_AUTHZ_LISTEN", "0.0.0.0:9001"));
    for (settings, warned) in [
        (&[open][..], &["LISTEN"][..]),
        (&[calls], &["EXT_AUTHZ_LISTEN"]),
        (&[open, calls], &["LISTEN", "EXT_AUTHZ_LISTEN"]),
        (&[("LISTEN", "127.0.0.1:8080"), ("EXT_AUTHZ_LISTEN", "127.0.0.1:9001")], &[]),
        (&[open, calls, ("GATEWAY_SECRET", SECRET)], &[]),
        (&[open, calls, ("GATEWAY_NETWORKS", "10.0.0.0/8")], &[]),
    ] {
        let realm = settings
            .iter()
            .fold(suite::policy::realm(), |realm, (name, value)| realm.with(name, value));
        let ended = realm.exits(0, &["check-config"], "");
        let said = ended.errors + ended.printed.as_str();
        for listener in ["LISTEN", "EXT_AUTHZ_LISTEN"] {
            let warning = format!("whoever reaches {listener} can say which request he asks about");
            let is_warned = warned.contains(&listener);
            assert_eq!(said.contains(&warning), is_warned, "{settings:?}: {said}");
        }
    }
}
