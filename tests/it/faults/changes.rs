//! Sessions that end by other ways than the issuer: by hand, by themselves, all at once.

use std::time::{Duration, Instant, SystemTime};

use super::{
    fixture::{OpenSession, ProxiedFixture},
    monitor::Monitor,
};
use crate::support::{PATIENCE, poll, prober::Prober, topology::runtime};

/// The database of sessions, where LOGIN_REDIS_DB is not set.
const SESSIONS: u32 = 9;

#[test]
fn a_session_that_an_operator_deletes_is_refused_by_all() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let mut monitor = Monitor::start("DEL by hand", &fixture, 3);
    for _ in 0..3 {
        monitor.end_next(|session| {
            assert_eq!(by_hand(&fixture, &["DEL", &key(session)]), 1);
            Instant::now()
        });
    }
    monitor.wait_beyond_the_bound();
    monitor.wait_until_recovered(Instant::now());
    monitor.stop().holds_the_bound();
}

#[test]
fn a_session_that_the_server_lets_expire_is_refused_by_all() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let mut monitor = Monitor::start("PEXPIRE by hand", &fixture, 1);
    monitor.end_next(|session| {
        assert_eq!(by_hand(&fixture, &["PEXPIRE", &key(session), "200"]), 1);
        Instant::now() + Duration::from_millis(200)
    });
    monitor.wait_beyond_the_bound();
    monitor.wait_until_recovered(Instant::now());
    monitor.stop().holds_the_bound();
}

#[test]
fn a_session_ends_at_its_time_to_the_millisecond() {
    // LEEWAY lets the token itself live longer.
    let Some(fixture) =
        ProxiedFixture::with(&[("EXPIRY", "0.05"), ("REFRESH_TOKEN_EXPIRY", "3")], &[&[], &[]])
    else {
        return;
    };
    let victim = fixture.open();
    let expires: u64 = ask(&fixture, &["HGET", &key(&victim), "expires"]);
    let gates = fixture.gates.iter();
    let probers: Vec<_> = gates.map(|gate| Prober::start(gate.address, &victim.token)).collect();
    let expires = on_our_clock(expires);
    poll("questions after the end", PATIENCE, || {
        let after = expires + Duration::from_millis(300);
        let is_after = |prober: &Prober| prober.last().is_some_and(|answer| answer.sent > after);
        probers.iter().all(is_after).then_some(())
    });
    for answers in probers.into_iter().map(Prober::stop) {
        assert_eq!(answers.first().map(|answer| answer.status), Some(200), "it lived");
        let late = answers.iter().find(|a| a.sent >= expires && a.status != 401);
        let by = late.map(|answer| answer.sent - expires);
        assert!(late.is_none(), "{late:?}, {by:?} after the end");
        let early = answers.iter().find(|a| a.sent + a.took < expires && a.status == 401);
        assert!(early.is_none(), "{early:?}, which is before {expires:?}");
    }
}

#[test]
fn all_sessions_that_are_flushed_are_refused_by_all() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let mut monitor = Monitor::start("FLUSHALL", &fixture, 2);
    let _: () = ask(&fixture, &["FLUSHALL"]);
    let flushed = Instant::now();
    for _ in 0..2 {
        monitor.end_next(|_| flushed);
    }
    monitor.wait_beyond_the_bound();
    monitor.stop().without_the_live_session().holds_the_bound();
    let again = fixture.open();
    fixture.wait_until_recovered(&again);
}

/// The moment of that time of day in milliseconds, rounded up.
fn on_our_clock(millis: u64) -> Instant {
    let (now, today) = (Instant::now(), SystemTime::now());
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    now + at.duration_since(today).expect("it lies ahead") + Duration::from_millis(1)
}

fn key(session: &OpenSession) -> String {
    format!("portcullis:session:{}", session.id)
}

fn by_hand(fixture: &ProxiedFixture, words: &[&str]) -> i64 {
    ask(fixture, words)
}

fn ask<T: redis::FromRedisValue>(fixture: &ProxiedFixture, words: &[&str]) -> T {
    runtime().block_on(fixture.server().ask(SESSIONS, words))
}
