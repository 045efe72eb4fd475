use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::secret::SystemRandom;
use crate::token::key::{self, SigningKey};

fn published(algorithm: Algorithm) -> serde_json::Value {
    let pem = key::generate(algorithm, &SystemRandom).unwrap();
    let key = SigningKey::from_private_pem(algorithm, &pem).unwrap();
    serde_json::to_value(key.verifying().public().unwrap().jwk()).unwrap()
}

#[test]
fn one_bad_key_does_not_spoil_the_others() {
    let set = json!({"keys": [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC", "crv": "P-521", "x": "x", "y": "y", "alg": "ES512"},
        {"kty": "new", "alg": "ML-DSA-65"},
        5,
        published(Algorithm::ES256),
        published(Algorithm::EdDSA),
    ]});
    let set = parse(set.to_string().as_bytes(), None).unwrap();
    assert_eq!((set.keys.len(), set.skipped.len()), (2, 4));
    let positions: Vec<_> = set.skipped.iter().map(|skipped| skipped.position).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
}

#[test]
fn what_is_no_key_set_is_an_error_and_an_empty_one_is_not() {
    for set in ["", "{}", "[]", "{\"keys\":5}", "null", "<html>"] {
        assert!(parse(set.as_bytes(), None).is_err(), "{set}");
    }
    for (set, skipped) in [("{\"keys\":[]}", 0), ("{\"keys\":[{}]}", 1)] {
        let read = parse(set.as_bytes(), None).unwrap();
        assert_eq!((read.keys.len(), read.skipped.len()), (0, skipped), "{set}");
        assert!(read.usable().is_err(), "where there must be one");
    }
}

#[test]
fn a_key_that_is_left_out_is_named_on_one_line() {
    let mut key = published(Algorithm::ES256);
    (key["kid"], key["use"]) = ("a\nb".into(), "enc".into());
    let set = json!({ "keys": [key] }).to_string();
    let reported = parse(set.as_bytes(), None).unwrap().usable().unwrap_err().to_string();
    assert!(reported.contains("key 1 (a\\nb) is left out: its `use`"), "{reported}");
    assert!(!reported.contains('\n'), "{reported}");
}

/// `n` and `e` as the faulty libraries write them: with the sign byte of ASN.1 before them.
#[test]
fn leading_zeros_of_an_rsa_key_are_as_good_as_not_there() {
    let pem = key::generate(Algorithm::RS256, &SystemRandom).unwrap();
    let signer = SigningKey::from_private_pem(Algorithm::RS256, &pem).unwrap();
    let token = signer.sign(&json!({"sub": "alice"})).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let good = serde_json::to_value(signer.verifying().public().unwrap().jwk()).unwrap();
    for zeros in [0, 1, 3] {
        let mut padded = good.clone();
        for name in ["n", "e"] {
            let number = URL_SAFE_NO_PAD.decode(good[name].as_str().unwrap()).unwrap();
            let number = [vec![0; zeros], number].concat();
            padded[name] = URL_SAFE_NO_PAD.encode(number).into();
        }
        let set = json!({ "keys": [padded] }).to_string();
        let keys = parse(set.as_bytes(), None).unwrap().keys;
        assert!(keys[0].verifies(message.as_bytes(), signature), "{zeros} zeros");
        let numbers = |key: &VerifyingKey| key.public().unwrap().jwk().algorithm.clone();
        assert_eq!(numbers(&keys[0]), numbers(signer.verifying()), "one key, one thumbprint");
    }
}

#[test]
fn keys_that_can_never_verify_are_left_out() {
    let rsa = published(Algorithm::RS256);
    let with = |mut key: serde_json::Value, name: &str, bytes: &[u8]| {
        key[name] = URL_SAFE_NO_PAD.encode(bytes).into();
        key
    };
    let even = {
        let mut n = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
        *n.last_mut().unwrap() &= 0xfe;
        n
    };
    let ec = published(Algorithm::ES256);
    let set = json!({"keys": [
        with(rsa.clone(), "n", &even),
        with(rsa.clone(), "n", &[0xff; 1025]),
        with(rsa.clone(), "n", &[0; 256]),
        with(rsa.clone(), "e", &[]),
        with(rsa.clone(), "e", &[1]),
        with(rsa.clone(), "e", &[2]),
        with(rsa.clone(), "e", &[0xff; 5]),
        // Not a point of the curve.
        with(ec.clone(), "x", &[7; 32]),
        with(ec, "y", &[0; 32]),
    ]});
    let read = parse(set.to_string().as_bytes(), None).unwrap();
    assert_eq!((read.keys.len(), read.skipped.len()), (0, 9), "{:?}", read.keys);
}

#[test]
fn a_key_without_an_algorithm_takes_the_issuers() {
    let mut rsa = published(Algorithm::RS256);
    rsa.as_object_mut().unwrap().remove("alg");
    let set = json!({ "keys": [rsa] }).to_string();
    for (assumed, found) in [(None, Algorithm::RS256), (Some(Algorithm::PS512), Algorithm::PS512)] {
        assert_eq!(parse(set.as_bytes(), assumed).unwrap().keys[0].algorithm(), found);
    }
}

#[test]
fn a_location_prints_without_credentials() {
    let url = Url::parse("https://user:pass@idp.example/keys?api_key=hush").unwrap();
    assert_eq!(Location::Url(url).to_string(), "https://idp.example/keys");
}
