//! Keys ready to verify: parsed once, since reading a public key costs a fifth of a check with it.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use jsonwebtoken::jwk::AlgorithmParameters;

use super::KeyError;
use super::parameters::decoded;
use super::prepared::hash;
use crate::token::algorithm::Algorithm;
use crate::token::base64url;

/// The longest signature: that of the longest RSA key that the library verifies with.
const MAX_SIGNATURE_BYTES: usize = 1_024;

/// A key that needs no more reading.
pub(super) enum ParsedKey {
    Hmac(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl ParsedKey {
    /// A shared secret.
    pub(super) fn of_secret(algorithm: Algorithm, secret: &[u8]) -> Self {
        Self::Hmac(Box::new(hmac::Key::new(hash(algorithm), secret)))
    }

    /// A public key, whose parameters were validated.
    ///
    /// # Errors
    /// The library does not take them: of a curve, because they are no point of it.
    pub(super) fn of_parameters(
        algorithm: Algorithm,
        parameters: &AlgorithmParameters,
    ) -> Result<Self, KeyError> {
        let parsed = match parameters {
            AlgorithmParameters::RSA(key) => {
                let (n, e) = (decoded(&key.n)?, decoded(&key.e)?);
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(padding(algorithm))
            }
            AlgorithmParameters::EllipticCurve(key) => {
                let (x, y) = (decoded(&key.x)?, decoded(&key.y)?);
                let point = [&[4], x.as_slice(), &y].concat();
                return ParsedPublicKey::new(curve(algorithm), point).map(Self::Public).map_err(
                    |_| KeyError::UnusableJwk("its `x` and `y` are no point of the curve"),
                );
            }
            AlgorithmParameters::OctetKeyPair(key) => {
                ParsedPublicKey::new(&ED25519, decoded(&key.x)?)
            }
            _ => return Err(KeyError::WrongFamily(algorithm)),
        };
        parsed.map(Self::Public).map_err(|_| KeyError::WrongFamily(algorithm))
    }

    /// Returns whether `signature` (base64url, as in the token) is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let mut room = [0; MAX_SIGNATURE_BYTES];
        let Some(signature) = base64url::decode_into(signature, &mut room) else { return false };
        match self {
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// The curve of an ES algorithm, with signatures of fixed length (RFC 7518, section 3.4).
fn curve(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
        _ => &ECDSA_P256_SHA256_FIXED,
    }
}

fn padding(algorithm: Algorithm) -> &'static RsaParameters {
    match algorithm {
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_signature_of_any_other_length_is_none_and_does_no_harm() {
        let key = ParsedKey::of_secret(Algorithm::HS256, &[7; 32]);
        let right = URL_SAFE_NO_PAD
            .encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), b"message"));
        assert!(key.verifies(b"message", &right));
        let too_long = "A".repeat(4 * MAX_SIGNATURE_BYTES);
        let padded = format!("{right}=");
        for wrong in ["", "A", &right[1..], &right[..right.len() - 1], &padded, &too_long, "é"] {
            assert!(!key.verifies(b"message", wrong), "{wrong}");
        }
    }
}
