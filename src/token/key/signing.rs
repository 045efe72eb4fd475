//! The private half: making keys, and signing with them.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{AlgorithmFamily, EncodingKey};
use serde::Serialize;

use super::pem::PemKind;
use super::{KeyError, KeyId, VerifyingKey, check_secret};
use crate::secret::{Random, RandomFailed, Secret};
use crate::token::algorithm::{self, Algorithm};

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
        Some(::pem::encode(&::pem::Pem::new("PUBLIC KEY", der.as_ref())))
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
    Ok(Secret::new(::pem::encode(&::pem::Pem::new("PRIVATE KEY", der))))
}

fn curve(algorithm: Algorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}
