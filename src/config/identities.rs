//! Whose users are who: what stands before their names, and what their tokens must declare.

use super::reader::Reader;
use super::tokens::IssuerConfig;

/// The longest prefix, in bytes.
const MAX_PREFIX_BYTES: usize = 128;

/// ACCESS_TOKEN_TYPE: whether tokens must declare `at+jwt`.
pub(super) fn at_jwt_only(text: &str) -> Result<bool, &'static str> {
    match text.strip_prefix("application/").unwrap_or(text) {
        "any" => Ok(false),
        "at+jwt" => Ok(true),
        _ => Err("write `any` or `at+jwt`"),
    }
}

/// USER_PREFIX. What may stand there is what a header holds as it is.
pub(super) fn user_prefix(text: &str) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_graphic() && b != b',' && b != b'%';
    if text.len() > MAX_PREFIX_BYTES || !text.bytes().all(is_plain) {
        return Err(format!(
            "write at most {MAX_PREFIX_BYTES} visible ASCII characters, no blank, comma or percent sign"
        ));
    }
    Ok(text.to_owned())
}

/// Warns where users of several issuers may go by one name. A name may itself begin like a prefix,
/// so that users are told apart only by prefixes of which none is the beginning of another.
pub(super) fn check_distinct_users(reader: &mut Reader<'_>, issuers: &[IssuerConfig]) {
    let clashes = |(place, issuer): (usize, &IssuerConfig)| {
        let others = issuers.iter().enumerate().filter(|(other, _)| *other != place);
        others
            .map(|(_, other)| other)
            .any(|other| other.user_prefix.starts_with(&issuer.user_prefix))
    };
    if issuers.iter().enumerate().any(clashes) {
        reader.mistakes.warn(
            "issuers",
            "several issuers may name their users alike, and X-Auth-User does not tell them apart: \
             let the app look at X-Auth-Issuer too, or give each a `user_prefix` (USER_PREFIX for the \
             issuer outside [[issuers]]) of which none is the beginning of another",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_a_header_holds_as_it_is() {
        assert_eq!(user_prefix("batch:"), Ok("batch:".to_owned()));
        assert_eq!(user_prefix(""), Ok(String::new()));
        for text in ["a b", "a,b", "100%", "é", "\r\n", &"x".repeat(129)] {
            assert!(user_prefix(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_type_that_is_demanded_is_one_that_is_known() {
        for (text, read) in [
            ("any", Ok(false)),
            ("at+jwt", Ok(true)),
            ("application/at+jwt", Ok(true)),
            ("JWT", Err("write `any` or `at+jwt`")),
        ] {
            assert_eq!(at_jwt_only(text), read, "{text}");
        }
    }
}
