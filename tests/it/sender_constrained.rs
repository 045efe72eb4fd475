//! Tokens that are bound to their sender: no use to anybody else, behind whichever gateway.

mod certificates;
mod dpop;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{
    http::{Client, bearer, get, request},
    realm::Realm,
    tokens,
};

/// A good token with this confirmation.
fn bound(realm: &Realm, cnf: &Value) -> String {
    let good = realm.mint("alice", &["--scope", "user:read"]);
    let mut claims = tokens::claims(&good);
    claims["cnf"] = cnf.clone();
    tokens::signed(&good, &claims, &realm.private_pem())
}

/// SHA-256 in base64url.
fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

#[test]
fn a_bound_token_is_never_a_plain_bearer_token() {
    let realm = Realm::new().with("TOKEN_COOKIE", "token");
    let gate = realm.gate();
    let thumbprint = sha256(b"");
    for (cnf, code) in [
        (json!({"x5t#S256": thumbprint}), "certificate_mismatch"),
        (json!({"jkt": thumbprint, "x5t#S256": thumbprint}), "certificate_mismatch"),
        (json!({"x5t": thumbprint}), "unknown_confirmation"),
        (json!({"jwk": {"kty": "EC"}}), "unknown_confirmation"),
        (json!({"kid": "k"}), "unknown_confirmation"),
        (json!({"x5t#S256": "short"}), "bad_claim"),
        (json!({}), "bad_claim"),
        (json!(null), "bad_claim"),
        (json!("x5t#S256"), "bad_claim"),
        (json!([thumbprint]), "bad_claim"),
    ] {
        let token = bound(&realm, &cnf);
        let of_code = [("verdict", "deny"), ("code", code)];
        let before = gate.counter("portcullis_requests_total", &of_code);
        let cookie = format!("Cookie: token={token}");
        // The second time it is asked, the token is in the cache.
        for line in [bearer(&token), bearer(&token), cookie] {
            let response = get(gate.address, "/validate_request", &[&line]);
            assert_eq!(response.status, 401, "{cnf}: {response:?}");
            let challenge = response.header("www-authenticate").expect("a challenge");
            assert!(challenge.contains("error=\"invalid_token\""), "{cnf}: {challenge}");
        }
        let body = format!("{{\"jwt\":\"{token}\"}}");
        let lines = ["Content-Type: application/json"];
        let bytes = request("POST", "/validate", &lines, body.as_bytes());
        assert_eq!(Client::connect(gate.address).exchange(bytes).status, 401, "{cnf}");
        let denied = gate.counter("portcullis_requests_total", &of_code) - before;
        assert_eq!(denied, 4.0, "{cnf}: {code}");
        let ended = realm.exits(1, &["explain", "--token", &token], "");
        assert!(ended.printed.contains("NO  possession"), "{cnf}: {}", ended.printed);
    }
    let unbound = realm.mint("alice", &[]);
    assert_eq!(gate.check(&unbound).status, 200);
}

/// Whoever asks may be anybody, so what he tells of a certificate is nothing.
#[test]
fn without_a_proof_of_the_gateway_no_certificate_is_believed() {
    for (name, value) in [("LISTEN", "127.0.0.1:0"), ("URL_PREFIX", "/x")] {
        let realm = Realm::new().with(name, value).with("CLIENT_CERTIFICATE_HEADER", "Client-Cert");
        let errors = realm.exits(64, &["check-config"], "").errors;
        assert!(errors.contains("CLIENT_CERTIFICATE_HEADER: is believed of gateways"), "{errors}");
    }
    for (value, problem) in [
        ("client cert", "is no name of a header"),
        ("client_cert", "is no name of a header"),
        ("Authorization", "is a header that has another purpose"),
        ("X-Request-Id", "is a header that has another purpose"),
    ] {
        let realm = Realm::new().with("GATEWAY_NETWORKS", "127.0.0.0/8");
        let realm = realm.with("CLIENT_CERTIFICATE_HEADER", value);
        let errors = realm.exits(64, &["check-config"], "").errors;
        assert!(errors.contains(problem), "{value}: {errors}");
    }
}
