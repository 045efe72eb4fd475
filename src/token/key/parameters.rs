//! Validation of the numbers of a public key: good signatures fit it, and forged ones do not.
//!
//! A key that no signature fits is as bad as a wrong one: it counts as a key, and every token is
//! refused. A key that forged signatures fit is worse.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::AlgorithmFamily;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, RSAKeyParameters};

use super::KeyError;
use crate::token::algorithm::Algorithm;

/// The smallest RSA modulus that is accepted, in bits (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;
/// The largest RSA modulus that the library verifies with.
const MAX_RSA_BITS: usize = 8192;
/// The largest exponent that the library verifies with, in bits. An even one, or 1, is never valid.
const MAX_EXPONENT_BITS: usize = 33;

/// The y of every point of small order on edwards25519, in the form of RFC 8032 with a sign of
/// zero: 0, 1, -1, the two of order 8, and those of 0 and 1 that are not reduced. Under such a key
/// one signature is good for any message, or for every eighth.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// The parameters, where they are a valid key for `algorithm`; in one form, without zeros before
/// their numbers. Whether a point is one of its curve says the library that parses it.
///
/// # Errors
/// The rule that they break.
pub(super) fn validated(
    algorithm: Algorithm,
    parameters: AlgorithmParameters,
) -> Result<AlgorithmParameters, KeyError> {
    let wrong_family = || KeyError::WrongFamily(algorithm);
    match (algorithm.family(), parameters) {
        (AlgorithmFamily::Rsa, AlgorithmParameters::RSA(key)) => {
            Ok(AlgorithmParameters::RSA(validated_rsa(key)?))
        }
        (AlgorithmFamily::Ec, AlgorithmParameters::EllipticCurve(key)) => {
            let (curve, length) = curve(algorithm);
            let (x, y) = (decoded(&key.x)?, decoded(&key.y)?);
            if key.curve != curve || x.len() != length || y.len() != length {
                return Err(wrong_family());
            }
            Ok(AlgorithmParameters::EllipticCurve(key))
        }
        (AlgorithmFamily::Ed, AlgorithmParameters::OctetKeyPair(key)) => {
            let x = decoded(&key.x)?;
            if key.curve != EllipticCurve::Ed25519 || x.len() != 32 {
                return Err(wrong_family());
            }
            if has_small_order(&x) {
                return Err(KeyError::UnusableJwk(
                    "it is a point of small order, under which anybody can sign",
                ));
            }
            Ok(AlgorithmParameters::OctetKeyPair(key))
        }
        _ => Err(wrong_family()),
    }
}

/// Removes leading zeros. Some writers keep the zero byte that ASN.1 puts before the numbers (RFC
/// 7518, section 2, has none); libraries then expect a modulus of one byte more, and no signature
/// fits.
fn validated_rsa(mut key: RSAKeyParameters) -> Result<RSAKeyParameters, KeyError> {
    let (n, e) = (decoded(&key.n)?, decoded(&key.e)?);
    let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
    let bits = significant_bits(n);
    if bits < MIN_RSA_BITS {
        return Err(KeyError::RsaTooShort(bits));
    }
    if bits > MAX_RSA_BITS || !is_odd(n) {
        return Err(KeyError::UnusableJwk("its `n` is no modulus of at most 8192 bits"));
    }
    // An even or tiny exponent makes forgeries easy; 3 is the least in use.
    if !is_odd(e) || !(2..=MAX_EXPONENT_BITS).contains(&significant_bits(e)) {
        return Err(KeyError::UnusableJwk("its `e` is no exponent that is in use"));
    }
    (key.n, key.e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
    Ok(key)
}

/// The curve of an ES algorithm, and the length of its numbers in bytes.
fn curve(algorithm: Algorithm) -> (EllipticCurve, usize) {
    match algorithm {
        Algorithm::ES384 => (EllipticCurve::P384, 48),
        _ => (EllipticCurve::P256, 32),
    }
}

fn has_small_order(point: &[u8]) -> bool {
    let mut y = point.to_vec();
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let hex = y.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    SMALL_ORDER.contains(&hex.as_str())
}

/// The bytes of a number.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyError::UnusableJwk("its numbers are not base64url without padding"))
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|low| low % 2 == 1)
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn significant_bits(number: &[u8]) -> usize {
    let digits = without_leading_zeros(number);
    digits.first().map_or(0, |first| {
        digits.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn significant_bits_ignores_leading_zeros() {
        for (number, bits) in
            [(&[][..], 0), (&[0], 0), (&[1], 1), (&[0, 0x80], 8), (&[1, 0], 9), (&[3], 2)]
        {
            assert_eq!(significant_bits(number), bits);
        }
    }

    fn ed25519(point: &[u8]) -> Result<AlgorithmParameters, KeyError> {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(point)});
        validated(Algorithm::EdDSA, serde_json::from_value(key).unwrap())
    }

    #[test]
    fn points_of_small_order_are_refused_with_either_sign() {
        for hex in SMALL_ORDER {
            let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let mut point: Vec<u8> = (0..64).step_by(2).map(pair).collect();
            for _ in 0..2 {
                let refused = ed25519(&point).unwrap_err();
                assert!(refused.to_string().contains("small order"), "{hex}: {refused}");
                point[31] ^= 0x80;
            }
        }
        // The base point.
        let mut base = [0x66; 32];
        base[0] = 0x58;
        assert!(ed25519(&base).is_ok());
        assert!(ed25519(&[0x66; 31]).is_err());
    }
}
