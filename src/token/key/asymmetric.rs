//! Detection of asymmetric keys that were given as an HMAC secret, in any form (algorithm
//! confusion, RFC 8725, section 2.1). Everybody may know a public key, and so could sign with such
//! a secret.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
use serde_json::Value;

use super::pem::looks_like_pem;

use crate::wire::json;

/// Base64 as people paste it: with or without padding.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const ALPHABETS: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT),
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT),
];
/// The beginnings of SSH's public keys.
const SSH: [&[u8]; 3] = [b"ssh-", b"ecdsa-sha2-", b"---- BEGIN SSH2"];
/// The tags of DER (X.690, section 8) that such keys begin with.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// True where these bytes are a key of a pair, or a certificate: PEM, DER, a JWK or a set of them,
/// a line of SSH, or any of these in base64, as the body of a PEM file is.
pub fn is_asymmetric_key(bytes: &[u8]) -> bool {
    is_plain(bytes) || {
        let packed = packed(bytes);
        ALPHABETS.iter().filter_map(|base64| base64.decode(&packed).ok()).any(|it| is_plain(&it))
    }
}

fn is_plain(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    looks_like_pem(text)
        || SSH.iter().any(|start| text.starts_with(start))
        || is_jwk(text)
        || is_der(bytes)
}

/// Detects a JWK or a set of them (RFC 7517), also where it cannot be read as JSON: cut off, with a
/// member twice, or with a name that is refused.
fn is_jwk(bytes: &[u8]) -> bool {
    let has_member = |name: &str| match json::from_slice::<Value>(bytes) {
        Ok(value) => value.get(name).is_some(),
        Err(_) => memmem::find(bytes, format!("\"{name}\"").as_bytes()).is_some(),
    };
    bytes.starts_with(b"{") && ["kty", "keys"].into_iter().any(has_member)
}

/// Detects one DER sequence without anything behind it, which begins with a sequence (a public key,
/// a certificate) or a number (a private key, RSA's own form of both). Line ends do not count:
/// readers of files take them away, and editors add them. One random secret in a million is
/// mistaken for one.
fn is_der(bytes: &[u8]) -> bool {
    // A text may begin like one: `0` is 0x30.
    if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return false;
    }
    let [SEQUENCE, first, rest @ ..] = bytes else { return false };
    let more = usize::from(first.saturating_sub(0x80));
    if more > 3 || rest.len() < more {
        return false;
    }
    let (length, content) = rest.split_at(more);
    let length = match more {
        0 => usize::from(*first),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    };
    length.abs_diff(content.len()) <= 2 && matches!(content, [SEQUENCE | INTEGER, ..])
}

/// The bytes without white space, and without line ends that were written out.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, more @ ..] = rest {
        rest = match (byte, more) {
            (b'\\', [b'n' | b'r', after @ ..]) => after,
            _ => more,
        };
        if !byte.is_ascii_whitespace() && *byte != b'\\' {
            packed.push(*byte);
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::super::{SigningKey, generate};
    use super::*;
    use crate::secret::SystemRandom;
    use crate::token::algorithm::{self, Algorithm};

    /// A key in every form that an operator may mistake for a secret.
    fn forms(pem: &str) -> Vec<(String, Vec<u8>)> {
        let der = ::pem::parse(pem).unwrap().into_contents();
        let lines = pem.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>();
        [
            ("PEM", pem.to_owned()),
            ("PEM on one line", pem.replace('\n', "\\n")),
            ("base64 of PEM", STANDARD.encode(pem)),
            ("base64url of PEM", URL_SAFE_NO_PAD.encode(pem)),
            ("a body", lines.concat()),
            ("a body in lines", lines.join("\n")),
            ("a body with written line ends", lines.join("\\n")),
            ("a body without padding", STANDARD_NO_PAD.encode(&der)),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.into_bytes()))
        .chain([("DER".to_owned(), der)])
        .collect()
    }

    #[test]
    fn a_key_is_known_in_every_form() {
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
            let private = generate(algorithm, &SystemRandom).unwrap();
            let key = SigningKey::from_private_pem(algorithm, &private).unwrap();
            let public = key.public_pem().unwrap();
            for (form, bytes) in
                forms(&public).into_iter().chain(forms(private.expose_str().unwrap()))
            {
                assert!(is_asymmetric_key(&bytes), "{algorithm:?}: {form}");
            }
            let jwk = serde_json::to_string(key.verifying().public().unwrap().jwk()).unwrap();
            let cut_off = jwk.strip_suffix('}').unwrap();
            let reserved = format!("{cut_off},\"$serde_json::private::RawValue\":\"1\"}}");
            let set = format!("{{\"keys\":[{jwk}]}}");
            for text in [&jwk, &set, &STANDARD.encode(&jwk), cut_off, &reserved] {
                assert!(is_asymmetric_key(text.as_bytes()), "{text}");
            }
        }
        for line in ["ssh-rsa AAAAB3NzaC1yc2E", "ecdsa-sha2-nistp256 AAAA"] {
            assert!(is_asymmetric_key(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_secret_is_none() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            for _ in 0..64 {
                let secret = generate(algorithm, &SystemRandom).unwrap();
                assert!(!is_asymmetric_key(secret.expose()), "{}", algorithm::name(algorithm));
            }
        }
        for text in
            ["0123456789abcdef0123456789abcdef", "MAoGCCqGSM49BAMC", "{\"a\":1}", "0", "", "\\"]
        {
            assert!(!is_asymmetric_key(text.as_bytes()), "{text}");
        }
    }
}
