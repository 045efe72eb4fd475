//! When to say that the store fails, and that it answers again: rarely, however often it does both.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often at most a failure is told, in milliseconds.
const TELL_EVERY_MILLIS: u64 = 5_000;

/// What was told of the store so far.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// When a failure was last told, in milliseconds of the monotonic clock, and one; zero: never.
    told_at: AtomicU64,
    /// Whether no answer came since.
    is_open: AtomicBool,
}

impl Trouble {
    /// Whether a failure at `now` is to be told.
    pub(super) fn failed(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1);
        let last = self.told_at.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= TELL_EVERY_MILLIS;
        let is_told = is_due
            && self
                .told_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_told {
            self.is_open.store(true, Ordering::Relaxed);
        }
        is_told
    }

    /// Whether an answer is to be told: the first after a failure that was.
    pub(super) fn answered(&self) -> bool {
        self.is_open.load(Ordering::Relaxed) && self.is_open.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_and_its_end_are_told_once() {
        let trouble = Trouble::default();
        assert!(!trouble.answered());
        assert!(trouble.failed(Duration::ZERO));
        assert!(!trouble.failed(Duration::from_secs(1)));
        assert!(trouble.answered());
        assert!(!trouble.answered());
    }

    #[test]
    fn failures_and_answers_in_turn_are_told_no_more_often() {
        let trouble = Trouble::default();
        let mut told = 0;
        for millis in 0..20_000 {
            told += u32::from(trouble.failed(Duration::from_millis(millis)));
            told += u32::from(trouble.answered());
        }
        assert_eq!(told, 8, "four failures in twenty seconds, and the end of each");
    }
}
