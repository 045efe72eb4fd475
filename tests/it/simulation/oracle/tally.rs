//! The counts of a run.

use std::{collections::BTreeMap, fmt, time::Duration};

/// The counts of what a run saw.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<&'static str, u64>,
    /// The latest yes after an acknowledged end, in thousandths of the bound.
    latest: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
        f.write_str(&counts.join(", "))?;
        if self.latest > 0 {
            let percent = self.latest as f64 / 10.0;
            write!(f, "; the latest yes after the end at {percent} % of the bound")?;
        }
        Ok(())
    }
}

impl Tally {
    /// A yes so long after an acknowledged end.
    pub fn late(&mut self, by: Duration, bound: Duration) {
        self.count("yes after the end");
        let share = by.as_micros() * 1_000 / bound.as_micros().max(1);
        self.latest = self.latest.max(u64::try_from(share).unwrap_or(u64::MAX));
    }

    /// Something happened.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Takes in what another run saw.
    pub fn add(&mut self, other: Self) {
        for (what, n) in other.counts {
            *self.counts.entry(what).or_default() += n;
        }
        self.latest = self.latest.max(other.latest);
    }
}
