//! The parameters of a run, drawn from its seed.

use std::time::Duration;

use super::LEASE;
use crate::simulation::{
    fault_injection::{Fault, FaultPlan},
    fault_schedule,
    rng::SeededRng,
};

/// The faults of a run. Invalidations do not matter to issuers.
const FAULTS: [&[Fault]; 7] = [
    &[],
    &[Fault::StoreDegraded],
    &[Fault::LinkDegraded],
    &[Fault::LinkDegraded],
    &[Fault::ProcessStalled],
    &[Fault::StoreDegraded, Fault::LinkDegraded],
    &[Fault::StoreDegraded, Fault::LinkDegraded, Fault::ProcessStalled],
];

/// The parameters of a run.
pub(super) struct Plan {
    pub(super) issuers: usize,
    pub(super) grace: Duration,
    pub(super) lease: Duration,
    /// The number of clients that show each token.
    pub(super) contenders: usize,
    /// The time within which they show it.
    pub(super) within: Duration,
    /// Of a hundred so many are cut off in the middle, as a process is that ends.
    pub(super) crashes: u64,
    /// Of a hundred so many go away in the middle; what they began goes on.
    pub(super) departures: u64,
    pub(super) generations: usize,
    pub(super) fault_plan: FaultPlan,
    /// Tells whether the store takes for each change nearly as long as it may, all the time.
    pub(super) is_slow: bool,
}

impl Plan {
    pub(super) fn draw(rng: &SeededRng) -> Self {
        let fault_plan = fault_schedule::draw_plan(rng, Duration::from_secs(2));
        let faults = rng.pick(&FAULTS).to_vec();
        let within = rng.pick(&[0, 20, 200, 1_500, 4_000]);
        Self {
            issuers: rng.pick(&[2, 2, 3]),
            grace: Duration::from_secs(rng.pick(&[0, 60])),
            lease: rng.pick(&[Duration::from_millis(300), Duration::from_secs(1), LEASE]),
            contenders: rng.index(5) + 2,
            within: Duration::from_millis(within),
            crashes: rng.pick(&[0, 0, 20, 60]),
            departures: rng.pick(&[0, 30, 80]),
            generations: rng.pick(&[1, 1, 2]),
            fault_plan: FaultPlan { faults, ..fault_plan },
            is_slow: false,
        }
        .or_slow(rng)
    }

    /// Makes one run in twenty slow: nothing goes wrong, and everything takes as long as it just may.
    fn or_slow(self, rng: &SeededRng) -> Self {
        if !rng.percent(5) {
            return self;
        }
        let grace = Duration::from_secs(60);
        let fault_plan = FaultPlan {
            faults: Vec::new(),
            loss_percent: 0,
            // With the reads before and after it, that of a lease still comes within two seconds.
            slow_write_latency: 1_500..=1_850,
            ..self.fault_plan
        };
        Self { grace, lease: LEASE, crashes: 0, fault_plan, is_slow: true, ..self }
    }

    /// Tells whether no rotation outlives its lease, except by an answer that comes late, which is noticed.
    pub(super) fn keeps_leases(&self) -> bool {
        self.lease >= LEASE
            && self.crashes == 0
            && !self.fault_plan.faults.contains(&Fault::ProcessStalled)
    }
}
