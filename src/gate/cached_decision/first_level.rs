//! The first level of the cache: for each thread, a small table of credentials that were used more than once, found
//! without a digest of the credential and without a lock.
//!
//! A slot is found by a keyed hash, and is a hit only where the whole credential and its kind are the same. Whether its
//! decision still holds is for the caller to say, as for any other. What is asked for once never comes in, so nobody
//! pushes others out with tokens that are used once.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;
use thread_local::ThreadLocal;
use zeroize::Zeroizing;

use super::{CacheKey, CredentialKind};

/// The slots of a set: two credentials that fall into one set do not push each other out.
const WAYS: usize = 2;
/// The most sets of a thread.
const MAX_SETS: u64 = 4_096;
/// The bytes that a credential takes in a slot, about.
const USUAL_BYTES: u64 = 1 << 10;
/// A longer credential stays in the second level.
const MAX_CREDENTIAL: usize = 4 << 10;
/// The last bytes of a credential that are hashed. Only good credentials come in, and nobody chooses the ends of many.
const HASHED: usize = 64;
/// The second level is told of one in so many hits, so that it keeps what is hot.
const TOLD_HITS: u32 = 64;

/// A found decision.
#[derive(Debug)]
pub(super) struct Found<D> {
    pub(super) decision: D,
    /// Its key in the second level, where that is to be told of the hit.
    pub(super) told: Option<CacheKey>,
}

/// The tables of all threads; `D` is what is remembered of a credential.
#[derive(Debug)]
pub(super) struct FirstLevel<D: Send> {
    tables: ThreadLocal<RefCell<Table<D>>>,
    hasher: RandomState,
    /// The sets of a thread, a power of two; none where there is no room.
    sets: usize,
    /// The bytes of all credentials in the tables.
    bytes: Arc<AtomicU64>,
}

/// The table of a thread. The hashes stand together, so that a miss touches one line of the processor's cache.
#[derive(Debug)]
struct Table<D> {
    hashes: Vec<[u64; WAYS]>,
    slots: Vec<[Option<Slot<D>>; WAYS]>,
    bytes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Slot<D> {
    credential: Zeroizing<Box<[u8]>>,
    key: CacheKey,
    decision: D,
    hits: u32,
}

impl<D: Clone + Send> FirstLevel<D> {
    /// Tables that take about this many bytes together, for so many threads.
    pub(super) fn new(bytes: u64, threads: usize) -> Self {
        let threads = u64::try_from(threads.max(1)).unwrap_or(1);
        let sets = bytes / threads / (USUAL_BYTES * WAYS as u64);
        // The largest power of two that is not above it.
        let sets = sets.min(MAX_SETS).checked_ilog2().map_or(0, |exponent| 1_usize << exponent);
        Self {
            tables: ThreadLocal::new(),
            hasher: RandomState::default(),
            sets,
            bytes: Arc::default(),
        }
    }

    /// The decision about a credential, as this thread remembers it; it may hold no more.
    pub(super) fn get(&self, kind: CredentialKind, credential: &str) -> Option<Found<D>> {
        self.tables.get()?.borrow_mut().get(self.hash(credential), kind, credential)
    }

    /// Remembers a decision, in place of the other one of its set that was used less.
    pub(super) fn insert(&self, key: CacheKey, credential: &str, decision: &D) {
        if self.sets == 0 || credential.len() > MAX_CREDENTIAL {
            return;
        }
        let hash = self.hash(credential);
        let new = || RefCell::new(Table::new(self.sets, Arc::clone(&self.bytes)));
        let mut table = self.tables.get_or(new).borrow_mut();
        let credential = Zeroizing::new(credential.as_bytes().into());
        let slot = Slot { credential, key, decision: decision.clone(), hits: 0 };
        table.put(hash, slot);
    }

    /// The bytes that the tables hold.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The hash of the end of a credential: there is its signature, or what is random in it.
    fn hash(&self, credential: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let bytes = credential.as_bytes();
        hasher.write(bytes.last_chunk::<HASHED>().map_or(bytes, |end| end));
        hasher.finish()
    }
}

impl<D: Clone> Table<D> {
    fn new(sets: usize, bytes: Arc<AtomicU64>) -> Self {
        let slots = std::iter::repeat_with(Default::default).take(sets).collect();
        Self { hashes: vec![[0; WAYS]; sets], slots, bytes }
    }

    fn get(&mut self, hash: u64, kind: CredentialKind, credential: &str) -> Option<Found<D>> {
        let (set, way) = self.place(hash)?;
        let slot = self.slots[set][way].as_mut()?;
        if slot.key.kind != kind || **slot.credential != *credential.as_bytes() {
            return None;
        }
        slot.hits = slot.hits.wrapping_add(1);
        let told = slot.hits.is_multiple_of(TOLD_HITS).then_some(slot.key);
        Some(Found { decision: slot.decision.clone(), told })
    }

    /// The set of a hash, and its way in it.
    fn place(&self, hash: u64) -> Option<(usize, usize)> {
        let set = set_of(hash, self.hashes.len());
        let way = self.hashes.get(set)?.iter().position(|other| *other == hash)?;
        Some((set, way))
    }

    fn put(&mut self, hash: u64, slot: Slot<D>) {
        let set = set_of(hash, self.hashes.len());
        let way = self.place(hash).map_or_else(|| self.coldest(set), |(_, way)| way);
        self.hashes[set][way] = hash;
        let came = slot.credential.len();
        let went = self.slots[set][way].replace(slot).map_or(0, |old| old.credential.len());
        // The rest of the set ages, so that what was hot once does not stay for ever.
        for other in self.slots[set].iter_mut().flatten() {
            other.hits /= 2;
        }
        self.bytes.fetch_add(came as u64, Ordering::Relaxed);
        self.bytes.fetch_sub(went as u64, Ordering::Relaxed);
    }

    /// The way of a set that is empty, or was used least.
    fn coldest(&self, set: usize) -> usize {
        let used = |way: &usize| self.slots[set][*way].as_ref().map(|slot| slot.hits);
        (0..WAYS).min_by_key(used).unwrap_or_default()
    }
}

impl<D> Drop for Table<D> {
    fn drop(&mut self) {
        let held: usize =
            self.slots.iter().flatten().flatten().map(|slot| slot.credential.len()).sum();
        self.bytes.fetch_sub(held as u64, Ordering::Relaxed);
    }
}

/// The set of a hash, by its upper bits.
fn set_of(hash: u64, sets: usize) -> usize {
    usize::try_from(hash >> 32).unwrap_or_default() & sets.wrapping_sub(1)
}

#[cfg(test)]
impl<D: Clone + Send> FirstLevel<D> {
    /// Returns whether this thread remembers a token.
    pub(super) fn holds(&self, token: &str) -> bool {
        self.get(CredentialKind::Jwt, token).is_some()
    }
}

#[cfg(test)]
mod tests;
