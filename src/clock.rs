//! Time, as an argument.
//!
//! Nothing below `app` asks the system for the time: it gets a [`Clock`] as an argument. So expiry,
//! inactivity and staleness are tested by moving a [`ManualClock`], never by sleeping.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in wall-clock time, in whole milliseconds since the Unix epoch.
///
/// Arithmetic saturates: a claim with a time at the end of the range is compared, not wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The Unix epoch itself; as a not-before it restricts nothing.
    pub const EPOCH: Self = Self(0);

    /// A time from whole seconds, the unit of RFC 7519's NumericDate.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// A time from milliseconds, the unit of the stores.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This time moved forward by `by`, at most to the end of the range.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This time moved back by `by`, at most to the epoch.
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// Reads what [`fmt::Display`] writes, or a date alone: its first moment, in UTC. `None` where it
    /// is neither, or before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once(['T', ' ']) {
            Some((date, time)) => (date, time.strip_suffix('Z')?),
            None => (text, "00:00:00"),
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        // Days-from-civil, the reverse of what Display does.
        let year_from_march = if month <= 2 { year.checked_sub(1)? } else { year };
        let (era, year_of_era) = (year_from_march / 400, year_from_march % 400);
        let shifted_month = (month + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + day.checked_sub(1)?;
        let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
        let parsed = Self::from_secs(days * 86_400 + hour * 3_600 + minute * 60 + second);
        // No 31st of a month that has none.
        parsed.to_string().starts_with(date).then_some(parsed)
    }

    /// The time since `earlier`; zero where it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for UnixTime {
    /// Writes RFC 3339 in UTC with whole seconds, as in `2026-11-22T08:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Civil-from-days over the proleptic Gregorian calendar, eras of 400 years.
        let (days, secs) = (self.as_secs() / 86_400, self.as_secs() % 86_400);
        let shifted = days.saturating_add(719_468);
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (secs / 3_600, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Three numbers of so many digits with a separator between them.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut read = [0; 3];
    for (number, length) in read.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == length)?;
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_number)?;
    }
    parts.next().is_none().then_some(read)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall-clock time, to compare with claims and with stored records.
    fn now(&self) -> UnixTime;

    /// Time since some fixed moment, which never runs backwards: for staleness, so that an
    /// operator who sets the system clock back cannot make a cached answer live longer.
    fn monotonic(&self) -> Duration;
}

/// A moment by both clocks, to measure an age by the one that ran further: nobody can set back the
/// monotonic one, and the wall clock goes on while the host sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the monotonic clock.
    pub at: Duration,
    /// By the wall clock.
    pub wall: UnixTime,
}

impl Moment {
    /// The present moment.
    pub fn now(clock: &dyn Clock) -> Self {
        Self { at: clock.monotonic(), wall: clock.now() }
    }

    /// The time since an `earlier` moment, by the clock that ran further.
    pub fn since(self, earlier: Self) -> Duration {
        self.at.saturating_sub(earlier.at).max(self.wall.since(earlier.wall))
    }
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic zero is now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        // A system clock before 1970 reads as the epoch: every token is then not yet valid.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixTime(millis(since_epoch))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when it is told to; for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: UnixTime) -> Self {
        Self { wall: AtomicU64::new(start.0), monotonic: AtomicU64::new(0) }
    }

    /// Lets `by` pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(millis(by), Ordering::SeqCst);
        self.monotonic.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an operator or NTP does.
    pub fn set_wall(&self, to: UnixTime) {
        self.wall.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_rfc_3339() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (1_795_334_400, "2026-11-22T08:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(UnixTime::from_secs(secs).to_string(), text);
            assert_eq!(UnixTime::parse(text), Some(UnixTime::from_secs(secs)));
        }
    }

    #[test]
    fn a_date_alone_is_its_first_moment_and_what_is_no_time_is_refused() {
        assert_eq!(UnixTime::parse("2026-11-22"), Some(UnixTime::from_secs(1_795_305_600)));
        for wrong in [
            "",
            "now",
            "1969-12-31",
            "2026-02-30",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-1-1",
            "2026-11-22T24:00:00Z",
            "2026-11-22T08:00:00",
            "2026-11-22T08:00:00+01:00",
            "+026-11-22",
            "2026-11-22T08:00Z",
            "2026-11-22-01",
        ] {
            assert_eq!(UnixTime::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = UnixTime::from_secs(u64::MAX);
        assert_eq!(end.after(Duration::MAX), end);
        assert_eq!(UnixTime::EPOCH.before(Duration::MAX), UnixTime::EPOCH);
        assert_eq!(UnixTime::EPOCH.since(end), Duration::ZERO);
        assert!(!end.to_string().is_empty());
    }
}
