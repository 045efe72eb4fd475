//! Faults of the server itself: frozen, killed, started again.

use std::time::{Duration, Instant};

use super::{
    fixture::{BOUND, ProxiedFixture},
    monitor::Monitor,
};

#[test]
fn a_server_that_is_frozen_for_3_s_is_no_yes_beyond_the_bound() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let mut monitor = Monitor::start("frozen for 3 s", &fixture, 2);
    // Of this one the gates may hear before the freeze, or not.
    monitor.revoke_next();
    fixture.server().pause();
    let frozen = Instant::now();
    monitor.wait_until(frozen + Duration::from_secs(3));
    let until = Instant::now();
    fixture.server().resume();
    let over = Instant::now();
    monitor.wait_until_recovered(over);
    monitor.revoke_next();
    monitor.wait_beyond_the_bound();
    let observed = monitor.stop();
    observed.holds_the_bound();
    observed.is_unavailable_between(frozen + BOUND, until);
    assert!(observed.count(503) > 0, "three seconds are beyond the bound");
}

#[test]
fn a_server_that_is_killed_and_started_again_has_forgotten_no_revocation() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let mut monitor = Monitor::start("killed and started again", &fixture, 2);
    monitor.revoke_next();
    fixture.server().kill();
    let killed = Instant::now();
    monitor.wait_until(killed + BOUND * 2);
    let until = Instant::now();
    fixture.server().restart();
    monitor.wait_until_recovered(Instant::now());
    monitor.revoke_next();
    monitor.wait_beyond_the_bound();
    let observed = monitor.stop();
    observed.holds_the_bound();
    observed.is_unavailable_between(killed + BOUND, until);
}
