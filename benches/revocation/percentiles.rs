//! Percentiles of many measurements.

use std::time::Duration;

/// Durations, in order.
pub struct Percentiles(Vec<Duration>);

impl Percentiles {
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut all: Vec<Duration> = durations.into_iter().collect();
        all.sort();
        Self(all)
    }

    /// The smallest that so many thousandths do not exceed.
    pub fn per_mille(&self, of: usize) -> Duration {
        let at = (self.0.len() * of).div_ceil(1_000).saturating_sub(1);
        self.0.get(at).copied().unwrap_or_default()
    }

    pub fn max(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    pub fn zeros(&self) -> usize {
        self.0.iter().take_while(|duration| duration.is_zero()).count()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds.
    pub fn line(&self) -> String {
        format!(
            "p50 {:8.3}  p99 {:8.3}  p99.9 {:8.3}  max {:8.3} ms",
            millis(self.per_mille(500)),
            millis(self.per_mille(990)),
            millis(self.per_mille(999)),
            millis(self.max())
        )
    }
}

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
