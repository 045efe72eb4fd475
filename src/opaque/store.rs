//! The trait that every store of opaque tokens implements.

use std::collections::HashSet;
use std::fmt::Debug;

use async_trait::async_trait;

use super::record::{OpaqueToken, TokenDigest};
use crate::clock::UnixTime;
use crate::store::StoreError;

/// A store of opaque tokens, by digest. It remembers and never judges: expired and used tokens
/// are handed out until they are purged.
#[async_trait]
pub trait OpaqueTokenStore: Send + Sync + Debug {
    /// Adds tokens, all or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] cannot happen but by a failing random source; it is reported as
    /// [`StoreError::Unavailable`].
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError>;

    /// The token of that digest.
    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError>;

    /// Rotates a token: marks `old` as used `at` and adds its successors, both or nothing, and only
    /// if it is there and was not used: of any number of callers exactly one is told
    /// [`Rotation::Rotated`].
    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError>;

    /// Moves the end of a token forward, never back, and puts new claims in the place of its own
    /// where given. Says whether it is there.
    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&serde_json::Map<String, serde_json::Value>>,
    ) -> Result<bool, StoreError>;

    /// Deletes a token. Says whether it was there.
    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError>;

    /// Forgets tokens that expired at or before then, to make room; says how many.
    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError>;

    /// Checks that the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Leaves the store tidy at the end of the process. Without it nothing is lost.
    async fn close(&self) {}

    /// The kind and the place of this store, for logs; no credentials.
    fn describe(&self) -> String;

    /// The token of a key that an event of
    /// [its source](crate::store::invalidation::InvalidationSource) named, where it is one of
    /// this store's. A store that others cannot change knows none.
    fn invalidated_record(&self, _key: &[u8]) -> Option<TokenDigest> {
        None
    }
}

/// Outcome of [`OpaqueTokenStore::rotate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The old token is used, its successors are there.
    Rotated,
    /// It was used before; nothing was changed.
    AlreadyUsed,
    /// It is not there; nothing was changed.
    Unknown,
}

/// One token twice is one digest twice, which stores need not look for.
pub(super) fn check_distinct(tokens: &[OpaqueToken]) -> Result<(), StoreError> {
    let mut digests = HashSet::new();
    if tokens.iter().all(|token| digests.insert(token.digest)) { Ok(()) } else { Err(collision()) }
}

/// Two tokens of one digest: the random source repeats itself.
pub(super) fn collision() -> StoreError {
    StoreError::Unavailable("a new token is not new; is the random source broken?".to_owned())
}
