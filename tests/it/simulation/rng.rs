//! Random numbers that can be had again: everything that a run draws comes from its seed.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use portcullis::secret::{Random, RandomFailed};

/// The step of the state at each draw (SplitMix64).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64.
#[derive(Debug)]
pub struct SeededRng(AtomicU64);

impl SeededRng {
    /// The draws of this seed.
    pub fn from_seed(seed: u64) -> Self {
        // Neighbouring seeds begin far from each other.
        Self(AtomicU64::new(mix(seed.wrapping_add(STEP))))
    }

    fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }

    /// Below this; zero where that is zero.
    pub fn below(&self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or_default()
    }

    /// Within these bounds.
    pub fn within(&self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// So many milliseconds.
    pub fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// True so often of a hundred times.
    pub fn percent(&self, often: u64) -> bool {
        self.below(100) < often
    }

    /// One of these.
    pub fn pick<T: Clone>(&self, from: &[T]) -> T {
        from[self.index(from.len())].clone()
    }

    /// The index of one of so many.
    pub fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("an index")
    }
}

impl Random for SeededRng {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
