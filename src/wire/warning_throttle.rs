//! A throttle of warnings: what goes wrong once may go wrong for every request or connection.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The least time between two warnings of a kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// A throttle of one kind of warning.
#[derive(Debug, Default)]
pub(crate) struct WarningThrottle(Mutex<Option<Instant>>);

impl WarningThrottle {
    /// Returns whether a warning may be written now: once in each [`WARNING_INTERVAL`].
    pub(crate) fn is_due(&self) -> bool {
        // Nothing panics under the lock.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_mistakes_is_a_line_in_ten_seconds() {
        let throttle = WarningThrottle::default();
        let mut due = Vec::new();
        for seconds in [0, 0, 5, 4, 1, 1, 8, 1] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            due.push(throttle.is_due());
        }
        assert_eq!(due, [true, false, false, false, true, false, false, true]);
    }
}
