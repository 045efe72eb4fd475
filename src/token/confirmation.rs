//! The confirmation claim of a token (RFC 7800): the proofs that its sender owes besides the token.
//!
//! RFC 7800, section 3.1, leaves it to each application which members must be understood. Here it is
//! all of them: a member that is skipped would make a plain bearer token of one that is bound.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::claims::Claims;
use super::error::TokenError;

/// The thumbprint of a key that signs proofs (RFC 9449, section 6.1).
const KEY: &str = "jkt";
/// The thumbprint of the client's certificate (RFC 8705, section 3.1).
const CERTIFICATE: &str = "x5t#S256";

/// The proofs that a token demands: all of them. The default demands none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// A proof by the key of this thumbprint (RFC 7638).
    pub key: Option<Thumbprint>,
    /// The client's certificate of this thumbprint.
    pub certificate: Option<Thumbprint>,
}

impl Confirmation {
    /// The claim. Where it is there, the token is bound to its sender, in whatever way.
    pub const CLAIM: &str = "cnf";

    /// The proofs that these claims demand.
    ///
    /// # Errors
    /// [`TokenError::BadClaim`] where the claim is no object with a thumbprint in it;
    /// [`TokenError::UnknownConfirmation`] where it demands another kind of proof.
    pub fn of(claims: &Claims) -> Result<Self, TokenError> {
        let mut demanded = Self::default();
        // A null is no absent claim here: whoever wrote it meant a bound token.
        if !claims.has(Self::CLAIM) {
            // An issuer that is asked says so beside it (RFC 9449, section 6.2).
            let is_dpop = claims.text("token_type").ok().flatten();
            let is_dpop = is_dpop.is_some_and(|it| it.eq_ignore_ascii_case("dpop"));
            return if is_dpop { Err(TokenError::UnknownConfirmation) } else { Ok(demanded) };
        }
        let claim = claims.get(Self::CLAIM);
        let members = claim.as_ref().and_then(Value::as_object);
        let members = members.filter(|members| !members.is_empty());
        for (name, value) in members.ok_or(TokenError::BadClaim(Self::CLAIM))? {
            let place = match name.as_str() {
                KEY => &mut demanded.key,
                CERTIFICATE => &mut demanded.certificate,
                _ => return Err(TokenError::UnknownConfirmation),
            };
            let thumbprint = value.as_str().and_then(Thumbprint::from_base64url);
            *place = Some(thumbprint.ok_or(TokenError::BadClaim(Self::CLAIM))?);
        }
        Ok(demanded)
    }

    /// Returns whether no proof is demanded.
    pub fn is_empty(&self) -> bool {
        self.key.is_none() && self.certificate.is_none()
    }
}

/// A SHA-256 that stands for a key or a certificate. It compares in constant time.
#[derive(Clone, Copy)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// That of these bytes: of a certificate in DER, or of a key in the form of RFC 7638.
    pub fn of(bytes: &[u8]) -> Self {
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(thumbprint)
    }

    /// Reads base64url, as in a token.
    pub fn from_base64url(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Reads hexadecimal digits in either case; colons may stand between the bytes, as OpenSSL
    /// prints them.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = match text.len() {
            64 => text.to_owned(),
            95 if text.bytes().skip(2).step_by(3).all(|sign| sign == b':') => text.replace(':', ""),
            _ => return None,
        };
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut thumbprint = [0; 32];
        for (at, byte) in thumbprint.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok()?;
        }
        Some(Self(thumbprint))
    }
}

impl PartialEq for Thumbprint {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Thumbprint {}

/// In hexadecimal digits.
impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demanded(cnf: &str) -> Result<Confirmation, TokenError> {
        Confirmation::of(&Claims::parse(format!("{{\"cnf\":{cnf}}}").as_bytes()).unwrap())
    }

    #[test]
    fn a_token_demands_every_proof_that_it_names() {
        let (one, two) = (Thumbprint::of(b"one"), Thumbprint::of(b"two"));
        let text = |it: Thumbprint| URL_SAFE_NO_PAD.encode(it.0);
        let both = format!("{{\"jkt\":\"{}\",\"x5t#S256\":\"{}\"}}", text(one), text(two));
        let found = demanded(&both).unwrap();
        assert_eq!(found, Confirmation { key: Some(one), certificate: Some(two) });
        assert!(!found.is_empty() && one != two);
        assert!(Confirmation::of(&Claims::default()).unwrap().is_empty());
        let of = |json: &str| Confirmation::of(&Claims::parse(json.as_bytes()).unwrap());
        assert!(of("{\"token_type\":\"Bearer\"}").unwrap().is_empty());
        assert_eq!(of("{\"token_type\":\"DPoP\"}"), Err(TokenError::UnknownConfirmation));
    }

    #[test]
    fn a_proof_that_is_not_understood_is_never_skipped() {
        let good = URL_SAFE_NO_PAD.encode([7; 32]);
        for cnf in [
            "null",
            "{}",
            "\"jkt\"",
            "[]",
            "true",
            "7",
            "{\"jkt\":null}",
            "{\"jkt\":\"\"}",
            "{\"jkt\":7}",
            "{\"x5t#S256\":\"AAAA\"}",
            &format!("{{\"jkt\":\"{good}=\"}}"),
            &format!("{{\"jkt\":[\"{good}\"]}}"),
        ] {
            assert_eq!(demanded(cnf), Err(TokenError::BadClaim("cnf")), "{cnf}");
        }
        for cnf in [
            "{\"jwk\":{}}".to_owned(),
            "{\"kid\":\"k\"}".to_owned(),
            format!("{{\"x5t\":\"{good}\"}}"),
            format!("{{\"JKT\":\"{good}\"}}"),
            format!("{{\"jkt\":\"{good}\",\"osc\":{{}}}}"),
        ] {
            assert_eq!(demanded(&cnf), Err(TokenError::UnknownConfirmation), "{cnf}");
        }
    }

    #[test]
    fn a_thumbprint_is_read_in_the_forms_in_which_people_see_it() {
        let thumbprint = Thumbprint::of(b"x");
        let hex = thumbprint.to_string();
        let pairs: Vec<_> = (0..32).map(|at| &hex[at * 2..at * 2 + 2]).collect();
        for text in [hex.clone(), hex.to_uppercase(), pairs.join(":").to_uppercase()] {
            assert_eq!(Thumbprint::from_hex(&text), Some(thumbprint), "{text}");
        }
        let long = format!("{hex}0");
        for text in ["", &hex[1..], &long, &pairs.join("-"), &"é".repeat(32), &":".repeat(95)] {
            assert_eq!(Thumbprint::from_hex(text), None, "{text}");
        }
    }
}
