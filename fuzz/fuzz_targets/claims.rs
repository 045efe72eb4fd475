//! Any bytes as the payload of a token with a good signature: what is accepted is in time, and
//! what it says of itself never leaves its headers.

#![no_main]

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use portcullis::clock::{ManualClock, UnixTime};
use portcullis::gate::identity::IdentityHeaders;
use portcullis::secret::Secret;
use portcullis::token::{Algorithm, Issuer, KeyRing, Verifier, VerifyingKey};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret that everybody may know";

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let secret = Secret::new(SECRET);
    let key = VerifyingKey::from_secret(None, Algorithm::HS256, &secret).expect("a key");
    let issuer = Issuer {
        name: "fuzz".into(),
        audiences: vec!["us".to_owned()],
        keys: Arc::new(KeyRing::fixed(vec![key])),
        ..Issuer::default()
    };
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
    Verifier::new(vec![Arc::new(issuer)], 1 << 20, clock)
});

static SIGNER: LazyLock<jsonwebtoken::EncodingKey> =
    LazyLock::new(|| jsonwebtoken::EncodingKey::from_secret(SECRET));

fuzz_target!(|payload: &[u8]| {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &SIGNER, Algorithm::HS256);
    let token = format!("{message}.{}", signature.expect("a signature"));
    let Ok(verified) = VERIFIER.verify(&token) else { return };
    assert!(verified.usable_from <= UnixTime::from_secs(NOW));
    assert!(verified.usable_until > UnixTime::from_secs(NOW));
    assert!(verified.claims.audiences().is_ok_and(|names| names.iter().any(|name| name == "us")));
    let Ok(headers) = IdentityHeaders::default().render(&verified, None) else { return };
    assert_eq!(headers.len(), 7);
    for value in headers.values() {
        assert!(value.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte)));
    }
});
