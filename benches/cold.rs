//! The cost of one verification of a token, beside the check of its signature alone by the same library with a key that
//! is parsed. `cargo bench --bench cold` prints nanoseconds, medians of several rounds.
//!
//! `benches/run cold` counts instructions instead: it runs this program under callgrind as
//! `cold ALGORITHM verify|raw COUNT FILE`, with a private key, since the making of a new one takes a random time.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::clock::{Clock, SystemClock};
use portcullis::secret::{Secret, SystemRandom};
use portcullis::token::{Algorithm, Issuer, KeyRing, SessionRule, SigningKey, Verifier, key};
use serde_json::json;

const ROUNDS: usize = 9;
const CALLS: u32 = 1_000;
/// The algorithms, and how the library checks them.
const ALGORITHMS: [(Algorithm, &dyn VerificationAlgorithm); 3] = [
    (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED),
    (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::EdDSA, &ED25519),
];

/// A token, and what checks it in full and by its signature alone.
struct Case {
    verifier: Verifier,
    token: String,
    key: ParsedPublicKey,
    signature: Vec<u8>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [algorithm, what, count, file] = &arguments[..] {
        let (algorithm, check) = *ALGORITHMS
            .iter()
            .find(|(known, _)| format!("{known:?}") == *algorithm)
            .expect("ES256, RS256 or EdDSA");
        let pem = Secret::new(std::fs::read(file).unwrap());
        return repeat(&Case::new(algorithm, check, &pem), what, count.parse().unwrap());
    }
    println!("nanoseconds      whole    signature    share");
    for (algorithm, check) in ALGORITHMS {
        let pem = key::generate(algorithm, &SystemRandom).unwrap();
        let case = Case::new(algorithm, check, &pem);
        let (whole, raw) = (median(|| case.verify()), median(|| case.check_signature()));
        println!("{:<12} {whole:>9.0} {raw:>12.0} {:>8.2}", format!("{algorithm:?}"), raw / whole);
    }
}

fn repeat(case: &Case, what: &str, count: u32) {
    for _ in 0..count {
        match what {
            "verify" => case.verify(),
            "raw" => case.check_signature(),
            _ => panic!("verify or raw"),
        }
    }
}

fn median(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

impl Case {
    fn new(algorithm: Algorithm, check: &'static dyn VerificationAlgorithm, pem: &Secret) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let signer = SigningKey::from_private_pem(algorithm, pem).unwrap();
        let issuer = Issuer {
            name: "bench".into(),
            iss: Some("prismaticain".to_owned()),
            sessions: SessionRule::Required,
            keys: Arc::new(KeyRing::fixed(vec![signer.verifying().clone()])),
            ..Issuer::default()
        };
        let now = clock.now().as_secs();
        let claims = json!({
            "iss": "prismaticain", "sub": "user-0000001", "iat": now, "exp": now + 86_400,
            "preferred_username": "alice.0000001", "email": "alice.0000001@example.com",
            "scope": "user:read user:write report:read", "roles": ["admin", "editor"],
            "sid": "BcLA2_krSZ39lCRkR9Gdig",
            "picture": format!("https://img.example.com/{}", "0123456789abcdef".repeat(8)),
        });
        let token = signer.sign(&claims).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(token.rsplit_once('.').unwrap().1).unwrap();
        let public = pem::parse(signer.public_pem().unwrap()).unwrap();
        let key = ParsedPublicKey::new(check, public.contents()).unwrap();
        let verifier = Verifier::new(vec![Arc::new(issuer)], 8192, clock);
        Self { verifier, token, key, signature }
    }

    fn verify(&self) {
        black_box(self.verifier.verify(black_box(&self.token)).unwrap());
    }

    fn check_signature(&self) {
        let message = self.token.rsplit_once('.').unwrap().0;
        black_box(self.key.verify_sig(black_box(message.as_bytes()), &self.signature)).unwrap();
    }
}
