//! Digests that this process has met lately: of tokens that exist, which are asked for before
//! strangers' are, and of tokens that do not, which need not be asked for again at once.
//!
//! Both are tables of a fixed size in which a newer digest takes the place of an older one, so a
//! flood costs nobody any room. Neither ever decides that a token is good.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::marks::TokenMark;
use super::record::TokenDigest;

/// How many existing tokens are remembered at most.
const EXISTING: usize = 1 << 16;
/// How many unknown ones.
const UNKNOWN: usize = 1 << 12;
/// For how long it is remembered that there is no such token.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// Tokens that were made, read or heard of here. Forgetting one does no harm.
#[derive(Debug)]
pub(super) struct Existing(Box<[AtomicU64]>);

impl Existing {
    pub(super) fn new() -> Self {
        Self((0..EXISTING).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn note(&self, digest: &TokenDigest) {
        let (slot, tag) = Self::place(digest);
        self.0[slot].store(tag, Ordering::Relaxed);
    }

    pub(super) fn holds(&self, digest: &TokenDigest) -> bool {
        let (slot, tag) = Self::place(digest);
        self.0[slot].load(Ordering::Relaxed) == tag
    }

    /// A slot by two bytes of the digest, and eight others, which nobody can make alike on purpose.
    fn place(digest: &TokenDigest) -> (usize, u64) {
        let bytes = digest.as_bytes();
        let mut tag = [0; 8];
        tag.copy_from_slice(&bytes[2..10]);
        (usize::from(u16::from_le_bytes([bytes[0], bytes[1]])), u64::from_le_bytes(tag))
    }
}

/// Tokens that the store did not have a moment ago.
#[derive(Debug)]
pub(super) struct Unknown(Box<[Mutex<Option<NotFound>>]>);

#[derive(Clone, Copy, Debug)]
struct NotFound {
    digest: TokenDigest,
    /// What had been changed by then.
    mark: TokenMark,
    at: Duration,
}

impl Unknown {
    pub(super) fn new() -> Self {
        Self((0..UNKNOWN).map(|_| Mutex::new(None)).collect())
    }

    /// Takes note that there was none, asked `at` this time of the monotonic clock.
    pub(super) fn note(&self, digest: &TokenDigest, mark: TokenMark, at: Duration) {
        *self.slot(digest) = Some(NotFound { digest: *digest, mark, at });
    }

    /// Whether there is none, as far as is known: it was asked for less than a second ago, and
    /// nothing was heard of it since, given its present `mark`.
    pub(super) fn holds(&self, digest: &TokenDigest, mark: TokenMark, now: Duration) -> bool {
        let found = *self.slot(digest);
        found.is_some_and(|found| {
            found.digest == *digest
                && found.mark == mark
                && now.saturating_sub(found.at) < UNKNOWN_FOR
        })
    }

    fn slot(&self, digest: &TokenDigest) -> MutexGuard<'_, Option<NotFound>> {
        let [.., a, b] = *digest.as_bytes();
        let slot = usize::from(u16::from_le_bytes([a, b])) % UNKNOWN;
        self.0[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
