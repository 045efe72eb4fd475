//! The memory of proofs: one that was seen is refused until it would be too old anyway (RFC 9449,
//! section 11.1).
//!
//! It never forgets early. Where there is no room for one more, or no answer of the store, the proof
//! is refused: 503.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::UnixTime;
use crate::gate::denial::DenialCode;
use crate::lease::{Lease, Leases};
use crate::token::dpop::DpopProof;

/// The ends of proofs that are forgotten together.
const SLICE: Duration = Duration::from_secs(8);

/// What remembers proofs, as the operator sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayScope {
    /// Each process for itself.
    Process,
    /// The store, for all that share it.
    Store,
}

impl ReplayScope {
    /// Reads the setting.
    ///
    /// # Errors
    /// The texts that may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "process" => Ok(Self::Process),
            "store" => Ok(Self::Store),
            _ => Err("write `process` or `store`"),
        }
    }
}

/// The place where proofs are remembered.
#[derive(Debug)]
pub enum ReplayMemory {
    /// This process: another one does not know what it saw.
    Process(ProcessMemory),
    /// The store, for all processes that share it.
    Store(Leases),
}

impl ReplayMemory {
    /// Remembers a proof until `end`.
    ///
    /// # Errors
    /// [`DenialCode::DpopProofReplayed`] where it was seen before;
    /// [`DenialCode::ReplayMemoryUnavailable`] where it cannot be remembered.
    pub(super) async fn remember(
        &self,
        proof: &DpopProof,
        end: UnixTime,
        now: UnixTime,
    ) -> Result<(), DenialCode> {
        let name = name(proof);
        match self {
            Self::Process(memory) => memory.remember(name, end, now),
            Self::Store(leases) => {
                let name = format!("dpop:{}", URL_SAFE_NO_PAD.encode(name));
                match leases.acquire(&name, "", now, end).await {
                    Ok(Lease::Acquired) => Ok(()),
                    Ok(Lease::Held(_)) => Err(DenialCode::DpopProofReplayed),
                    Err(_) => Err(DenialCode::ReplayMemoryUnavailable),
                }
            }
        }
    }
}

/// The name of a proof among those of all keys.
type Name = [u8; 32];

fn name(proof: &DpopProof) -> Name {
    let text = format!("{} {}", proof.key, proof.id);
    let mut name = [0; 32];
    name.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    name
}

/// The proofs that this process saw, at most so many at once.
#[derive(Debug)]
pub struct ProcessMemory {
    most: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The proofs by the number of the slice in which they end.
    slices: BTreeMap<u64, HashSet<Name>>,
    count: usize,
    /// The latest time so far. What was forgotten by it stays refused when the clock is set back.
    latest: UnixTime,
}

impl ProcessMemory {
    /// An empty memory for at most so many proofs.
    pub fn new(most: usize) -> Self {
        Self { most, seen: Mutex::default() }
    }

    fn remember(&self, name: Name, end: UnixTime, now: UnixTime) -> Result<(), DenialCode> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now);
        let slice = slice_at(end);
        if slice < slice_at(seen.latest) {
            return Err(DenialCode::DpopProofExpired);
        }
        if seen.slices.values().any(|slice| slice.contains(&name)) {
            return Err(DenialCode::DpopProofReplayed);
        }
        if seen.count >= self.most {
            return Err(DenialCode::ReplayMemoryUnavailable);
        }
        seen.slices.entry(slice).or_default().insert(name);
        seen.count += 1;
        Ok(())
    }
}

impl Seen {
    /// Forgets the slices of which all proofs have ended.
    fn forget(&mut self, now: UnixTime) {
        self.latest = self.latest.max(now);
        let kept = self.slices.split_off(&slice_at(self.latest));
        let gone = std::mem::replace(&mut self.slices, kept);
        self.count -= gone.values().map(HashSet::len).sum::<usize>();
    }
}

/// The slice of the proofs that end at this time.
fn slice_at(time: UnixTime) -> u64 {
    time.as_secs() / SLICE.as_secs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    fn named(number: u64) -> Name {
        let mut name = [0; 32];
        name[..8].copy_from_slice(&number.to_be_bytes());
        name
    }

    #[test]
    fn a_proof_is_taken_once_and_forgotten_when_it_has_ended() {
        let memory = ProcessMemory::new(10);
        assert_eq!(memory.remember(named(1), at(160), at(100)), Ok(()));
        for now in [100, 130, 160] {
            let replayed = Err(DenialCode::DpopProofReplayed);
            assert_eq!(memory.remember(named(1), at(160), at(now)), replayed, "{now}");
        }
        assert_eq!(memory.remember(named(1), at(260), at(200)), Ok(()));
        assert_eq!(memory.seen.lock().unwrap().count, 1);
    }

    #[test]
    fn a_full_memory_refuses_and_forgets_nothing() {
        let memory = ProcessMemory::new(2);
        assert_eq!(memory.remember(named(1), at(160), at(100)), Ok(()));
        assert_eq!(memory.remember(named(2), at(170), at(110)), Ok(()));
        let full = Err(DenialCode::ReplayMemoryUnavailable);
        assert_eq!(memory.remember(named(3), at(175), at(115)), full);
        assert_eq!(memory.remember(named(1), at(160), at(115)), Err(DenialCode::DpopProofReplayed));
        // The first has ended, and its slice.
        assert_eq!(memory.remember(named(3), at(240), at(168)), Ok(()));
        assert_eq!(memory.remember(named(4), at(240), at(168)), full);
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_forgotten_proof_back() {
        let memory = ProcessMemory::new(10);
        assert_eq!(memory.remember(named(1), at(160), at(100)), Ok(()));
        assert_eq!(memory.remember(named(2), at(360), at(300)), Ok(()));
        let expired = Err(DenialCode::DpopProofExpired);
        assert_eq!(memory.remember(named(1), at(160), at(100)), expired);
    }

    proptest! {
        #[test]
        fn no_proof_is_taken_twice_before_its_end(
            steps in proptest::collection::vec((0..8_u64, 0..60_u64, 0..20_i64), 1..60)
        ) {
            let (memory, mut now) = (ProcessMemory::new(6), 1_000_u64);
            let (mut ends, mut taken) = (BTreeMap::new(), HashSet::new());
            for (number, life, step) in steps {
                // The clock goes on, and sometimes back.
                now = now.saturating_add_signed(step - 4);
                let end = *ends.entry(number).or_insert(now + life);
                // Who is too late is refused before.
                if now < end && memory.remember(named(number), at(end), at(now)).is_ok() {
                    prop_assert!(taken.insert(number), "{number} at {now}");
                }
            }
        }
    }
}
