//! A randomised simulation of gates, issuers, their store, and messages that are late or lost.
//!
//! Everything that decides is the real code: caches, epochs, circuit breakers, single flight, rotation. Its surroundings
//! are simulated: one store, in which every operation takes effect at one point; requests, answers and invalidations travel
//! to it and from it, take their time, arrive in any order, or are lost. The store is away, slow, or hangs; invalidation
//! channels break and nobody notices for a while; processes stand still. All of it is drawn from a seed, on one thread, on
//! a clock that jumps from timer to timer: a seed is an interleaving, and happens again exactly (`PORTCULLIS_SIM_SEED=x`;
//! `PORTCULLIS_SIM_SEEDS=n` runs more).
//!
//! `oracle.rs` has the rules. `mutation.rs` has mistakes that are made on purpose, and each must be caught: a rule that
//! nothing can break checks nothing.

mod campaign;
mod cluster;
mod fault_injection;
mod fault_schedule;
mod heads;
mod invalidation;
mod mutated_store;
mod mutation;
mod oracle;
mod process;
mod revocation;
pub(crate) mod rng;
mod rotation;
mod store;
mod time;
mod trace;

use campaign::{Model, simulated};
use mutation::Mutation;
use oracle::Rule;

const REVOCATION: Model = Model { name: "gates", run: |run| simulated(revocation::run(run)) };
const ROTATION: Model = Model { name: "issuers", run: |run| simulated(rotation::run(run)) };

#[test]
fn no_gate_says_yes_for_longer_than_promised_after_an_acknowledged_revocation() {
    REVOCATION.check_seeds(400);
    let is_one_alone = std::env::var_os("PORTCULLIS_SIM_SEED").is_some();
    let counts = [process::confirmations(), process::repeated_heads()];
    assert!(is_one_alone || counts.iter().all(|count| *count > 1_000), "{counts:?}");
}

#[test]
fn of_all_refreshes_of_a_token_one_wins_and_nothing_is_lost_whoever_goes_away() {
    ROTATION.check_seeds(600);
}

#[test]
fn a_seed_is_one_run() {
    REVOCATION.repeats(0..40);
    ROTATION.repeats(0..40);
}

#[test]
fn the_rules_of_the_gates_notice_what_breaks_them() {
    for (mutation, rules) in [
        (Mutation::LossIgnored, [Rule::AfterLoss].as_slice()),
        (Mutation::ChangeIgnored, &[Rule::KnownEnd, Rule::PushDelay, Rule::Bound]),
        (Mutation::ChangeNotSent, &[Rule::PushDelay, Rule::Bound]),
        (Mutation::AgeUnchecked, &[Rule::Bound]),
        (Mutation::AgeUncheckedWhenDown, &[Rule::Bound]),
        (Mutation::TrustedWhenDown, &[Rule::StoreDown]),
        (Mutation::HeadKept, &[Rule::Bound, Rule::KnownEnd, Rule::PushDelay, Rule::Expiry]),
        (Mutation::RenewRestores, &[Rule::Bound, Rule::KnownEnd]),
        (Mutation::NotBeforeIgnored, &[Rule::Bound, Rule::KnownEnd]),
        (Mutation::RevokeIgnored, &[Rule::Bound]),
        (Mutation::ExpiryMisread, &[Rule::Expiry]),
        (Mutation::ReadNotFound, &[Rule::Liveness]),
    ] {
        REVOCATION.catches(mutation, 1_000, rules);
    }
}

#[test]
fn the_rules_of_the_issuers_notice_what_breaks_them() {
    for (mutation, rules) in [
        (Mutation::RevokeIgnored, [Rule::Reuse].as_slice()),
        (Mutation::LeaseNeverExpires, &[Rule::NothingLost]),
        (Mutation::LeaseNotAtomic, &[Rule::SameAnswer]),
        (Mutation::RotateNotAtomic, &[Rule::SingleWinner]),
        (Mutation::LeaseAndRotateNotAtomic, &[Rule::SingleWinner]),
        (Mutation::CancelledWithCaller, &[Rule::Finished]),
    ] {
        ROTATION.catches(mutation, 2_000, rules);
    }
}
