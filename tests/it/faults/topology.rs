//! Servers that take over from each other: a fail-over among sentinels, a slot that moves in a cluster.

use std::time::{Duration, Instant};

use super::{
    scene::{PATIENT, Scene},
    watch::Watch,
};
use crate::support::{
    redis_cluster::RedisCluster,
    redis_sentinel::Watched,
    topology::{SAFE, is_copied, key_in_cluster, move_slot_of, runtime},
};

/// `SESSION_STALENESS` here: who is the master is known a second late at worst, and until then an old one is read from.
const BOUND: Duration = Duration::from_secs(3);

#[test]
fn a_fail_over_that_was_asked_for_brings_no_yes_back() {
    let runtime = runtime();
    let Some(watched) = runtime.block_on(Watched::start(&SAFE)) else { return };
    let scene = Scene::start(&watched.url(), &watched.url(), BOUND, &[], &[&[], &[]]);
    let mut watch = Watch::start("fail-over", &scene, 2);
    watch.revoke_next();
    runtime.block_on(is_copied(&watched.servers[0], &watched.servers[1]));
    runtime.block_on(watched.fail_over(1));
    let over = Instant::now();
    // At once, while some may still take the old one for the master.
    watch.end_next(|session| scene.revoke_at_last(session));
    watch.wait_until_well(over);
    watch.wait_beyond_the_bound();
    watch.stop().holds_once_acknowledged();
}

#[test]
fn a_revocation_in_the_midst_of_a_fail_over_holds_though_the_old_master_takes_any_write() {
    let runtime = runtime();
    let Some(watched) = runtime.block_on(Watched::start(&[])) else { return };
    let scene = Scene::start(&watched.url(), &watched.url(), BOUND, &[], &[&[], &[]]);
    let mut watch = Watch::start("midst of a fail-over", &scene, 4);
    runtime.block_on(is_copied(&watched.servers[0], &watched.servers[1]));
    runtime.block_on(watched.begin_to_fail_over());
    let begun = Instant::now();
    // From now on there are two masters, and all still name the old one.
    runtime.block_on(watched.is_promoted(1));
    for _ in 0..4 {
        watch.end_next(|session| scene.revoke_at_last(session));
    }
    runtime.block_on(watched.is_master(1));
    watch.wait_until_well(begun);
    watch.wait_beyond_the_bound();
    watch.stop().holds_once_acknowledged();
}

#[test]
fn without_any_replica_a_revocation_is_acknowledged_late_and_that_is_said_once() {
    let runtime = runtime();
    let Some(mut watched) = runtime.block_on(Watched::start(&[])) else { return };
    let scene = Scene::start(&watched.url(), &watched.url(), BOUND, &[], &[]);
    watched.servers[1].kill();
    for session in [scene.open(), scene.open()] {
        let begun = Instant::now();
        let took = scene.revoke(&session) - begun;
        assert!(took >= Duration::from_millis(1_500), "one may have taken over: {took:?}");
    }
    let log = scene.issuer.gate.log();
    assert_eq!(log.matches("no replica has what was written").count(), 1, "{log}");
}

#[test]
fn a_master_that_is_killed_is_no_yes_beyond_the_bound_until_another_is_one() {
    let runtime = runtime();
    let Some(mut watched) = runtime.block_on(Watched::start(&[])) else { return };
    let scene = Scene::start(&watched.url(), &watched.url(), BOUND, &[], &[&[], &[]]);
    let mut watch = Watch::start("master killed", &scene, 2);
    watch.revoke_next();
    runtime.block_on(is_copied(&watched.servers[0], &watched.servers[1]));
    let killed = Instant::now();
    let elected = runtime.block_on(watched.kill_master(0));
    watch.wait_until_well(killed + elected);
    watch.revoke_next();
    watch.wait_beyond_the_bound();
    let seen = watch.stop();
    seen.holds_the_promise();
    if elected > BOUND {
        seen.says_nothing(killed + BOUND, killed + elected.mul_f64(0.9));
    }
}

#[test]
fn a_session_whose_slot_moves_is_neither_lost_nor_let_pass_when_it_has_ended() {
    let runtime = runtime();
    let Some(cluster) = runtime.block_on(RedisCluster::start()) else { return };
    let gates = [PATIENT.as_slice(); 2];
    let scene = Scene::start(&cluster.url(), &cluster.url(), BOUND, &[], &gates);
    let mut watch = Watch::start("slots move", &scene, 2);
    let (living, victims) = (watch.living.clone(), watch.victims.clone());
    let begun = Instant::now();
    for session in victims.iter().chain([&living]) {
        runtime.block_on(move_slot_of(&cluster, &key_in_cluster(&session.id)));
    }
    watch.revoke_next();
    watch.wait_until_well(begun);
    watch.revoke_next();
    watch.wait_beyond_the_bound();
    let seen = watch.stop();
    seen.holds_the_promise();
    assert_eq!(seen.count(503), 0, "all servers were there all the time");
}
