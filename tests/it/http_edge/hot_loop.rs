//! Two gates with one store, one of them without the hot loop: whatever a gateway asks, they say the same bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::gate::Gate;
use crate::support::http::{bearer, request};
use crate::support::realm::Realm;
use crate::support::{PATIENCE, tokens};

const POLICY: &str = r#"
[[route]]
name = "reports"
path = "/reports/*"
methods = ["GET"]
require = { scopes = ["report:read"] }

[[route]]
name = "page"
path = "/page"
require = { scopes = ["user:read"] }

[[route]]
name = "open"
path = "/open/*"
require = "nothing"
"#;

/// The gate with the hot loop, and the one without; both may answer from memory.
pub(super) fn gates(realm: &Realm) -> [Gate; 2] {
    ["true", "false"].map(|hot_loop| {
        let mut settings = realm.settings().clone();
        settings.insert("SESSION_STALENESS".to_owned(), "3600".to_owned());
        settings.insert("HOT_LOOP".to_owned(), hot_loop.to_owned());
        Gate::start(realm.folder(), &settings)
    })
}

/// All that a gate answers until it closes, but for dates and for ids that it made up.
fn answers(gate: &Gate, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(gate.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(&[sent, last].concat()).expect("the gate reads");
    let mut read = Vec::new();
    // A reset is an end too: what follows a request that is none may be left unread.
    let _ = stream.read_to_end(&mut read);
    let read = String::from_utf8_lossy(&read);
    let is_made_up = |line: &str| {
        let id = line.strip_prefix("x-request-id: ");
        id.is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let kept = read.lines().filter(|line| !line.starts_with("date: ") && !is_made_up(line));
    kept.collect::<Vec<_>>().join("\n")
}

/// Sends it three times on one connection, so that the third answer comes from the first level of the cache.
fn assert_alike(gates: &[Gate; 2], sent: &[u8]) -> String {
    let thrice = [sent; 3].concat();
    let [hot, plain] = gates.each_ref().map(|gate| answers(gate, &thrice));
    assert_eq!(hot, plain, "{}", String::from_utf8_lossy(sent));
    hot
}

#[test]
fn every_dialect_gets_the_same_bytes_with_and_without_the_loop() {
    let policy = Realm::new().with("TOKEN_COOKIE", "session").with_policy(POLICY);
    let good = policy.mint("alice", &["--scope", "user:read", "--scope", "report:read"]);
    let gates = gates(&policy);
    let other = policy.mint("bob", &[]);
    let (good, other, bad) =
        (bearer(&good), bearer(&other), bearer(&tokens::bad(&policy, &good)[0].1));
    let cookie = good.replace("Authorization: Bearer ", "Cookie: session=");
    let credentials: [&[&str]; 11] = [
        &[],
        &[&good],
        &[&other],
        &[&bad],
        &[&cookie],
        &[&good, &cookie],
        &[&other, &cookie],
        &[&good, &other],
        &[&good, &good],
        &["Authorization: Basic eDp5"],
        &["Authorization: Bearer"],
    ];
    let mut answered = std::collections::BTreeMap::new();
    for (dialect, family) in [
        ("", "X-Original-"),
        ("/ingress", "X-Original-"),
        ("/traefik", "X-Forwarded-"),
        ("/caddy", "X-Forwarded-"),
        ("/haproxy", "X-Original-"),
        ("/envoy/page", "X-Forwarded-"),
        ("/unknown", "X-Forwarded-"),
    ] {
        for target in ["/page", "/reports/1?x=y", "/open/a", "/Page", "/nowhere", "/a%2Fb"] {
            let told = [
                format!("{family}Method: GET"),
                format!("{family}Proto: https"),
                format!("{family}Host: app.test"),
                format!(
                    "{family}{}: {target}",
                    if family == "X-Original-" { "URI" } else { "Uri" }
                ),
                format!("X-Original-URL: https://app.test{target}"),
                "X-Request-Id: my-id-1".to_owned(),
            ];
            let told = &told[..if dialect == "/ingress" { 6 } else { 4 }];
            for credential in credentials {
                let told = told.iter().map(String::as_str);
                let lines: Vec<&str> = told.chain(credential.iter().copied()).collect();
                for method in ["GET", "HEAD", "POST"] {
                    let path = format!("/validate_request{dialect}");
                    let said = assert_alike(&gates, &request(method, &path, &lines, b""));
                    let status = said.lines().next().unwrap_or_default().to_owned();
                    *answered.entry(status).or_insert(0) += 1;
                }
            }
        }
    }
    // The list asks for every kind of answer.
    for status in ["200 OK", "401 Unauthorized", "403 Forbidden"] {
        assert!(answered.contains_key(&format!("HTTP/1.1 {status}")), "{answered:?}");
    }
}

#[test]
fn odd_lines_beside_a_good_token_get_the_same_bytes_with_and_without_the_loop() {
    let realm = Realm::new();
    let gates = gates(&realm);
    let good = bearer(&realm.mint("alice", &[]));
    for odd in [
        "X-Request-Id: my-id-1",
        "X-Request-Id: ",
        "X-Request-Id: a b",
        "X-Request-Id: \u{e9}",
        "X-Request-Id: one\r\nX-Request-Id: two",
        "x-auth-user: root",
        "X_Auth_User: root",
        "AUTHORIZATION: Bearer x",
        "Authorization: Bearer x",
        "Authorization : Bearer x",
        "Authorization_: Bearer x",
        "Authorization\t: Bearer x",
        "Proxy-Authorization: Bearer x",
        "Connection: authorization",
        "Connection: keep-alive",
        "Content-Length: 0",
        "Content-Length: 00",
        "Content-Length: 0\r\nContent-Length: 0",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Expect: 100-continue",
        "Upgrade: websocket",
        "Host: other",
        "Accept: text/html\r\nSec-Fetch-Mode: navigate",
        "Content-Type: application/grpc",
        " folded",
        "X-Odd: \u{1}",
    ] {
        for path in ["/validate_request", "/validate_request/traefik", "/validate_request?scope=a"]
        {
            assert_alike(&gates, &request("GET", path, &[&good, odd], b""));
            assert_alike(&gates, &request("GET", path, &[odd, &good], b""));
            assert_alike(&gates, &request("GET", path, &[odd], b""));
        }
    }
}
