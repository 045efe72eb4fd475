//! Cached decisions while the store gives no answer.

use super::*;

#[tokio::test]
async fn suspect_and_without_the_store_a_yes_lasts_as_long_as_the_operator_says() {
    for (stale_if_error, lasts) in [(STALENESS, 999), (Duration::ZERO, 0), (STALENESS * 60, 59_999)]
    {
        let fixture = fixture(CacheConfig { stale_if_error, ..config(STALENESS) });
        let token = fixture.cached("s", 600).await;
        fixture.store.is_down.store(true, Ordering::SeqCst);
        fixture.on_invalidation(InvalidationEvent::Lost);
        let answers = if lasts > 0 { Ok(()) } else { Err(DenialCode::StoreUnavailable) };
        assert_eq!(fixture.outcome(&token).await, answers, "{stale_if_error:?}");
        fixture.clock.advance(Duration::from_millis(lasts));
        assert_eq!(fixture.outcome(&token).await, answers, "{stale_if_error:?}");
        fixture.clock.advance(Duration::from_millis(1));
        assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
    }
}

#[tokio::test]
async fn what_is_known_to_have_changed_is_not_believed_without_the_store() {
    let stale_if_error = Duration::from_secs(600);
    let fixture = fixture(CacheConfig { stale_if_error, ..config(STALENESS) });
    let token = fixture.cached("s", 600).await;
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.on_invalidation(InvalidationEvent::Changed(b"session:s"));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn without_the_store_nothing_outlives_the_session_or_the_token() {
    let stale_if_error = Duration::from_secs(600);
    let fixture = fixture(CacheConfig { stale_if_error, ..config(STALENESS) });
    let (short, shorter) = (fixture.token("s", 60).await, fixture.sign("s", NOW + 30));
    let longer = fixture.sign("s", NOW + 10_000);
    for token in [&short, &shorter, &longer] {
        assert_eq!(fixture.outcome(token).await, Ok(()));
    }
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.outcome(&shorter).await, Err(DenialCode::TokenExpired));
    assert_eq!(fixture.outcome(&longer).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(fixture.outcome(&longer).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn a_store_that_hangs_is_waited_for_no_longer_than_a_gateway_waits() {
    let store_timeout = Duration::from_millis(20);
    let fixture = fixture(CacheConfig { store_timeout, ..config(STALENESS) });
    let (known, new) = (fixture.cached("known", 600).await, fixture.token("new", 600).await);
    fixture.store.may_answer.forget_permits(1);
    fixture.on_invalidation(InvalidationEvent::Lost);
    assert_eq!(fixture.outcome(&known).await, Ok(()), "it was read within the bound");
    assert_eq!(fixture.outcome(&new).await, Err(DenialCode::StoreUnavailable));
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&known).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn with_the_store_down_a_yes_lasts_until_the_bound_and_no_longer() {
    let fixture = usual();
    let token = fixture.cached("s", 600).await;
    fixture.store.is_down.store(true, Ordering::SeqCst);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(STALENESS);
    for _ in 0..3 {
        assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
    }
    fixture.store.is_down.store(false, Ordering::SeqCst);
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    assert_eq!(fixture.decisions.metrics.looked_up().2, 1, "the signature was checked once");
}
