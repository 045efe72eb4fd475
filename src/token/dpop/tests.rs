//! Proofs: what a good one says, and every way in which a text is none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::secret::SystemRandom;
use crate::token::key::{SigningKey, generate};

/// A key, as a client has one.
struct Client {
    algorithm: Algorithm,
    encoding: EncodingKey,
    jwk: Value,
}

impl Client {
    fn new(algorithm: Algorithm) -> Self {
        let pem = generate(algorithm, &SystemRandom).unwrap();
        let key = SigningKey::from_private_pem(algorithm, &pem).unwrap();
        let public = serde_json::to_value(key.verifying().public().unwrap().jwk()).unwrap();
        let member = |name: &str| public.get(name).cloned().map(|value| (name.to_owned(), value));
        let names = ["kty", "crv", "x", "y", "n", "e"];
        let jwk = Value::Object(names.into_iter().filter_map(member).collect());
        let pem = pem.expose();
        let encoding = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        };
        Self { algorithm, encoding: encoding.unwrap(), jwk }
    }

    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": algorithm::name(self.algorithm), "jwk": self.jwk})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = crypto::sign(message.as_bytes(), &self.encoding, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn claims() -> Value {
    json!({
        "jti": "-BwC3ESc6acc2lTc",
        "htm": "GET",
        "htu": "https://resource.example.org/protectedresource",
        "iat": 1_562_262_618,
        "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
    })
}

/// The example of RFC 9449, section 7.1.
const EXAMPLE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

#[test]
fn the_example_of_the_standard_is_a_proof() {
    let proof = DpopProof::verify(EXAMPLE).unwrap();
    // The thumbprint of section 6.1.
    let key = Thumbprint::from_base64url("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(Some(proof.key), key);
    assert_eq!((&*proof.method, &*proof.id), ("GET", "e1j3V_bKic8-LAEB"));
    assert_eq!(proof.url, "https://resource.example.org/protectedresource");
    assert_eq!(proof.issued, UnixTime::from_secs(1_562_262_618));
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    assert_eq!(proof.token, Thumbprint::of(token.as_bytes()));
}

#[test]
fn every_algorithm_that_is_named_proves_its_key() {
    assert_eq!(ACCEPTED.map(algorithm::name).join(" "), ALGORITHMS);
    let mut keys = Vec::new();
    for algorithm in ACCEPTED {
        let client = Client::new(algorithm);
        let proof = DpopProof::verify(&client.sign(&client.header(), &claims())).unwrap();
        assert!(!keys.contains(&proof.key), "{algorithm:?}");
        keys.push(proof.key);
        // What browsers write into a JWK beside the key.
        let mut header = client.header();
        header["jwk"]["ext"] = json!(true);
        header["jwk"]["key_ops"] = json!(["verify"]);
        header["typ"] = json!("application/DPoP+JWT");
        assert_eq!(DpopProof::verify(&client.sign(&header, &claims())).unwrap().key, proof.key);
    }
}

#[test]
fn a_header_that_says_anything_else_is_no_proof() {
    let client = Client::new(Algorithm::ES256);
    let other = Client::new(Algorithm::ES256);
    let with = |name: &str, value: Value| {
        let mut header = client.header();
        header[name] = value;
        header
    };
    let with_member = |name: &str| {
        let mut header = client.header();
        header["jwk"][name] = json!("AAAA");
        header
    };
    for (header, error) in [
        (with("typ", json!("JWT")), DpopError::Malformed),
        (with("typ", json!("at+jwt")), DpopError::Malformed),
        (with("typ", Value::Null), DpopError::Malformed),
        (with("crit", json!([])), DpopError::Malformed),
        (with("b64", json!(true)), DpopError::Malformed),
        (with("zip", json!("DEF")), DpopError::Malformed),
        (with("alg", json!("none")), DpopError::Algorithm),
        (with("alg", json!("HS256")), DpopError::Algorithm),
        (with("alg", json!("RS512")), DpopError::Algorithm),
        (with("alg", json!("RS256")), DpopError::Key),
        (with("alg", json!("ES384")), DpopError::Key),
        (with("jwk", json!("key")), DpopError::Malformed),
        (with("jwk", json!({})), DpopError::Key),
        (with("jwk", json!({"kty": "oct"})), DpopError::Key),
        (with("jwk", other.jwk.clone()), DpopError::Signature),
    ] {
        let refused = DpopProof::verify(&client.sign(&header, &claims()));
        assert_eq!(refused, Err(error), "{header}");
    }
    for name in PRIVATE_MEMBERS {
        let refused = DpopProof::verify(&client.sign(&with_member(name), &claims()));
        assert_eq!(refused, Err(DpopError::Key), "{name}");
    }
    let mut encryption = client.header();
    encryption["jwk"]["use"] = json!("enc");
    let refused = DpopProof::verify(&client.sign(&encryption, &claims()));
    assert_eq!(refused, Err(DpopError::Key));
}

#[test]
fn claims_that_are_missing_or_of_another_type_are_no_proof() {
    let client = Client::new(Algorithm::EdDSA);
    for (name, values) in [
        ("jti", vec![Value::Null, json!(""), json!(7)]),
        ("htm", vec![Value::Null, json!(""), json!(["GET"])]),
        ("htu", vec![Value::Null, json!(""), json!({})]),
        ("iat", vec![Value::Null, json!("1"), json!(1.5), json!(-1)]),
        ("ath", vec![Value::Null, json!(""), json!("AAAA"), json!(7)]),
    ] {
        for value in values {
            let mut claims = claims();
            claims[name] = value;
            let refused = DpopProof::verify(&client.sign(&client.header(), &claims));
            assert_eq!(refused, Err(DpopError::Malformed), "{claims}");
        }
        let mut without = claims();
        without.as_object_mut().unwrap().remove(name);
        let refused = DpopProof::verify(&client.sign(&client.header(), &without));
        assert_eq!(refused, Err(DpopError::Malformed), "{name}");
    }
}

#[test]
fn a_small_or_large_key_is_none() {
    let rsa = Client::new(Algorithm::RS256);
    let mut short = rsa.header();
    let n = URL_SAFE_NO_PAD.decode(short["jwk"]["n"].as_str().unwrap()).unwrap();
    short["jwk"]["n"] = json!(URL_SAFE_NO_PAD.encode(&n[..128]));
    assert_eq!(DpopProof::verify(&rsa.sign(&short, &claims())), Err(DpopError::Key));
    let long = format!("{}{}", rsa.sign(&rsa.header(), &claims()), "A".repeat(MAX_BYTES));
    assert_eq!(DpopProof::verify(&long), Err(DpopError::Malformed));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        prop_assert!(DpopProof::verify(&text).is_err());
    }

    #[test]
    fn no_change_of_a_proof_is_a_proof(at in 0..EXAMPLE.len(), byte in "[A-Za-z0-9_.=-]") {
        let mut changed = EXAMPLE.to_owned();
        changed.replace_range(at..=at, &byte);
        let verified = DpopProof::verify(&changed);
        prop_assert!(changed == EXAMPLE || verified.is_err(), "{changed}");
    }

    #[test]
    fn what_a_client_signs_is_what_is_read(
        method in "[A-Z]{1,10}", url in "\\PC{1,80}", id in "\\PC{1,40}", issued in 0..4_000_000_000_u64
    ) {
        let client = Client::new(Algorithm::EdDSA);
        let mut claims = claims();
        for (name, value) in [("htm", json!(method)), ("htu", json!(url)), ("jti", json!(id))] {
            claims[name] = value;
        }
        claims["iat"] = json!(issued);
        let proof = DpopProof::verify(&client.sign(&client.header(), &claims)).unwrap();
        prop_assert_eq!((proof.method, proof.url, proof.id), (method, url, id));
        prop_assert_eq!(proof.issued, UnixTime::from_secs(issued));
    }
}
