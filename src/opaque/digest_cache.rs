//! Two caches of digests that this process has met lately: the known ones, of tokens that exist and
//! are asked for before strangers' are, and a negative cache of tokens that do not exist and need
//! not be asked for again at once.
//!
//! Both are tables of a fixed size in which a newer digest takes the place of an older one, so a
//! flood costs nobody any room. Neither ever decides that a token is good.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::{TokenDigest, TokenEpoch};

/// Size of the table of known digests.
const KNOWN_SLOTS: usize = 1 << 16;
/// Size of the negative cache.
const NEGATIVE_SLOTS: usize = 1 << 12;
/// Time for which it is remembered that there is no such token.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);

/// Digests of tokens that were made, read or heard of here. Forgetting one does no harm.
#[derive(Debug)]
pub(super) struct KnownDigests(Box<[AtomicU64]>);

impl KnownDigests {
    pub(super) fn new() -> Self {
        Self((0..KNOWN_SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn insert(&self, digest: &TokenDigest) {
        let (slot, tag) = Self::slot_and_tag(digest);
        self.0[slot].store(tag, Ordering::Relaxed);
    }

    pub(super) fn contains(&self, digest: &TokenDigest) -> bool {
        let (slot, tag) = Self::slot_and_tag(digest);
        self.0[slot].load(Ordering::Relaxed) == tag
    }

    /// A slot by two bytes of the digest, and eight others, which nobody can make alike on purpose.
    fn slot_and_tag(digest: &TokenDigest) -> (usize, u64) {
        let bytes = digest.as_bytes();
        let mut tag = [0; 8];
        tag.copy_from_slice(&bytes[2..10]);
        (usize::from(u16::from_le_bytes([bytes[0], bytes[1]])), u64::from_le_bytes(tag))
    }
}

/// Negative cache: tokens that the store did not have a moment ago.
#[derive(Debug)]
pub(super) struct NegativeCache(Box<[Mutex<Option<Miss>>]>);

#[derive(Clone, Copy, Debug)]
struct Miss {
    digest: TokenDigest,
    /// The epoch that the token had then.
    epoch: TokenEpoch,
    at: Duration,
}

impl NegativeCache {
    pub(super) fn new() -> Self {
        Self((0..NEGATIVE_SLOTS).map(|_| Mutex::new(None)).collect())
    }

    /// Remembers that there was none, asked `at` this time of the monotonic clock.
    pub(super) fn insert(&self, digest: &TokenDigest, epoch: TokenEpoch, at: Duration) {
        *self.slot(digest) = Some(Miss { digest: *digest, epoch, at });
    }

    /// Says whether there is none, as far as is known: it was asked for less than a second ago, and
    /// no event named it since, given its present `epoch`.
    pub(super) fn contains(&self, digest: &TokenDigest, epoch: TokenEpoch, now: Duration) -> bool {
        let found = *self.slot(digest);
        found.is_some_and(|found| {
            found.digest == *digest
                && found.epoch == epoch
                && now.saturating_sub(found.at) < NEGATIVE_TTL
        })
    }

    fn slot(&self, digest: &TokenDigest) -> MutexGuard<'_, Option<Miss>> {
        let [.., a, b] = *digest.as_bytes();
        let slot = usize::from(u16::from_le_bytes([a, b])) % NEGATIVE_SLOTS;
        self.0[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
