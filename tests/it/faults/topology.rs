//! Servers that take over from each other: a fail-over among sentinels, a slot that moves in a cluster.

use std::time::{Duration, Instant};

use super::{
    fixture::{Fixture, PATIENT},
    monitor::Monitor,
};
use crate::support::{
    redis_cluster::RedisCluster,
    redis_sentinel::RedisSentinel,
    topology::{SAFE, key_in_cluster, migrate_slot_of, runtime, wait_for_replication},
};

/// `SESSION_STALENESS` here: who is the master is known a second late at worst, and until then an old one is read from.
const BOUND: Duration = Duration::from_secs(3);

#[test]
fn a_fail_over_that_was_asked_for_brings_no_yes_back() {
    let runtime = runtime();
    let Some(sentinel) = runtime.block_on(RedisSentinel::start(&SAFE)) else { return };
    let fixture = Fixture::start(&sentinel.url(), &sentinel.url(), BOUND, &[], &[&[], &[]]);
    let mut monitor = Monitor::start("fail-over", &fixture, 2);
    monitor.revoke_next();
    runtime.block_on(wait_for_replication(&sentinel.servers[0], &sentinel.servers[1]));
    runtime.block_on(sentinel.fail_over(1));
    let over = Instant::now();
    // At once, while some may still take the old one for the master.
    monitor.end_next(|session| fixture.revoke_with_retries(session));
    monitor.wait_until_recovered(over);
    monitor.wait_beyond_the_bound();
    monitor.stop().holds_once_acknowledged();
}

#[test]
fn a_revocation_in_the_midst_of_a_fail_over_holds_though_the_old_master_takes_any_write() {
    let runtime = runtime();
    let Some(sentinel) = runtime.block_on(RedisSentinel::start(&[])) else { return };
    let fixture = Fixture::start(&sentinel.url(), &sentinel.url(), BOUND, &[], &[&[], &[]]);
    let mut monitor = Monitor::start("midst of a fail-over", &fixture, 4);
    runtime.block_on(wait_for_replication(&sentinel.servers[0], &sentinel.servers[1]));
    runtime.block_on(sentinel.begin_fail_over());
    let begun = Instant::now();
    // From now on there are two masters, and all still name the old one.
    runtime.block_on(sentinel.wait_for_promotion(1));
    for _ in 0..4 {
        monitor.end_next(|session| fixture.revoke_with_retries(session));
    }
    runtime.block_on(sentinel.wait_for_master(1));
    monitor.wait_until_recovered(begun);
    monitor.wait_beyond_the_bound();
    monitor.stop().holds_once_acknowledged();
}

#[test]
fn without_any_replica_a_revocation_is_acknowledged_late_and_that_is_said_once() {
    let runtime = runtime();
    let Some(mut sentinel) = runtime.block_on(RedisSentinel::start(&[])) else { return };
    let fixture = Fixture::start(&sentinel.url(), &sentinel.url(), BOUND, &[], &[]);
    sentinel.servers[1].kill();
    for session in [fixture.open(), fixture.open()] {
        let begun = Instant::now();
        let took = fixture.revoke(&session) - begun;
        assert!(took >= Duration::from_millis(1_500), "one may have taken over: {took:?}");
    }
    fixture.issuer.gate.wait_for_log("no replica has what was written");
    let log = fixture.issuer.gate.log();
    assert_eq!(log.matches("no replica has what was written").count(), 1, "{log}");
}

#[test]
fn a_master_that_is_killed_is_no_yes_beyond_the_bound_until_another_is_one() {
    let runtime = runtime();
    let Some(mut sentinel) = runtime.block_on(RedisSentinel::start(&[])) else { return };
    let fixture = Fixture::start(&sentinel.url(), &sentinel.url(), BOUND, &[], &[&[], &[]]);
    let mut monitor = Monitor::start("master killed", &fixture, 2);
    monitor.revoke_next();
    runtime.block_on(wait_for_replication(&sentinel.servers[0], &sentinel.servers[1]));
    let killed = Instant::now();
    let elected = runtime.block_on(sentinel.kill_master(0));
    monitor.wait_until_recovered(killed + elected);
    monitor.revoke_next();
    monitor.wait_beyond_the_bound();
    let observed = monitor.stop();
    observed.holds_the_bound();
    if elected > BOUND {
        observed.is_unavailable_between(killed + BOUND, killed + elected.mul_f64(0.9));
    }
}

#[test]
fn a_session_whose_slot_moves_is_neither_lost_nor_let_pass_when_it_has_ended() {
    let runtime = runtime();
    let Some(cluster) = runtime.block_on(RedisCluster::start()) else { return };
    let gates = [PATIENT.as_slice(); 2];
    let fixture = Fixture::start(&cluster.url(), &cluster.url(), BOUND, &[], &gates);
    let mut monitor = Monitor::start("slots move", &fixture, 2);
    let (living, victims) = (monitor.living.clone(), monitor.victims.clone());
    let begun = Instant::now();
    for session in victims.iter().chain([&living]) {
        runtime.block_on(migrate_slot_of(&cluster, &key_in_cluster(&session.id)));
    }
    monitor.revoke_next();
    monitor.wait_until_recovered(begun);
    monitor.revoke_next();
    monitor.wait_beyond_the_bound();
    let observed = monitor.stop();
    observed.holds_the_bound();
    assert_eq!(observed.count(503), 0, "all servers were there all the time");
}
