//! Many runs: their seeds, their threads, and the report of them.

use std::{
    collections::{BTreeMap, HashSet},
    io::Write as _,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    cluster::ClusterState,
    mutation::Mutation,
    oracle::{Rule, Tally, Violation},
    trace::Fingerprint,
};

/// One run to be made.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub seed: u64,
    pub mutation: Mutation,
    /// Tells whether its trace is wanted as text.
    pub with_text: bool,
}

/// The report of one run.
#[derive(Debug)]
pub struct Report {
    pub violations: Vec<Violation>,
    pub tally: Tally,
    pub fingerprint: Fingerprint,
    pub text: String,
}

impl Report {
    /// The report of a finished run.
    pub fn of(cluster: &ClusterState) -> Self {
        let (violations, tally) = cluster.oracle.verdict();
        let (fingerprint, text) = (cluster.trace.fingerprint(), cluster.trace.text());
        Self { violations, tally, fingerprint, text }
    }
}

/// A kind of run.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    pub name: &'static str,
    pub run: fn(Run) -> Report,
}

/// The number in this variable of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// So many seeds from the first, or what the environment says instead: `PORTCULLIS_SIM_SEEDS` how many,
/// `PORTCULLIS_SIM_SEED` which one, or from which on where both are set.
fn seeds(usual: u64) -> Range<u64> {
    match (number("PORTCULLIS_SIM_SEED"), number("PORTCULLIS_SIM_SEEDS")) {
        (None, count) => 0..count.unwrap_or(usual),
        (Some(seed), count) => seed..seed + count.unwrap_or(1),
    }
}

/// Prints a line past the capture of the test harness.
fn print_line(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr is open");
}

/// Does something for each seed, on as many threads as there are cores, until one of them says that it is enough.
fn for_each(seeds: Range<u64>, is_enough: impl Fn(u64) -> bool + Sync) {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    if is_enough(seed) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

impl Model {
    fn of(&self, seed: u64, mutation: Mutation, with_text: bool) -> Report {
        (self.run)(Run { seed, mutation, with_text })
    }

    /// Runs all seeds, and fails with the first that violates a rule.
    pub fn check_seeds(&self, usual: u64) {
        let (seeds, started) = (seeds(usual), Instant::now());
        let seen = Mutex::new((HashSet::new(), Tally::default(), 0));
        let failed = Mutex::new(None::<u64>);
        for_each(seeds.clone(), |seed| {
            let report = self.of(seed, Mutation::None, false);
            let mut seen = seen.lock().expect("never poisoned");
            seen.0.insert(report.fingerprint.order);
            seen.1.add(report.tally);
            seen.2 += 1;
            let is_broken = !report.violations.is_empty();
            if is_broken {
                let mut failed = failed.lock().expect("never poisoned");
                *failed = Some(failed.map_or(seed, |before| before.min(seed)));
            }
            is_broken
        });
        let (orders, tally, runs) = seen.into_inner().expect("never poisoned");
        let (name, took) = (self.name, started.elapsed().as_secs_f64());
        print_line(&format!(
            "{name}: {runs} seeds from {} in {took:.1} s, {} interleavings, {tally}",
            seeds.start,
            orders.len(),
        ));
        if let Some(seed) = failed.into_inner().expect("never poisoned") {
            self.fail(seed);
        }
    }

    fn fail(&self, seed: u64) -> ! {
        let report = self.of(seed, Mutation::None, true);
        print_line(&report.text);
        let broken: Vec<_> =
            report.violations.iter().map(|v| format!("{:?}: {}", v.rule, v.what)).collect();
        panic!(
            "{} with seed {seed} (again with PORTCULLIS_SIM_SEED={seed}):\n{}",
            self.name,
            broken.join("\n")
        );
    }

    /// The seed of the first run with this mutation that breaks one of these rules, as it should soon.
    pub fn catches(&self, mutation: Mutation, within: u64, rules: &[Rule]) {
        let first = Mutex::new(None::<u64>);
        let also = Mutex::new(BTreeMap::<Rule, u64>::new());
        for_each(0..within, |seed| {
            let report = self.of(seed, mutation, false);
            let mut also = also.lock().expect("never poisoned");
            report.violations.iter().for_each(|v| *also.entry(v.rule).or_default() += 1);
            let is_caught = report.violations.iter().any(|v| rules.contains(&v.rule));
            if is_caught {
                let mut first = first.lock().expect("never poisoned");
                *first = Some(first.map_or(seed, |before| before.min(seed)));
            }
            is_caught
        });
        let first = first.into_inner().expect("never poisoned");
        let also = also.into_inner().expect("never poisoned");
        let Some(seed) = first else {
            panic!("{}: {mutation:?} was not caught in {within} seeds; {also:?}", self.name);
        };
        print_line(&format!("{}: {mutation:?} is caught at seed {seed}: {also:?}", self.name));
    }

    /// Runs some seeds twice: everything happens again, at the same times.
    pub fn repeats(&self, seeds: Range<u64>) {
        for_each(seeds, |seed| {
            let [once, again] =
                [false, true].map(|with_text| self.of(seed, Mutation::None, with_text).fingerprint);
            assert_eq!(once, again, "{} with seed {seed}", self.name);
            false
        });
    }
}

/// Runs something on a runtime of its own, whose time stands still while there is something to do.
pub fn simulated<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(run)
}
