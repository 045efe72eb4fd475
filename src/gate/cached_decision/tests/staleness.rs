//! The age of a cached decision, and when its session is read again.

use super::*;

#[tokio::test]
async fn what_was_read_at_once_is_not_read_again_at_once() {
    let fixture = usual();
    let mut tokens = Vec::new();
    for n in 0..100 {
        tokens.push(fixture.token(&format!("s{n}"), 600).await);
    }
    let mut reads = Vec::new();
    for _ in 0..7 {
        let before = fixture.reads();
        for token in &tokens {
            assert_eq!(fixture.outcome(token).await, Ok(()));
        }
        reads.push(fixture.reads() - before);
        // From three quarters of the bound on, in steps of a twentieth of it.
        let steps = if reads.len() == 1 { 15 } else { 1 };
        fixture.clock.advance(STALENESS * steps / 20);
    }
    assert_eq!(reads[0], 100);
    assert_eq!(reads[1..].iter().sum::<u64>(), 100, "by the bound each was read: {reads:?}");
    assert!(reads[1..].iter().all(|reads| *reads < 60), "{reads:?}");
}

#[tokio::test]
async fn a_session_whose_end_moved_lives_on_without_another_decision() {
    let fixture = usual();
    let _shorter = fixture.token("s", 2).await;
    let token = fixture.sign("s", NOW + 600);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    let later = fixture.clock.now().after(Duration::from_secs(4));
    fixture.store.inner.renew(&Fixture::id("s"), later).await.unwrap();
    for _ in 0..3 {
        fixture.clock.advance(STALENESS);
        assert_eq!(fixture.outcome(&token).await, Ok(()));
    }
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionExpired));
    assert_eq!(fixture.decisions.metrics.looked_up(), (0, 4, 1));
}

#[tokio::test]
async fn a_recheck_reads_the_session_and_verifies_nothing() {
    let fixture = usual();
    let token = fixture.cached("s", 600).await;
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    assert_eq!((fixture.reads(), fixture.decisions.metrics.looked_up()), (2, (1, 1, 1)));
}

#[tokio::test]
async fn setting_the_clock_back_does_not_stretch_the_bound() {
    let fixture = usual();
    let token = fixture.cached("s", 600).await;
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    fixture.clock.advance(STALENESS);
    fixture.clock.set_wall(UnixTime::from_secs(NOW - 100));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_is_old_when_it_is_read_is_believed_for_so_much_less() {
    let fixture = fixture_behind(Duration::from_millis(400), config(STALENESS));
    let token = fixture.cached("s", 600).await;
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.clock.advance(Duration::from_millis(599));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn a_host_that_slept_asks_again() {
    let fixture = usual();
    let token = fixture.cached("s", 6_000).await;
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    // The monotonic clock stood still meanwhile.
    fixture.clock.set_wall(UnixTime::from_secs(NOW + 60));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn no_bound_outlives_token_or_session() {
    let fixture = fixture(config(Duration::from_secs(3_600)));
    let token = fixture.token("s", 60).await;
    let longer = fixture.sign("s", NOW + 10_000);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    assert_eq!(fixture.outcome(&longer).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(59));
    assert_eq!(fixture.outcome(&longer).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::TokenExpired));
    assert_eq!(fixture.outcome(&longer).await, Err(DenialCode::SessionExpired));
}

#[tokio::test]
async fn an_idle_session_ends_at_the_validator() {
    let fixture = usual();
    let token = fixture.cached("s", 6_000).await;
    fixture.clock.advance(Duration::from_secs(299));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    // That use is recorded in the background.
    let (user, id) = (UserId::parse("alice").unwrap(), Fixture::id("s"));
    let last_seen = async || fixture.store.inner.get(&user, &id).await.unwrap().unwrap().last_seen;
    while last_seen().await != fixture.clock.now() {
        tokio::task::yield_now().await;
    }
    fixture.clock.advance(Duration::from_secs(299));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionInactive));
}
