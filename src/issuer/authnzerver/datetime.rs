//! Times as Python writes them: ISO 8601 in UTC, without saying so, with microseconds.

use crate::clock::UnixTime;

/// Writes a time, as in `2026-11-22T08:00:00.250000`.
pub(super) fn written(time: UnixTime) -> String {
    let seconds = time.to_string();
    let seconds = seconds.trim_end_matches('Z');
    format!("{seconds}.{:03}000", time.as_millis() % 1_000)
}

/// Reads a time, to the millisecond. A fraction may be left out, and a `Z` may stand at the end.
pub(super) fn read(text: &str) -> Option<UnixTime> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (date, time) = seconds.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_date = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 || !(1..=6).contains(&fraction.len()) {
        return None;
    }
    let micros = digits(&format!("{fraction:0<6}"))?;
    let seconds = ((days_before(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(UnixTime::from_millis(seconds * 1_000 + micros / 1_000))
}

/// Numbers of so many digits each, with `between` between them.
fn numbers(text: &str, between: char, lengths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        *number = digits(parts.next().filter(|part| part.len() == length)?)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the epoch to a date.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    years + (1..month).map(|month| days_of(year, month)).sum::<u64>() + day - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.000000", 0),
            ("2000-02-29T00:00:00.001999", 951_782_400_001),
            ("2026-11-22T08:00:00", 1_795_334_400_000),
            ("2026-11-22T08:00:00.25Z", 1_795_334_400_250),
            ("2100-02-28T23:59:59.999999", 4_107_542_399_999),
        ] {
            assert_eq!(read(text), Some(UnixTime::from_millis(millis)), "{text}");
        }
        let time = UnixTime::from_millis(1_795_334_400_250);
        assert_eq!(written(time), "2026-11-22T08:00:00.250000");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22 08:00:00",
            "2026-02-29T00:00:00.0",
            "2026-13-01T00:00:00.0",
            "2026-00-01T00:00:00.0",
            "2026-01-00T00:00:00.0",
            "2026-1-1T00:00:00.0",
            "2026-11-22T24:00:00.0",
            "2026-11-22T08:00:60.0",
            "2026-11-22T08:00:00.",
            "2026-11-22T08:00:00.1234567",
            "2026-11-22T08:00:00+01:00",
            "1969-12-31T23:59:59.0",
            "+026-11-22T08:00:00.0",
            "2026-11-22T08:00:00.0é",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(millis in 0u64..253_402_300_800_000) {
            let time = UnixTime::from_millis(millis);
            prop_assert_eq!(read(&written(time)), Some(time));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = read(&text);
        }
    }
}
