//! Epochs of records: they tell whether an earlier reading may still be believed.
//!
//! A reader takes the [`Epoch`] of a record before it asks the store. A change of the record, made
//! here or told by an event, advances its epoch. So a cached answer is known to be outdated by one
//! comparison of a few numbers, even if its read was under way at the time, and no change has to
//! search the caches. Where events may have been lost, the generation that all epochs share is
//! advanced, which makes every one of them suspect at once.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The epoch at which records were read: the number of their changes before. A reader of several
/// records takes one epoch for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch<const RECORDS: usize> {
    generation: u64,
    slots: [(u32, u32); RECORDS],
}

/// The knowledge about a record since its epoch was taken; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EpochStatus {
    /// No change is known.
    Current,
    /// A change may have been missed.
    Suspect,
    /// It, or a record that shares its counter, was changed or is gone.
    Changed,
}

/// Counters of changes in this process. Records share them: after a change, records with the same
/// counter are read again too. A counter that returns to the same value between two looks would
/// count as unchanged; that takes four thousand million changes of one slot.
#[derive(Debug)]
pub struct EpochTable {
    counters: Box<[AtomicU32]>,
    generation: AtomicU64,
    hasher: RandomState,
}

impl EpochTable {
    /// Counters at their start, four bytes each. With as many slots as changes since a read, nearly
    /// two thirds of all records are read again.
    pub fn with_slots(slots: u32) -> Self {
        Self {
            counters: (0..slots.max(1)).map(|_| AtomicU32::new(0)).collect(),
            generation: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    /// The present epoch of records; to be taken before the store is asked.
    pub fn epoch<const RECORDS: usize>(&self, records: [impl Hash; RECORDS]) -> Epoch<RECORDS> {
        let generation = self.generation.load(Ordering::Acquire);
        let slots = records.map(|record| {
            let slot = self.slot(&record);
            (slot, self.counter(slot).load(Ordering::Acquire))
        });
        Epoch { generation, slots }
    }

    /// The status of the records since `epoch` was taken for them.
    pub fn status<const RECORDS: usize>(&self, epoch: &Epoch<RECORDS>) -> EpochStatus {
        let is_changed =
            |(slot, count): &(u32, u32)| self.counter(*slot).load(Ordering::Acquire) != *count;
        if epoch.slots.iter().any(is_changed) {
            EpochStatus::Changed
        } else if self.generation.load(Ordering::Acquire) != epoch.generation {
            EpochStatus::Suspect
        } else {
            EpochStatus::Current
        }
    }

    /// Records that a record was changed, or is gone.
    pub fn advance(&self, record: impl Hash) {
        self.counter(self.slot(&record)).fetch_add(1, Ordering::AcqRel);
    }

    /// Records a change when the returned value is dropped. Also after an error, or when the caller
    /// was cancelled, the store may have made the change.
    pub fn advance_on_drop(&self, record: impl Hash) -> AdvanceOnDrop<'_> {
        AdvanceOnDrop(self.counter(self.slot(&record)))
    }

    /// Records that a change of any record may have been missed.
    pub fn suspect_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn counter(&self, slot: u32) -> &AtomicU32 {
        &self.counters[slot as usize]
    }

    fn slot(&self, record: &impl Hash) -> u32 {
        // The modulus keeps it within four bytes; the fallback cannot happen.
        let slot = self.hasher.hash_one(record) % self.counters.len() as u64;
        u32::try_from(slot).unwrap_or_default()
    }
}

/// A change that is under way.
#[derive(Debug)]
pub struct AdvanceOnDrop<'t>(&'t AtomicU32);

impl Drop for AdvanceOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: u32 = 1 << 16;

    #[test]
    fn an_epoch_is_outdated_by_each_of_its_records_and_suspect_where_something_was_missed() {
        let table = EpochTable::with_slots(SLOTS);
        for (happens, expected) in [
            (&(|| table.advance("session")) as &dyn Fn(), EpochStatus::Changed),
            (&|| table.advance("user"), EpochStatus::Changed),
            (&|| table.suspect_all(), EpochStatus::Suspect),
        ] {
            let epoch = table.epoch(["session", "user"]);
            assert_eq!(table.status(&epoch), EpochStatus::Current);
            happens();
            assert_eq!(table.status(&epoch), expected);
        }
    }

    #[test]
    fn what_is_known_to_have_changed_is_not_merely_suspect() {
        let table = EpochTable::with_slots(SLOTS);
        let epoch = table.epoch(["session"]);
        table.advance("session");
        table.suspect_all();
        assert_eq!(table.status(&epoch), EpochStatus::Changed);
    }

    #[test]
    fn a_change_outdates_what_was_read_before_it_has_ended() {
        let table = EpochTable::with_slots(SLOTS);
        let before = table.epoch(["token"]);
        let change = table.advance_on_drop("token");
        let during = table.epoch(["token"]);
        assert_eq!([before, during].map(|epoch| table.status(&epoch)), [EpochStatus::Current; 2]);
        drop(change);
        assert_eq!([before, during].map(|epoch| table.status(&epoch)), [EpochStatus::Changed; 2]);
        assert_eq!(table.status(&table.epoch(["token"])), EpochStatus::Current);
    }

    #[test]
    fn a_change_disturbs_few_others() {
        let table = EpochTable::with_slots(SLOTS);
        let epochs: Vec<_> = (0..10_000_u32).map(|n| table.epoch([n, u32::MAX])).collect();
        table.advance(0_u32);
        let changed =
            epochs.iter().filter(|epoch| table.status(epoch) == EpochStatus::Changed).count();
        assert!((1..10).contains(&changed), "{changed}");
    }
}
