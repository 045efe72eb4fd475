//! A rate limit (token bucket) for lines of one kind: a burst at once, then some each second, so
//! that a client who can cause a line cannot fill a disk with it.

use std::time::Duration;

/// The rate and the burst of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRate {
    /// The most lines at once.
    pub burst: u32,
    /// The lines a second in the long run.
    pub per_second: u32,
}

/// A token bucket of lines, by any clock that is not set back.
#[derive(Clone, Copy, Debug)]
pub struct LineLimiter {
    rate: LineRate,
    /// The time at which it will be full again.
    full_at: Duration,
    /// Lines that were refused since the last one that was let through.
    refused: u64,
}

impl LineLimiter {
    /// A full bucket.
    pub fn new(rate: LineRate) -> Self {
        Self { rate, full_at: Duration::ZERO, refused: 0 }
    }

    /// Takes a token for a line. Returns the number of lines that were refused since the last one
    /// that was let through, or `None` where this one is refused too.
    pub fn take(&mut self, now: Duration) -> Option<u64> {
        let of_one = Duration::from_secs(1) / self.rate.per_second.max(1);
        let full_at = self.full_at.max(now) + of_one;
        if full_at.saturating_sub(now) > of_one * self.rate.burst.max(1) {
            self.refused += 1;
            return None;
        }
        self.full_at = full_at;
        Some(std::mem::take(&mut self.refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_then_so_many_a_second_and_what_was_refused_is_told() {
        let mut limiter = LineLimiter::new(LineRate { burst: 20, per_second: 5 });
        let mut taken = |seconds: u64, lines| -> usize {
            let at = Duration::from_secs(seconds);
            (0..lines).filter(|_| limiter.take(at).is_some()).count()
        };
        assert_eq!(taken(100, 1_000), 20);
        assert_eq!(taken(101, 1_000), 5);
        assert_eq!(taken(103, 1_000), 10);
        assert_eq!(taken(1_000, 30), 20, "a rest saves up no more than the burst");
        assert_eq!(limiter.take(Duration::from_secs(1_001)), Some(10));
        assert_eq!(limiter.take(Duration::from_secs(1_001)), Some(0));
    }
}
