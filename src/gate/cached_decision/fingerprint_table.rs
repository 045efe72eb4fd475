//! The first level of the cache: a table of decisions that were asked for more than once, found without a digest and
//! without a search.
//!
//! A credential is known by its fingerprint, a keyed hash of 128 bits under a key that this process alone has: no bytes
//! of it are kept. Whether its decision still holds is for the caller to say, as for any other. What is asked for once
//! never comes in, so nobody pushes others out with tokens that are used once. All that is here is in the second level
//! too, which tells what it drops: so what both take is counted there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{array, fmt};

use highway::{HighwayHash as _, HighwayHasher, Key};
use parking_lot::Mutex;

use crate::secret::{Random, RandomFailed};

/// The slots of a set: credentials that fall into one set do not push each other out.
const WAYS: usize = 4;
/// The second level is told of a hit if so much of its room was filled anew since it was told of that decision before: so
/// it knows what is in use, and while nothing comes in it need not know.
const TOLD_SHARE: u64 = 16;

/// A credential, whose bytes nobody can tell from this. Two of them with one fingerprint would be a collision of
/// HighwayHash under a key that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Fingerprint(u128);

/// A found decision.
#[derive(Debug)]
pub(super) struct Found<D> {
    pub(super) decision: D,
    /// True where the second level is to be told of the hit.
    pub(super) is_told: bool,
}

/// The table; `D` is what is remembered of a credential.
pub(super) struct FirstLevel<D> {
    /// As many as a power of two, or none.
    sets: Box<[Slots<D>]>,
    key: Key,
    /// The bytes of all decisions that came into the second level.
    filled: AtomicU64,
    /// The bytes of which each is one more turn, as a power of two.
    turn_exponent: u32,
}

/// A set under its lock, in two lines of the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
struct Slots<D>(Mutex<Set<D>>);

#[derive(Debug)]
struct Set<D> {
    fingerprints: [Fingerprint; WAYS],
    decisions: [Option<D>; WAYS],
    hits: [u16; WAYS],
    /// The turn in which the second level was told of each.
    told: [u16; WAYS],
}

impl<D: Clone> FirstLevel<D> {
    /// A table of this many bytes at most, in front of a second level with room for so many.
    ///
    /// # Errors
    /// There is no randomness for its key.
    pub(super) fn new(
        bytes: u64,
        second_level: u64,
        random: &dyn Random,
    ) -> Result<Self, RandomFailed> {
        let mut words = [[0; 8]; 4];
        random.fill(words.as_flattened_mut())?;
        // The largest power of two that is not above it.
        let sets = bytes / size_of::<Slots<D>>() as u64;
        let sets = sets.checked_ilog2().map_or(0, |exponent| 1_usize << exponent);
        let sets = std::iter::repeat_with(Slots::default).take(sets).collect();
        let turn_exponent = (second_level / TOLD_SHARE).checked_ilog2().unwrap_or_default();
        let (key, filled) = (Key(words.map(u64::from_le_bytes)), AtomicU64::new(0));
        Ok(Self { sets, key, filled, turn_exponent })
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

    /// The fingerprint of a credential.
    pub(super) fn fingerprint(&self, credential: &[u8]) -> Fingerprint {
        let [low, high] = HighwayHasher::new(self.key).hash128(credential);
        Fingerprint(u128::from(high) << 64 | u128::from(low))
    }

    /// The decision about a credential, as it is remembered; it may hold no more.
    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<Found<D>> {
        let mut set = self.set(fingerprint)?.0.lock();
        let way = set.way(fingerprint)?;
        set.hits[way] = set.hits[way].saturating_add(1);
        let decision = set.decisions[way].clone()?;
        let turn = self.turn();
        let is_told = std::mem::replace(&mut set.told[way], turn) != turn;
        Some(Found { decision, is_told })
    }

    /// Remembers a decision, in place of the one of its set that was used least.
    pub(super) fn insert(&self, fingerprint: Fingerprint, decision: &D) {
        let Some(set) = self.set(fingerprint) else { return };
        let mut set = set.0.lock();
        let way = set.way(fingerprint).unwrap_or_else(|| set.coldest());
        // The rest of the set ages, so that what was hot once does not stay for ever.
        set.hits = set.hits.map(|hits| hits / 2);
        set.hits[way] = 0;
        set.told[way] = self.turn();
        set.fingerprints[way] = fingerprint;
        let before = set.decisions[way].replace(decision.clone());
        // Outside the lock: it may be the last of its kind.
        drop(set);
        drop(before);
    }

    /// Forgets a decision, where it is this one.
    pub(super) fn remove(&self, fingerprint: Fingerprint, is_it: impl FnOnce(&D) -> bool) {
        let Some(set) = self.set(fingerprint) else { return };
        let mut set = set.0.lock();
        let Some(way) = set.way(fingerprint) else { return };
        if set.decisions[way].as_ref().is_some_and(is_it) {
            let before = set.decisions[way].take();
            drop(set);
            drop(before);
        }
    }

    /// The set that a credential falls into.
    fn set(&self, Fingerprint(fingerprint): Fingerprint) -> Option<&Slots<D>> {
        let place = usize::try_from(fingerprint >> 96).unwrap_or_default();
        self.sets.get(place & self.sets.len().wrapping_sub(1))
    }
}

impl<D> fmt::Debug for FirstLevel<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstLevel").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

impl<D> Set<D> {
    /// The way of a credential that is remembered.
    fn way(&self, fingerprint: Fingerprint) -> Option<usize> {
        (0..WAYS)
            .find(|way| self.fingerprints[*way] == fingerprint && self.decisions[*way].is_some())
    }

    /// The way that is empty, or was used least.
    fn coldest(&self) -> usize {
        let used = |way: &usize| self.decisions[*way].as_ref().map(|_| self.hits[*way]);
        (0..WAYS).min_by_key(used).unwrap_or_default()
    }
}

impl<D> Default for Slots<D> {
    fn default() -> Self {
        let fingerprints = [Fingerprint::default(); WAYS];
        let decisions = array::from_fn(|_| None);
        Self(Mutex::new(Set { fingerprints, decisions, hits: [0; WAYS], told: [0; WAYS] }))
    }
}

#[cfg(test)]
impl<D: Clone> FirstLevel<D> {
    /// Returns whether a token is remembered.
    pub(super) fn holds(&self, token: &str) -> bool {
        self.get(self.fingerprint(token.as_bytes())).is_some()
    }
}

#[cfg(test)]
mod tests;
