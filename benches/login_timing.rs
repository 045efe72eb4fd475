//! A search for what a login tells by its time and not by its answer: that a user exists, or is locked.
//! `cargo bench --bench login_timing`; exits 1 where it does. That each asks the same is a test,
//! `brute_force::a_refused_login_asks_the_same_whoever_is_named`.
//!
//! Samples of all kinds are taken in turn, in random order, so that a busy machine slows all alike, and are compared by
//! their ranks (Mann and Whitney), so that a few slow ones count for little. The same comparison has to notice a login
//! that hashes half as much, else it would say nothing.

#![allow(
    clippy::pedantic,
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints"
)]
#![allow(unreachable_pub, reason = "nothing here is reachable from outside")]

use std::time::{Duration, Instant};

use portcullis::{
    account::{
        AccountStore as _, UserState,
        password::{HashConfig, Passwords},
    },
    clock::Clock as _,
    issuer::error::IssueError,
    secret::{Random as _, Secret, SystemRandom},
};

use support::issuance::{ALICE, CHEAP, Fixture, id};

#[path = "../tests/it/support/mod.rs"]
mod support;

/// The number of logins of each kind that are measured at once.
const SAMPLES: usize = 180;
/// By chance the ranks of equals differ by more once in 15,000 comparisons.
const BOUND: f64 = 4.0;
/// The number of times that a difference has to be found before it is believed.
const ROUNDS: usize = 3;
/// The least time of a hash here; much less than a real one, much more than everything else that a login does.
const LEAST_HASH: Duration = Duration::from_millis(8);

/// The kinds of login, in the order of [`Logins::measured`].
const KINDS: [&str; 5] = [
    "unknown user",
    "wrong password",
    "locked, right password",
    "unknown user again",
    "half a hash",
];

struct Logins {
    full: Fixture,
    half: Fixture,
}

impl Logins {
    async fn new() -> Self {
        let full = calibrated().await;
        let half = HashConfig { memory_kib: full.memory_kib / 2, ..full };
        let logins = Self { full: fixture(full).await, half: fixture(half).await };
        // Each thread gets its memory at its first hash.
        for kind in 0..KINDS.len() {
            logins.measured(kind).await;
        }
        logins
    }

    /// The time of a refused login of that kind.
    async fn measured(&self, kind: usize) -> f64 {
        let (fixture, login, password) = match kind {
            0 | 3 => (&self.full, "mallory", "a wrong guess"),
            1 => (&self.full, ALICE.0, "a wrong guess"),
            2 => (&self.full, "locked", ALICE.1),
            _ => (&self.half, "mallory", "a wrong guess"),
        };
        let start = Instant::now();
        let outcome = fixture.log_in_as(login, password).await;
        let took = start.elapsed();
        assert_eq!(outcome, Err(IssueError::InvalidGrant), "{}: one answer for all", KINDS[kind]);
        took.as_secs_f64()
    }

    async fn samples(&self) -> [Vec<f64>; KINDS.len()] {
        let mut samples = [const { Vec::new() }; KINDS.len()];
        for _ in 0..SAMPLES {
            let mut order = [0, 1, 2, 3, 4];
            shuffle(&mut order);
            for kind in order {
                samples[kind].push(self.measured(kind).await);
            }
        }
        samples
    }
}

/// Parameters with which a hash takes long enough on this machine, in this build.
async fn calibrated() -> HashConfig {
    let mut config = CHEAP;
    loop {
        let passwords =
            Passwords::new(config, std::sync::Arc::new(SystemRandom)).expect("valid parameters");
        let mut fastest = Duration::MAX;
        for _ in 0..4 {
            let start = Instant::now();
            passwords.check(&Secret::new("a wrong guess"), None).await.expect("a check");
            fastest = fastest.min(start.elapsed());
        }
        if fastest >= LEAST_HASH {
            return config;
        }
        config.memory_kib *= 2;
    }
}

async fn fixture(hashing: HashConfig) -> Fixture {
    let fixture = Fixture::new(|setup| {
        setup.hashing = hashing;
        setup.throttle.enabled = false;
    })
    .await;
    let accounts = &fixture.accounts.inner;
    fixture.add_user(("locked", ALICE.1), |_| {}).await;
    // Nothing but the lock refuses the login.
    fixture.log_in_as("locked", ALICE.1).await.expect("not yet locked");
    let now = fixture.clock.now();
    let was_locked = accounts.set_state(&id("locked"), UserState::Locked, now).await;
    assert_eq!(was_locked, Ok(true));
    fixture
}

fn shuffle(order: &mut [usize]) {
    for last in (1..order.len()).rev() {
        let mut byte = [0];
        SystemRandom.fill(&mut byte).expect("chance");
        order.swap(last, usize::from(byte[0]) % (last + 1));
    }
}

/// By how many standard deviations the ranks of `a` among both lie above what they would be among equals.
fn deviation(a: &[f64], b: &[f64]) -> f64 {
    let greater = |x: &f64, y: &f64| {
        if x > y {
            1.0
        } else if x < y {
            0.0
        } else {
            0.5
        }
    };
    let u: f64 = a.iter().map(|x| b.iter().map(|y| greater(x, y)).sum::<f64>()).sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// A comparison that told nothing would find everything alike.
fn check_comparison() {
    let even: Vec<f64> = (0..100).map(|n| f64::from(n * 2)).collect();
    let odd: Vec<f64> = (0..100).map(|n| f64::from(n * 2 + 1)).collect();
    let later: Vec<f64> = even.iter().map(|x| x + 80.0).collect();
    assert!(deviation(&even, &odd).abs() < 0.5);
    assert!(deviation(&later, &even) > BOUND && deviation(&even, &later) < -BOUND);
}

fn main() {
    check_comparison();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    if !runtime.expect("a runtime").block_on(are_alike()) {
        println!(
            "in none of {ROUNDS} rounds were the times of refused logins alike, and those of half a hash not"
        );
        std::process::exit(1);
    }
}

async fn are_alike() -> bool {
    let logins = Logins::new().await;
    let pairs = [(0, 1), (0, 2), (1, 2), (0, 3)];
    for round in 1..=ROUNDS {
        let samples = logins.samples().await;
        let medians: Vec<String> = samples
            .iter()
            .zip(KINDS)
            .map(|(samples, kind)| format!("{kind} {:.2} ms", median(samples) * 1e3))
            .collect();
        let z = pairs.map(|(a, b)| deviation(&samples[a], &samples[b]));
        let control = deviation(&samples[0], &samples[4]);
        println!(
            "round {round}: {}; z of {pairs:?}: {z:.2?}; of half a hash: {control:.2}",
            medians.join(", "),
        );
        // A round that does not see half a hash sees nothing, and says nothing.
        if control > BOUND && z.iter().all(|z| z.abs() < BOUND) {
            return true;
        }
    }
    false
}
