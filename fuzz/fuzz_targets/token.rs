//! Any bytes as a token: nobody who lacks the key gets in, and nothing panics.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use portcullis::clock::{ManualClock, UnixTime};
use portcullis::secret::{Secret, SystemRandom};
use portcullis::token::{Algorithm, Issuer, KeyRing, Verifier, VerifyingKey, key};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let secret = key::generate(Algorithm::HS256, &SystemRandom).expect("a secret");
    let secret = Secret::new(secret.expose().to_vec());
    let key = VerifyingKey::from_secret(None, Algorithm::HS256, &secret).expect("a key");
    let issuer = Issuer {
        name: "fuzz".into(),
        leeway: Duration::from_secs(600),
        keys: Arc::new(KeyRing::fixed(vec![key])),
        ..Issuer::default()
    };
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_800_000_000)));
    Verifier::new(vec![Arc::new(issuer)], 8192, clock)
});

fuzz_target!(|token: &str| {
    assert!(VERIFIER.verify(token).is_err(), "a token without a signature of ours was accepted");
});
