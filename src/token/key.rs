//! Keys: each bound to the one algorithm that it serves (RFC 8725, section 3.1).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations,
    PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, EncodingKey};
use serde::Serialize;

use super::algorithm::{self, Algorithm};
use crate::secret::{Random, RandomFailed, Secret};

/// The smallest RSA modulus that is accepted, in bits (RFC 7518, section 3.3).
const LEAST_RSA_BITS: usize = 2048;

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

/// Why key material cannot be used. No variant carries any of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A private key in a place that only needs, and so should only hold, the public one.
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
    #[error("this RSA key has {0} bits; at least {LEAST_RSA_BITS} are needed")]
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
    /// An asymmetric key in PEM, given as an HMAC secret: everybody may know a public key.
    #[error("this is a PEM file, not a secret: a public key must never be used as an HMAC secret")]
    PemAsSecret,
    /// A JWK that may not verify signatures here; the text says which rule it breaks.
    #[error("{0}")]
    UnusableJwk(&'static str),
    /// A new key could not be made.
    #[error(transparent)]
    Random(#[from] RandomFailed),
}

/// A key that checks signatures made with one algorithm.
#[derive(Clone)]
pub struct VerifyingKey {
    id: Option<KeyId>,
    algorithm: Algorithm,
    decoding: DecodingKey,
    /// What is published of it: `None` for a shared secret.
    public: Option<PublicJwk>,
}

impl VerifyingKey {
    /// A shared HMAC secret. Without an `id` it serves tokens with any `kid`.
    pub fn from_secret(
        id: Option<KeyId>,
        algorithm: Algorithm,
        secret: &Secret,
    ) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        let decoding = DecodingKey::from_secret(secret.expose());
        Ok(Self { id, algorithm, decoding, public: None })
    }

    /// A public key in PEM (SubjectPublicKeyInfo, or PKCS#1 for RSA).
    pub fn from_public_pem(
        id: Option<KeyId>,
        algorithm: Algorithm,
        pem: &[u8],
    ) -> Result<Self, KeyError> {
        match PemKind::of(pem)? {
            PemKind::Private => return Err(KeyError::PrivateWherePublic),
            PemKind::Public => {}
        }
        let decoding = match algorithm.family() {
            AlgorithmFamily::Hmac => return Err(KeyError::WrongFamily(algorithm)),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
        }
        .map_err(|_| KeyError::WrongFamily(algorithm))?;
        let jwk = Jwk::from_decoding_key(&decoding, Some(algorithm))
            .map_err(|_| KeyError::WrongFamily(algorithm))?;
        Self::from_parameters(id, algorithm, jwk.algorithm)
    }

    /// A published key (RFC 7517). `assumed` is the algorithm of a key that names none itself.
    ///
    /// # Errors
    /// [`KeyError::UnusableJwk`] for keys that are not for signatures, for shared secrets (a
    /// published secret is none), and for algorithms that are not supported here.
    pub fn from_jwk(jwk: &Jwk, assumed: Option<Algorithm>) -> Result<Self, KeyError> {
        if matches!(&jwk.common.public_key_use, Some(usage) if *usage != PublicKeyUse::Signature) {
            return Err(KeyError::UnusableJwk("its `use` is not `sig`"));
        }
        if let Some(operations) = &jwk.common.key_operations
            && !operations.contains(&KeyOperations::Verify)
        {
            return Err(KeyError::UnusableJwk("its `key_ops` do not hold `verify`"));
        }
        let algorithm = match jwk.common.key_algorithm {
            Some(named) => signature_algorithm(named)?,
            None => natural_algorithm(&jwk.algorithm, assumed)?,
        };
        let id = jwk.common.key_id.as_deref().map(KeyId::new);
        Self::from_parameters(id, algorithm, jwk.algorithm.clone())
    }

    /// The public half of a signing key; for HMAC, the secret itself.
    fn of_signing_key(algorithm: Algorithm, encoding: &EncodingKey) -> Result<Self, KeyError> {
        if algorithm::is_symmetric(algorithm) {
            let decoding = DecodingKey::from_secret(encoding.as_bytes());
            return Ok(Self { id: None, algorithm, decoding, public: None });
        }
        let jwk = Jwk::from_encoding_key(encoding, algorithm)
            .map_err(|_| KeyError::WrongFamily(algorithm))?;
        Self::from_parameters(None, algorithm, jwk.algorithm)
    }

    fn from_parameters(
        id: Option<KeyId>,
        algorithm: Algorithm,
        parameters: AlgorithmParameters,
    ) -> Result<Self, KeyError> {
        check_parameters(algorithm, &parameters)?;
        let mut jwk = Jwk { common: CommonParameters::default(), algorithm: parameters };
        let thumbprint = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| KeyError::UnusableJwk("its kind has no thumbprint (RFC 7638)"))?;
        let decoding = DecodingKey::from_jwk(&jwk).map_err(|_| KeyError::WrongFamily(algorithm))?;
        let published = id.clone().unwrap_or_else(|| KeyId::new(&thumbprint));
        jwk.common.key_id = Some(published.as_str().to_owned());
        jwk.common.key_algorithm = Some(algorithm.into());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = Some(PublicJwk { id: published, jwk, thumbprint: thumbprint.into() });
        Ok(Self { id, algorithm, decoding, public })
    }

    /// The name by which tokens ask for this key; `None`: it serves tokens with any `kid`.
    pub fn id(&self) -> Option<&KeyId> {
        self.id.as_ref()
    }

    /// The only algorithm that this key may be used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What may be shown to everybody; `None` for a shared secret.
    pub fn public(&self) -> Option<&PublicJwk> {
        self.public.as_ref()
    }

    /// Whether `signature` (base64url, as in the token) is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, self.algorithm)
            .unwrap_or(false)
    }

    /// Whether both are the same key for the same use, so that nothing changed by a swap.
    pub fn same_as(&self, other: &Self) -> bool {
        let same_material = match (&self.public, &other.public) {
            (Some(mine), Some(theirs)) => mine.thumbprint == theirs.thumbprint,
            _ => false,
        };
        same_material && self.id == other.id && self.algorithm == other.algorithm
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The public half of a key, as `/jwks` shows it.
#[derive(Clone, Debug)]
pub struct PublicJwk {
    id: KeyId,
    jwk: Jwk,
    thumbprint: Arc<str>,
}

impl PublicJwk {
    /// The name under which the key is published: its configured one, else its thumbprint.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// RFC 7638, SHA-256, base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The JWK itself.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }
}

/// A key that signs tokens with one algorithm.
#[derive(Clone)]
pub struct SigningKey {
    id: Option<KeyId>,
    algorithm: Algorithm,
    encoding: EncodingKey,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// A shared HMAC secret.
    pub fn from_secret(algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Self::assemble(algorithm, EncodingKey::from_secret(secret.expose()))
    }

    /// A private key in PEM: PKCS#8, or PKCS#1 for RSA.
    pub fn from_private_pem(algorithm: Algorithm, pem: &Secret) -> Result<Self, KeyError> {
        match PemKind::of(pem.expose())? {
            PemKind::Public => return Err(KeyError::PublicWherePrivate),
            PemKind::Private => {}
        }
        let encoding = match algorithm.family() {
            AlgorithmFamily::Hmac => return Err(KeyError::WrongFamily(algorithm)),
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(pem.expose()),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(pem.expose()),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(pem.expose()),
        }
        .map_err(|_| KeyError::WrongFamily(algorithm))?;
        Self::assemble(algorithm, encoding)
    }

    fn assemble(algorithm: Algorithm, encoding: EncodingKey) -> Result<Self, KeyError> {
        let verifying = VerifyingKey::of_signing_key(algorithm, &encoding)?;
        let id = verifying.public().map(|public| public.id().clone());
        let key = Self { id, algorithm, encoding, verifying };
        // A key that cannot sign is found here, not at the first login.
        key.sign(&serde_json::json!({})).map_err(|_| KeyError::WrongFamily(algorithm))?;
        Ok(key)
    }

    /// The `kid` that its tokens carry: the thumbprint; none for a shared secret.
    pub fn id(&self) -> Option<&KeyId> {
        self.id.as_ref()
    }

    /// The algorithm it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that checks what this one signs.
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// The public half in PEM (SubjectPublicKeyInfo); `None` for a shared secret.
    pub fn public_pem(&self) -> Option<String> {
        let private = self.encoding.as_bytes();
        let der = match self.algorithm.family() {
            AlgorithmFamily::Hmac => None,
            AlgorithmFamily::Rsa => RsaKeyPair::from_der(private).ok()?.public_key().as_der().ok(),
            AlgorithmFamily::Ec => {
                let pair = EcdsaKeyPair::from_pkcs8(curve(self.algorithm), private).ok()?;
                pair.public_key().as_der().ok()
            }
            AlgorithmFamily::Ed => {
                Ed25519KeyPair::from_pkcs8(private).ok()?.public_key().as_der().ok()
            }
        }?;
        Some(pem::encode(&pem::Pem::new("PUBLIC KEY", der.as_ref())))
    }

    /// Signs `claims` into a compact JWT with `typ: at+jwt` (RFC 9068, section 2.1).
    ///
    /// # Errors
    /// [`KeyError::WrongFamily`] where the library refuses the key.
    pub fn sign<C: Serialize>(&self, claims: &C) -> Result<String, KeyError> {
        let mut header = jsonwebtoken::Header::new(self.algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = self.id.as_ref().map(|id| id.as_str().to_owned());
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .map_err(|_| KeyError::WrongFamily(self.algorithm))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Makes new key material for `algorithm`: a PKCS#8 private key in PEM (RSA with 3072 bits), or
/// for HMAC a secret of twice the least length, base64url.
///
/// # Errors
/// [`KeyError::Random`] where the random source fails.
pub fn generate(algorithm: Algorithm, random: &dyn Random) -> Result<Secret, KeyError> {
    let der = match algorithm.family() {
        AlgorithmFamily::Hmac => {
            let mut secret = zeroize::Zeroizing::new([0_u8; 128]);
            let secret = &mut secret[..2 * algorithm::least_secret_bytes(algorithm)];
            random.fill(secret)?;
            return Ok(Secret::new(URL_SAFE_NO_PAD.encode(secret)));
        }
        AlgorithmFamily::Rsa => RsaKeyPair::generate(KeySize::Rsa3072)
            .and_then(|pair| Ok(pair.as_der()?.as_ref().to_vec())),
        AlgorithmFamily::Ec => {
            let random = aws_lc_rs::rand::SystemRandom::new();
            EcdsaKeyPair::generate_pkcs8(curve(algorithm), &random)
                .map(|document| document.as_ref().to_vec())
        }
        AlgorithmFamily::Ed => {
            // PKCS#8 version 1 (RFC 5958 without the public key): what every reader takes.
            let random = aws_lc_rs::rand::SystemRandom::new();
            Ed25519KeyPair::generate_pkcs8v1(&random).map(|document| document.as_ref().to_vec())
        }
    }
    .map_err(|_| RandomFailed)?;
    Ok(Secret::new(pem::encode(&pem::Pem::new("PRIVATE KEY", der))))
}

fn curve(algorithm: Algorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

enum PemKind {
    Public,
    Private,
}

impl PemKind {
    fn of(bytes: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::parse_many(bytes).unwrap_or_default();
        let [block] = blocks.as_slice() else {
            return Err(KeyError::NotPem("this is not one key in PEM (-----BEGIN ... KEY-----)"));
        };
        match block.tag() {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Ok(Self::Public),
            "PRIVATE KEY" | "RSA PRIVATE KEY" => Ok(Self::Private),
            "EC PRIVATE KEY" => Err(KeyError::NotPem(
                "this is an EC key in the SEC1 form; PKCS#8 is needed: openssl pkcs8 -topk8 -nocrypt",
            )),
            "ENCRYPTED PRIVATE KEY" => Err(KeyError::NotPem(
                "this private key is encrypted; decrypt it first: openssl pkey -in KEY.pem",
            )),
            "CERTIFICATE" => Err(KeyError::NotPem(
                "this is a certificate; take the key out: openssl x509 -pubkey -noout",
            )),
            _ => Err(KeyError::NotPem("this PEM holds neither a public nor a private key")),
        }
    }
}

/// Whether the bytes look like PEM of any kind, which no HMAC secret does.
pub fn looks_like_pem(bytes: &[u8]) -> bool {
    bytes.windows(10).any(|window| window == b"-----BEGIN")
}

/// Whether this is a private key in PEM.
pub fn is_private_pem(bytes: &[u8]) -> bool {
    pem::parse_many(bytes)
        .unwrap_or_default()
        .iter()
        .any(|block| block.tag().ends_with("PRIVATE KEY"))
}

fn check_secret(algorithm: Algorithm, secret: &Secret) -> Result<(), KeyError> {
    if !algorithm::is_symmetric(algorithm) {
        return Err(KeyError::WrongFamily(algorithm));
    }
    if looks_like_pem(secret.expose()) {
        return Err(KeyError::PemAsSecret);
    }
    let (have, need) = (secret.expose().len(), algorithm::least_secret_bytes(algorithm));
    if have < need {
        return Err(KeyError::SecretTooShort { algorithm, have, need });
    }
    Ok(())
}

/// The algorithm that a JWK names, where it is one for signatures.
fn signature_algorithm(named: KeyAlgorithm) -> Result<Algorithm, KeyError> {
    algorithm::all()
        .find(|algorithm| KeyAlgorithm::from(*algorithm) == named)
        .ok_or(KeyError::UnusableJwk("its `alg` is not a signature algorithm supported here"))
}

/// The algorithm of a JWK that names none: the issuer's, where it fits, else the only usual one.
fn natural_algorithm(
    parameters: &AlgorithmParameters,
    assumed: Option<Algorithm>,
) -> Result<Algorithm, KeyError> {
    match parameters {
        AlgorithmParameters::RSA(_) => Ok(assumed
            .filter(|algorithm| algorithm.family() == AlgorithmFamily::Rsa)
            .unwrap_or(Algorithm::RS256)),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            Ok(Algorithm::ES384)
        }
        AlgorithmParameters::EllipticCurve(_) => Ok(Algorithm::ES256),
        AlgorithmParameters::OctetKeyPair(_) => Ok(Algorithm::EdDSA),
        AlgorithmParameters::OctetKey(_) => {
            Err(KeyError::UnusableJwk("it is a shared secret (`kty` is `oct`)"))
        }
        _ => Err(KeyError::UnusableJwk("its `kty` is not supported here")),
    }
}

/// Whether the key's own numbers are sound for the algorithm: kind, curve, and lengths.
fn check_parameters(
    algorithm: Algorithm,
    parameters: &AlgorithmParameters,
) -> Result<(), KeyError> {
    let bytes = |text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| KeyError::UnusableJwk("its numbers are not base64url without padding"))
    };
    let fits = match (algorithm.family(), parameters) {
        (AlgorithmFamily::Rsa, AlgorithmParameters::RSA(key)) => {
            let bits = significant_bits(&bytes(&key.n)?);
            if bits < LEAST_RSA_BITS {
                return Err(KeyError::RsaTooShort(bits));
            }
            // An even or tiny exponent makes forgeries easy; 3 is the least in use.
            bytes(&key.e)?.last().is_some_and(|low| low % 2 == 1)
                && significant_bits(&bytes(&key.e)?) >= 2
        }
        (AlgorithmFamily::Ec, AlgorithmParameters::EllipticCurve(key)) => {
            let (curve, length) = match algorithm {
                Algorithm::ES384 => (EllipticCurve::P384, 48),
                _ => (EllipticCurve::P256, 32),
            };
            key.curve == curve && bytes(&key.x)?.len() == length && bytes(&key.y)?.len() == length
        }
        (AlgorithmFamily::Ed, AlgorithmParameters::OctetKeyPair(key)) => {
            key.curve == EllipticCurve::Ed25519 && bytes(&key.x)?.len() == 32
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(KeyError::WrongFamily(algorithm)) }
}

fn significant_bits(number: &[u8]) -> usize {
    let digits = number.iter().skip_while(|byte| **byte == 0);
    digits.clone().next().map_or(0, |first| {
        digits.count() * 8 - usize::try_from(first.leading_zeros()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemRandom;

    fn new_key(algorithm: Algorithm) -> Secret {
        generate(algorithm, &SystemRandom).unwrap()
    }

    fn signing_key(algorithm: Algorithm) -> SigningKey {
        let material = new_key(algorithm);
        if algorithm::is_symmetric(algorithm) {
            SigningKey::from_secret(algorithm, &material).unwrap()
        } else {
            SigningKey::from_private_pem(algorithm, &material).unwrap()
        }
    }

    fn split(token: &str) -> (&str, &str) {
        token.rsplit_once('.').unwrap()
    }

    #[test]
    fn every_algorithm_signs_what_its_own_key_verifies() {
        for algorithm in algorithm::all() {
            let key = signing_key(algorithm);
            let token = key.sign(&serde_json::json!({"sub": "alice"})).unwrap();
            let (message, signature) = split(&token);
            assert!(key.verifying().verifies(message.as_bytes(), signature), "{algorithm:?}");
            let other = signing_key(algorithm);
            assert!(!other.verifying().verifies(message.as_bytes(), signature), "{algorithm:?}");
        }
    }

    #[test]
    fn a_published_key_verifies_what_the_private_one_signed() {
        for algorithm in [Algorithm::RS256, Algorithm::ES384, Algorithm::EdDSA] {
            let key = signing_key(algorithm);
            let token = key.sign(&serde_json::json!({})).unwrap();
            let (message, signature) = split(&token);
            let published = key.verifying().public().unwrap().jwk();
            let text = serde_json::to_string(published).unwrap();
            for private in ["\"d\"", "\"p\"", "\"q\"", "\"k\""] {
                assert!(!text.contains(private), "{text}");
            }
            let read = serde_json::from_str(&text).unwrap();
            let verifying = VerifyingKey::from_jwk(&read, None).unwrap();
            assert!(verifying.verifies(message.as_bytes(), signature));
        }
    }

    #[test]
    fn the_public_pem_verifies_what_the_private_one_signed() {
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
            let key = signing_key(algorithm);
            let token = key.sign(&serde_json::json!({})).unwrap();
            let (message, signature) = split(&token);
            let pem = key.public_pem().unwrap();
            let verifying = VerifyingKey::from_public_pem(None, algorithm, pem.as_bytes()).unwrap();
            assert!(verifying.verifies(message.as_bytes(), signature), "{algorithm:?}");
            assert!(verifying.same_as(key.verifying()), "{algorithm:?}");
        }
        assert!(signing_key(Algorithm::HS256).public_pem().is_none());
    }

    #[test]
    fn a_secret_is_never_published() {
        assert!(signing_key(Algorithm::HS256).verifying().public().is_none());
    }

    #[test]
    fn short_secrets_are_refused() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let need = algorithm::least_secret_bytes(algorithm);
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
        assert_eq!(
            VerifyingKey::from_secret(None, Algorithm::HS256, &private).unwrap_err(),
            KeyError::PemAsSecret
        );
        assert_eq!(
            SigningKey::from_private_pem(Algorithm::RS256, &private).unwrap_err(),
            KeyError::WrongFamily(Algorithm::RS256)
        );
        assert_eq!(
            SigningKey::from_private_pem(Algorithm::ES384, &private).unwrap_err(),
            KeyError::WrongFamily(Algorithm::ES384)
        );
    }

    #[test]
    fn jwks_that_may_not_verify_are_refused() {
        let good = signing_key(Algorithm::ES256).verifying().public().unwrap().jwk().clone();
        let json = serde_json::to_value(&good).unwrap();
        let with = |name: &str, value: serde_json::Value| {
            let mut changed = json.clone();
            changed[name] = value;
            serde_json::from_value::<Jwk>(changed).map(|jwk| VerifyingKey::from_jwk(&jwk, None))
        };
        assert!(with("use", "enc".into()).unwrap().is_err());
        assert!(with("key_ops", serde_json::json!(["sign"])).unwrap().is_err());
        assert!(with("alg", "ES384".into()).unwrap().is_err());
        assert!(with("x", "AAAA".into()).unwrap().is_err());
        let secret =
            serde_json::json!({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"});
        let secret = serde_json::from_value::<Jwk>(secret).unwrap();
        assert!(VerifyingKey::from_jwk(&secret, Some(Algorithm::HS256)).is_err());
    }

    #[test]
    fn significant_bits_ignores_leading_zeros() {
        for (number, bits) in
            [(&[][..], 0), (&[0], 0), (&[1], 1), (&[0, 0x80], 8), (&[1, 0], 9), (&[3], 2)]
        {
            assert_eq!(significant_bits(number), bits);
        }
    }

    #[test]
    fn debug_output_shows_no_key_material() {
        let key = signing_key(Algorithm::HS256);
        assert!(!format!("{key:?} {:?}", key.verifying()).contains("Secret"));
    }
}
