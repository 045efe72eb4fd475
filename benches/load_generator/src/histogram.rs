//! Latencies in buckets, each at most 1/64 wide: exact enough for percentiles, without a sort.

use std::time::Duration;

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
const BUCKETS: usize = SUB * 40;

/// Counts of latencies.
#[derive(Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Nanoseconds within which so many of a thousand were answered; 0 where there is none.
    pub fn per_mille(&self, share: u64) -> u64 {
        let rank = (self.total * share).div_ceil(1_000);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return lower_bound(index);
            }
        }
        0
    }
}

/// Below 64 each number has a bucket; above, each power of two has 64.
fn bucket(nanos: u64) -> usize {
    let Some(shift) = (64 - nanos.leading_zeros()).checked_sub(SUB_BITS + 1) else {
        return usize::try_from(nanos).unwrap_or(BUCKETS);
    };
    let within = usize::try_from(nanos >> shift).unwrap_or(SUB) - SUB;
    (SUB * (shift as usize + 1) + within).min(BUCKETS - 1)
}

fn lower_bound(index: usize) -> u64 {
    let (power, within) = (index / SUB, (index % SUB) as u64);
    match power.checked_sub(1) {
        None => within,
        Some(shift) => (within + SUB as u64) << shift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_at_most_one_part_in_64_below_what_is_in_it() {
        for nanos in (0..200_000).chain([1 << 30, (1 << 30) + 1, 3_000_000_000]) {
            let bound = lower_bound(bucket(nanos));
            assert!(bound <= nanos && nanos - bound <= nanos / 64, "{nanos}: {bound}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut histogram = Histogram::new();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_nanos(micros));
        }
        assert_eq!(histogram.per_mille(500), lower_bound(bucket(500)));
        assert_eq!(histogram.per_mille(990), lower_bound(bucket(990)));
    }
}
