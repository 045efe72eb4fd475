//! Questions that came to the wrong place: the operator gave the gateway another path, or another
//! listener, than those at which the gate judges.
//!
//! To a gateway every 2xx is a yes, so such a question must never get one. The operator is told
//! where to ask, but not once a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long the log is silent after it has told of one.
const SILENCE: Duration = Duration::from_secs(10);

/// When the log may tell of the next one.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// In milliseconds of the monotonic clock.
    not_before: AtomicU64,
}

impl Telling {
    /// Whether it is to be told now; true once in each [`SILENCE`].
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let due = self.not_before.load(Ordering::Relaxed);
        let next = millis(now.saturating_add(SILENCE));
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
        let telling = Telling::default();
        let due = [0, 0, 5, 9, 10, 11, 19, 20].map(|at| telling.is_due(Duration::from_secs(at)));
        assert_eq!(due, [true, false, false, false, true, false, false, true]);
    }
}
