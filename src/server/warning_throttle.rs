//! A throttle of warnings: many connections may fail in the same way at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The least time between two warnings of a kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// A throttle of one kind of warning.
#[derive(Debug, Default)]
pub(super) struct WarningThrottle(Mutex<Option<Instant>>);

impl WarningThrottle {
    /// True where it is time for a warning; then it is not for a while.
    pub(super) fn is_due(&self) -> bool {
        // Nothing panics under the lock.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}
