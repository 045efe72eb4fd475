//! Revocations, here and elsewhere, and when a cached decision ends by them.

use super::*;

#[tokio::test]
async fn what_this_process_revoked_is_refused_at_the_very_next_request() {
    let fixture = usual();
    let (one, other) = (fixture.cached("one", 600).await, fixture.cached("other", 600).await);
    fixture.decisions.sessions().revoke(&Fixture::id("one")).await.unwrap();
    assert_eq!(fixture.outcome(&one).await, Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    let alice = UserId::parse("alice").unwrap();
    fixture.decisions.sessions().revoke_user(&alice).await.unwrap();
    assert_eq!(fixture.outcome(&other).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_was_revoked_elsewhere_is_refused_at_the_bound() {
    let fixture = usual();
    let token = fixture.cached("s", 600).await;
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    // Up to a quarter before the bound the store is asked again.
    fixture.clock.advance(Duration::from_millis(749));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(Duration::from_millis(251));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn what_was_revoked_elsewhere_is_refused_as_soon_as_that_is_heard() {
    let fixture = usual();
    let (one, other) = (fixture.cached("one", 600).await, fixture.cached("other", 600).await);
    fixture.store.inner.revoke(&Fixture::id("one")).await.unwrap();
    fixture.on_invalidation(InvalidationEvent::Changed(b"session:other"));
    assert_eq!(fixture.outcome(&one).await, Ok(()), "no event named it");
    fixture.on_invalidation(InvalidationEvent::Changed(b"session:one"));
    assert_eq!(fixture.outcome(&one).await, Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    fixture.on_invalidation(InvalidationEvent::Changed(b"\xff is no name of ours"));
    assert_eq!((fixture.reads(), fixture.outcome(&other).await), (4, Ok(())));
}

#[tokio::test]
async fn where_something_may_have_been_missed_each_session_is_read_once() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    for reads in [1, 2, 3] {
        for _ in 0..5 {
            assert_eq!(fixture.outcome(&token).await, Ok(()));
        }
        assert_eq!(fixture.reads(), reads);
        fixture.on_invalidation(InvalidationEvent::Lost);
    }
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.decisions.metrics.looked_up().2, 1, "the signature was checked once");
}

#[tokio::test]
async fn a_revocation_during_a_read_is_not_overlooked() {
    let fixture = usual();
    let token = fixture.token("s", 600).await;
    fixture.store.may_answer.forget_permits(1);
    let asked = fixture.ask(&token);
    fixture.wait_for_read().await;
    // The read has its answer, which is a yes, and has not handed it out.
    fixture.decisions.sessions().revoke(&Fixture::id("s")).await.unwrap();
    fixture.store.may_answer.add_permits(1);
    assert_eq!(asked.await.unwrap(), Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn without_a_bound_no_answer_is_older_than_its_question() {
    let fixture = fixture(config(Duration::ZERO));
    let token = fixture.token("s", 600).await;
    fixture.store.may_answer.forget_permits(1);
    let early = fixture.ask(&token);
    fixture.wait_for_read().await;
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    fixture.clock.advance(Duration::from_millis(1));
    // This one was asked after the revocation, while the read from before it is under way.
    let late = fixture.ask(&token);
    tokio::task::yield_now().await;
    fixture.store.may_answer.add_permits(1);
    assert_eq!(early.await.unwrap(), Ok(()));
    assert_eq!(late.await.unwrap(), Err(DenialCode::SessionUnknown));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}
