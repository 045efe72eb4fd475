//! Tokens that are bound to a key (RFC 9449), with a proof for each request.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use portcullis::secret::Secret;
use portcullis::token::SigningKey;
use serde_json::{Value, json};

use super::{bound, sha256};
use crate::support::{
    caddy::Caddy,
    envoy::{Envoy, Protocol},
    free_address,
    gate::Gate,
    haproxy::{self, Haproxy},
    http::{Client, Response, bearer, get, request},
    nginx::Nginx,
    realm::Realm,
    suite::Stack,
    traefik::{self, Traefik},
};

/// A client with a key, and a token that is bound to it.
struct Holder {
    encoding: EncodingKey,
    header: Header,
    token: String,
    proofs: AtomicU32,
}

impl Holder {
    fn new(realm: &Realm) -> Self {
        let pem = realm.foreign_pem();
        let key = SigningKey::from_private_pem(Algorithm::ES256, &Secret::new(pem.clone()));
        let public = key.expect("a key").verifying().public().expect("a pair").clone();
        let header = Header {
            typ: Some("dpop+jwt".to_owned()),
            jwk: Some(public.jwk().clone()),
            ..Header::new(Algorithm::ES256)
        };
        Self {
            encoding: EncodingKey::from_ec_pem(pem.as_bytes()).expect("a key"),
            header,
            token: bound(realm, &json!({ "jkt": public.thumbprint() })),
            proofs: AtomicU32::new(0),
        }
    }

    /// The claims of a new proof.
    fn claims(&self, method: &str, url: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let id = self.proofs.fetch_add(1, Ordering::SeqCst);
        json!({
            "jti": format!("proof-{id}"),
            "htm": method,
            "htu": url,
            "iat": now,
            "ath": sha256(self.token.as_bytes()),
        })
    }

    fn signed(&self, claims: &Value) -> String {
        let proof = jsonwebtoken::encode(&self.header, claims, &self.encoding).expect("signed");
        format!("DPoP: {proof}")
    }

    /// The line of a new proof.
    fn proof(&self, method: &str, url: &str) -> String {
        self.signed(&self.claims(method, url))
    }

    /// The line of the token.
    fn credential(&self) -> String {
        format!("Authorization: DPoP {}", self.token)
    }
}

/// The headers of Traefik, which tell a request for `https://app.test/x?y`.
const TOLD: [&str; 4] = [
    "X-Forwarded-Method: GET",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: app.test",
    "X-Forwarded-Uri: /x?y",
];
const URL: &str = "https://app.test/x";

fn ask(gate: &Gate, lines: &[&str]) -> Response {
    get(gate.address, "/validate_request/traefik", &[&TOLD, lines].concat())
}

/// It was refused with this code, by a challenge that names the scheme.
fn is_refused(gate: &Gate, code: &str, error: &str, lines: &[&str]) {
    let of_code = [("verdict", "deny"), ("code", code)];
    let before = gate.counter("portcullis_requests_total", &of_code);
    let response = ask(gate, lines);
    assert_eq!(response.status, 401, "{code}: {response:?}");
    let challenge = response.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("DPoP realm=\"portcullis\""), "{code}: {challenge}");
    assert!(challenge.contains(&format!("error=\"{error}\"")), "{code}: {challenge}");
    let algorithms = "algs=\"ES256 ES384 EdDSA PS256 RS256\"";
    assert!(challenge.contains(algorithms), "{code}: {challenge}");
    assert_eq!(gate.counter("portcullis_requests_total", &of_code) - before, 1.0, "{code}");
}

#[test]
fn a_proof_is_for_one_request_of_one_token() {
    let realm = Realm::new().with("TOKEN_COOKIE", "token");
    let (gate, holder) = (realm.gate(), Holder::new(&realm));
    let credential = holder.credential();
    let proof = holder.proof("GET", URL);
    assert_eq!(ask(&gate, &[&credential, &proof]).status, 200);
    let bad = "invalid_dpop_proof";
    is_refused(&gate, "dpop_proof_replayed", bad, &[&credential, &proof]);
    for claims in [holder.claims("POST", URL), holder.claims("GET", "https://app.test/y")] {
        is_refused(&gate, "dpop_proof_mismatch", bad, &[&credential, &holder.signed(&claims)]);
    }
    let mut late = holder.claims("GET", URL);
    late["iat"] = json!(late["iat"].as_u64().expect("seconds") - 3_600);
    is_refused(&gate, "dpop_proof_expired", bad, &[&credential, &holder.signed(&late)]);
    let mut other = holder.claims("GET", URL);
    other["ath"] = json!(sha256(b"another token"));
    is_refused(&gate, "dpop_proof_mismatch", bad, &[&credential, &holder.signed(&other)]);
    // Somebody else's key, however good his own proof is.
    let thief = Holder::new(&realm);
    let mut stolen = thief.claims("GET", URL);
    stolen["ath"] = json!(sha256(holder.token.as_bytes()));
    is_refused(&gate, "dpop_proof_mismatch", bad, &[&credential, &thief.signed(&stolen)]);
    is_refused(&gate, "bad_dpop_proof", bad, &[&credential]);
    let two = [holder.proof("GET", URL), holder.proof("GET", URL)];
    is_refused(&gate, "bad_dpop_proof", bad, &[&credential, &two[0], &two[1]]);
    is_refused(&gate, "bad_dpop_proof", bad, &[&credential, "DPoP: rubbish"]);
    let good = holder.proof("GET", URL);
    assert_eq!(ask(&gate, &[&credential.replace("DPoP", "dpop"), &good]).status, 200);
    assert!(!gate.log().contains(&good["DPoP: ".len()..]), "{}", gate.log());
}

#[test]
fn explain_says_which_part_of_a_proof_differs() {
    let realm = Realm::new();
    let holder = Holder::new(&realm);
    let url = "https://app.test:8443/x";
    let mut other = holder.claims("GET", url);
    other["ath"] = json!(sha256(b"another token"));
    for (claims, told) in [
        (holder.claims("POST", url), "; `htm` is POST, the gateway told GET"),
        (
            holder.claims("GET", "https://app.test/x?secret"),
            "; `htu` is https://app.test/x, the gateway told https://app.test:8443/x",
        ),
        (other, "; `ath` is that of another token"),
    ] {
        let (credential, proof) = (holder.credential(), holder.signed(&claims));
        let headers = ["--header", &credential, "--header", &proof];
        let shown =
            realm.exits(1, &[&["explain", "--url", url], &headers[..]].concat(), "").printed;
        let step = shown.lines().find(|line| line.starts_with("NO  possession"));
        assert!(step.is_some_and(|step| step.ends_with(told)), "{shown}");
    }
    let (credential, proof) = (holder.credential(), holder.proof("GET", url));
    realm.exits(0, &["explain", "--url", url, "--header", &credential, "--header", &proof], "");
}

#[test]
fn a_scheme_is_for_its_kind_of_token_alone() {
    let realm = Realm::new().with("TOKEN_COOKIE", "token");
    let (gate, holder) = (realm.gate(), Holder::new(&realm));
    let proof = || holder.proof("GET", URL);
    let error = "invalid_token";
    is_refused(&gate, "dpop_required", error, &[&bearer(&holder.token)]);
    is_refused(&gate, "dpop_required", error, &[&bearer(&holder.token), &proof()]);
    let cookie = format!("Cookie: token={}", holder.token);
    is_refused(&gate, "dpop_required", error, &[&cookie, &proof()]);
    let unbound = realm.mint("alice", &[]);
    let mut claims = holder.claims("GET", URL);
    claims["ath"] = json!(sha256(unbound.as_bytes()));
    let line = format!("Authorization: DPoP {unbound}");
    is_refused(&gate, "dpop_unbound", error, &[&line, &holder.signed(&claims)]);
    is_refused(&gate, "token_malformed", error, &["Authorization: DPoP rubbish", &proof()]);
    // A proof beside a token that needs none says nothing.
    assert_eq!(ask(&gate, &[&bearer(&unbound), "DPoP: rubbish"]).status, 200);
    // Of a request that no gateway describes nothing can be proved.
    let response = get(gate.address, "/validate_request", &[&holder.credential(), &proof()]);
    assert_eq!(response.status, 403, "{response:?}");
    let denied = [("verdict", "deny"), ("code", "dpop_not_told")];
    assert_eq!(gate.counter("portcullis_requests_total", &denied), 1.0);
}

#[test]
fn both_proofs_are_needed_where_a_token_is_bound_to_both() {
    let realm = Realm::new()
        .with("GATEWAY_NETWORKS", "127.0.0.0/8")
        .with("CLIENT_CERTIFICATE_HEADER", "X-Forwarded-Tls-Client-Cert");
    let mut holder = Holder::new(&realm);
    let der = [0x30, 0x00];
    let jkt = crate::support::tokens::claims(&holder.token)["cnf"]["jkt"].clone();
    holder.token = bound(&realm, &json!({ "jkt": jkt, "x5t#S256": sha256(&der) }));
    let (gate, credential) = (realm.gate(), holder.credential());
    let certificate = "X-Forwarded-Tls-Client-Cert: MAA=";
    assert_eq!(ask(&gate, &[&credential, &holder.proof("GET", URL), certificate]).status, 200);
    is_refused(&gate, "bad_dpop_proof", "invalid_dpop_proof", &[&credential, certificate]);
    let proof = holder.proof("GET", URL);
    is_refused(&gate, "certificate_mismatch", "invalid_token", &[&credential, &proof]);
    is_refused(&gate, "dpop_required", "invalid_token", &[&bearer(&holder.token), certificate]);
}

#[test]
fn a_full_memory_refuses_what_it_could_not_remember() {
    let realm = Realm::new().with("DPOP_MEMORY", "process").with("DPOP_MEMORY_SIZE", "2");
    let (gate, holder) = (realm.gate(), Holder::new(&realm));
    let credential = holder.credential();
    let proofs: Vec<_> = (0..3).map(|_| holder.proof("GET", URL)).collect();
    let status = |proof: &String| ask(&gate, &[&credential, proof]).status;
    assert_eq!(proofs.iter().map(status).collect::<Vec<_>>(), [200, 200, 503]);
    assert_eq!(proofs.iter().map(status).collect::<Vec<_>>(), [401, 401, 503]);
    let denied = [("verdict", "deny"), ("code", "replay_memory_unavailable")];
    assert_eq!(gate.counter("portcullis_requests_total", &denied), 2.0);
}

#[test]
fn instances_that_share_a_store_take_a_proof_once_together() {
    let realm = Realm::new();
    for (memory, second) in [("store", 401), ("process", 200)] {
        let realm = Realm::new().with("DPOP_MEMORY", memory);
        let holder = Holder::new(&realm);
        let gates = [realm.gate(), realm.gate()];
        let (credential, proof) = (holder.credential(), holder.proof("GET", URL));
        let lines = [&*credential, &*proof];
        assert_eq!(ask(&gates[0], &lines).status, 200, "{memory}");
        assert_eq!(ask(&gates[0], &lines).status, 401, "{memory}");
        assert_eq!(ask(&gates[1], &lines).status, second, "{memory}");
    }
    let of_redis = realm.with("DB_URL", "redis://127.0.0.1:6379").with("DPOP_MEMORY", "process");
    let said = of_redis.exits(0, &["check-config"], "");
    let said = [said.errors, said.printed].concat();
    assert!(said.contains("DPOP_MEMORY: each instance takes a proof once"), "{said}");
}

/// Checks that a real gateway tells the request that a proof is for.
fn holds<G>(stack: &Stack<G>) {
    let holder = Holder::new(&stack.realm);
    let credential = holder.credential();
    let url = "http://gate.test/a/b";
    let send = |method: &str, path: &str, proof: &str| {
        stack.send(method, path, &[&credential, proof], b"")
    };
    for (method, path) in [("GET", "/a/b"), ("GET", "/a/b?query=1"), ("DELETE", "/a/b")] {
        let proof = holder.proof(method, url);
        let response = send(method, path, &proof);
        assert_eq!(response.status, 200, "{method} {path}: {response:?}");
        let seen = stack.app.take_one();
        assert_eq!((seen.method.as_str(), seen.value("x-auth-user")), (method, "alice"));
        stack.is_denied("a replay", &send(method, path, &proof), 401);
    }
    for (what, method, url) in [
        ("another method", "POST", url),
        ("another path", "GET", "http://gate.test/a"),
        ("another host", "GET", "http://app.test/a/b"),
        ("another scheme", "GET", "https://gate.test/a/b"),
    ] {
        let response = send("GET", "/a/b", &holder.proof(method, url));
        stack.is_denied(what, &response, 401);
        let challenge = response.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("DPoP "), "{what}: {challenge}");
        assert!(challenge.contains("invalid_dpop_proof"), "{what}: {challenge}");
    }
    let bearer = bearer(&holder.token);
    let response = stack.send("GET", "/a/b", &[&bearer, &holder.proof("GET", url)], b"");
    stack.is_denied("the scheme Bearer", &response, 401);
    // A header of the client's that speaks of another request changes nothing.
    for lie in ["X-Forwarded-Uri: /users/1", "X-Original-URI: /users/1", "X-Original-URL: /users/1"]
    {
        let proof = holder.proof("GET", "http://gate.test/users/1");
        let response = stack.send("GET", "/a/b", &[&credential, &proof, lie], b"");
        assert!(matches!(response.status, 401 | 403), "{lie}: {response:?}");
        assert_eq!(stack.app.take().len(), 0, "{lie}");
    }
}

#[test]
fn behind_nginx_a_proof_is_for_the_request_that_it_tells() {
    let stack = Stack::start(Realm::new(), |gate, app| {
        let nginx = Nginx::start(gate, app, &[])?;
        let address = nginx.address;
        Some((nginx, address))
    });
    let Some(stack) = stack else { return };
    holds(&stack);
    let control = [&*Holder::new(&stack.realm).credential(), "DPoP: a\x01b"];
    stack.is_denied("a control character", &stack.send("GET", "/", &control, b""), 401);
    assert_eq!(stack.gateway.errors(), Vec::<String>::new());
}

#[test]
fn behind_traefik_a_proof_is_for_the_request_that_it_tells() {
    let stack = Stack::start(Realm::new(), |gate, app| {
        let traefik = Traefik::start(gate, app, traefik::Edits::default())?;
        let address = traefik.address;
        Some((traefik, address))
    });
    let Some(stack) = stack else { return };
    holds(&stack);
}

#[test]
fn behind_caddy_a_proof_is_for_the_request_that_it_tells() {
    let stack = Stack::start(Realm::new(), |gate, app| {
        let caddy = Caddy::start(gate, app, &[])?;
        let address = caddy.address;
        Some((caddy, address))
    });
    let Some(stack) = stack else { return };
    holds(&stack);
}

#[test]
fn behind_haproxy_a_proof_is_for_the_request_that_it_tells() {
    let stack = Stack::start(Realm::new(), |gate, app| {
        let haproxy = Haproxy::start(gate, app, haproxy::Edits::default())?;
        let address = haproxy.address;
        Some((haproxy, address))
    });
    let Some(stack) = stack else { return };
    holds(&stack);
}

#[test]
fn behind_envoy_a_proof_is_for_the_request_that_it_tells() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let asked = free_address();
        let realm = Realm::new().with("EXT_AUTHZ_LISTEN", &asked.to_string());
        let stack = Stack::start(realm, |gate, app| {
            let asked = if protocol == Protocol::Grpc { asked } else { gate };
            let envoy = Envoy::start(protocol, asked, app, &[])?;
            let address = envoy.address;
            Some((envoy, address))
        });
        let Some(stack) = stack else { return };
        holds(&stack);
    }
}

/// jwthenticator's clients show a token alone.
#[test]
fn validate_takes_no_token_that_needs_a_proof() {
    let realm = Realm::new();
    let (gate, holder) = (realm.gate(), Holder::new(&realm));
    let body = format!("{{\"jwt\":\"{}\"}}", holder.token);
    let lines = ["Content-Type: application/json", &*holder.proof("GET", URL)];
    let bytes = request("POST", "/validate", &lines, body.as_bytes());
    assert_eq!(Client::connect(gate.address).exchange(bytes).status, 401);
}
