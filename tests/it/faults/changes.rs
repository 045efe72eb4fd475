//! Sessions that end by other ways than ours: by hand, by themselves, all at once.

use std::time::{Duration, Instant, SystemTime};

use super::{
    scene::{Opened, Proxied},
    watch::Watch,
};
use crate::support::{PATIENCE, asker::Asker, poll};

/// The database of sessions, where LOGIN_REDIS_DB is not set.
const SESSIONS: u32 = 9;

#[test]
fn a_session_that_an_operator_deletes_is_refused_by_all() {
    let Some(scene) = Proxied::start() else { return };
    let mut watch = Watch::start("DEL by hand", &scene, 3);
    for _ in 0..3 {
        watch.end_next(|session| {
            assert_eq!(by_hand(&scene, &["DEL", &key(session)]), 1);
            Instant::now()
        });
    }
    watch.wait_beyond_the_bound();
    watch.wait_until_well(Instant::now());
    watch.stop().holds_the_promise();
}

#[test]
fn a_session_that_the_server_lets_expire_is_refused_by_all() {
    let Some(scene) = Proxied::start() else { return };
    let mut watch = Watch::start("PEXPIRE by hand", &scene, 1);
    watch.end_next(|session| {
        assert_eq!(by_hand(&scene, &["PEXPIRE", &key(session), "200"]), 1);
        Instant::now() + Duration::from_millis(200)
    });
    watch.wait_beyond_the_bound();
    watch.wait_until_well(Instant::now());
    watch.stop().holds_the_promise();
}

#[test]
fn a_session_ends_at_its_time_to_the_millisecond() {
    // LEEWAY lets the token itself live longer.
    let Some(scene) =
        Proxied::with(&[("EXPIRY", "0.05"), ("REFRESH_TOKEN_EXPIRY", "3")], &[&[], &[]])
    else {
        return;
    };
    let victim = scene.open();
    let expires: u64 = ask(&scene, &["HGET", &key(&victim), "expires"]);
    let gates = scene.gates.iter();
    let askers: Vec<_> = gates.map(|gate| Asker::start(gate.address, &victim.token)).collect();
    let expires = on_our_clock(expires);
    poll("questions after the end", PATIENCE, || {
        let after = expires + Duration::from_millis(300);
        let is_after = |asker: &Asker| asker.last().is_some_and(|answer| answer.sent > after);
        askers.iter().all(is_after).then_some(())
    });
    for answers in askers.into_iter().map(Asker::stop) {
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
    let Some(scene) = Proxied::start() else { return };
    let mut watch = Watch::start("FLUSHALL", &scene, 2);
    let _: () = ask(&scene, &["FLUSHALL"]);
    let flushed = Instant::now();
    for _ in 0..2 {
        watch.end_next(|_| flushed);
    }
    watch.wait_beyond_the_bound();
    watch.stop().without_the_living().holds_the_promise();
    let again = scene.open();
    scene.wait_until_well(&again);
}

/// The moment of that time of day in milliseconds, rounded up.
fn on_our_clock(millis: u64) -> Instant {
    let (now, today) = (Instant::now(), SystemTime::now());
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    now + at.duration_since(today).expect("it lies ahead") + Duration::from_millis(1)
}

fn key(session: &Opened) -> String {
    format!("portcullis:session:{}", session.id)
}

fn by_hand(scene: &Proxied, words: &[&str]) -> i64 {
    ask(scene, words)
}

fn ask<T: redis::FromRedisValue>(scene: &Proxied, words: &[&str]) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(scene.server().ask(SESSIONS, words))
}
