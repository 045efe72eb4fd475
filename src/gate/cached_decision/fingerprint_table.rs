//! A table in front of the cache, in which is found by a fingerprint what came before: without a digest, without a search,
//! and without the bytes of what is asked for.
//!
//! There are two: the first level of the decisions, found by their credentials, and the [heads](super::head_cache) that were
//! answered. Whether what is found still holds is for the caller to say. Where a set is full, the one that was used least
//! makes room, and all others of it age: so what comes once pushes out nothing that comes often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{array, fmt};

use parking_lot::Mutex;

use crate::secret::fingerprint::{Fingerprint, FingerprintKey};
use crate::secret::{Random, RandomFailed};

/// The slots of a set: what falls into one set does not push each other out.
const WAYS: usize = 4;
/// The second level is told of a hit if so much of its room was filled anew since it was told of that decision before: so
/// it knows what is in use, and while nothing comes in it need not know.
const TOLD_SHARE: u64 = 16;

/// A value that was found.
#[derive(Debug)]
pub(super) struct Found<V> {
    pub(super) value: V,
    /// True where the second level is to be told of the hit.
    pub(super) tells_second_level: bool,
}

/// The table; `V` is what is remembered.
pub(super) struct FingerprintTable<V> {
    /// As many as a power of two, or none.
    sets: Box<[Slots<V>]>,
    pub(super) key: FingerprintKey,
    /// The bytes of all decisions that came into the second level.
    filled: AtomicU64,
    /// The bytes of which each is one more turn, as a power of two.
    turn_exponent: u32,
}

/// A set under its lock, in lines of the processor's cache of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Slots<V>(Mutex<Set<V>>);

#[derive(Debug)]
struct Set<V> {
    fingerprints: [Fingerprint; WAYS],
    values: [Option<V>; WAYS],
    hits: [u16; WAYS],
    /// The turn in which the second level was told of each.
    told: [u16; WAYS],
    /// The way that was filled last.
    last: usize,
}

impl<V: Clone> FingerprintTable<V> {
    /// A table of this many bytes at most, in front of a second level with room for so many.
    ///
    /// # Errors
    /// There is no randomness for its key.
    pub(super) fn new(
        bytes: u64,
        second_level: u64,
        random: &dyn Random,
    ) -> Result<Self, RandomFailed> {
        let key = FingerprintKey::new(random)?;
        // The largest power of two that is not above it.
        let sets = bytes / size_of::<Slots<V>>() as u64;
        let sets = sets.checked_ilog2().map_or(0, |exponent| 1_usize << exponent);
        let sets = std::iter::repeat_with(Slots::default).take(sets).collect();
        let turn_exponent = (second_level / TOLD_SHARE).checked_ilog2().unwrap_or_default();
        Ok(Self { sets, key, filled: AtomicU64::new(0), turn_exponent })
    }

    /// Notes that a decision of so many bytes came into the second level.
    pub(super) fn on_filled(&self, bytes: u32) {
        self.filled.fetch_add(bytes.into(), Ordering::Relaxed);
    }

    /// The turn that it is; turns come again after many.
    fn turn(&self) -> u16 {
        let turn = self.filled.load(Ordering::Relaxed) >> self.turn_exponent;
        u16::try_from(turn % (1 << 16)).unwrap_or_default()
    }

    /// The bytes of the table itself.
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(&*self.sets) as u64
    }

    /// The value of a fingerprint, as it is remembered; it may hold no more.
    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<Found<V>> {
        let mut set = self.set(fingerprint)?.0.lock();
        let way = set.way(fingerprint)?;
        set.hits[way] = set.hits[way].saturating_add(1);
        let value = set.values[way].clone()?;
        let turn = self.turn();
        let tells_second_level = std::mem::replace(&mut set.told[way], turn) != turn;
        Some(Found { value, tells_second_level })
    }

    /// Remembers a value, in place of the one of its set that was used least.
    pub(super) fn insert(&self, fingerprint: Fingerprint, value: &V) {
        let Some(set) = self.set(fingerprint) else { return };
        let mut set = set.0.lock();
        let way = set.way(fingerprint).unwrap_or_else(|| set.coldest());
        // The rest of the set ages, so that what was hot once does not stay for ever.
        set.hits = set.hits.map(|hits| hits / 2);
        set.hits[way] = 0;
        set.last = way;
        set.told[way] = self.turn();
        set.fingerprints[way] = fingerprint;
        let before = set.values[way].replace(value.clone());
        // Outside the lock: it may be the last of its kind.
        drop(set);
        drop(before);
    }

    /// Forgets a value, where it is this one.
    pub(super) fn remove(&self, fingerprint: Fingerprint, is_it: impl FnOnce(&V) -> bool) {
        let Some(set) = self.set(fingerprint) else { return };
        let mut set = set.0.lock();
        let Some(way) = set.way(fingerprint) else { return };
        if set.values[way].as_ref().is_some_and(is_it) {
            let before = set.values[way].take();
            drop(set);
            drop(before);
        }
    }

    /// The set that a fingerprint falls into.
    fn set(&self, fingerprint: Fingerprint) -> Option<&Slots<V>> {
        let place = usize::try_from(fingerprint.place()).unwrap_or_default();
        self.sets.get(place & self.sets.len().wrapping_sub(1))
    }
}

impl<V> fmt::Debug for FingerprintTable<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FingerprintTable").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

impl<V> Set<V> {
    /// The way of a fingerprint that is remembered.
    fn way(&self, fingerprint: Fingerprint) -> Option<usize> {
        (0..WAYS).find(|way| self.fingerprints[*way] == fingerprint && self.values[*way].is_some())
    }

    /// The way that is empty, or was used least; of several the one whose turn it is, so that the newest is not always the
    /// first to go.
    fn coldest(&self) -> usize {
        let used = |way: &usize| self.values[*way].as_ref().map(|_| self.hits[*way]);
        let in_turn = (1..=WAYS).map(|after| (self.last + after) % WAYS);
        in_turn.min_by_key(used).unwrap_or_default()
    }
}

impl<V> Default for Slots<V> {
    fn default() -> Self {
        let fingerprints = [Fingerprint::default(); WAYS];
        let values = array::from_fn(|_| None);
        Self(Mutex::new(Set { fingerprints, values, hits: [0; WAYS], told: [0; WAYS], last: 0 }))
    }
}

#[cfg(test)]
impl<V: Clone> FingerprintTable<V> {
    /// Returns whether a token is remembered.
    pub(super) fn holds(&self, token: &str) -> bool {
        self.get(self.key.of(token.as_bytes())).is_some()
    }
}

#[cfg(test)]
mod tests;
