//! What was learnt since: whether an opaque token that was read earlier may still be believed.
//!
//! The same idea as with sessions: a reader takes a [`TokenMark`] before it asks the store, and
//! whatever changes a token through this process moves that token's mark on. So a cached answer is
//! found to be outdated by one comparison, also one whose read was under way at the time.

use std::sync::atomic::{AtomicU64, Ordering};

use super::record::TokenDigest;

/// Tokens that share a counter: a change makes its neighbours be read again too.
const SLOTS: usize = 1024;

/// The moment at which a token was read, in terms of what was changed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenMark {
    slot: usize,
    changes: u64,
}

/// What was changed through this process, counted.
#[derive(Debug)]
pub(super) struct Marks(Box<[AtomicU64]>);

impl Marks {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    /// The present mark of a token; to be taken before it is read.
    pub(super) fn mark(&self, digest: &TokenDigest) -> TokenMark {
        let slot = slot(digest);
        TokenMark { slot, changes: self.0[slot].load(Ordering::Acquire) }
    }

    /// Whether nothing was changed since `mark` that could be the token it was taken for.
    pub(super) fn is_current(&self, mark: &TokenMark) -> bool {
        self.0[mark.slot].load(Ordering::Acquire) == mark.changes
    }

    /// Tells of a change when it goes: also after an error, and when the caller was cancelled, the
    /// store may have done what it was asked.
    pub(super) fn changing(&self, digest: &TokenDigest) -> Change<'_> {
        Change(&self.0[slot(digest)])
    }
}

/// A change that is under way.
pub(super) struct Change<'c>(&'c AtomicU64);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// The digest is of random bytes, so any bits of it serve.
fn slot(digest: &TokenDigest) -> usize {
    let [first, second, ..] = *digest.as_bytes();
    usize::from(u16::from_le_bytes([first, second])) % SLOTS
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
        assert!(marks.is_current(&before) && marks.is_current(&during));
        drop(change);
        assert!(!marks.is_current(&before) && !marks.is_current(&during));
        assert!(marks.is_current(&marks.mark(&digest)));
    }
}
