//! The private half: making keys, and signing with them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{AlgorithmFamily, EncodingKey};
use serde::Serialize;

use super::pem::{self, Half};
use super::prepared::{Prepared, curve};
use super::{KeyError, KeyId, PublicJwk, VerifyingKey, check_secret};
use crate::secret::{Random, RandomFailed, Secret};
use crate::token::algorithm::{self, Algorithm};
use crate::token::jws::ACCESS_TOKEN;

/// A key that signs tokens with one algorithm, parsed once.
#[derive(Clone)]
pub struct SigningKey {
    prepared: Arc<Prepared>,
    /// The header of its tokens, base64url.
    header: Arc<str>,
    verifying: VerifyingKey,
}

/// The header of a token that is made here (RFC 7515, section 4.1).
#[derive(Serialize)]
struct Header<'h> {
    typ: &'h str,
    alg: &'h str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'h str>,
}

impl SigningKey {
    /// A shared HMAC secret.
    pub fn from_secret(algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Self::assemble(algorithm, &EncodingKey::from_secret(secret.expose()))
    }

    /// A private key in PEM: PKCS#8, or PKCS#1 for RSA. Its line ends may be written out as `\n`.
    pub fn from_private_pem(algorithm: Algorithm, pem: &Secret) -> Result<Self, KeyError> {
        let pem = pem::read(pem.expose(), Half::Private)?;
        let pem = pem.as_bytes();
        let encoding = match algorithm.family() {
            AlgorithmFamily::Hmac => return Err(KeyError::WrongFamily(algorithm)),
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(pem),
        }
        .map_err(|_| KeyError::WrongFamily(algorithm))?;
        Self::assemble(algorithm, &encoding)
    }

    fn assemble(algorithm: Algorithm, encoding: &EncodingKey) -> Result<Self, KeyError> {
        let verifying = VerifyingKey::of_signing_key(algorithm, encoding)?;
        let prepared = Arc::new(Prepared::new(algorithm, encoding.as_bytes())?);
        let kid = verifying.public().map(|public| public.id().as_str());
        let header = Header { typ: ACCESS_TOKEN, alg: algorithm::name(algorithm), kid };
        let header = part(&header)?.into();
        let key = Self { prepared, header, verifying };
        // A key that cannot sign is found here, not at the first login.
        key.sign(&serde_json::json!({}))?;
        Ok(key)
    }

    /// The `kid` that its tokens carry: the thumbprint; none for a shared secret.
    pub fn id(&self) -> Option<&KeyId> {
        self.verifying.public().map(PublicJwk::id)
    }

    /// The algorithm it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.verifying.algorithm()
    }

    /// The key that checks what this one signs.
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// The public half in PEM (SubjectPublicKeyInfo); `None` for a shared secret.
    pub fn public_pem(&self) -> Option<String> {
        let der = self.prepared.public_der()?;
        Some(::pem::encode(&::pem::Pem::new("PUBLIC KEY", der)))
    }

    /// Signs `claims` into a compact JWT with `typ: at+jwt` (RFC 9068, section 2.1).
    ///
    /// # Errors
    /// [`KeyError::UnwritableClaims`] where they are not JSON, [`KeyError::WrongFamily`] where the
    /// library refuses the key.
    pub fn sign<C: Serialize>(&self, claims: &C) -> Result<String, KeyError> {
        self.sign_parts(&self.header, claims)
    }

    /// Signs `claims` into a compact JWT with another `typ`.
    ///
    /// # Errors
    /// As [`SigningKey::sign`].
    pub fn sign_as<C: Serialize>(&self, typ: &str, claims: &C) -> Result<String, KeyError> {
        let kid = self.id().map(KeyId::as_str);
        let header = Header { typ, alg: algorithm::name(self.algorithm()), kid };
        self.sign_parts(&part(&header)?, claims)
    }

    fn sign_parts<C: Serialize>(&self, header: &str, claims: &C) -> Result<String, KeyError> {
        let mut token = format!("{header}.{}", part(claims)?);
        let signature = self.prepared.sign(token.as_bytes());
        let signature = signature.ok_or(KeyError::WrongFamily(self.algorithm()))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// One part of a token: JSON in base64url.
fn part(content: &impl Serialize) -> Result<String, KeyError> {
    let json = serde_json::to_vec(content).map_err(|_| KeyError::UnwritableClaims)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id())
            .field("algorithm", &self.algorithm())
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
            let secret = &mut secret[..2 * algorithm::min_secret_bytes(algorithm)];
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
            // PKCS#8 version 1 (RFC 5958 without the public key): every reader takes it.
            let random = aws_lc_rs::rand::SystemRandom::new();
            Ed25519KeyPair::generate_pkcs8v1(&random).map(|document| document.as_ref().to_vec())
        }
    }
    .map_err(|_| RandomFailed)?;
    Ok(Secret::new(::pem::encode(&::pem::Pem::new("PRIVATE KEY", der))))
}
