//! Faults of the server itself: frozen, killed, started again.

use std::time::{Duration, Instant};

use super::{
    scene::{BOUND, Proxied},
    watch::Watch,
};

#[test]
fn a_server_that_is_frozen_for_3_s_is_no_yes_beyond_the_bound() {
    let Some(scene) = Proxied::start() else { return };
    let mut watch = Watch::start("frozen for 3 s", &scene, 2);
    // Of this one the gates may hear before the freeze, or not.
    watch.revoke_next();
    scene.server().pause();
    let frozen = Instant::now();
    watch.wait_until(frozen + Duration::from_secs(3));
    let until = Instant::now();
    scene.server().resume();
    let over = Instant::now();
    watch.wait_until_well(over);
    watch.revoke_next();
    watch.wait_beyond_the_bound();
    let seen = watch.stop();
    seen.holds_the_promise();
    seen.says_nothing(frozen + BOUND, until);
    assert!(seen.count(503) > 0, "three seconds are beyond the bound");
}

#[test]
fn a_server_that_is_killed_and_started_again_has_forgotten_no_revocation() {
    let Some(scene) = Proxied::start() else { return };
    let mut watch = Watch::start("killed and started again", &scene, 2);
    watch.revoke_next();
    scene.server().kill();
    let killed = Instant::now();
    watch.wait_until(killed + BOUND * 2);
    let until = Instant::now();
    scene.server().restart();
    watch.wait_until_well(Instant::now());
    watch.revoke_next();
    watch.wait_beyond_the_bound();
    let seen = watch.stop();
    seen.holds_the_promise();
    seen.says_nothing(killed + BOUND, until);
}
