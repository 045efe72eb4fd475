//! Key rotation: the times at which a key is published, signs and retires. Rules alone, no key and
//! no file.
//!
//! A key is published, and so verifies, from its creation until it retires. Of the published keys,
//! the one that was due last signs. A rotation adds a key that is due later, so that all verifiers
//! have read it by then. The one before retires when the last token that it signed has expired.

use std::time::Duration;

use crate::clock::UnixTime;

/// The lifetime of one key, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLifetime {
    /// The time at which it was made.
    pub created: UnixTime,
    /// The time from which it signs, until another is due.
    pub signs_from: UnixTime,
    /// The time from which it is not used any more; `None` until its successor is known.
    pub retires: Option<UnixTime>,
}

impl KeyLifetime {
    /// True once the key is not used any more.
    pub fn is_retired(&self, now: UnixTime) -> bool {
        self.retires.is_some_and(|retires| retires <= now)
    }
}

/// The state of a key at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is published and does not sign yet.
    Coming,
    /// It signs.
    Signing,
    /// It does not sign any more; the tokens that it signed are still good.
    Verifying,
    /// It is not used any more; the next rotation removes it.
    Retired,
}

impl State {
    /// The word for people and for scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coming => "coming",
            Self::Signing => "signing",
            Self::Verifying => "verifying",
            Self::Retired => "retired",
        }
    }
}

/// The times of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationTimes {
    /// The time for which the new key is published before it signs.
    pub publish_ahead: Duration,
    /// The time for which the old one still verifies after that: the lifetime of the tokens that it
    /// signed, leeway included.
    pub overlap: Duration,
}

/// The keys with their lifetimes, in the order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationSchedule<K> {
    entries: Vec<(KeyLifetime, K)>,
}

impl<K> Default for RotationSchedule<K> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K> FromIterator<(KeyLifetime, K)> for RotationSchedule<K> {
    fn from_iter<I: IntoIterator<Item = (KeyLifetime, K)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl<K> RotationSchedule<K> {
    /// All keys, also those that have retired.
    pub fn entries(&self) -> &[(KeyLifetime, K)] {
        &self.entries
    }

    /// The same times, with `change` applied to each key.
    pub fn map<L>(self, mut change: impl FnMut(K) -> L) -> RotationSchedule<L> {
        self.entries.into_iter().map(|(lifetime, key)| (lifetime, change(key))).collect()
    }

    /// The key that signs; of two that are due at once, the one that was added last.
    pub fn signing(&self, now: UnixTime) -> Option<&K> {
        self.signing_index(now).map(|index| &self.entries[index].1)
    }

    /// The keys that verify.
    pub fn published(&self, now: UnixTime) -> impl Iterator<Item = &K> {
        self.entries
            .iter()
            .filter(move |(lifetime, _)| !lifetime.is_retired(now))
            .map(|(_, key)| key)
    }

    /// Every key with its present state.
    pub fn states(&self, now: UnixTime) -> impl Iterator<Item = (State, &(KeyLifetime, K))> {
        let signing = self.signing_index(now);
        self.entries.iter().enumerate().map(move |(index, entry)| {
            let state = match entry.0 {
                lifetime if lifetime.is_retired(now) => State::Retired,
                _ if signing == Some(index) => State::Signing,
                lifetime if lifetime.signs_from > now => State::Coming,
                _ => State::Verifying,
            };
            (state, entry)
        })
    }

    /// The period around `now` in which the same keys are published: from the first time, until
    /// before the second; `None`: without an end.
    pub fn unchanged_period(&self, now: UnixTime) -> (UnixTime, Option<UnixTime>) {
        let retirements = || self.entries.iter().filter_map(|(lifetime, _)| lifetime.retires);
        let since = retirements().filter(|retires| *retires <= now).max().unwrap_or_default();
        (since, retirements().filter(|retires| *retires > now).min())
    }

    /// Removes the keys that have retired, adds `key`, and lets each other one retire when its
    /// successor has signed for `times.overlap`. Where no key signs, the new one does so at once. A
    /// retirement that was fixed before is never delayed: it may have been an emergency.
    pub fn rotate(&mut self, key: K, times: RotationTimes, now: UnixTime) -> KeyLifetime {
        let now = UnixTime::from_secs(now.as_secs());
        self.entries.retain(|(lifetime, _)| !lifetime.is_retired(now));
        let ahead = self.signing_index(now).map_or(Duration::ZERO, |_| times.publish_ahead);
        let signs_from = whole_seconds(now.after(ahead));
        let lifetime = KeyLifetime { created: now, signs_from, retires: None };
        self.entries.push((lifetime, key));
        self.retire(times.overlap);
        lifetime
    }

    /// Makes `key` the only one, which signs at once. Returns the others, including those that were
    /// to sign later. No signature of theirs is good any more: one of them was stolen, or all were.
    pub fn replace(&mut self, key: K, now: UnixTime) -> Vec<(KeyLifetime, K)> {
        let now = UnixTime::from_secs(now.as_secs());
        let lifetime = KeyLifetime { created: now, signs_from: now, retires: None };
        std::mem::replace(&mut self.entries, vec![(lifetime, key)])
    }

    fn retire(&mut self, overlap: Duration) {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        // Stable: of those that are due at once, the one that was added last comes last.
        order.sort_by_key(|index| self.entries[*index].0.signs_from);
        for pair in order.windows(2) {
            let successor = self.entries[pair[1]].0.signs_from;
            let retires = whole_seconds(successor.after(overlap));
            let lifetime = &mut self.entries[pair[0]].0;
            lifetime.retires = Some(lifetime.retires.map_or(retires, |fixed| fixed.min(retires)));
        }
    }

    fn signing_index(&self, now: UnixTime) -> Option<usize> {
        let due =
            self.entries.iter().enumerate().filter(|(_, (lifetime, _))| {
                lifetime.signs_from <= now && !lifetime.is_retired(now)
            });
        // Of equals, `max_by_key` takes the last.
        due.max_by_key(|(_, (lifetime, _))| lifetime.signs_from).map(|(index, _)| index)
    }
}

/// Rounds up to whole seconds: a key verifies a moment too long rather than too short.
fn whole_seconds(time: UnixTime) -> UnixTime {
    UnixTime::from_secs(time.after(Duration::from_millis(999)).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: RotationTimes = RotationTimes {
        publish_ahead: Duration::from_secs(600),
        overlap: Duration::from_secs(1500),
    };
    const AT_ONCE: RotationTimes = RotationTimes { publish_ahead: Duration::ZERO, ..TIMES };

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn lifetime(signs_from: u64, retires: Option<u64>) -> KeyLifetime {
        KeyLifetime { created: at(0), signs_from: at(signs_from), retires: retires.map(at) }
    }

    fn states(schedule: &RotationSchedule<&str>, now: u64) -> String {
        let states = schedule.states(at(now));
        let words: Vec<_> =
            states.map(|(state, (_, key))| format!("{key} {}", state.as_str())).collect();
        words.join(", ")
    }

    #[test]
    fn a_key_is_handed_over_in_steps() {
        let mut schedule = RotationSchedule::default();
        schedule.rotate("a", TIMES, at(1000));
        schedule.rotate("b", TIMES, at(5000));
        for (now, expected) in [
            (1000, "a signing, b coming"),
            (5599, "a signing, b coming"),
            (5600, "a verifying, b signing"),
            (7099, "a verifying, b signing"),
            (7100, "a retired, b signing"),
            (9_999_999, "a retired, b signing"),
        ] {
            assert_eq!(states(&schedule, now), expected, "at {now}");
        }
    }

    #[test]
    fn the_key_that_signs_is_the_last_that_was_due_and_is_not_over() {
        let one = |lifetimes: &[(u64, Option<u64>)]| -> RotationSchedule<usize> {
            let entries = lifetimes.iter().enumerate();
            entries.map(|(n, (from, retires))| (lifetime(*from, *retires), n)).collect()
        };
        for (lifetimes, now, signing) in [
            (&[][..], 100, None),
            (&[(100, None)], 99, None),
            (&[(100, None)], 100, Some(0)),
            (&[(100, None), (50, None)], 100, Some(0)),
            (&[(50, None), (100, None)], 100, Some(1)),
            (&[(100, None), (100, None)], 100, Some(1)),
            (&[(50, None), (80, Some(100))], 99, Some(1)),
            (&[(50, None), (80, Some(100))], 100, Some(0)),
            (&[(50, Some(100)), (200, None)], 150, None),
        ] {
            assert_eq!(one(lifetimes).signing(at(now)).copied(), signing, "{lifetimes:?} at {now}");
        }
    }

    #[test]
    fn what_has_retired_is_removed_at_the_next_rotation() {
        let mut schedule = RotationSchedule::default();
        for (key, now) in [("a", 0), ("b", 5000), ("c", 7099), ("d", 7100)] {
            schedule.rotate(key, TIMES, at(now));
        }
        assert_eq!(states(&schedule, 7100), "b signing, c coming, d coming");
    }

    #[test]
    fn a_key_for_at_once_goes_between_the_one_that_signs_and_the_one_to_come() {
        let mut schedule = RotationSchedule::default();
        for (key, now, times) in [("a", 0, TIMES), ("b", 5000, TIMES), ("c", 5100, AT_ONCE)] {
            schedule.rotate(key, times, at(now));
        }
        assert_eq!(states(&schedule, 5100), "a verifying, b coming, c signing");
        assert_eq!(states(&schedule, 5600), "a verifying, b signing, c verifying");
        let retires: Vec<_> =
            schedule.entries().iter().map(|(lifetime, _)| lifetime.retires).collect();
        assert_eq!(retires, [Some(at(6600)), None, Some(at(7100))]);
    }

    #[test]
    fn a_retirement_is_never_put_off() {
        let mut schedule = RotationSchedule::default();
        schedule.rotate("stolen", AT_ONCE, at(0));
        let short = RotationTimes { overlap: Duration::from_secs(10), ..AT_ONCE };
        schedule.rotate("new", short, at(100));
        schedule.rotate("newer", TIMES, at(105));
        assert_eq!(states(&schedule, 110), "stolen retired, new signing, newer coming");
    }

    #[test]
    fn a_replacement_leaves_no_other_key_not_even_one_that_is_coming() {
        let mut schedule = RotationSchedule::default();
        schedule.rotate("old", TIMES, at(1000));
        schedule.rotate("stolen", TIMES, at(5000));
        assert_eq!(states(&schedule, 5001), "old signing, stolen coming");
        let dropped = schedule.replace("new", at(5001));
        assert_eq!(dropped.iter().map(|(_, key)| *key).collect::<Vec<_>>(), ["old", "stolen"]);
        for now in [5001, 5600, 9_999_999] {
            assert_eq!(states(&schedule, now), "new signing", "at {now}");
        }
        assert!(RotationSchedule::default().replace("first", at(0)).is_empty());
    }

    #[test]
    fn where_no_key_signs_the_new_one_does_so_at_once() {
        for entries in
            [vec![], vec![(lifetime(0, Some(10)), "over")], vec![(lifetime(900, None), "coming")]]
        {
            let mut schedule: RotationSchedule<_> = entries.into_iter().collect();
            let new = schedule.rotate("new", TIMES, at(100));
            assert_eq!((new.signs_from, schedule.signing(at(100))), (at(100), Some(&"new")));
        }
    }

    #[test]
    fn parts_of_seconds_count_for_the_older_key() {
        let mut schedule = RotationSchedule::default();
        schedule.rotate("a", AT_ONCE, UnixTime::from_millis(1_500));
        let overlap = Duration::from_millis(2_001);
        schedule.rotate("b", RotationTimes { overlap, ..AT_ONCE }, UnixTime::from_millis(3_999));
        let lifetimes: Vec<_> = schedule.entries().iter().map(|(lifetime, _)| *lifetime).collect();
        assert_eq!((lifetimes[0].signs_from, lifetimes[1].signs_from), (at(1), at(3)));
        assert_eq!(lifetimes[0].retires, Some(at(6)));
    }

    #[test]
    fn the_published_keys_change_only_when_one_retires() {
        let schedule: RotationSchedule<_> =
            [(lifetime(0, Some(100)), 1), (lifetime(50, Some(200)), 2), (lifetime(150, None), 3)]
                .into_iter()
                .collect();
        for (now, published, since, until) in [
            (0, &[1, 2, 3][..], 0, Some(100)),
            (99, &[1, 2, 3], 0, Some(100)),
            (100, &[2, 3], 100, Some(200)),
            (200, &[3], 200, None),
        ] {
            assert_eq!(schedule.published(at(now)).copied().collect::<Vec<_>>(), published);
            assert_eq!(schedule.unchanged_period(at(now)), (at(since), until.map(at)), "at {now}");
        }
    }
}
