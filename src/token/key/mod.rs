//! Keys: each bound to the one algorithm that it serves (RFC 8725, section 3.1).

mod asymmetric;
mod parameters;
mod parsed;
mod pem;
mod prepared;
mod signing;
mod verifying;

use std::fmt;
use std::sync::Arc;

use super::algorithm::{self, Algorithm};
use crate::secret::{RandomFailed, Secret};

pub use asymmetric::is_asymmetric_key;
pub use pem::{is_private_pem, looks_like_pem};
pub use signing::{SigningKey, generate};
pub use verifying::{PublicJwk, VerifyingKey};

/// The name of a key, as in a token's `kid` header (RFC 7515, section 4.1.4).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Takes any text: a key's name is compared, never interpreted.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The reason why key material cannot be used. No variant carries any of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A private key in a place that needs, and so should hold, only the public one.
    #[error(
        "this is a private key, and only the public key belongs here; \
         make it with: openssl pkey -in KEY.pem -pubout"
    )]
    PrivateWherePublic,
    /// A public key where something has to be signed.
    #[error("this is a public key; signing needs the private key")]
    PublicWherePrivate,
    /// Not PEM, or a PEM of another kind.
    #[error("{0}")]
    NotPem(&'static str),
    /// The key is of another kind than the algorithm takes.
    #[error("this key does not fit the algorithm {}", algorithm::name(*.0))]
    WrongFamily(Algorithm),
    /// An RSA modulus below the bound.
    #[error("this RSA key has {0} bits; at least 2048 are needed")]
    RsaTooShort(usize),
    /// An HMAC secret below the bound.
    #[error("this secret has {have} bytes; {} needs at least {need}", algorithm::name(*.algorithm))]
    SecretTooShort {
        /// The algorithm that the secret is for.
        algorithm: Algorithm,
        /// Its length in bytes.
        have: usize,
        /// The least length in bytes.
        need: usize,
    },
    /// A key of a pair, in any form, given as an HMAC secret: everybody may know a public key.
    #[error(
        "this is a key of a pair (PEM, DER, a JWK or their base64), not a secret: a public key must \
         never be used as an HMAC secret"
    )]
    PairAsSecret,
    /// A JWK that may not verify signatures here; the text names the rule that it breaks.
    #[error("{0}")]
    UnusableJwk(&'static str),
    /// The claims to sign cannot be written as JSON.
    #[error("these claims cannot be written as JSON")]
    UnwritableClaims,
    /// A new key could not be made.
    #[error(transparent)]
    Random(#[from] RandomFailed),
}

/// Checks whether a secret may serve an HMAC algorithm.
fn check_secret(algorithm: Algorithm, secret: &Secret) -> Result<(), KeyError> {
    if !algorithm::is_symmetric(algorithm) {
        return Err(KeyError::WrongFamily(algorithm));
    }
    if is_asymmetric_key(secret.expose()) {
        return Err(KeyError::PairAsSecret);
    }
    let (have, need) = (secret.expose().len(), algorithm::min_secret_bytes(algorithm));
    if have < need {
        return Err(KeyError::SecretTooShort { algorithm, have, need });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use jsonwebtoken::AlgorithmFamily;
    use jsonwebtoken::jwk::Jwk;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::secret::SystemRandom;
    use crate::token::claims::tests::any_json;
    use crate::token::jws;

    fn new_key(algorithm: Algorithm) -> Secret {
        generate(algorithm, &SystemRandom).unwrap()
    }

    fn signing_key(algorithm: Algorithm) -> SigningKey {
        of_material(algorithm, &new_key(algorithm))
    }

    fn of_material(algorithm: Algorithm, material: &Secret) -> SigningKey {
        if algorithm::is_symmetric(algorithm) {
            SigningKey::from_secret(algorithm, material).unwrap()
        } else {
            SigningKey::from_private_pem(algorithm, material).unwrap()
        }
    }

    /// A key of each algorithm. Those of RSA share their material: making it takes long.
    fn new_keys() -> Vec<SigningKey> {
        let rsa = new_key(Algorithm::RS256);
        let key = |algorithm: Algorithm| match algorithm.family() {
            AlgorithmFamily::Rsa => of_material(algorithm, &rsa),
            _ => signing_key(algorithm),
        };
        algorithm::all().map(key).collect()
    }

    static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(new_keys);

    #[test]
    fn each_form_of_the_public_half_verifies_what_the_key_signed_and_no_other_key_does() {
        for (key, other) in KEYS.iter().zip(new_keys()) {
            let token = key.sign(&json!({"sub": "alice"})).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let verifies = |key: &VerifyingKey| key.verifies(message.as_bytes(), signature);
            assert!(verifies(key.verifying()) && !verifies(other.verifying()), "{key:?}");
            let Some(public) = key.verifying().public() else {
                assert_eq!(key.public_pem(), None, "a secret is never published");
                continue;
            };
            let pem = key.public_pem().unwrap();
            let read = VerifyingKey::from_public_pem(None, key.algorithm(), pem.as_bytes());
            let read = read.unwrap();
            assert!(verifies(&read) && read.same_as(key.verifying()), "{key:?}");
            let jwk = serde_json::to_string(public.jwk()).unwrap();
            for private in ["\"d\"", "\"p\"", "\"q\"", "\"k\""] {
                assert!(!jwk.contains(private), "{jwk}");
            }
            let read = VerifyingKey::from_jwk(&serde_json::from_str(&jwk).unwrap(), None).unwrap();
            assert!(verifies(&read), "{key:?}");
        }
    }

    /// Another implementation reads what is made here, and finds it good.
    #[test]
    fn a_token_of_every_algorithm_is_one_to_others() {
        let pairs: Vec<_> = KEYS.iter().filter(|key| key.public_pem().is_some()).collect();
        assert_eq!(pairs.len(), 9, "all but the three of HMAC, which have nothing to show");
        for key in pairs {
            let claims = json!({"sub": "alice", "exp": 4_000_000_000_u64});
            let token = key.sign(&claims).unwrap();
            let header = jsonwebtoken::decode_header(&token).unwrap();
            assert_eq!((header.alg, header.typ.as_deref()), (key.algorithm(), Some("at+jwt")));
            assert_eq!(header.kid.as_deref(), key.id().map(KeyId::as_str));
            let jwk = key.verifying().public().unwrap().jwk();
            let decoding = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
            let validation = jsonwebtoken::Validation::new(key.algorithm());
            let read = jsonwebtoken::decode::<Value>(&token, &decoding, &validation).unwrap();
            assert_eq!(read.claims, claims, "{key:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn header_and_claims_survive_whatever_they_say(
            which in 0_usize..12,
            claims in prop::collection::hash_map(any::<String>(), any_json(), 0..8),
        ) {
            let (key, claims) = (&KEYS[which], claims.into_iter().collect::<Map<_, _>>());
            let token = key.sign(&claims).unwrap();
            let parts = jws::split(&token, 1 << 20).unwrap();
            prop_assert_eq!(parts.header.algorithm, key.algorithm());
            prop_assert_eq!(parts.header.key_id.as_deref(), key.id().map(KeyId::as_str));
            let read: Map<String, Value> =
                serde_json::from_slice(&jws::decode(parts.payload).unwrap()).unwrap();
            prop_assert_eq!(read, claims);
            prop_assert!(key.verifying().verifies(parts.message.as_bytes(), parts.signature));
        }
    }

    #[test]
    fn claims_that_are_no_json_are_not_signed() {
        let claims = std::collections::HashMap::from([((1, 2), 3)]);
        assert_eq!(KEYS[0].sign(&claims), Err(KeyError::UnwritableClaims));
    }

    #[test]
    fn short_secrets_are_refused() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let need = algorithm::min_secret_bytes(algorithm);
            let short = Secret::new(vec![b'x'; need - 1]);
            assert_eq!(
                VerifyingKey::from_secret(None, algorithm, &short).unwrap_err(),
                KeyError::SecretTooShort { algorithm, have: need - 1, need }
            );
            let enough = Secret::new(vec![b'x'; need]);
            assert!(VerifyingKey::from_secret(None, algorithm, &enough).is_ok());
        }
    }

    #[test]
    fn keys_in_the_wrong_place_are_refused() {
        let private = new_key(Algorithm::ES256);
        let refused = VerifyingKey::from_public_pem(None, Algorithm::ES256, private.expose());
        assert_eq!(refused.unwrap_err(), KeyError::PrivateWherePublic);
        let refused = VerifyingKey::from_secret(None, Algorithm::HS256, &private);
        assert_eq!(refused.unwrap_err(), KeyError::PairAsSecret);
        for algorithm in [Algorithm::RS256, Algorithm::ES384] {
            let refused = SigningKey::from_private_pem(algorithm, &private);
            assert_eq!(refused.unwrap_err(), KeyError::WrongFamily(algorithm));
        }
    }

    #[test]
    fn jwks_that_may_not_verify_are_refused() {
        let good = signing_key(Algorithm::ES256).verifying().public().unwrap().jwk().clone();
        let json = serde_json::to_value(&good).unwrap();
        let with = |name: &str, value: Value| {
            let mut changed = json.clone();
            changed[name] = value;
            serde_json::from_value::<Jwk>(changed).map(|jwk| VerifyingKey::from_jwk(&jwk, None))
        };
        assert!(with("use", "enc".into()).unwrap().is_err());
        assert!(with("key_ops", json!(["sign"])).unwrap().is_err());
        assert!(with("alg", "ES384".into()).unwrap().is_err());
        assert!(with("x", "AAAA".into()).unwrap().is_err());
        let secret = json!({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"});
        let secret = serde_json::from_value::<Jwk>(secret).unwrap();
        assert!(VerifyingKey::from_jwk(&secret, Some(Algorithm::HS256)).is_err());
    }

    #[test]
    fn line_ends_that_are_written_out_are_line_ends() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
            let private = new_key(algorithm);
            let key = SigningKey::from_private_pem(algorithm, &private).unwrap();
            let text = private.expose_str().unwrap().replace("\r\n", "\n");
            let public = key.public_pem().unwrap().replace("\r\n", "\n");
            for written_out in ["\\n", "\\r\\n", "\\n\n"] {
                let private = Secret::new(text.replace('\n', written_out));
                let read = SigningKey::from_private_pem(algorithm, &private).unwrap();
                assert!(read.verifying().same_as(key.verifying()), "{written_out:?}");
                assert!(is_private_pem(private.expose()));
                let public = public.replace('\n', written_out);
                let read = VerifyingKey::from_public_pem(None, algorithm, public.as_bytes());
                assert!(read.unwrap().same_as(key.verifying()), "{written_out:?}");
            }
        }
    }

    #[test]
    fn what_ecparam_writes_is_refused_with_the_cure() {
        let parameters = ::pem::Pem::new("EC PARAMETERS", vec![6, 8]);
        let key = ::pem::Pem::new("EC PRIVATE KEY", vec![0x30, 0]);
        let both = Secret::new(::pem::encode_many(&[parameters.clone(), key]));
        let refused = SigningKey::from_private_pem(Algorithm::ES256, &both).unwrap_err();
        assert!(refused.to_string().contains("openssl pkcs8 -topk8"), "{refused}");
        // The block before the key is no second key.
        let pkcs8 = new_key(Algorithm::ES256);
        let both = Secret::new(::pem::encode(&parameters) + pkcs8.expose_str().unwrap());
        assert!(SigningKey::from_private_pem(Algorithm::ES256, &both).is_ok());
    }

    #[test]
    fn debug_output_shows_no_key_material() {
        let key = signing_key(Algorithm::HS256);
        assert!(!format!("{key:?} {:?}", key.verifying()).contains("Secret"));
    }
}
