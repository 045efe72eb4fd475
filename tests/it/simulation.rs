//! A model of the promise: a randomised simulation of gates, issuers, their store, and messages that are late or lost.
//!
//! Everything that decides is the real code: caches, marks, lanes, flights, rotation. What is simulated is what surrounds it.
//! One store, in which every verb takes effect at one point; questions, answers and news travel to it and from it, take their
//! time, arrive in any order, or are lost. The store is away, slow, or hangs; channels of news break and nobody notices for a
//! while; processes stand still. All of it is drawn from a seed, on one thread, on a clock that jumps from timer to timer: a
//! seed is an interleaving, and happens again exactly (`PORTCULLIS_SIM_SEED=x`; `PORTCULLIS_SIM_SEEDS=n` runs more).
//!
//! `judge.rs` has the rules. `mutation.rs` has mistakes that are made on purpose, and each must be caught: a rule that nothing
//! can break checks nothing.

mod accounts;
mod campaign;
mod chance;
mod judge;
mod mutation;
mod news;
mod process;
mod promise;
mod rotation;
mod store;
mod storms;
mod time;
mod torn;
mod trace;
mod weather;
mod world;

use campaign::{Model, simulated};
use judge::Rule;
use mutation::Mutation;

const PROMISE: Model = Model { name: "gates", run: |run| simulated(promise::run(run)) };
const ROTATION: Model = Model { name: "issuers", run: |run| simulated(rotation::run(run)) };

#[test]
fn no_gate_says_yes_for_longer_than_promised_after_an_acknowledged_revocation() {
    PROMISE.hold(400);
}

#[test]
fn of_all_refreshes_of_a_token_one_wins_and_nothing_is_lost_whoever_goes_away() {
    ROTATION.hold(600);
}

#[test]
fn a_seed_is_one_run() {
    PROMISE.repeats(0..40);
    ROTATION.repeats(0..40);
}

#[test]
fn the_rules_of_the_gates_notice_what_breaks_them() {
    for (mutation, rules) in [
        (Mutation::MissedIsSwallowed, [Rule::Missed].as_slice()),
        (Mutation::ChangeIsSwallowed, &[Rule::Heard, Rule::Push]),
        (Mutation::ChangeIsLost, &[Rule::Push]),
        (Mutation::AgeIsUnchecked, &[Rule::Bound]),
        (Mutation::AgeIsUncheckedWhenDown, &[Rule::Bound]),
        (Mutation::DownIsNoDoubt, &[Rule::Down]),
        (Mutation::RenewRevives, &[Rule::Bound, Rule::Heard]),
        (Mutation::LateSessionLives, &[Rule::Bound, Rule::Heard]),
        (Mutation::RevokeIsLost, &[Rule::Bound]),
        (Mutation::EndIsMisread, &[Rule::Expiry]),
        (Mutation::ReadFindsNothing, &[Rule::Liveness]),
    ] {
        PROMISE.catches(mutation, 1_000, rules);
    }
}

#[test]
fn the_rules_of_the_issuers_notice_what_breaks_them() {
    for (mutation, rules) in [
        (Mutation::RevokeIsLost, [Rule::Reuse].as_slice()),
        (Mutation::ClaimIsKept, &[Rule::NothingLost]),
        (Mutation::ClaimIsTorn, &[Rule::SameAnswer]),
        (Mutation::ExchangeIsTorn, &[Rule::OneWins]),
        (Mutation::RotationIsTorn, &[Rule::OneWins]),
        (Mutation::CallerStopsWork, &[Rule::Finished]),
    ] {
        ROTATION.catches(mutation, 2_000, rules);
    }
}
