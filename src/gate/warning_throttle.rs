//! A throttle for one warning: a gateway asks at the wrong path, or on the wrong listener.
//!
//! The operator made that mistake and has to know where the gateway should ask, but not once a
//! request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time between two warnings.
const INTERVAL: Duration = Duration::from_secs(10);

/// The time of the next warning.
#[derive(Debug, Default)]
pub(super) struct WarningThrottle {
    /// In milliseconds of the monotonic clock.
    not_before: AtomicU64,
}

impl WarningThrottle {
    /// Returns whether a warning may be written now: once in each [`INTERVAL`].
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let due = self.not_before.load(Ordering::Relaxed);
        let next = millis(now.saturating_add(INTERVAL));
        let take =
            || self.not_before.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        millis(now) >= due && take().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_mistakes_is_a_line_in_ten_seconds() {
        let throttle = WarningThrottle::default();
        let due = [0, 0, 5, 9, 10, 11, 19, 20].map(|at| throttle.is_due(Duration::from_secs(at)));
        assert_eq!(due, [true, false, false, false, true, false, false, true]);
    }
}
