//! The arithmetic of token buckets and of backoff after failures: numbers in, numbers out.
//!
//! All numbers are milliseconds, but those of a [`Rate::of_requests`]. A clock may be set back, and hosts disagree a little. What was
//! kept is then in the future of whoever asks. Up to [`TOLERANCE`] that is taken as it is: nobody
//! gets more, somebody waits so much longer. What lies further ahead can only be a clock that was
//! wrong, and would lock for as long: it is taken for the least that may still be allowed now, and
//! kept so.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;

/// The most by which the clocks of hosts that share a store may differ.
pub(super) const TOLERANCE: u64 = 60_000;
/// The microseconds of a millisecond.
pub(super) const MICROS: u64 = 1_000;
/// The longest duration that counts: one century.
const LONGEST: u64 = 3_155_760_000_000;
/// The last moment that counts; with all that is added to it, it is still a number anywhere.
const LAST: u64 = 9_000_000_000_000_000;

/// A moment, in milliseconds.
pub(super) fn moment(time: UnixTime) -> u64 {
    time.as_millis().min(LAST)
}

/// A duration in whole milliseconds, rounded up: nothing comes sooner than was said.
pub(super) fn length(duration: Duration) -> u64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(LONGEST).min(LONGEST)
}

/// The size of a token bucket, and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// The time that one takes to come back; at least a millisecond.
    pub(super) interval: u64,
    /// The time that an empty bucket takes to be full.
    pub(super) depth: u64,
    /// The most by which clocks may differ.
    tolerance: u64,
}

impl Rate {
    /// Of `burst` at most, one back each `interval`.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        let interval = length(interval).max(1);
        let depth = interval.saturating_mul(u64::from(burst)).min(LONGEST);
        Self { interval, depth, tolerance: TOLERANCE }
    }

    /// So many requests in each period, in microseconds: there may be more than one in a millisecond.
    pub(super) fn of_requests(requests: u32, period: Duration) -> Self {
        let requests = u64::from(requests.max(1));
        let interval = (length(period) * MICROS).div_ceil(requests).max(1);
        Self { interval, depth: interval * requests, tolerance: TOLERANCE * MICROS }
    }
}

/// A token bucket (GCRA) that somebody took from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bucket {
    /// The moment at which it is full again.
    pub(super) full_at: u64,
}

/// Takes one from a bucket; `None` was never used. How long to wait, zero where it was taken; and
/// the bucket, where that is to be kept anew.
pub(super) fn take(bucket: Option<Bucket>, at: u64, rate: Rate) -> (u64, Option<Bucket>) {
    let empty = at + rate.depth;
    let full_at = bucket.map_or(0, |bucket| bucket.full_at);
    let is_from_a_wrong_clock = full_at > empty + rate.tolerance;
    let from = if is_from_a_wrong_clock { empty } else { full_at.max(at) };
    let then = from + rate.interval;
    if then > empty {
        (then - empty, is_from_a_wrong_clock.then_some(Bucket { full_at: from }))
    } else {
        (0, Some(Bucket { full_at: then }))
    }
}

/// A bucket that was given one back.
pub(super) fn refund(bucket: Bucket, interval: Duration) -> Bucket {
    Bucket { full_at: bucket.full_at.saturating_sub(Rate::new(interval, 1).interval) }
}

/// Failures that were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failures {
    /// The number of failures.
    pub(super) count: u32,
    /// The moment of the last one.
    pub(super) last: u64,
    /// The moment from which they may be forgotten.
    pub(super) expires: u64,
}

/// Outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The attempt may go on; this many failures were recorded before it.
    Counted(u32),
    /// The attempt comes too early; it may come again after this long.
    Wait(Duration),
}

/// Records an attempt as a failure, unless it comes too early; and the failures, where they are to
/// be kept anew.
pub(super) fn record_failure(
    failures: Option<Failures>,
    at: u64,
    delays: &[u64],
    memory: u64,
) -> (Attempt, Option<Failures>) {
    let kept = |count, last: u64| Failures { count, last, expires: last.saturating_add(memory) };
    let remembered =
        failures.filter(|kept| kept.count > 0 && at < kept.last.saturating_add(memory));
    let Some(Failures { count, last, .. }) = remembered else {
        return (Attempt::Counted(0), Some(kept(1, at)));
    };
    let is_from_a_wrong_clock = last > at + TOLERANCE;
    let last = if is_from_a_wrong_clock { at } else { last };
    let nth = usize::try_from(count).unwrap_or(usize::MAX);
    let delay = delays.get(nth).or(delays.last()).map_or(0, |delay| *delay).min(memory);
    let wait = if delay == 0 { 0 } else { last.saturating_add(delay).saturating_sub(at) };
    if wait > 0 {
        let wait = Attempt::Wait(Duration::from_millis(wait));
        (wait, is_from_a_wrong_clock.then(|| kept(count, last)))
    } else {
        (Attempt::Counted(count), Some(kept(count.saturating_add(1), last.max(at))))
    }
}

/// Undoes one failure. When the last one was stays as it is: the next attempt may have to wait for
/// the delay once more, and never for a longer one.
pub(super) fn undo_failure(failures: Failures) -> Failures {
    Failures { count: failures.count.saturating_sub(1), ..failures }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000;
    /// Three at most, one back each second.
    const RATE: Rate = Rate { interval: SECOND, depth: 3 * SECOND, tolerance: TOLERANCE };
    const T: u64 = 1_800_000_000_000;

    /// Takes one at each of these moments and says how long each had to wait.
    fn waits(rate: Rate, moments: &[u64]) -> Vec<u64> {
        let mut kept = None;
        let wait = |at: &u64| {
            let (wait, bucket) = take(kept, *at, rate);
            kept = bucket.or(kept);
            wait
        };
        moments.iter().map(wait).collect()
    }

    #[test]
    fn a_bucket_fills_evenly_and_never_beyond_its_burst() {
        for (moments, expected) in [
            (vec![T, T, T, T], vec![0, 0, 0, 1_000]),
            (vec![T, T, T, T + 999, T + 1_000, T + 1_000], vec![0, 0, 0, 1, 0, 1_000]),
            (vec![T, T, T, T + 86_400_000, T + 86_400_000], vec![0, 0, 0, 0, 0]),
            (
                vec![T, T + 500, T + 1_000, T + 1_500, T + 1_500, T + 1_500],
                vec![0, 0, 0, 0, 500, 500],
            ),
            (vec![0, 0, 0, 0], vec![0, 0, 0, 1_000]),
        ] {
            assert_eq!(waits(RATE, &moments), expected, "{moments:?}");
        }
    }

    #[test]
    fn any_rate_is_of_use() {
        for (interval, burst, expected) in [
            (Duration::from_secs(1), 0, vec![1_000, 1_000]),
            (Duration::ZERO, 1, vec![0, 1]),
            (Duration::from_nanos(1), 2, vec![0, 0]),
            (Duration::MAX, 1, vec![0, LONGEST]),
            (Duration::MAX, u32::MAX, vec![0, LONGEST]),
        ] {
            let rate = Rate::new(interval, burst);
            assert_eq!(waits(rate, &[LAST, LAST]), expected, "{interval:?} {burst}");
        }
    }

    #[test]
    fn requests_are_spread_over_their_period_also_where_many_share_a_millisecond() {
        let minute = Duration::from_secs(60);
        let start = T * MICROS;
        for (requests, interval) in [(600, 100_000), (7_000, 8_572), (240_000, 250)] {
            let rate = Rate::of_requests(requests, minute);
            assert_eq!(rate.interval, interval, "{requests}");
            let at_once = vec![start; requests as usize];
            let moments = [&at_once[..], &[start, start + interval, start + interval]].concat();
            let waits = waits(rate, &moments);
            assert!(waits[..requests as usize].iter().all(|wait| *wait == 0), "{requests}");
            assert_eq!(waits[requests as usize..], [interval, 0, interval], "{requests}");
        }
        // Nothing is too many to be counted.
        let rate = Rate::of_requests(u32::MAX, Duration::from_secs(86_400));
        assert_eq!(waits(rate, &[LAST * MICROS; 2]), [0, 0]);
    }

    #[test]
    fn a_clock_that_goes_back_a_little_gives_nothing_and_locks_no_longer_than_it_went() {
        let back = T - TOLERANCE;
        assert_eq!(waits(RATE, &[T, T, T, back, back, T + 999]), [0, 0, 0, 61_000, 61_000, 1]);
        // Two hosts, one of them behind, ask in turn for as long as a bucket takes to be full.
        let mut moments = vec![T; 3];
        for step in 0..30 {
            moments.extend([T - 5 * SECOND + step * 100, T + step * 100]);
        }
        let given = waits(RATE, &moments).iter().filter(|wait| **wait == 0).count();
        assert_eq!(given, 3 + 2, "three at once, then one a second");
    }

    #[test]
    fn a_clock_that_was_wrong_by_far_does_not_lock_for_ever() {
        let year = 365 * 86_400_000;
        let back = T - year;
        let expected = [0, 0, 0, 1_000, 1_000, 0, 1_000];
        assert_eq!(waits(RATE, &[T, T, T, back, back, back + 1_000, back + 1_000]), expected);
    }

    /// Attempts at these moments; for each how long it had to wait, or how many were before it.
    fn attempts(delays: &[u64], memory: u64, moments: &[u64]) -> Vec<Result<u32, u64>> {
        let mut kept = None;
        let attempt = |at: &u64| {
            let (outcome, failures) = record_failure(kept, *at, delays, memory);
            kept = failures.or(kept);
            match outcome {
                Attempt::Counted(before) => Ok(before),
                Attempt::Wait(wait) => Err(length(wait)),
            }
        };
        moments.iter().map(attempt).collect()
    }

    #[test]
    fn each_attempt_waits_for_its_delay_and_the_last_delay_holds() {
        let delays = [0, 0, 1_000, 5_000];
        for (moments, expected) in [
            (vec![T, T, T, T + 999, T + 1_000], vec![Ok(0), Ok(1), Err(1_000), Err(1), Ok(2)]),
            (
                vec![T, T, T + 1_000, T + 5_999, T + 6_000, T + 10_999, T + 11_000],
                vec![Ok(0), Ok(1), Ok(2), Err(1), Ok(3), Err(1), Ok(4)],
            ),
            // Forgotten a minute after the last one that was counted, whatever came in between.
            (vec![T, T, T + 500, T + 60_000], vec![Ok(0), Ok(1), Err(500), Ok(0)]),
            (vec![T, T, T + 59_999], vec![Ok(0), Ok(1), Ok(2)]),
        ] {
            assert_eq!(attempts(&delays, 60_000, &moments), expected, "{moments:?}");
        }
    }

    #[test]
    fn no_delay_is_longer_than_the_memory_and_none_at_all_forbids_nothing() {
        assert_eq!(attempts(&[0, 9_000], 2_000, &[T, T, T + 2_000]), [Ok(0), Err(2_000), Ok(0)]);
        assert_eq!(attempts(&[], 60_000, &[T, T, T]), [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(attempts(&[0], 0, &[T, T, T - 1]), [Ok(0), Ok(0), Ok(1)]);
    }

    #[test]
    fn attempts_under_a_clock_that_goes_back_wait_but_not_for_ever() {
        let delays = [0, 1_000];
        let little = [T, T - 500, T + 999, T + 1_000];
        assert_eq!(attempts(&delays, 90_000, &little), [Ok(0), Err(1_500), Err(1), Ok(1)]);
        let back = T - 86_400_000;
        let far = [T, back, back + 999, back + 1_000];
        assert_eq!(attempts(&delays, 90_000, &far), [Ok(0), Err(1_000), Err(1), Ok(1)]);
        // Without a delay nobody waits for another host's clock.
        assert_eq!(attempts(&[0, 0], 90_000, &[T, T - 500]), [Ok(0), Ok(1)]);
    }
}
