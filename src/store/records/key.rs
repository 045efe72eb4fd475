//! The keys of records: names of bounded length, which may hold whatever a client sent.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::store::{Failure, StoreError};

/// The longest name that is kept as it is, in bytes.
const MAX_LENGTH: usize = 200;
/// The start of a hashed name; one that begins so by itself is hashed too, so that nobody can
/// write down the name of something else.
const HASHED: &str = "sha256:";

/// The key of a record. Records of different kinds have nothing to do with each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordKey {
    kind: &'static str,
    name: String,
}

impl RecordKey {
    /// Of this kind and name; a name that is too long becomes its SHA-256.
    pub fn new(kind: &'static str, name: &str) -> Self {
        if name.len() <= MAX_LENGTH && !name.starts_with(HASHED) {
            return Self { kind, name: name.to_owned() };
        }
        let digest = digest::digest(&digest::SHA256, name.as_bytes());
        Self { kind, name: format!("{HASHED}{}", URL_SAFE_NO_PAD.encode(digest)) }
    }

    /// The kind of record.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The name, or what stands for it; at most 200 bytes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The error that a failure is for this record.
    pub(super) fn failed(&self, failure: impl Into<Failure>) -> StoreError {
        StoreError::about(failure.into(), &self.name)
    }

    /// The error that this record is for who reads it.
    pub(super) fn corrupt(&self, reason: &str) -> StoreError {
        StoreError::Corrupt { id: self.name.clone(), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bounded_and_no_name_becomes_another() {
        let bounded = |name: &str| RecordKey::new("kind", name).name;
        let (longest, longer) = ("a".repeat(200), "a".repeat(201));
        assert_eq!(bounded(""), "");
        assert_eq!(bounded(&longest), longest);
        let hashed = bounded(&longer);
        assert_eq!(hashed.len(), 50);
        assert_ne!(bounded(&hashed), hashed);
        assert_ne!(bounded(&"a".repeat(202)), hashed);
    }
}
