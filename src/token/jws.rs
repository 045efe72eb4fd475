//! The compact JWS (RFC 7515, section 7.1): a token in its parts, before anything in it is
//! believed.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::algorithm::{self, Algorithm};
use super::base64url;
use super::error::TokenError;

/// The three parts of a compact JWS, of which nothing is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'t> {
    /// The header, base64url.
    pub(super) header: &'t str,
    /// The signed bytes: header, dot, payload, as they came.
    pub(super) message: &'t str,
    /// The payload, base64url.
    pub(super) payload: &'t str,
    /// The signature, base64url.
    pub(super) signature: &'t str,
}

/// The three parts of a token, with its header read and its payload still in base64url.
#[derive(Debug)]
pub struct CompactJws<'t> {
    /// The header: the parameters that are obeyed.
    pub header: Header,
    /// The signed bytes: header, dot, payload, as they came.
    pub message: &'t str,
    /// The payload, base64url.
    pub payload: &'t str,
    /// The signature, base64url.
    pub signature: &'t str,
}

/// The header parameters that matter here (RFC 7515, section 4.1).
///
/// `jwk`, `jku`, `x5u` and `x5c` are not among them: a token does not choose its own key.
#[derive(Debug)]
pub struct Header {
    /// The algorithm, one of those supported.
    pub algorithm: Algorithm,
    /// The name of the key.
    pub key_id: Option<String>,
    /// True where `typ` says that it is an access token (RFC 9068, section 2.1).
    pub is_access_token: bool,
}

/// The header as it stands in the token. Repeated names are refused by serde's derived code.
#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Presence,
    #[serde(default)]
    b64: Presence,
    #[serde(default)]
    zip: Presence,
    #[serde(default)]
    enc: Presence,
}

/// The type of an access token (RFC 9068, section 2.1).
pub(super) const ACCESS_TOKEN: &str = "at+jwt";
/// The types that a token may declare: that one, and those that do not tell its purpose (RFC 7519,
/// section 5.1; RFC 7515, section 4.1.9; RFC 8725, section 3.11).
const ACCEPTED_TYPES: [&str; 3] = [ACCESS_TOKEN, "jwt", "jose"];

/// Splits `token` into its parts. `max_bytes` bounds it before any of it is parsed.
///
/// # Errors
/// [`TokenError::TooLarge`], [`TokenError::Malformed`], [`TokenError::UnsupportedAlgorithm`],
/// [`TokenError::UnsupportedHeader`] or [`TokenError::WrongType`].
pub fn split(token: &str, max_bytes: usize) -> Result<CompactJws<'_>, TokenError> {
    if token.len() > max_bytes {
        return Err(TokenError::TooLarge);
    }
    let Parts { header, message, payload, signature } = parts(token)?;
    Ok(CompactJws { header: read_header(header)?, message, payload, signature })
}

/// Splits a compact JWS into its parts.
///
/// # Errors
/// [`TokenError::Malformed`] where there are not three.
pub(super) fn parts(token: &str) -> Result<Parts<'_>, TokenError> {
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    if payload.contains('.') || header.is_empty() || payload.is_empty() || signature.is_empty() {
        return Err(TokenError::Malformed);
    }
    Ok(Parts { header, message, payload, signature })
}

/// Decodes one base64url part; padding and stray bits at the end are refused.
pub fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    base64url::decode(part).ok_or(TokenError::Malformed)
}

fn read_header(part: &str) -> Result<Header, TokenError> {
    let bytes = decode(part)?;
    // Serde would also read the fields of a struct out of an array.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(TokenError::Malformed);
    }
    let raw: RawHeader = serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)?;
    // No extension is supported here, so every one that must be understood refuses the token (RFC
    // 7515, section 4.1.11; RFC 7797).
    if [raw.crit, raw.b64, raw.zip, raw.enc].contains(&Presence::There) {
        return Err(TokenError::UnsupportedHeader);
    }
    let declared = raw.typ.as_deref().map(without_application);
    let is_one_of = |types: &[&str]| {
        declared.is_some_and(|it| types.iter().any(|t| it.eq_ignore_ascii_case(t)))
    };
    if declared.is_some() && !is_one_of(&ACCEPTED_TYPES) {
        return Err(TokenError::WrongType);
    }
    let is_access_token = is_one_of(&[ACCESS_TOKEN]);
    let algorithm = algorithm::parse(&raw.alg).map_err(|_| TokenError::UnsupportedAlgorithm)?;
    Ok(Header { algorithm, key_id: raw.kid, is_access_token })
}

/// A media type without `application/`, which may be left out (RFC 7515, section 4.1.9).
pub(super) fn without_application(declared: &str) -> &str {
    const PREFIX: &str = "application/";
    match declared.split_at_checked(PREFIX.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(PREFIX) => rest,
        _ => declared,
    }
}

/// The presence of a parameter in the header, whatever its value.
#[derive(Default, PartialEq)]
pub(super) enum Presence {
    #[default]
    Absent,
    There,
}

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self::There)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn with_header(header: &str) -> Result<Header, TokenError> {
        let token = format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header));
        split(&token, 8192).map(|parts| parts.header)
    }

    #[test]
    fn a_plain_header_is_read() {
        let header = with_header(r#"{"alg":"ES256","kid":"k","typ":"at+JWT","x":1}"#).unwrap();
        assert_eq!(header.algorithm, Algorithm::ES256);
        assert_eq!(header.key_id.as_deref(), Some("k"));
    }

    #[test]
    fn the_types_that_the_field_uses_are_known_with_and_without_application() {
        for (declared, is_access_token) in [
            ("JWT", false),
            ("application/jwt", false),
            ("JOSE", false),
            ("application/jose", false),
            ("at+jwt", true),
            ("AT+JWT", true),
            ("Application/at+jwt", true),
        ] {
            let header = with_header(&format!(r#"{{"alg":"ES256","typ":"{declared}"}}"#)).unwrap();
            assert_eq!(header.is_access_token, is_access_token, "{declared}");
        }
        assert!(!with_header(r#"{"alg":"ES256"}"#).unwrap().is_access_token);
        for declared in ["", "application/", "text/jwt", "application/application/jwt", "jwté"] {
            let header = format!(r#"{{"alg":"ES256","typ":"{declared}"}}"#);
            assert_eq!(with_header(&header).unwrap_err(), TokenError::WrongType, "{declared}");
        }
    }

    #[test]
    fn where_a_key_may_be_found_is_not_listened_to() {
        let header = with_header(
            r#"{"alg":"ES256","jku":"https://evil.example","x5u":"x","jwk":{"kty":"oct","k":"eA"}}"#,
        );
        assert!(header.unwrap().key_id.is_none());
    }

    #[test]
    fn headers_that_must_be_understood_are_refused() {
        for name in ["crit", "b64", "zip", "enc"] {
            for value in ["[]", "[\"exp\"]", "false", "true", "null", "\"DEF\""] {
                let header = format!(r#"{{"alg":"HS256","{name}":{value}}}"#);
                assert_eq!(with_header(&header).unwrap_err(), TokenError::UnsupportedHeader);
            }
        }
    }

    #[test]
    fn bad_headers_are_refused() {
        for (header, error) in [
            (r#"{"alg":"none"}"#, TokenError::UnsupportedAlgorithm),
            (r#"{"alg":"NoNe"}"#, TokenError::UnsupportedAlgorithm),
            (r#"{"alg":"ES512"}"#, TokenError::UnsupportedAlgorithm),
            (r#"{"alg":"HS256","typ":"refresh+jwt"}"#, TokenError::WrongType),
            (r#"{"alg":"HS256","typ":"logout+jwt"}"#, TokenError::WrongType),
            (r#"{"alg":"HS256","alg":"HS256"}"#, TokenError::Malformed),
            (r#"{"alg":"HS256","kid":5}"#, TokenError::Malformed),
            (r#"{"alg":null}"#, TokenError::Malformed),
            ("{}", TokenError::Malformed),
            ("[]", TokenError::Malformed),
            (r#"["HS256"]"#, TokenError::Malformed),
            ("", TokenError::Malformed),
        ] {
            assert_eq!(with_header(header).unwrap_err(), error, "{header}");
        }
    }

    #[test]
    fn only_three_parts_within_the_bound_are_a_token() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        for token in
            ["", ".", "..", "...", "a.b", &format!("{header}.e30"), &format!("{header}..x")]
        {
            assert_eq!(split(token, 8192).unwrap_err(), TokenError::Malformed, "{token}");
        }
        for token in
            [format!("{header}.e30.x.y"), format!("{header}=.e30.x"), format!("{header}.e30.")]
        {
            assert_eq!(split(&token, 8192).unwrap_err(), TokenError::Malformed, "{token}");
        }
        let token = format!("{header}.e30.x");
        assert!(split(&token, token.len()).is_ok());
        assert_eq!(split(&token, token.len() - 1).unwrap_err(), TokenError::TooLarge);
    }
}
