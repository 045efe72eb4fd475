//! Any bytes as a DPoP proof, and any header and claims that a client signs: what is read is what was signed, by the key
//! that is in it, and nothing panics.

#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use libfuzzer_sys::fuzz_target;
use portcullis::secret::SystemRandom;
use portcullis::token::dpop::DpopProof;
use portcullis::token::{Algorithm, SigningKey, Thumbprint, key};

struct Client {
    encoding: EncodingKey,
    jwk: String,
    thumbprint: Thumbprint,
}

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let pem = key::generate(Algorithm::EdDSA, &SystemRandom).expect("a key");
    let signing = SigningKey::from_private_pem(Algorithm::EdDSA, &pem).expect("a key");
    let public = signing.verifying().public().expect("a pair").clone();
    Client {
        encoding: EncodingKey::from_ed_pem(pem.expose()).expect("a key"),
        jwk: serde_json::to_string(public.jwk()).expect("JSON"),
        thumbprint: Thumbprint::from_base64url(public.thumbprint()).expect("a thumbprint"),
    }
});

fuzz_target!(|input: (bool, &str, &str)| {
    let (is_signed, header, claims) = input;
    if !is_signed {
        assert!(DpopProof::verify(header).is_err(), "a proof that nobody signed");
        return;
    }
    let client = &*CLIENT;
    let header = format!("{{\"typ\":\"dpop+jwt\",\"alg\":\"EdDSA\",\"jwk\":{}{header}}}", client.jwk);
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(message.as_bytes(), &client.encoding, Algorithm::EdDSA).expect("signed");
    let Ok(proof) = DpopProof::verify(&format!("{message}.{signature}")) else { return };
    assert_eq!(proof.key, client.thumbprint);
    let read: serde_json::Value = serde_json::from_str(claims).expect("a proof has an object of claims");
    for (name, value) in [("jti", &proof.id), ("htm", &proof.method), ("htu", &proof.url)] {
        assert_eq!(read[name].as_str(), Some(value.as_str()), "{name}");
    }
    assert_eq!(read["iat"].as_u64(), Some(proof.issued.as_secs()));
    assert_eq!(read["ath"].as_str().and_then(Thumbprint::from_base64url), Some(proof.token));
});
