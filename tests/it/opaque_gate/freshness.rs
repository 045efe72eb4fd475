//! The bound: how soon a change is noticed, and how many reads that costs.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portcullis::clock::{Clock as _, UnixTime};
use portcullis::gate::denial::DenialCode;
use portcullis::opaque::{OpaqueTokenStore as _, Rotation, TokenDigest};
use portcullis::session::{SessionId, SessionStore as _};
use serde_json::json;

use super::{NOW, STALENESS, Setup, fixture, usual};

#[tokio::test]
async fn what_ends_through_this_process_is_refused_at_the_very_next_request() {
    let fixture = usual();
    let (one, other) = (fixture.handle(|_| {}).await, fixture.handle(|_| {}).await);
    assert_eq!(fixture.outcome(&one).await, Ok(()));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    assert!(fixture.guarded.remove(&TokenDigest::of(&one)).await.unwrap());
    assert_eq!(fixture.outcome(&one).await, Err(DenialCode::HandleUnknown));
    assert_eq!(fixture.outcome(&other).await, Ok(()), "only that handle ended");
    let third = fixture.handle(|_| {}).await;
    assert_eq!(fixture.outcome(&third).await, Ok(()));
    let used = fixture.guarded.rotate(&TokenDigest::of(&third), fixture.clock.now(), &[]).await;
    assert_eq!(used, Ok(Rotation::Rotated));
    assert_eq!(fixture.outcome(&third).await, Err(DenialCode::HandleUnknown));
    let sessions = fixture.gate.decisions().sessions();
    sessions.revoke(&SessionId::parse("s").unwrap()).await.unwrap();
    assert_eq!(fixture.outcome(&other).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_ends_elsewhere_is_refused_at_the_bound() {
    let fixture = usual();
    let (one, other) = (fixture.handle(|_| {}).await, fixture.handle(|_| {}).await);
    assert_eq!(fixture.outcome(&one).await, Ok(()));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    assert!(fixture.tokens.inner.remove(&TokenDigest::of(&one)).await.unwrap());
    // In the last quarter of the bound the stores are asked again.
    fixture.clock.advance(STALENESS * 3 / 4 - Duration::from_millis(1));
    assert_eq!(fixture.outcome(&one).await, Ok(()));
    fixture.clock.advance(STALENESS / 4 + Duration::from_millis(1));
    assert_eq!(fixture.outcome(&one).await, Err(DenialCode::HandleUnknown));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    fixture.sessions.revoke(&SessionId::parse("s").unwrap()).await.unwrap();
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome(&other).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn with_the_store_down_a_yes_lasts_until_the_bound_and_no_longer() {
    for is_silent in [false, true] {
        let timeout = Duration::from_millis(if is_silent { 50 } else { 10_000 });
        let fixture = fixture(Setup { timeout, ..Setup::default() });
        let (known, unknown) = (fixture.handle(|_| {}).await, fixture.handle(|_| {}).await);
        assert_eq!(fixture.outcome(&known).await, Ok(()));
        if is_silent {
            fixture.faults.hold("tokens.get");
        } else {
            fixture.faults.fail("tokens.");
        }
        assert_eq!(fixture.outcome(&known).await, Ok(()));
        let (verdict, answer) = fixture.as_bearer(&unknown).await;
        assert_eq!(verdict.denied(), Some(DenialCode::StoreUnavailable));
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        fixture.clock.advance(STALENESS);
        assert_eq!(fixture.outcome(&known).await, Err(DenialCode::StoreUnavailable));
        fixture.faults.recover();
        assert_eq!(fixture.outcome(&known).await, Ok(()));
        assert_eq!(fixture.outcome(&unknown).await, Ok(()));
    }
}

#[tokio::test]
async fn a_handle_ends_without_leeway_and_lives_on_where_it_was_extended() {
    let fixture = fixture(Setup { staleness: Duration::from_secs(3_600), ..Setup::default() });
    let handle = fixture.handle(|_| {}).await;
    assert_eq!(fixture.outcome(&handle).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(599));
    // Elsewhere, so that nothing here knows.
    let later = UnixTime::from_secs(NOW + 1_200);
    fixture.tokens.inner.extend(&TokenDigest::of(&handle), later, None).await.unwrap();
    assert_eq!(fixture.outcome(&handle).await, Ok(()));
    assert_eq!(fixture.reads(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.outcome(&handle).await, Ok(()));
    assert_eq!(fixture.reads(), 2, "the end that was known has passed, so the store was asked");
    fixture.clock.advance(Duration::from_secs(599));
    assert_eq!(fixture.outcome(&handle).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.outcome(&handle).await, Err(DenialCode::TokenExpired));
}

#[tokio::test]
async fn without_a_bound_every_request_asks_the_store() {
    let fixture = fixture(Setup { staleness: Duration::ZERO, ..Setup::default() });
    let handle = fixture.handle(|_| {}).await;
    for _ in 0..3 {
        assert_eq!(fixture.outcome(&handle).await, Ok(()));
    }
    assert_eq!(fixture.reads(), 3);
    fixture.tokens.inner.remove(&TokenDigest::of(&handle)).await.unwrap();
    assert_eq!(fixture.outcome(&handle).await, Err(DenialCode::HandleUnknown));
}

#[tokio::test]
async fn a_change_during_a_read_is_not_overlooked() {
    let fixture = Arc::new(usual());
    let handle = fixture.handle(|_| {}).await;
    fixture.faults.hold("tokens.get");
    let asked = tokio::spawn({
        let (fixture, handle) = (fixture.clone(), handle.clone());
        async move { fixture.upstream(&handle).await }
    });
    fixture.faults.held().await;
    // The read has its answer, which is the old one, and has not handed it out.
    let end = UnixTime::from_secs(NOW + 700);
    let digest = TokenDigest::of(&handle);
    assert!(fixture.guarded.extend(&digest, end, None).await.unwrap());
    fixture.faults.recover();
    assert_eq!(fixture.claim(&asked.await.unwrap(), "exp"), json!(NOW + 700));
    assert_eq!(fixture.claim(&fixture.upstream(&handle).await, "exp"), json!(NOW + 700));
}

#[tokio::test]
async fn many_who_come_with_a_handle_at_once_cost_one_read() {
    let fixture = Arc::new(usual());
    let handle = fixture.handle(|_| {}).await;
    fixture.faults.hold("tokens.get");
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let (fixture, handle) = (fixture.clone(), handle.clone());
            tokio::spawn(async move { fixture.outcome(&handle).await })
        })
        .collect();
    fixture.faults.held().await;
    fixture.faults.recover();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    assert_eq!(fixture.reads(), 1);
}
