//! The names of sessions and of users. Both are parsed once and cannot be wrong afterwards.

use std::fmt;
use std::sync::Arc;

use crate::secret::{Random, RandomFailed, random_id};

/// The name of a session, a token's `sid`: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`.
///
/// These characters need no escape in a URL, a header, a log line or a key of any store.
/// A clone is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The longest session id, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Reads a session id from a token, a command line or a store.
    ///
    /// # Errors
    /// [`InvalidSessionId`] where it is empty, too long, or holds another character.
    pub fn parse(text: &str) -> Result<Self, InvalidSessionId> {
        let length_fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if length_fits && text.bytes().all(is_unreserved) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSessionId)
        }
    }

    /// A new id, as of [`random_id`].
    ///
    /// # Errors
    /// [`RandomFailed`] where the random source gave nothing; then there is no session.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomFailed> {
        random_id(random).map(|id| Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 3986's unreserved characters.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.0)
    }
}

/// The text is no session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id is 1 to 128 characters of A-Z a-z 0-9 . _ ~ -")]
pub struct InvalidSessionId;

/// The name of a user, a token's subject: 1 to 256 bytes of UTF-8 without control characters.
///
/// A clone is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The longest user id, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Reads a user id from a token, a command line or a store. Nothing is trimmed, folded or
    /// normalised: two users are the same where their bytes are.
    ///
    /// # Errors
    /// [`InvalidUserId`] where it is empty, too long, or holds a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidUserId> {
        let length_fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if length_fits && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidUserId)
        }
    }

    /// A new id, as of [`random_id`].
    ///
    /// # Errors
    /// [`RandomFailed`] where the random source gave nothing.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomFailed> {
        random_id(random).map(|id| Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", &*self.0)
    }
}

/// The text is no user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user id is 1 to 256 bytes of UTF-8 without control characters")]
pub struct InvalidUserId;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemRandom;
    use proptest::prelude::*;

    #[test]
    fn session_ids_are_short_and_need_no_escape() {
        for good in ["a", "A-Z_a.z~0", &"x".repeat(128)] {
            assert_eq!(SessionId::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", " a", "a b", "a:b", "a/b", "é", "a\n", "a\0", "*", &"x".repeat(129)] {
            assert_eq!(SessionId::parse(bad), Err(InvalidSessionId), "{bad:?}");
        }
    }

    #[test]
    fn user_ids_may_be_any_printable_text() {
        for good in ["a", "Jürgen", "a b", "x:y|z", "名", &"é".repeat(128)] {
            assert_eq!(UserId::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "a\n", "\u{7f}", "\u{85}", "a\0b", &"é".repeat(129)] {
            assert_eq!(UserId::parse(bad), Err(InvalidUserId), "{bad:?}");
        }
    }

    #[test]
    fn generated_ids_hold_128_bits_and_differ() {
        let new = |_| SessionId::generate(&SystemRandom).expect("random");
        let ids: std::collections::BTreeSet<_> = (0..1_000).map(new).collect();
        assert_eq!(ids.len(), 1_000);
        for id in ids {
            assert_eq!(id.as_str().len(), 22);
            assert!(!id.as_str().starts_with('-'), "a command would read {id} as a flag");
            assert_eq!(SessionId::parse(id.as_str()), Ok(id));
        }
    }

    #[test]
    fn no_session_is_named_where_the_random_source_fails() {
        #[derive(Debug)]
        struct Broken;
        impl Random for Broken {
            fn fill(&self, _: &mut [u8]) -> Result<(), RandomFailed> {
                Err(RandomFailed)
            }
        }
        assert!(SessionId::generate(&Broken).is_err());
    }

    proptest! {
        #[test]
        fn parsing_keeps_the_text_or_refuses_it(text in any::<String>()) {
            if let Ok(id) = SessionId::parse(&text) {
                prop_assert_eq!(id.as_str(), text.as_str());
                prop_assert!(text.is_ascii() && text.len() <= SessionId::MAX_BYTES);
            }
            match UserId::parse(&text) {
                Ok(user) => prop_assert_eq!(user.as_str(), text.as_str()),
                Err(InvalidUserId) => prop_assert!(
                    text.is_empty() || text.len() > UserId::MAX_BYTES || text.chars().any(char::is_control)
                ),
            }
        }

        #[test]
        fn every_unreserved_text_is_a_session_id(text in "[A-Za-z0-9._~-]{1,128}") {
            prop_assert_eq!(SessionId::parse(&text).map(|id| id.to_string()), Ok(text));
        }
    }
}
