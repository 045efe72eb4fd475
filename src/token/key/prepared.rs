//! Private keys ready to sign: parsed once, since reading an RSA key costs more than signing with
//! it.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
};
use jsonwebtoken::AlgorithmFamily;

use super::KeyError;
use crate::token::algorithm::Algorithm;

/// A key and all that a signature needs besides.
pub(super) enum Prepared {
    Hmac(Box<hmac::Key>),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Prepared {
    /// Reads the bytes of a secret, of an RSA key in the form of PKCS#1, or of another key in
    /// PKCS#8.
    pub(super) fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        match algorithm.family() {
            AlgorithmFamily::Hmac => {
                Ok(Self::Hmac(Box::new(hmac::Key::new(hash(algorithm), bytes))))
            }
            AlgorithmFamily::Rsa => {
                RsaKeyPair::from_der(bytes).map(|pair| Self::Rsa(pair, padding(algorithm)))
            }
            AlgorithmFamily::Ec => EcdsaKeyPair::from_pkcs8(curve(algorithm), bytes).map(Self::Ec),
            AlgorithmFamily::Ed => Ed25519KeyPair::from_pkcs8(bytes).map(Self::Ed),
        }
        .map_err(|_| KeyError::WrongFamily(algorithm))
    }

    /// The signature in the form of RFC 7518, section 3; `None` where the library refuses.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
            Self::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*padding, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
            Self::Ec(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).ok()?;
                Some(signature.as_ref().to_vec())
            }
            Self::Ed(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// The public half as SubjectPublicKeyInfo in DER; `None` for a secret.
    pub(super) fn public_der(&self) -> Option<Vec<u8>> {
        let der = match self {
            Self::Hmac(_) => return None,
            Self::Rsa(pair, _) => pair.public_key().as_der(),
            Self::Ec(pair) => pair.public_key().as_der(),
            Self::Ed(pair) => pair.public_key().as_der(),
        };
        Some(der.ok()?.as_ref().to_vec())
    }
}

/// The curve of an ES algorithm, with signatures of fixed length (RFC 7518, section 3.4).
pub(super) fn curve(algorithm: Algorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

/// The hash of an HS algorithm.
pub(super) fn hash(algorithm: Algorithm) -> hmac::Algorithm {
    match algorithm {
        Algorithm::HS384 => hmac::HMAC_SHA384,
        Algorithm::HS512 => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    }
}

fn padding(algorithm: Algorithm) -> &'static dyn RsaEncoding {
    match algorithm {
        Algorithm::RS384 => &RSA_PKCS1_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_SHA512,
        Algorithm::PS256 => &RSA_PSS_SHA256,
        Algorithm::PS384 => &RSA_PSS_SHA384,
        Algorithm::PS512 => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}
