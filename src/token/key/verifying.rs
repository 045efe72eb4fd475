//! The public half: it checks signatures, and is published as a JWK (RFC 7517).

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations,
    PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, EncodingKey};

use super::parsed::ParsedKey;
use super::pem::{self, Half};
use super::{KeyError, KeyId, check_secret, parameters};
use crate::secret::Secret;
use crate::token::algorithm::{self, Algorithm};

/// A key that checks signatures made with one algorithm.
#[derive(Clone)]
pub struct VerifyingKey {
    id: Option<KeyId>,
    algorithm: Algorithm,
    parsed: Arc<ParsedKey>,
    /// Its published form: `None` for a shared secret.
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
        let parsed = Arc::new(ParsedKey::of_secret(algorithm, secret.expose()));
        Ok(Self { id, algorithm, parsed, public: None })
    }

    /// A public key in PEM (SubjectPublicKeyInfo, or PKCS#1 for RSA). Its line ends may be written
    /// out as `\n`.
    pub fn from_public_pem(
        id: Option<KeyId>,
        algorithm: Algorithm,
        pem: &[u8],
    ) -> Result<Self, KeyError> {
        let pem = pem::read(pem, Half::Public)?;
        let pem = pem.as_bytes();
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
    pub(super) fn of_signing_key(
        algorithm: Algorithm,
        encoding: &EncodingKey,
    ) -> Result<Self, KeyError> {
        if algorithm::is_symmetric(algorithm) {
            let parsed = Arc::new(ParsedKey::of_secret(algorithm, encoding.as_bytes()));
            return Ok(Self { id: None, algorithm, parsed, public: None });
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
        let parameters = parameters::validated(algorithm, parameters)?;
        let mut jwk = Jwk { common: CommonParameters::default(), algorithm: parameters };
        let thumbprint = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| KeyError::UnusableJwk("its kind has no thumbprint (RFC 7638)"))?;
        let parsed = Arc::new(ParsedKey::of_parameters(algorithm, &jwk.algorithm)?);
        let published = id.clone().unwrap_or_else(|| KeyId::new(&thumbprint));
        jwk.common.key_id = Some(published.as_str().to_owned());
        jwk.common.key_algorithm = Some(algorithm.into());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = Some(PublicJwk { id: published, jwk, thumbprint: thumbprint.into() });
        Ok(Self { id, algorithm, parsed, public })
    }

    /// The same key, only for tokens that name it by its published name. A shared secret has no
    /// such name and stays as it was.
    pub fn named(mut self) -> Self {
        if let Some(public) = &self.public {
            self.id = Some(public.id.clone());
        }
        self
    }

    /// The name by which tokens ask for this key. `None`: it serves tokens with any `kid`.
    pub fn id(&self) -> Option<&KeyId> {
        self.id.as_ref()
    }

    /// The only algorithm that this key may be used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The form that everybody may see; `None` for a shared secret.
    pub fn public(&self) -> Option<&PublicJwk> {
        self.public.as_ref()
    }

    /// Returns whether `signature` (base64url, as in the token) is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        self.parsed.verifies(message, signature)
    }

    /// Returns whether both are the same key for the same use, so that a swap changed nothing.
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

    /// The thumbprint of the key (RFC 7638), with SHA-256 and in base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The JWK itself.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }
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
