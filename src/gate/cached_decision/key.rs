//! The key of a decision in the cache.

use std::time::Duration;

use aws_lc_rs::digest;

use crate::gate::introspection::IssuerIndex;

/// The key of a decision: the kind of the credential, and the digest of every byte of it; of a
/// password a keyed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    pub(super) kind: CredentialKind,
    digest: [u8; 32],
}

/// The kind of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A signed token.
    Jwt,
    /// An opaque name for a token that is kept here.
    Handle,
    /// A key of a user of the built-in accounts.
    ApiKey,
    /// The name and the password of one.
    Password,
    /// An opaque token of another issuer, which is asked about it.
    Introspected(IssuerIndex),
}

impl CacheKey {
    /// The key of a credential. Two of a kind with one key would be a collision of SHA-256.
    pub fn of(kind: CredentialKind, credential: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, credential.as_bytes()).as_ref());
        Self { kind, digest: bytes }
    }

    /// The key of a name and a password with this keyed digest.
    pub(super) fn of_password(digest: [u8; 32]) -> Self {
        Self { kind: CredentialKind::Password, digest }
    }

    /// The bound for this credential: up to a quarter less, by what is random in its digest. So
    /// sessions that were read at one time, after the store was away, are not read at one time for
    /// ever.
    pub(super) fn spread(&self, bound: Duration) -> Duration {
        bound.saturating_sub(bound * u32::from(self.digest[0]) / 1_024)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Traefik took the identity of another user for one whose name and password read the same when they were joined
    /// (CVE-2026-71326).
    #[test]
    fn credentials_that_read_the_same_in_part_or_joined_have_keys_of_their_own() {
        let texts =
            ["", "a", "ab", "a,bc", "ab,c", "abc", "a:b", "a\0b", "A", "a ", "jwt", "Jwt,a"];
        let kinds = [CredentialKind::Jwt, CredentialKind::Handle, CredentialKind::ApiKey];
        let keys = kinds.iter().flat_map(|kind| texts.map(|text| CacheKey::of(*kind, text)));
        assert_eq!(keys.collect::<HashSet<_>>().len(), kinds.len() * texts.len());
        assert_eq!(CacheKey::of(kinds[0], "a"), CacheKey::of(kinds[0], "a"));
    }

    /// CVE-2026-33496: a cache whose key did not say which issuer had been asked.
    #[test]
    fn one_token_of_two_issuers_is_two_questions() {
        let of = |kind| CacheKey::of(kind, "token");
        let asked = |issuer| of(CredentialKind::Introspected(IssuerIndex(issuer)));
        assert_ne!(asked(0), asked(1));
        assert_ne!(asked(0), of(CredentialKind::Jwt));
        assert_ne!(of(CredentialKind::Handle), of(CredentialKind::ApiKey));
    }
}
