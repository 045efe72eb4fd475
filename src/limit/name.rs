//! Names of bounded length: they may hold whatever a client sent.

use std::borrow::Cow;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest name that is kept as it is, in bytes.
const LONGEST: usize = 200;
/// What a hashed name begins with; one that begins so by itself is hashed too, so that nobody can
/// write down the name of something else.
const HASHED: &str = "sha256:";

/// The name under which a store keeps it: itself, or the SHA-256 of one that is too long.
pub(super) fn bounded(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST && !name.starts_with(HASHED) {
        return Cow::Borrowed(name);
    }
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    Cow::Owned(format!("{HASHED}{}", URL_SAFE_NO_PAD.encode(digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bounded_and_no_name_becomes_another() {
        let (longest, longer) = ("a".repeat(200), "a".repeat(201));
        assert_eq!(bounded(""), "");
        assert_eq!(bounded(&longest), longest);
        let hashed = bounded(&longer).into_owned();
        assert_eq!(hashed.len(), 50);
        assert_ne!(bounded(&hashed), hashed);
        assert_ne!(bounded(&"a".repeat(202)), hashed);
    }
}
