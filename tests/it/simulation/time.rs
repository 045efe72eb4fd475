//! The time of a run: tokio's, which stands still while anybody has something to do and then jumps to the next timer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use portcullis::clock::{Clock, UnixTime};
use tokio::time::Instant;

/// The wall clock at the start.
pub const START: UnixTime = UnixTime::from_secs(1_800_000_000);

/// A moment of a run, on its monotonic clock. No two are equal.
pub type Timestamp = Duration;

/// The one clock of all processes and of the oracle. All timers are whole milliseconds; each look at the monotonic clock is
/// a nanosecond later than the one before, as on a real machine, so that of two moments one is always the earlier.
#[derive(Debug)]
pub struct SimClock {
    start: Instant,
    looks: AtomicU64,
}

impl SimClock {
    /// Starts now, on a runtime whose time is paused.
    pub fn start() -> Self {
        Self { start: Instant::now(), looks: AtomicU64::new(0) }
    }
}

impl Clock for SimClock {
    fn now(&self) -> UnixTime {
        START.after(self.start.elapsed())
    }

    fn monotonic(&self) -> Duration {
        let look = Duration::from_nanos(self.looks.fetch_add(1, Ordering::Relaxed));
        self.start.elapsed() + look
    }
}
