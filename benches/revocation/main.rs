//! The time until two gates know a revocation, its cost, and the same when the way to the store fails:
//! real processes of `portcullis serve`, a real redis-server, and clients, all on the cores of this machine.
//!
//! ```text
//! cargo bench --bench revocation                  all parts, some ten minutes
//! cargo bench --bench revocation -- reach burst   these
//! ```
//!
//! | part | what |
//! |---|---|
//! | `reach` | 2,000 revocations through an issuer under full load: from the acknowledgement to the last yes; what the store is asked |
//! | `ends` | sessions that end by hand, by themselves, or while the way to the store or the store itself fails |
//! | `many` | 1,000,000 live sessions beside 1,000: what a check costs, and the gate's memory |
//! | `burst` | 10,000 sessions that end within a second: what other clients notice |
//!
//! Environment: `REVOCATIONS` (2000), `CONNECTIONS` of load to each gate (16), `SESSIONS` of `many` (1000000), `LIMIT`
//! for `reach` in seconds (240). Everything listens on loopback and is ended by its process id. A debug build
//! (`cargo bench --profile dev`) is good for nothing but trying it out, and says so.

#![allow(
    clippy::pedantic,
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints"
)]
#![allow(unreachable_pub, reason = "nothing here is reachable from outside")]

mod burst;
mod ends;
mod fixture;
mod load;
mod many;
mod percentiles;
mod reach;
#[path = "../../tests/it/support/mod.rs"]
mod support;

fn main() {
    let parts: [(&str, fn()); 4] =
        [("reach", reach::run), ("ends", ends::run), ("many", many::run), ("burst", burst::run)];
    // Cargo adds flags such as `--bench`.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let unknown = wanted.iter().find(|word| parts.iter().all(|(name, _)| name != word));
    if let Some(unknown) = unknown {
        eprintln!("{unknown}: no such part; there are reach, ends, many, burst");
        std::process::exit(64);
    }
    if cfg!(debug_assertions) {
        println!("A DEBUG BUILD: these figures say nothing of Portcullis");
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("{cores} cores for gates, issuer, store and clients together");
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("\n== {name}");
            run();
        }
    }
}

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}
