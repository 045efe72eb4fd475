//! What was learnt since: whether an opaque token that was read earlier may still be believed.
//!
//! The same idea as with sessions: a reader takes a [`TokenMark`] before it asks the store, and
//! whatever changes a token moves that token's mark on. So a cached answer is found to be outdated
//! by one comparison, also one whose read was under way at the time.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::record::TokenDigest;
use crate::session::Since;

/// Tokens that share a counter: a change makes its neighbours be read again too. As many as two
/// bytes of a digest can tell apart.
const SLOTS: usize = 1 << 16;

/// The moment at which a token was read, in terms of what was changed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenMark {
    doubts: u64,
    changes: u32,
    slot: u16,
}

/// What was changed, as far as this process knows, counted.
#[derive(Debug)]
pub(super) struct Marks {
    changes: Box<[AtomicU32]>,
    doubts: AtomicU64,
}

impl Marks {
    pub(super) fn new() -> Self {
        let changes = (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self { changes, doubts: AtomicU64::new(0) }
    }

    /// The present mark of a token; to be taken before it is read.
    pub(super) fn mark(&self, digest: &TokenDigest) -> TokenMark {
        let slot = slot(digest);
        let doubts = self.doubts.load(Ordering::Acquire);
        TokenMark { doubts, changes: self.at(slot).load(Ordering::Acquire), slot }
    }

    /// What is known since `mark` of the token that it was taken for.
    pub(super) fn since(&self, mark: &TokenMark) -> Since {
        if self.at(mark.slot).load(Ordering::Acquire) != mark.changes {
            Since::Change
        } else if self.doubts.load(Ordering::Acquire) != mark.doubts {
            Since::Doubt
        } else {
            Since::Nothing
        }
    }

    /// A token was changed.
    pub(super) fn changed(&self, digest: &TokenDigest) {
        self.at(slot(digest)).fetch_add(1, Ordering::AcqRel);
    }

    /// Something may have been missed.
    pub(super) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// Tells of a change when it goes: also after an error, and when the caller was cancelled, the
    /// store may have done what it was asked.
    pub(super) fn changing(&self, digest: &TokenDigest) -> Change<'_> {
        Change(self.at(slot(digest)))
    }

    fn at(&self, slot: u16) -> &AtomicU32 {
        &self.changes[usize::from(slot)]
    }
}

/// A change that is under way.
pub(super) struct Change<'c>(&'c AtomicU32);

impl Drop for Change<'_> {
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
        let marks = Marks::new();
        let digest = TokenDigest::of("a");
        let before = marks.mark(&digest);
        let change = marks.changing(&digest);
        let during = marks.mark(&digest);
        assert_eq!([before, during].map(|mark| marks.since(&mark)), [Since::Nothing; 2]);
        drop(change);
        assert_eq!([before, during].map(|mark| marks.since(&mark)), [Since::Change; 2]);
        assert_eq!(marks.since(&marks.mark(&digest)), Since::Nothing);
    }

    #[test]
    fn doubt_outdates_what_was_read_before_it_and_nothing_after() {
        let marks = Marks::new();
        let (one, other) = (TokenDigest::of("a"), TokenDigest::of("b"));
        let before = marks.mark(&one);
        marks.doubt();
        assert_eq!(marks.since(&before), Since::Doubt);
        assert_eq!(marks.since(&marks.mark(&other)), Since::Nothing);
        marks.changed(&one);
        assert_eq!(marks.since(&before), Since::Change);
    }
}
