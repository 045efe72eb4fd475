//! The verification of tokens.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::claims::{Claims, ScopeSet};
use super::error::TokenError;
use super::issuer::{Issuer, SessionRule};
use super::jws::{self, CompactJws};
use super::key::{KeyId, PublicJwk};
use crate::clock::{Clock, UnixTime};

/// A token that was found good, and until when that finding may be used.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// Who it is about.
    pub subject: String,
    /// What it allows.
    pub scopes: ScopeSet,
    /// The session that must live; `None` where the issuer's rule asks for none.
    pub session: Option<String>,
    /// Its issuer.
    pub issuer: Arc<Issuer>,
    /// What its signature was checked with; `None` where our own store kept the claims, and
    /// nobody had to sign them.
    pub signature: Option<Signature>,
    /// From when it is good: `nbf` and `iat`, less the leeway.
    pub usable_from: UnixTime,
    /// Until when it is good, exclusively: `exp` and the leeway.
    pub usable_until: UnixTime,
}

/// What a signature was found good with.
#[derive(Debug)]
pub struct Signature {
    /// The key, by name, where it has one.
    pub key: Option<KeyId>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The generation of the issuer's keys.
    pub keys_generation: u64,
}

impl Verified {
    /// True while the token is in time, and its issuer has the keys that it was checked with.
    pub fn is_valid(&self, now: UnixTime, monotonic: Duration) -> bool {
        self.usable_from <= now
            && now < self.usable_until
            && self.signature.as_ref().is_none_or(|signature| {
                self.issuer.keys.generation() == signature.keys_generation
                    && self.issuer.keys.is_usable(now, monotonic)
            })
    }
}

/// Checks tokens of all accepted issuers.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<Arc<Issuer>>,
    max_token_bytes: usize,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    /// A verifier for tokens of `issuers` that are at most `max_token_bytes` long.
    pub fn new(issuers: Vec<Arc<Issuer>>, max_token_bytes: usize, clock: Arc<dyn Clock>) -> Self {
        Self { issuers, max_token_bytes, clock }
    }

    /// The accepted issuers.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// The bound on a token's length, in bytes.
    pub fn max_token_bytes(&self) -> usize {
        self.max_token_bytes
    }

    /// Checks one token, by itself: that its session lives is for others to find out.
    ///
    /// # Errors
    /// The first [`TokenError`] that was found, signature before times before audience.
    pub fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let verified = self.verify_ignoring_audience(token)?;
        check_audience(&verified.issuer, &verified.claims)?;
        Ok(verified)
    }

    /// Checks one token, but not its audience: for its issuer, who revokes and introspects what he
    /// issued for others. Never for letting anybody in.
    ///
    /// # Errors
    /// The first [`TokenError`] that was found; never one about the audience.
    pub fn verify_ignoring_audience(&self, token: &str) -> Result<Verified, TokenError> {
        let parts = jws::split(token, self.max_token_bytes)?;
        let claims = Claims::parse(&jws::decode(parts.payload)?)?;
        let issuer = self.issuer_of(&claims)?;
        let keys_generation = issuer.keys.generation();
        let key = self.check_signature(issuer, &parts)?;
        claims.check_use(parts.header.is_access_token)?;
        if issuer.at_jwt_only && !parts.header.is_access_token {
            return Err(TokenError::WrongType);
        }
        let (usable_from, usable_until) = check_times(issuer, &claims, self.clock.now())?;
        let algorithm = parts.header.algorithm;
        let session = session_of(issuer, &claims)?;
        Ok(Verified {
            signature: Some(Signature { key, algorithm, keys_generation }),
            ..verified(issuer, claims, session, usable_from..usable_until)?
        })
    }

    /// Checks the claims of an access token that never left this service: all that is checked of
    /// a token but its signature. They are good until `expires` to the millisecond, whatever
    /// `exp` says: no other clock was asked, so there is no leeway. A session is always required.
    ///
    /// # Errors
    /// The first [`TokenError`] that was found, never one about keys or signatures.
    pub fn verify_stored_claims(
        &self,
        claims: Claims,
        expires: UnixTime,
    ) -> Result<Verified, TokenError> {
        let issuer = self.issuer_of(&claims)?;
        // Nothing but access tokens is kept.
        claims.check_use(true)?;
        let usable_from = claims.time("nbf")?.unwrap_or_default();
        in_time(self.clock.now(), usable_from, expires)?;
        check_audience(issuer, &claims)?;
        let session = claims.text("sid")?.ok_or(TokenError::SessionRequired)?.to_owned();
        verified(issuer, claims, Some(session), usable_from..expires)
    }

    /// The issuer that the token names. That is not yet believed: it only says whose keys to try.
    fn issuer_of(&self, claims: &Claims) -> Result<&Arc<Issuer>, TokenError> {
        let named = claims.text("iss")?;
        self.issuers
            .iter()
            .find(|issuer| match &issuer.iss {
                Some(expected) => Some(expected.as_str()) == named,
                None => true,
            })
            .ok_or(TokenError::UnknownIssuer)
    }

    fn check_signature(
        &self,
        issuer: &Issuer,
        parts: &CompactJws<'_>,
    ) -> Result<Option<KeyId>, TokenError> {
        if !issuer.keys.is_usable(self.clock.now(), self.clock.monotonic()) {
            issuer.keys.request_refresh();
            return Err(TokenError::KeysUnavailable);
        }
        let key_id = parts.header.key_id.as_deref();
        let candidates = issuer.keys.candidates(parts.header.algorithm, key_id);
        let signer =
            candidates.iter().find(|key| key.verifies(parts.message.as_bytes(), parts.signature));
        if let Some(key) = signer {
            return Ok(key.id().or(key.public().map(PublicJwk::id)).cloned());
        }
        // Its issuer may have a new key; where keys are published that is soon found out.
        issuer.keys.request_refresh();
        if candidates.is_empty() {
            Err(TokenError::UnknownKey)
        } else {
            Err(TokenError::BadSignature)
        }
    }
}

/// A verified token, of claims that were checked already.
fn verified(
    issuer: &Arc<Issuer>,
    claims: Claims,
    session: Option<String>,
    usable: Range<UnixTime>,
) -> Result<Verified, TokenError> {
    Ok(Verified {
        subject: claims.subject()?.ok_or(TokenError::BadClaim("sub"))?,
        scopes: claims.scopes()?,
        session,
        claims,
        issuer: Arc::clone(issuer),
        signature: None,
        usable_from: usable.start,
        usable_until: usable.end,
    })
}

/// The time in which the token is good, if that time is now.
fn check_times(
    issuer: &Issuer,
    claims: &Claims,
    now: UnixTime,
) -> Result<(UnixTime, UnixTime), TokenError> {
    let expires = claims.time("exp")?.ok_or(TokenError::BadClaim("exp"))?;
    let not_before = claims.time("nbf")?.unwrap_or_default();
    let issued = claims.time("iat")?.unwrap_or_default();
    let usable_from = not_before.max(issued).before(issuer.leeway);
    let usable_until = expires.after(issuer.leeway);
    in_time(now, usable_from, usable_until)?;
    Ok((usable_from, usable_until))
}

fn in_time(now: UnixTime, from: UnixTime, until: UnixTime) -> Result<(), TokenError> {
    if now < from {
        return Err(TokenError::NotYetValid);
    }
    if now >= until {
        return Err(TokenError::Expired);
    }
    Ok(())
}

fn check_audience(issuer: &Issuer, claims: &Claims) -> Result<(), TokenError> {
    let named = claims.audiences()?;
    let is_ours = if issuer.audiences.is_empty() {
        let default = issuer.default_audience.as_deref();
        claims.get("aud").is_none() || default.is_some_and(|default| named.contains(&default))
    } else {
        named.iter().any(|name| issuer.audiences.iter().any(|ours| ours == name))
    };
    if is_ours { Ok(()) } else { Err(TokenError::WrongAudience) }
}

fn session_of(issuer: &Issuer, claims: &Claims) -> Result<Option<String>, TokenError> {
    if issuer.sessions == SessionRule::Ignored {
        return Ok(None);
    }
    let session = claims.text("sid")?.map(str::to_owned);
    if session.is_none() && issuer.sessions == SessionRule::Required {
        return Err(TokenError::SessionRequired);
    }
    Ok(session)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::ManualClock;
    use crate::secret::{Secret, SystemRandom};
    use crate::token::key::{self, SigningKey, VerifyingKey};
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
            audiences: Vec::new(),
            default_audience: None,
            at_jwt_only: false,
            user_prefix: String::new(),
            leeway: Duration::from_secs(60),
            sessions: SessionRule::WhenPresent,
            keys: Arc::new(KeyRing::fixed(vec![signer.verifying().clone()])),
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
            fixture.verifier.verify_stored_claims(claims.into(), UnixTime::from_secs(expires))
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
            fixture.verifier.verify_stored_claims(claims.into(), UnixTime::from_secs(NOW + 2));
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
        // The public key of an asymmetric algorithm, used as an HMAC secret: the classic.
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
    fn each_issuer_is_checked_with_its_own_keys() {
        let make = |name: &str| {
            let secret = key::generate(Algorithm::HS256, &SystemRandom).unwrap();
            let signer = SigningKey::from_secret(Algorithm::HS256, &secret).unwrap();
            let verifying = VerifyingKey::from_secret(None, Algorithm::HS256, &secret).unwrap();
            let issuer = Issuer {
                name: name.into(),
                iss: Some(name.to_owned()),
                audiences: Vec::new(),
                default_audience: None,
                at_jwt_only: false,
                user_prefix: String::new(),
                leeway: Duration::ZERO,
                sessions: SessionRule::Ignored,
                keys: Arc::new(KeyRing::fixed(vec![verifying])),
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
}
