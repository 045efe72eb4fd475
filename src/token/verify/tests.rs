use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::secret::{Secret, SystemRandom};
use crate::token::key::{self, SigningKey};
use crate::token::{KeyRing, algorithm};

const NOW: u64 = 1_800_000_000;

struct Fixture {
    verifier: Verifier,
    clock: Arc<ManualClock>,
    signer: SigningKey,
    pem: Secret,
}

fn fixture(change: impl FnOnce(&mut Issuer)) -> Fixture {
    let pem = key::generate(Algorithm::ES256, &SystemRandom).unwrap();
    let signer = SigningKey::from_private_pem(Algorithm::ES256, &pem).unwrap();
    let mut issuer = Issuer {
        name: "test".into(),
        iss: Some("us".to_owned()),
        leeway: Duration::from_secs(60),
        keys: Arc::new(KeyRing::fixed(vec![signer.verifying().clone()])),
        ..Issuer::default()
    };
    change(&mut issuer);
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
    let verifier = Verifier::new(vec![Arc::new(issuer)], 8192, clock.clone());
    Fixture { verifier, clock, signer, pem }
}

fn good() -> Value {
    json!({"iss": "us", "sub": "alice", "iat": NOW, "exp": NOW + 600})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

impl Fixture {
    /// The same key's token with another `typ`.
    fn typed(&self, typ: &str, claims: &Value) -> Result<Verified, TokenError> {
        let header = jsonwebtoken::Header {
            typ: Some(typ.to_owned()),
            ..jsonwebtoken::Header::new(Algorithm::ES256)
        };
        let key = jsonwebtoken::EncodingKey::from_ec_pem(self.pem.expose()).unwrap();
        self.verifier.verify(&jsonwebtoken::encode(&header, claims, &key).unwrap())
    }

    fn outcome(&self, claims: &Value) -> Result<Verified, TokenError> {
        self.verifier.verify(&self.signer.sign(claims).unwrap())
    }
}

#[test]
fn a_good_token_is_accepted() {
    let verified = fixture(|_| {}).outcome(&good()).unwrap();
    assert_eq!(verified.subject, "alice");
    assert_eq!(verified.usable_until, UnixTime::from_secs(NOW + 660));
}

#[test]
fn claims_are_checked_with_their_types() {
    let fixture = fixture(|_| {});
    for (claims, error) in [
        (with("iss", json!("them")), TokenError::UnknownIssuer),
        (with("iss", json!(5)), TokenError::BadClaim("iss")),
        (with("iss", json!(["us"])), TokenError::BadClaim("iss")),
        (without("iss"), TokenError::UnknownIssuer),
        (without("exp"), TokenError::BadClaim("exp")),
        (with("exp", json!((NOW + 600).to_string())), TokenError::BadClaim("exp")),
        (with("exp", json!(1.8e9)), TokenError::BadClaim("exp")),
        (with("exp", json!(-1)), TokenError::BadClaim("exp")),
        (with("exp", Value::Null), TokenError::BadClaim("exp")),
        (with("nbf", json!("0")), TokenError::BadClaim("nbf")),
        (with("iat", json!(0.5)), TokenError::BadClaim("iat")),
        (with("exp", json!(NOW - 60)), TokenError::Expired),
        (with("nbf", json!(NOW + 61)), TokenError::NotYetValid),
        (with("iat", json!(NOW + 61)), TokenError::NotYetValid),
        (with("aud", json!("somebody")), TokenError::WrongAudience),
        (with("aud", json!([])), TokenError::WrongAudience),
        (with("aud", json!(5)), TokenError::BadClaim("aud")),
        (with("sub", json!(5)), TokenError::BadClaim("sub")),
        (without("sub"), TokenError::BadClaim("sub")),
        (with("sid", json!(5)), TokenError::BadClaim("sid")),
        (with("scope", json!(5)), TokenError::BadClaim("scope")),
        (with("token_type", json!("refresh")), TokenError::WrongType),
    ] {
        assert_eq!(fixture.outcome(&claims).unwrap_err(), error, "{claims}");
    }
}

#[test]
fn an_id_token_is_refused_unless_its_header_declares_an_access_token() {
    let fixture = fixture(|_| {});
    let id_token = with("nonce", json!("n"));
    assert!(fixture.outcome(&id_token).is_ok(), "what is signed here says at+jwt");
    assert_eq!(fixture.typed("JWT", &id_token).unwrap_err(), TokenError::WrongType);
    assert!(fixture.typed("JWT", &good()).is_ok());
}

#[test]
fn an_issuer_may_demand_that_its_tokens_declare_what_they_are() {
    let fixture = fixture(|issuer| issuer.at_jwt_only = true);
    assert!(fixture.outcome(&good()).is_ok());
    assert!(fixture.typed("application/at+jwt", &good()).is_ok());
    for typ in ["JWT", "JOSE"] {
        assert_eq!(fixture.typed(typ, &good()).unwrap_err(), TokenError::WrongType, "{typ}");
    }
}

#[test]
fn the_leeway_applies_at_both_ends() {
    let fixture = fixture(|_| {});
    assert!(fixture.outcome(&with("exp", json!(NOW - 59))).is_ok());
    assert!(fixture.outcome(&with("nbf", json!(NOW + 60))).is_ok());
    let verified = fixture.outcome(&good()).unwrap();
    fixture.clock.advance(Duration::from_secs(659));
    assert!(verified.is_valid(fixture.clock.now(), fixture.clock.monotonic()));
    fixture.clock.advance(Duration::from_secs(1));
    assert!(!verified.is_valid(fixture.clock.now(), fixture.clock.monotonic()));
}

#[test]
fn an_expiry_at_the_end_of_time_does_not_overflow() {
    assert!(fixture(|_| {}).outcome(&with("exp", json!(u64::MAX))).is_ok());
}

#[test]
fn one_of_our_audiences_is_enough() {
    let fixture = fixture(|issuer| issuer.audiences = vec!["api".to_owned(), "web".to_owned()]);
    assert!(fixture.outcome(&with("aud", json!("web"))).is_ok());
    assert!(fixture.outcome(&with("aud", json!(["x", "api"]))).is_ok());
    for claims in [good(), with("aud", json!("ap")), with("aud", json!(["API"]))] {
        assert_eq!(fixture.outcome(&claims).unwrap_err(), TokenError::WrongAudience);
    }
}

#[test]
fn where_no_audience_is_named_the_default_one_is_ours_too() {
    let fixture = fixture(|issuer| issuer.default_audience = Some("us".to_owned()));
    for claims in [good(), with("aud", json!("us")), with("aud", json!(["x", "us"]))] {
        assert!(fixture.outcome(&claims).is_ok(), "{claims}");
    }
    for aud in [json!("them"), json!([]), json!(["U", "Us"])] {
        let error = fixture.outcome(&with("aud", aud.clone())).unwrap_err();
        assert_eq!(error, TokenError::WrongAudience, "{aud}");
    }
}

#[test]
fn the_default_audience_means_nothing_beside_one_that_is_named() {
    let fixture = fixture(|issuer| {
        issuer.default_audience = Some("us".to_owned());
        issuer.audiences = vec!["api".to_owned()];
    });
    assert!(fixture.outcome(&with("aud", json!("api"))).is_ok());
    for claims in [good(), with("aud", json!("us"))] {
        assert_eq!(fixture.outcome(&claims).unwrap_err(), TokenError::WrongAudience);
    }
}

#[test]
fn kept_claims_are_checked_as_a_tokens_are_but_for_the_signature() {
    let fixture = fixture(|issuer| issuer.sessions = SessionRule::Ignored);
    let outcome = |claims: Value, expires| {
        let Value::Object(claims) = claims else { panic!("{claims} is no object") };
        fixture.verifier.verify_stored_claims((&claims).into(), UnixTime::from_secs(expires))
    };
    let kept = || with("sid", json!("s"));
    let and = |name: &str, value| {
        let mut claims = kept();
        claims[name] = value;
        claims
    };
    for (claims, expires, error) in [
        (and("iss", json!("them")), NOW + 1, TokenError::UnknownIssuer),
        (and("aud", json!("them")), NOW + 1, TokenError::WrongAudience),
        (and("token_type", json!("refresh")), NOW + 1, TokenError::WrongType),
        (and("nbf", json!(NOW + 1)), NOW + 600, TokenError::NotYetValid),
        (and("sub", Value::Null), NOW + 1, TokenError::BadClaim("sub")),
        (and("scope", json!(5)), NOW + 1, TokenError::BadClaim("scope")),
        (without("sid"), NOW + 1, TokenError::SessionRequired),
        (kept(), NOW, TokenError::Expired),
    ] {
        assert_eq!(outcome(claims.clone(), expires).unwrap_err(), error, "{claims}");
    }
    let verified = outcome(kept(), NOW + 1).unwrap();
    assert_eq!(verified.session.as_deref(), Some("s"), "whatever the rule for tokens is");
    assert_eq!(verified.usable_until, UnixTime::from_secs(NOW + 1), "there is no leeway");
    assert!(verified.signature.is_none());
}

#[test]
fn kept_claims_stand_whatever_happens_to_keys() {
    let fixture = fixture(|issuer| issuer.keys = Arc::new(KeyRing::unfetched()));
    let claims = with("sid", json!("s")).as_object().unwrap().clone();
    let verified =
        fixture.verifier.verify_stored_claims((&claims).into(), UnixTime::from_secs(NOW + 2));
    let verified = verified.unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    assert!(verified.is_valid(fixture.clock.now(), fixture.clock.monotonic()));
    fixture.clock.advance(Duration::from_secs(1));
    assert!(!verified.is_valid(fixture.clock.now(), fixture.clock.monotonic()));
}

#[test]
fn the_session_rule_decides_what_sid_means() {
    for (rule, claims, session) in [
        (SessionRule::WhenPresent, good(), Ok(None)),
        (SessionRule::WhenPresent, with("sid", json!("s")), Ok(Some("s"))),
        (SessionRule::Required, good(), Err(TokenError::SessionRequired)),
        (SessionRule::Required, with("sid", json!("s")), Ok(Some("s"))),
        (SessionRule::Ignored, with("sid", json!("s")), Ok(None)),
    ] {
        let outcome = fixture(|issuer| issuer.sessions = rule).outcome(&claims);
        let found = outcome.as_ref().map(|verified| verified.session.as_deref());
        assert_eq!(found.map_err(|error| *error), session, "{rule:?} {claims}");
    }
}

#[test]
fn a_key_is_used_with_its_own_algorithm_alone() {
    // The public key of an asymmetric algorithm, used as an HMAC secret: the best-known attack.
    let fixture = fixture(|_| {});
    let public = fixture.signer.verifying().public().unwrap();
    let secret = serde_json::to_vec(public.jwk()).unwrap();
    let forged = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(Algorithm::HS256),
        &good(),
        &jsonwebtoken::EncodingKey::from_secret(&secret),
    )
    .unwrap();
    assert_eq!(fixture.verifier.verify(&forged).unwrap_err(), TokenError::UnknownKey);
    for algorithm in algorithm::all() {
        let pem = key::generate(algorithm, &SystemRandom).unwrap();
        let foreign = if algorithm::is_symmetric(algorithm) {
            SigningKey::from_secret(algorithm, &pem)
        } else {
            SigningKey::from_private_pem(algorithm, &pem)
        };
        let token = foreign.unwrap().sign(&good()).unwrap();
        let error = fixture.verifier.verify(&token).unwrap_err();
        assert!(matches!(error, TokenError::UnknownKey | TokenError::BadSignature));
    }
}

#[test]
fn every_changed_byte_of_a_token_is_noticed() {
    let fixture = fixture(|_| {});
    let token = fixture.signer.sign(&good()).unwrap();
    for position in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(fixture.verifier.verify(&changed).is_err(), "byte {position}");
    }
}

#[test]
fn every_truncated_token_is_refused() {
    let fixture = fixture(|_| {});
    let token = fixture.signer.sign(&good()).unwrap();
    for length in 0..token.len() {
        assert!(fixture.verifier.verify(&token[..length]).is_err(), "{length} bytes");
    }
}

/// It is looked up among names, and never opened, fetched or run.
#[test]
fn a_key_id_is_a_name_and_nothing_else() {
    let fixture = fixture(|issuer| {
        let keys = issuer.keys.candidates(Algorithm::ES256, None);
        let named = keys.iter().cloned().map(VerifyingKey::named);
        issuer.keys = Arc::new(KeyRing::fixed(named.collect()));
    });
    let key = jsonwebtoken::EncodingKey::from_ec_pem(fixture.pem.expose()).unwrap();
    for kid in [
        "../../../dev/null",
        "/etc/passwd",
        "file:///dev/null",
        "https://evil.test/jwks",
        "' OR '1'='1",
        "a\0b",
        "$(id)",
        "*",
    ] {
        let header = jsonwebtoken::Header {
            kid: Some(kid.to_owned()),
            ..jsonwebtoken::Header::new(Algorithm::ES256)
        };
        let token = jsonwebtoken::encode(&header, &good(), &key).unwrap();
        assert_eq!(fixture.verifier.verify(&token).unwrap_err(), TokenError::UnknownKey, "{kid}");
    }
}

#[test]
fn each_issuer_is_checked_with_its_own_keys() {
    let make = |name: &str| {
        let secret = key::generate(Algorithm::HS256, &SystemRandom).unwrap();
        let signer = SigningKey::from_secret(Algorithm::HS256, &secret).unwrap();
        let verifying = VerifyingKey::from_secret(None, Algorithm::HS256, &secret).unwrap();
        let issuer = Issuer {
            name: name.into(),
            iss: Some(name.to_owned()),
            sessions: SessionRule::Ignored,
            keys: Arc::new(KeyRing::fixed(vec![verifying])),
            ..Issuer::default()
        };
        (signer, Arc::new(issuer))
    };
    let ((signer_a, a), (signer_b, b)) = (make("a"), make("b"));
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
    let verifier = Verifier::new(vec![a, b], 8192, clock);
    let outcome = |signer: &SigningKey, iss: &str| {
        verifier.verify(&signer.sign(&with("iss", json!(iss))).unwrap())
    };
    assert_eq!(&*outcome(&signer_a, "a").unwrap().issuer.name, "a");
    assert_eq!(&*outcome(&signer_b, "b").unwrap().issuer.name, "b");
    assert_eq!(outcome(&signer_a, "b").unwrap_err(), TokenError::BadSignature);
    assert_eq!(outcome(&signer_b, "c").unwrap_err(), TokenError::UnknownIssuer);
}

#[test]
fn without_keys_nothing_is_verified() {
    let fixture = fixture(|issuer| issuer.keys = Arc::new(KeyRing::unfetched()));
    assert_eq!(fixture.outcome(&good()).unwrap_err(), TokenError::KeysUnavailable);
}
