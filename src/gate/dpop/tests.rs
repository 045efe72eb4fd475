//! Proofs beside tokens: for this request, this token and this time, and once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::clock::{ManualClock, UnixTime};
use crate::gate::client_certificate::ToldCertificates;
use crate::gate::requester::Origin;
use crate::policy::Requirement;
use crate::policy::canonical::headers::FORWARDED;
use crate::secret::SystemRandom;
use crate::token::key::{SigningKey, generate};

const NOW: u64 = 1_800_000_000;
const WINDOW: u64 = 60;
const TOKEN: &str = "a.b.c";

struct Fixture {
    dpop: Dpop,
    clock: Arc<ManualClock>,
    encoding: EncodingKey,
    jwk: Value,
    key: Thumbprint,
}

impl Fixture {
    fn new() -> Self {
        let pem = generate(Algorithm::ES256, &SystemRandom).unwrap();
        let key = SigningKey::from_private_pem(Algorithm::ES256, &pem).unwrap();
        let public = key.verifying().public().unwrap().clone();
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
        let memory = ReplayMemory::Process(ProcessMemory::new(100));
        let mut jwk = serde_json::to_value(public.jwk()).unwrap();
        jwk.as_object_mut().unwrap().retain(|name, _| ["kty", "crv", "x", "y"].contains(&&**name));
        Self {
            dpop: Dpop::new(Duration::from_secs(WINDOW), memory, clock.clone()),
            clock,
            encoding: EncodingKey::from_ec_pem(pem.expose()).unwrap(),
            jwk,
            key: Thumbprint::from_base64url(public.thumbprint()).unwrap(),
        }
    }

    fn proof(&self, claims: &Value) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk});
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = crypto::sign(message.as_bytes(), &self.encoding, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }

    /// The code of the denial of a request to `https://app.test/a?b` with these proofs.
    fn ask(&self, proofs: &[&str]) -> Option<DenialCode> {
        self.ask_as(self.key, TOKEN, &told(), proofs).err().map(|denial| denial.code)
    }

    fn ask_as(
        &self,
        key: Thumbprint,
        token: &str,
        told: &[(&'static str, &'static str)],
        proofs: &[&str],
    ) -> Result<(), Denial> {
        let mut headers = HeaderMap::new();
        for (name, value) in told {
            headers.append(*name, HeaderValue::from_static(value));
        }
        for proof in proofs {
            headers.append(PROOF, HeaderValue::from_str(proof).unwrap());
        }
        let inquiry = Inquiry {
            headers: (&headers).into(),
            requirement: Ok(Requirement::default()),
            family: Some(&FORWARDED),
            line: Told::default(),
            gateway: None,
            origin: Origin::of_connection(0),
            certificates: ToldCertificates::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.dpop.check(key, token, &inquiry))
    }
}

fn told() -> [(&'static str, &'static str); 4] {
    [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.test"),
        ("x-forwarded-uri", "/a?b"),
    ]
}

fn claims(id: &str) -> Value {
    let ath = URL_SAFE_NO_PAD
        .encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, TOKEN.as_bytes()));
    json!({"jti": id, "htm": "GET", "htu": "https://app.test/a", "iat": NOW, "ath": ath})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims(name);
    claims[name] = value;
    claims
}

#[test]
fn a_proof_is_good_once() {
    let fixture = Fixture::new();
    let proof = fixture.proof(&claims("one"));
    assert_eq!(fixture.ask(&[&proof]), None);
    assert_eq!(fixture.ask(&[&proof]), Some(DenialCode::DpopProofReplayed));
    // Another proof by the same name is the same.
    let mut again = claims("one");
    again["iat"] = json!(NOW + 1);
    let again = fixture.proof(&again);
    assert_eq!(fixture.ask(&[&again]), Some(DenialCode::DpopProofReplayed));
    assert_eq!(fixture.ask(&[&fixture.proof(&claims("two"))]), None);
}

#[test]
fn there_is_one_proof_and_it_can_be_read() {
    let fixture = Fixture::new();
    let [one, two] = ["one", "two"].map(|id| fixture.proof(&claims(id)));
    let joined = format!("{one}, {two}");
    for proofs in [&[][..], &[&*one, &*two], &[&*one, &*one], &[&*joined], &[""], &["x.y.z"]] {
        assert_eq!(fixture.ask(proofs), Some(DenialCode::BadDpopProof), "{proofs:?}");
    }
    assert_eq!(fixture.ask(&[&one]), None, "it was never used");
}

#[test]
fn a_proof_is_for_one_request_one_token_and_one_key() {
    let fixture = Fixture::new();
    let mismatch = Some(DenialCode::DpopProofMismatch);
    for (name, value) in [
        ("htm", json!("POST")),
        ("htm", json!("get")),
        ("htu", json!("http://app.test/a")),
        ("htu", json!("https://other.test/a")),
        ("htu", json!("https://app.test:8443/a")),
        ("htu", json!("https://app.test/a/")),
        ("htu", json!("https://app.test/A")),
        ("htu", json!("https://app.test//a")),
        ("htu", json!("https://app.test/b/../a")),
        ("htu", json!("https://user@app.test/a")),
        ("htu", json!("/a")),
        ("htu", json!("app.test/a")),
        ("ath", json!(URL_SAFE_NO_PAD.encode([0; 32]))),
    ] {
        assert_eq!(fixture.ask(&[&fixture.proof(&with(name, value.clone()))]), mismatch, "{value}");
    }
    let proof = fixture.proof(&claims("one"));
    let other = Thumbprint::of(b"another key");
    for (key, token) in [(other, TOKEN), (fixture.key, "a.b.d")] {
        let refused = fixture.ask_as(key, token, &told(), &[&proof]).unwrap_err();
        assert_eq!(Some(refused.code), mismatch);
    }
    // The key and the token are compared before a signature is checked.
    let forged = format!("{}.AAAA", proof.rsplit_once('.').unwrap().0);
    let refused = fixture.ask_as(other, TOKEN, &told(), &[&forged]).unwrap_err();
    assert_eq!(Some(refused.code), mismatch);
    assert_eq!(fixture.ask(&[&forged]), Some(DenialCode::BadDpopProof));
    assert_eq!(fixture.ask(&[&proof]), None, "it was never used");
}

#[test]
fn spellings_of_one_address_are_one_and_its_query_does_not_count() {
    let fixture = Fixture::new();
    for (number, url) in [
        "https://app.test/a?other=query",
        "https://app.test/a#fragment",
        "HTTPS://APP.test:443/a",
        "https://app.test/%61",
    ]
    .into_iter()
    .enumerate()
    {
        let mut claims = claims(&number.to_string());
        claims["htu"] = json!(url);
        assert_eq!(fixture.ask(&[&fixture.proof(&claims)]), None, "{url}");
    }
}

#[test]
fn a_proof_is_made_now_by_either_clock() {
    let fixture = Fixture::new();
    for (issued, is_now) in [
        (NOW - WINDOW, false),
        (NOW - WINDOW + 1, true),
        (NOW, true),
        (NOW + WINDOW, true),
        (NOW + WINDOW + 1, false),
    ] {
        let mut claims = claims(&issued.to_string());
        claims["iat"] = json!(issued);
        let expected = (!is_now).then_some(DenialCode::DpopProofExpired);
        assert_eq!(fixture.ask(&[&fixture.proof(&claims)]), expected, "{issued}");
    }
    // As long as it is good by its time, it is remembered.
    let proof = fixture.proof(&with("iat", json!(NOW + WINDOW)));
    assert_eq!(fixture.ask(&[&proof]), None);
    for _ in 0..2 * WINDOW {
        assert_eq!(fixture.ask(&[&proof]), Some(DenialCode::DpopProofReplayed));
        fixture.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(fixture.ask(&[&proof]), Some(DenialCode::DpopProofExpired));
}

#[test]
fn what_the_gateway_does_not_tell_cannot_be_proved() {
    let fixture = Fixture::new();
    let proof = fixture.proof(&claims("one"));
    for missing in 0..4 {
        let mut told = told().to_vec();
        told.remove(missing);
        let refused = fixture.ask_as(fixture.key, TOKEN, &told, &[&proof]).unwrap_err();
        assert_eq!(refused.code, DenialCode::DpopNotTold, "{missing}");
    }
    let mut twice = told().to_vec();
    twice.push(("x-forwarded-host", "other.test"));
    let refused = fixture.ask_as(fixture.key, TOKEN, &twice, &[&proof]).unwrap_err();
    assert_eq!(refused.code, DenialCode::AmbiguousRequest);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_other_address_is_proved(url in "https?://[a-z.]{1,8}(:[0-9]{1,4})?/[a-z/%.]{0,6}") {
        let fixture = Fixture::new();
        let claims = with("htu", json!(url));
        let is_own = ["https://app.test/a", "https://app.test:443/a"].contains(&&*url);
        let code = fixture.ask(&[&fixture.proof(&claims)]);
        prop_assert!(is_own || code == Some(DenialCode::DpopProofMismatch), "{url}: {code:?}");
    }
}
