//! The key of a decision in the cache.

use std::time::Duration;

use aws_lc_rs::digest;

/// The key of a decision: the kind of the credential, and the digest of every byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    pub(super) kind: CredentialKind,
    digest: [u8; 32],
}

/// What kind of credential it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A signed token.
    Jwt,
    /// A name for one that is kept here.
    Handle,
}

impl CacheKey {
    /// The key of a credential. Two of a kind with one key would be a collision of SHA-256.
    pub fn of(kind: CredentialKind, credential: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, credential.as_bytes()).as_ref());
        Self { kind, digest: bytes }
    }

    /// The bound for this credential: up to a quarter less, by what is random in its digest, so
    /// that those which were read at once, after the store was away, are not read at once for ever.
    pub(super) fn spread(&self, bound: Duration) -> Duration {
        bound.saturating_sub(bound * u32::from(self.digest[0]) / 1_024)
    }
}
