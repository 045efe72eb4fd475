//! Signed claims of a purpose of our own, by a `typ` of their own (RFC 8725, section 3.11): a verifier
//! of access tokens refuses the type, and what reads these refuses every other.

use serde::Deserialize;

use super::algorithm::{self, Algorithm};
use super::claims::Claims;
use super::jws::{self, Parts, Presence};
use super::key::{KeyId, VerifyingKey};

use crate::wire::json;

/// The longest text that is read.
const MAX_BYTES: usize = 8_192;

/// The header as it stands in the text. Repeated names are refused by serde's derived code.
#[derive(Deserialize)]
struct RawHeader {
    typ: String,
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Presence,
    #[serde(default)]
    b64: Presence,
    #[serde(default)]
    zip: Presence,
    #[serde(default)]
    enc: Presence,
}

/// The claims of a text of this type, if one of `keys` signed it. Nothing in them is checked, neither
/// the time nor for whom they are.
pub fn verify(text: &str, typ: &str, keys: &[VerifyingKey]) -> Option<Claims> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let parts = jws::parts(text).ok()?;
    let header = read_header(&parts)?;
    if header.typ != typ {
        return None;
    }
    let algorithm = algorithm::parse(&header.alg).ok()?;
    let mut candidates = keys.iter().filter(|key| is_meant(key, algorithm, &header));
    candidates.find(|key| key.verifies(parts.message.as_bytes(), parts.signature))?;
    Claims::parse(&jws::decode(parts.payload).ok()?).ok()
}

fn read_header(parts: &Parts<'_>) -> Option<RawHeader> {
    let bytes = jws::decode(parts.header).ok()?;
    // Serde would also read the fields of a struct out of an array.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let header: RawHeader = json::from_slice(&bytes).ok()?;
    let is_extended = [&header.crit, &header.b64, &header.zip, &header.enc]
        .iter()
        .any(|it| **it == Presence::There);
    (!is_extended).then_some(header)
}

fn is_meant(key: &VerifyingKey, algorithm: Algorithm, header: &RawHeader) -> bool {
    let is_named = |id: &KeyId| Some(id.as_str()) == header.kid.as_deref();
    key.algorithm() == algorithm && key.id().is_none_or(is_named)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::clock::{ManualClock, UnixTime};
    use crate::secret::{Secret, SystemRandom};
    use crate::token::{Issuer, KeyRing, SigningKey, TokenError, Verifier, key};

    const TYPE: &str = "x-link+jwt";

    fn keys() -> [SigningKey; 3] {
        let pem = || key::generate(Algorithm::EdDSA, &SystemRandom).expect("a key");
        let pair = || SigningKey::from_private_pem(Algorithm::EdDSA, &pem()).expect("a key");
        let secret = Secret::new(vec![7; 64]);
        [pair(), pair(), SigningKey::from_secret(Algorithm::HS256, &secret).expect("a key")]
    }

    /// The key as an issuer keeps it for checks, by its name.
    fn verifying(key: &SigningKey) -> VerifyingKey {
        key.verifying().clone().named()
    }

    #[test]
    fn only_the_type_that_is_asked_for_by_a_key_of_ours_is_read() {
        let [own, other, secret] = keys();
        for key in [&own, &secret] {
            let text = key.sign_as(TYPE, &json!({"sub": "alice"})).expect("signed");
            let claims = verify(&text, TYPE, &[verifying(&other), verifying(key)]);
            assert_eq!(claims.expect("claims").text("sub"), Ok(Some("alice".into())));
            assert!(verify(&text, TYPE, &[verifying(&other)]).is_none(), "another's key");
            assert!(verify(&text, "at+jwt", &[verifying(key)]).is_none(), "another type");
            let access = key.sign(&json!({"sub": "alice"})).expect("signed");
            assert!(verify(&access, TYPE, &[verifying(key)]).is_none(), "an access token");
        }
        let text = own.sign_as(TYPE, &json!({})).expect("signed");
        let (message, signature) = text.rsplit_once('.').expect("three parts");
        let (header, _) = message.split_once('.').expect("three parts");
        for bad in [
            format!("{header}.eyJzdWIiOiJldmUifQ.{signature}"),
            format!("{message}.{}", "A".repeat(86)),
            format!("{message}."),
            message.to_owned(),
            String::new(),
            "x".repeat(MAX_BYTES + 1),
        ] {
            assert!(verify(&bad, TYPE, &[verifying(&own)]).is_none(), "{bad:.60}");
        }
    }

    #[test]
    fn no_verifier_of_access_tokens_takes_it() {
        let [own, ..] = keys();
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_000)));
        let ring = Arc::new(KeyRing::fixed(vec![verifying(&own)]));
        let issuer = Arc::new(Issuer { keys: ring, ..Issuer::default() });
        let verifier = Verifier::new(vec![issuer], MAX_BYTES, clock);
        let claims = json!({"sub": "alice", "exp": 2_000, "sid": "AAAAAAAAAAAAAAAAAAAAAA"});
        let text = own.sign_as(TYPE, &claims).expect("signed");
        assert_eq!(verifier.verify(&text).err(), Some(TokenError::WrongType));
    }
}
