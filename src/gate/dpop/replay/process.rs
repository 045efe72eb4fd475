//! The memory of one process: the names of proofs until nobody could use them again.
//!
//! A proof is forgotten when both clocks say that it has ended: by the monotonic one the life that it
//! had when it came has passed, and the wall clock is behind its end. So a wall clock that jumps forward
//! and comes back brings no proof back, and refuses none. What was forgotten stays refused where the
//! wall clock is set back behind its end.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::warn;

use super::Name;
use crate::clock::UnixTime;
use crate::gate::denial::DenialCode;
use crate::wire::warning_throttle::WarningThrottle;

/// The time whose proofs are forgotten together.
const SLICE: Duration = Duration::from_secs(8);

/// The proofs that this process saw, at most so many at once.
#[derive(Debug)]
pub struct ProcessMemory {
    most: usize,
    seen: Mutex<Seen>,
    warning_throttle: WarningThrottle,
}

#[derive(Debug, Default)]
struct Seen {
    /// The proofs by the number of the slice of monotonic time in which their lives have passed.
    slices: BTreeMap<u64, Slice>,
    count: usize,
    /// The latest end among those that were forgotten.
    forgotten: UnixTime,
}

#[derive(Debug, Default)]
struct Slice {
    names: HashSet<Name>,
    /// The latest end among them.
    end: UnixTime,
}

impl ProcessMemory {
    /// An empty memory for at most so many proofs.
    pub fn new(most: usize) -> Self {
        let (seen, warning_throttle) = (Mutex::default(), WarningThrottle::default());
        Self { most, seen, warning_throttle }
    }

    /// Remembers a proof that has not ended yet, until `end`; now by the monotonic clock and by the
    /// wall clock.
    pub(super) fn remember(
        &self,
        name: Name,
        end: UnixTime,
        now: (Duration, UnixTime),
    ) -> Result<(), DenialCode> {
        let remembered = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remember(name, end, now, self.most);
        let is_expired = remembered == Err(DenialCode::DpopProofExpired);
        if is_expired && self.warning_throttle.is_due() {
            warn!("the clock was set back: DPoP proofs are refused until it is where it was");
        }
        remembered
    }
}

impl Seen {
    fn remember(
        &mut self,
        name: Name,
        end: UnixTime,
        (at, now): (Duration, UnixTime),
        most: usize,
    ) -> Result<(), DenialCode> {
        self.forget(at, now);
        if self.slices.values().any(|slice| slice.names.contains(&name)) {
            return Err(DenialCode::DpopProofReplayed);
        }
        if end <= self.forgotten {
            return Err(DenialCode::DpopProofExpired);
        }
        if self.count >= most {
            return Err(DenialCode::ReplayMemoryUnavailable);
        }
        let slice = self.slices.entry(slice_at(at.saturating_add(end.since(now)))).or_default();
        slice.names.insert(name);
        slice.end = slice.end.max(end);
        self.count += 1;
        Ok(())
    }

    /// Forgets the slices of which all proofs have ended by both clocks.
    fn forget(&mut self, at: Duration, now: UnixTime) {
        let passed = self.slices.range(..slice_at(at));
        let over = passed.filter(|(_, slice)| slice.end <= now).map(|(number, _)| *number);
        for number in over.collect::<Vec<_>>() {
            let slice = self.slices.remove(&number).unwrap_or_default();
            self.count -= slice.names.len();
            self.forgotten = self.forgotten.max(slice.end);
        }
    }
}

/// The number of the slice that holds this moment of the monotonic clock.
fn slice_at(at: Duration) -> u64 {
    at.as_secs() / SLICE.as_secs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPLAYED: Result<(), DenialCode> = Err(DenialCode::DpopProofReplayed);
    const EXPIRED: Result<(), DenialCode> = Err(DenialCode::DpopProofExpired);
    const FULL: Result<(), DenialCode> = Err(DenialCode::ReplayMemoryUnavailable);

    impl ProcessMemory {
        /// Remembers the proof of that number, in seconds: its end, and now by either clock.
        fn take(&self, number: u64, end: u64, (at, now): (u64, u64)) -> Result<(), DenialCode> {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&number.to_be_bytes());
            let now = (Duration::from_secs(at), UnixTime::from_secs(now));
            self.remember(name, UnixTime::from_secs(end), now)
        }

        /// The same, where the clocks run alike.
        fn take_at(&self, number: u64, end: u64, now: u64) -> Result<(), DenialCode> {
            self.take(number, end, (now, now))
        }
    }

    #[test]
    fn a_proof_is_taken_once_and_forgotten_when_it_has_ended() {
        let memory = ProcessMemory::new(10);
        assert_eq!(memory.take_at(1, 160, 100), Ok(()));
        for now in [100, 130, 159] {
            assert_eq!(memory.take_at(1, 160, now), REPLAYED, "{now}");
        }
        assert_eq!(memory.take_at(1, 260, 200), Ok(()));
        assert_eq!(memory.seen.lock().unwrap().count, 1);
    }

    #[test]
    fn a_full_memory_refuses_and_forgets_nothing() {
        let memory = ProcessMemory::new(2);
        assert_eq!(memory.take_at(1, 160, 100), Ok(()));
        assert_eq!(memory.take_at(2, 170, 110), Ok(()));
        assert_eq!(memory.take_at(3, 175, 115), FULL);
        assert_eq!(memory.take_at(1, 160, 115), REPLAYED);
        // The first has ended, and its slice.
        assert_eq!(memory.take_at(3, 240, 168), Ok(()));
        assert_eq!(memory.take_at(4, 240, 168), FULL);
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_forgotten_proof_back() {
        let memory = ProcessMemory::new(10);
        assert_eq!(memory.take(1, 160, (0, 100)), Ok(()));
        assert_eq!(memory.take(2, 360, (200, 300)), Ok(()));
        assert_eq!(memory.take(1, 160, (210, 100)), EXPIRED);
        assert_eq!(memory.take(3, 260, (310, 200)), Ok(()), "made after all that was forgotten");
        // The other one has not ended by this clock.
        assert_eq!(memory.take(2, 360, (400, 301)), REPLAYED);
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_refuses_nothing_and_brings_nothing_back() {
        let memory = ProcessMemory::new(10);
        assert_eq!(memory.take(1, 160, (0, 100)), Ok(()));
        assert_eq!(memory.take(2, 10_060, (10, 10_000)), Ok(()), "of a client with the same clock");
        assert_eq!(memory.take(1, 160, (20, 120)), REPLAYED);
        assert_eq!(memory.take(3, 180, (20, 120)), Ok(()));
        assert_eq!(memory.take(4, 260, (100, 200)), Ok(()));
        assert_eq!(memory.take(2, 10_060, (9_900, 10_000)), REPLAYED);
    }

    proptest! {
        #[test]
        fn no_proof_is_taken_twice_before_its_end(
            steps in proptest::collection::vec((0..8_u64, 0..60_u64, 0..40_u64, -40..60_i64), 1..60)
        ) {
            let (memory, mut at, mut now) = (ProcessMemory::new(6), 0, 1_000_u64);
            let (mut ends, mut taken) = (BTreeMap::new(), HashSet::new());
            for (number, life, passed, step) in steps {
                // One clock goes on, the other one anywhere.
                at += passed;
                now = now.saturating_add_signed(step);
                let end = *ends.entry(number).or_insert(now + life);
                // Who is too late is refused before.
                if now < end && memory.take(number, end, (at, now)).is_ok() {
                    prop_assert!(taken.insert(number), "{number} at {now}");
                }
            }
        }
    }
}
