//! When a key is published, when it signs and when it retires: rules alone, no key and no file.
//!
//! A key is published, and so verifies, from when it is made until it retires. Of those published,
//! the one that was due last signs. A rotation adds a key that is due later, when all who verify
//! have read it; the one before retires when the last token that it signed has expired.

use std::time::Duration;

use crate::clock::UnixTime;

/// The times of one key, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// When it was made.
    pub created: UnixTime,
    /// From when it signs, until another is due.
    pub signs_from: UnixTime,
    /// From when it is as good as gone; `None`: nobody knows yet.
    pub retires: Option<UnixTime>,
}

impl Term {
    /// Whether the key is as good as gone.
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.retires.is_some_and(|retires| retires <= now)
    }
}

/// What a key does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is published and does not sign yet.
    Coming,
    /// It signs.
    Signing,
    /// It signed once; what it signed is still good.
    Verifying,
    /// It is as good as gone; the next rotation forgets it.
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

/// How a rotation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// How long the new key is published before it signs.
    pub publish_ahead: Duration,
    /// How long the old one still verifies after that: as long as the tokens that it signed are
    /// good, leeway included.
    pub overlap: Duration,
}

/// Keys with their terms, in the order in which they were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable<K> {
    entries: Vec<(Term, K)>,
}

impl<K> Default for Timetable<K> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K> FromIterator<(Term, K)> for Timetable<K> {
    fn from_iter<I: IntoIterator<Item = (Term, K)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl<K> Timetable<K> {
    /// All keys, also those that are over.
    pub fn entries(&self) -> &[(Term, K)] {
        &self.entries
    }

    /// The same times for what `change` makes of each key.
    pub fn map<L>(self, mut change: impl FnMut(K) -> L) -> Timetable<L> {
        self.entries.into_iter().map(|(term, key)| (term, change(key))).collect()
    }

    /// The key that signs; of two that are due at once, the one that was added last.
    pub fn signing(&self, now: UnixTime) -> Option<&K> {
        self.signing_place(now).map(|place| &self.entries[place].1)
    }

    /// The keys that verify.
    pub fn published(&self, now: UnixTime) -> impl Iterator<Item = &K> {
        self.entries.iter().filter(move |(term, _)| !term.is_over(now)).map(|(_, key)| key)
    }

    /// Every key with what it does now.
    pub fn states(&self, now: UnixTime) -> impl Iterator<Item = (State, &(Term, K))> {
        let signing = self.signing_place(now);
        self.entries.iter().enumerate().map(move |(place, entry)| {
            let state = match entry.0 {
                term if term.is_over(now) => State::Retired,
                _ if signing == Some(place) => State::Signing,
                term if term.signs_from > now => State::Coming,
                _ => State::Verifying,
            };
            (state, entry)
        })
    }

    /// The time around `now` in which the same keys are published: from the first, until before
    /// the second; `None`: for ever.
    pub fn unchanged(&self, now: UnixTime) -> (UnixTime, Option<UnixTime>) {
        let retirements = || self.entries.iter().filter_map(|(term, _)| term.retires);
        let since = retirements().filter(|retires| *retires <= now).max().unwrap_or_default();
        (since, retirements().filter(|retires| *retires > now).min())
    }

    /// Forgets the keys that are over, adds `key`, and lets each other one retire when its successor
    /// has signed for `handover.overlap`. Where no key signs, the new one does so at once. A
    /// retirement that was fixed before is never put off: it may have been an emergency.
    pub fn rotate(&mut self, key: K, handover: Handover, now: UnixTime) -> Term {
        let now = UnixTime::from_secs(now.as_secs());
        self.entries.retain(|(term, _)| !term.is_over(now));
        let ahead = self.signing_place(now).map_or(Duration::ZERO, |_| handover.publish_ahead);
        let signs_from = whole_seconds(now.after(ahead));
        let term = Term { created: now, signs_from, retires: None };
        self.entries.push((term, key));
        self.retire(handover.overlap);
        term
    }

    /// Makes `key` the only one, which signs at once; yields the others, also those that were to
    /// sign later. What any of them signed is good no more: one of them was stolen, or all were.
    pub fn replace(&mut self, key: K, now: UnixTime) -> Vec<(Term, K)> {
        let now = UnixTime::from_secs(now.as_secs());
        let term = Term { created: now, signs_from: now, retires: None };
        std::mem::replace(&mut self.entries, vec![(term, key)])
    }

    fn retire(&mut self, overlap: Duration) {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        // Stable: of those that are due at once, the one that was added last comes last.
        order.sort_by_key(|place| self.entries[*place].0.signs_from);
        for pair in order.windows(2) {
            let successor = self.entries[pair[1]].0.signs_from;
            let retires = whole_seconds(successor.after(overlap));
            let term = &mut self.entries[pair[0]].0;
            term.retires = Some(term.retires.map_or(retires, |fixed| fixed.min(retires)));
        }
    }

    fn signing_place(&self, now: UnixTime) -> Option<usize> {
        let due = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, (term, _))| term.signs_from <= now && !term.is_over(now));
        // Of equals, `max_by_key` takes the last.
        due.max_by_key(|(_, (term, _))| term.signs_from).map(|(place, _)| place)
    }
}

/// Rounded up: a key rather verifies a moment too long than too short.
fn whole_seconds(time: UnixTime) -> UnixTime {
    UnixTime::from_secs(time.after(Duration::from_millis(999)).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDOVER: Handover =
        Handover { publish_ahead: Duration::from_secs(600), overlap: Duration::from_secs(1500) };
    const AT_ONCE: Handover = Handover { publish_ahead: Duration::ZERO, ..HANDOVER };

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn term(signs_from: u64, retires: Option<u64>) -> Term {
        Term { created: at(0), signs_from: at(signs_from), retires: retires.map(at) }
    }

    fn states(table: &Timetable<&str>, now: u64) -> String {
        let states = table.states(at(now));
        let words: Vec<_> =
            states.map(|(state, (_, key))| format!("{key} {}", state.as_str())).collect();
        words.join(", ")
    }

    #[test]
    fn a_key_is_handed_over_in_steps() {
        let mut table = Timetable::default();
        table.rotate("a", HANDOVER, at(1000));
        table.rotate("b", HANDOVER, at(5000));
        for (now, expected) in [
            (1000, "a signing, b coming"),
            (5599, "a signing, b coming"),
            (5600, "a verifying, b signing"),
            (7099, "a verifying, b signing"),
            (7100, "a retired, b signing"),
            (9_999_999, "a retired, b signing"),
        ] {
            assert_eq!(states(&table, now), expected, "at {now}");
        }
    }

    #[test]
    fn the_key_that_signs_is_the_last_that_was_due_and_is_not_over() {
        let one = |terms: &[(u64, Option<u64>)]| -> Timetable<usize> {
            let entries = terms.iter().enumerate();
            entries.map(|(n, (from, retires))| (term(*from, *retires), n)).collect()
        };
        for (terms, now, signing) in [
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
            assert_eq!(one(terms).signing(at(now)).copied(), signing, "{terms:?} at {now}");
        }
    }

    #[test]
    fn what_is_over_is_forgotten_at_the_next_rotation() {
        let mut table = Timetable::default();
        for (key, now) in [("a", 0), ("b", 5000), ("c", 7099), ("d", 7100)] {
            table.rotate(key, HANDOVER, at(now));
        }
        assert_eq!(states(&table, 7100), "b signing, c coming, d coming");
    }

    #[test]
    fn a_key_for_at_once_goes_between_the_one_that_signs_and_the_one_to_come() {
        let mut table = Timetable::default();
        for (key, now, handover) in
            [("a", 0, HANDOVER), ("b", 5000, HANDOVER), ("c", 5100, AT_ONCE)]
        {
            table.rotate(key, handover, at(now));
        }
        assert_eq!(states(&table, 5100), "a verifying, b coming, c signing");
        assert_eq!(states(&table, 5600), "a verifying, b signing, c verifying");
        let retires: Vec<_> = table.entries().iter().map(|(term, _)| term.retires).collect();
        assert_eq!(retires, [Some(at(6600)), None, Some(at(7100))]);
    }

    #[test]
    fn a_retirement_is_never_put_off() {
        let mut table = Timetable::default();
        table.rotate("stolen", AT_ONCE, at(0));
        let cut = Handover { overlap: Duration::from_secs(10), ..AT_ONCE };
        table.rotate("new", cut, at(100));
        table.rotate("newer", HANDOVER, at(105));
        assert_eq!(states(&table, 110), "stolen retired, new signing, newer coming");
    }

    #[test]
    fn a_replacement_leaves_no_other_key_not_even_one_that_is_coming() {
        let mut table = Timetable::default();
        table.rotate("old", HANDOVER, at(1000));
        table.rotate("stolen", HANDOVER, at(5000));
        assert_eq!(states(&table, 5001), "old signing, stolen coming");
        let dropped = table.replace("new", at(5001));
        assert_eq!(dropped.iter().map(|(_, key)| *key).collect::<Vec<_>>(), ["old", "stolen"]);
        for now in [5001, 5600, 9_999_999] {
            assert_eq!(states(&table, now), "new signing", "at {now}");
        }
        assert!(Timetable::default().replace("first", at(0)).is_empty());
    }

    #[test]
    fn where_no_key_signs_the_new_one_does_so_at_once() {
        for entries in
            [vec![], vec![(term(0, Some(10)), "over")], vec![(term(900, None), "coming")]]
        {
            let mut table: Timetable<_> = entries.into_iter().collect();
            let new = table.rotate("new", HANDOVER, at(100));
            assert_eq!((new.signs_from, table.signing(at(100))), (at(100), Some(&"new")));
        }
    }

    #[test]
    fn parts_of_seconds_count_for_the_older_key() {
        let mut table = Timetable::default();
        table.rotate("a", AT_ONCE, UnixTime::from_millis(1_500));
        let overlap = Duration::from_millis(2_001);
        table.rotate("b", Handover { overlap, ..AT_ONCE }, UnixTime::from_millis(3_999));
        let terms: Vec<_> = table.entries().iter().map(|(term, _)| *term).collect();
        assert_eq!((terms[0].signs_from, terms[1].signs_from), (at(1), at(3)));
        assert_eq!(terms[0].retires, Some(at(6)));
    }

    #[test]
    fn the_published_keys_change_only_when_one_retires() {
        let table: Timetable<_> =
            [(term(0, Some(100)), 1), (term(50, Some(200)), 2), (term(150, None), 3)]
                .into_iter()
                .collect();
        for (now, published, since, until) in [
            (0, &[1, 2, 3][..], 0, Some(100)),
            (99, &[1, 2, 3], 0, Some(100)),
            (100, &[2, 3], 100, Some(200)),
            (200, &[3], 200, None),
        ] {
            assert_eq!(table.published(at(now)).copied().collect::<Vec<_>>(), published);
            assert_eq!(table.unchanged(at(now)), (at(since), until.map(at)), "at {now}");
        }
    }
}
