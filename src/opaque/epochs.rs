//! Epochs of opaque tokens: the check whether a cached token is still current.
//!
//! The same idea as with sessions: a reader takes a [`TokenEpoch`] before it asks the store, and
//! whatever changes a token advances that token's epoch. So a cached answer is found to be outdated
//! by one comparison, also one whose read was in flight at the time.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::record::TokenDigest;
use crate::session::EpochStatus;

/// Tokens that share a counter: a change makes its neighbours be read again too. As many as two
/// bytes of a digest can tell apart.
const SLOTS: usize = 1 << 16;

/// The epoch at which a token was read: the changes that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenEpoch {
    generation: u64,
    changes: u32,
    slot: u16,
}

/// The epochs of this process, as counters.
#[derive(Debug)]
pub(super) struct TokenEpochs {
    changes: Box<[AtomicU32]>,
    generation: AtomicU64,
}

impl TokenEpochs {
    pub(super) fn new() -> Self {
        let changes = (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self { changes, generation: AtomicU64::new(0) }
    }

    /// The present epoch of a token; to be taken before it is read.
    pub(super) fn epoch(&self, digest: &TokenDigest) -> TokenEpoch {
        let slot = slot(digest);
        let generation = self.generation.load(Ordering::Acquire);
        TokenEpoch { generation, changes: self.at(slot).load(Ordering::Acquire), slot }
    }

    /// The status of the token that this epoch was taken for.
    pub(super) fn status(&self, epoch: &TokenEpoch) -> EpochStatus {
        if self.at(epoch.slot).load(Ordering::Acquire) != epoch.changes {
            EpochStatus::Changed
        } else if self.generation.load(Ordering::Acquire) != epoch.generation {
            EpochStatus::Suspect
        } else {
            EpochStatus::Current
        }
    }

    /// A token was changed.
    pub(super) fn changed(&self, digest: &TokenDigest) {
        self.at(slot(digest)).fetch_add(1, Ordering::AcqRel);
    }

    /// Events may have been lost: every token that was read before is suspect.
    pub(super) fn suspect_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// A guard that advances the epoch when it is dropped: also after an error, and when the caller
    /// was cancelled, the store may have done what it was asked.
    pub(super) fn advance_on_drop(&self, digest: &TokenDigest) -> AdvanceOnDrop<'_> {
        AdvanceOnDrop(self.at(slot(digest)))
    }

    fn at(&self, slot: u16) -> &AtomicU32 {
        &self.changes[usize::from(slot)]
    }
}

/// A guard that advances an epoch when it is dropped.
pub(super) struct AdvanceOnDrop<'c>(&'c AtomicU32);

impl Drop for AdvanceOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// The digest is of random bytes, so any bits of it serve.
fn slot(digest: &TokenDigest) -> u16 {
    let [first, second, ..] = *digest.as_bytes();
    u16::from_le_bytes([first, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_outdates_what_was_read_before_it_has_ended() {
        let epochs = TokenEpochs::new();
        let digest = TokenDigest::of("a");
        let before = epochs.epoch(&digest);
        let change = epochs.advance_on_drop(&digest);
        let during = epochs.epoch(&digest);
        assert_eq!([before, during].map(|epoch| epochs.status(&epoch)), [EpochStatus::Current; 2]);
        drop(change);
        assert_eq!([before, during].map(|epoch| epochs.status(&epoch)), [EpochStatus::Changed; 2]);
        assert_eq!(epochs.status(&epochs.epoch(&digest)), EpochStatus::Current);
    }

    #[test]
    fn suspicion_outdates_what_was_read_before_it_and_nothing_after() {
        let epochs = TokenEpochs::new();
        let (one, other) = (TokenDigest::of("a"), TokenDigest::of("b"));
        let before = epochs.epoch(&one);
        epochs.suspect_all();
        assert_eq!(epochs.status(&before), EpochStatus::Suspect);
        assert_eq!(epochs.status(&epochs.epoch(&other)), EpochStatus::Current);
        epochs.changed(&one);
        assert_eq!(epochs.status(&before), EpochStatus::Changed);
    }
}
