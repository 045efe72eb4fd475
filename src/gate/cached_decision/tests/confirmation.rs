//! Readings that a source of invalidations confirms: it told of all that had changed, and nothing of their sessions.

use super::*;
use crate::clock::UnixTime;

/// The bound. Uses of sessions are recorded every five seconds where the inactivity limit is 300.
const BOUND: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);

fn followed() -> Fixture {
    fixture(config(BOUND))
}

impl Fixture {
    /// Asks the store what changed, and is told all of it.
    fn is_told_all(&self) {
        self.on_invalidation(InvalidationEvent::Asked);
        self.on_invalidation(InvalidationEvent::Complete);
    }

    /// Lets a token pass without a reading.
    async fn confirms(&self, token: &str) {
        let reads = self.reads();
        assert_eq!((self.outcome(token).await, self.reads()), (Ok(()), reads));
    }
}

/// The interval between two notes of a use, where the inactivity limit is that of the fixture.
const TOUCHED_EVERY: u64 = 5;

#[tokio::test]
async fn what_the_store_says_nothing_of_is_read_when_its_use_is_to_be_noted_and_not_before() {
    let fixture = followed();
    let token = fixture.cached("s", 600).await;
    let (mut reads, mut noted) = (fixture.reads(), fixture.clock.now());
    for _ in 0..40 {
        fixture.clock.advance(SECOND / 2);
        fixture.is_told_all();
        assert_eq!(fixture.outcome(&token).await, Ok(()));
        if fixture.reads() > reads {
            reads += 1;
            let since = fixture.clock.now().since(noted).as_secs();
            assert!((TOUCHED_EVERY..=TOUCHED_EVERY + 4).contains(&since), "{since} s");
            noted = fixture.clock.now();
            fixture.decisions.sessions().close().await;
            let user = UserId::parse("alice").unwrap();
            let kept = fixture.store.inner.get(&user, &Fixture::id("s")).await.unwrap().unwrap();
            assert_eq!(kept.last_seen, noted);
        }
    }
    assert!(reads >= 3, "{reads} reads in 20 seconds");
    assert!(fixture.decisions.metrics.confirmations.get() >= 6);
}

/// However much later it is asked for: what was not in use is confirmed as well, unless it was read too long ago.
#[tokio::test]
async fn what_was_not_in_use_is_confirmed_too_and_not_for_ever() {
    let fixture = followed();
    let token = fixture.cached("s", 600).await;
    fixture.clock.advance(BOUND);
    fixture.is_told_all();
    fixture.clock.advance(SECOND);
    assert_eq!((fixture.outcome(&token).await, fixture.reads()), (Ok(()), 1));
    fixture.clock.advance(Duration::from_secs(TOUCHED_EVERY));
    fixture.is_told_all();
    assert_eq!((fixture.outcome(&token).await, fixture.reads()), (Ok(()), 2));
}

#[tokio::test]
async fn without_an_answer_the_bound_holds_from_the_last_question_that_had_one() {
    let fixture = followed();
    let token = fixture.cached("s", 600).await;
    fixture.clock.advance(SECOND);
    fixture.is_told_all();
    fixture.clock.advance(SECOND);
    // A question alone says nothing.
    fixture.on_invalidation(InvalidationEvent::Asked);
    assert_eq!((fixture.outcome(&token).await, fixture.reads()), (Ok(()), 1));
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.clock.advance(SECOND);
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
}

/// Whatever the source says: a store that gives no answer about sessions counts as down.
#[tokio::test]
async fn nothing_is_confirmed_while_the_store_is_silent() {
    let fixture = followed();
    let token = fixture.cached("s", 600).await;
    let other = fixture.token("other", 600).await;
    fixture.store.is_down.store(true, Ordering::SeqCst);
    assert_eq!(fixture.outcome(&other).await, Err(DenialCode::StoreUnavailable));
    fixture.clock.advance(BOUND);
    fixture.is_told_all();
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
    fixture.store.is_down.store(false, Ordering::SeqCst);
    assert_eq!(fixture.outcome(&other).await, Ok(()));
    fixture.is_told_all();
    fixture.confirms(&token).await;
}

#[tokio::test]
async fn a_session_that_cannot_be_read_keeps_no_other_from_being_confirmed() {
    let fixture = followed();
    let token = fixture.cached("s", 600).await;
    let damaged = fixture.token("unreadable", 600).await;
    assert_eq!(fixture.outcome(&damaged).await, Err(DenialCode::StoreUnavailable));
    fixture.clock.advance(BOUND);
    fixture.is_told_all();
    fixture.confirms(&token).await;
}

#[tokio::test]
async fn an_answer_says_nothing_of_the_time_since_its_question() {
    let fixture = followed();
    let token = fixture.cached("s", 600).await;
    fixture.clock.advance(SECOND / 2);
    fixture.on_invalidation(InvalidationEvent::Asked);
    fixture.clock.advance(SECOND * 3);
    fixture.on_invalidation(InvalidationEvent::Complete);
    assert_eq!((fixture.outcome(&token).await, fixture.reads()), (Ok(()), 2));
}

#[tokio::test]
async fn what_the_store_says_something_of_is_asked_for_and_so_is_all_after_a_loss() {
    for event in [InvalidationEvent::Changed(b"session:s"), InvalidationEvent::Lost] {
        let fixture = followed();
        let token = fixture.cached("s", 600).await;
        // By another process.
        fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
        fixture.clock.advance(BOUND);
        fixture.on_invalidation(InvalidationEvent::Asked);
        fixture.on_invalidation(event);
        fixture.on_invalidation(InvalidationEvent::Complete);
        assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown), "{event:?}");
    }
}

#[tokio::test]
async fn a_host_that_slept_believes_no_answer_of_before() {
    let fixture = followed();
    let token = fixture.cached("s", 600).await;
    fixture.clock.advance(BOUND);
    fixture.is_told_all();
    // The monotonic clock stands still meanwhile.
    fixture.clock.set_wall(UnixTime::from_secs(NOW + 60));
    assert_eq!((fixture.outcome(&token).await, fixture.reads()), (Ok(()), 2));
}

#[tokio::test]
async fn a_host_that_slept_finds_what_nobody_used_meanwhile_over() {
    let fixture = followed();
    let token = fixture.cached("s", 600).await;
    fixture.clock.advance(BOUND);
    fixture.clock.set_wall(UnixTime::from_secs(NOW + 400));
    fixture.is_told_all();
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionInactive));
}

/// A reading that may have missed something is believed while the store gives no answer, as it was read and no longer.
#[tokio::test]
async fn what_is_suspect_is_not_confirmed() {
    let stale_if_error = BOUND * 3;
    let fixture = fixture(CacheConfig { stale_if_error, ..config(BOUND) });
    let token = fixture.cached("s", 600).await;
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.on_invalidation(InvalidationEvent::Lost);
    fixture.clock.advance(BOUND);
    fixture.is_told_all();
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.clock.advance(BOUND * 2);
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn the_end_of_a_session_and_its_rest_are_not_put_off() {
    let fixture = followed();
    fixture.token("ends", 4).await;
    let ends = fixture.sign("ends", NOW + 600);
    assert_eq!(fixture.outcome(&ends).await, Ok(()));
    let rests = fixture.cached("rests", 900).await;
    for _ in 0..4 {
        fixture.clock.advance(SECOND);
        fixture.is_told_all();
    }
    assert_eq!(fixture.outcome(&ends).await, Err(DenialCode::SessionExpired));
    // It was read 304 seconds ago, and its inactivity limit is 300.
    fixture.clock.advance(Duration::from_secs(300));
    fixture.is_told_all();
    assert_eq!(fixture.outcome(&rests).await, Err(DenialCode::SessionInactive));
}

#[tokio::test]
async fn a_bound_of_nothing_asks_every_time() {
    let fixture = fixture(config(Duration::ZERO));
    let token = fixture.token("s", 600).await;
    for asked in 1..=5 {
        fixture.is_told_all();
        assert_eq!((fixture.outcome(&token).await, fixture.reads()), (Ok(()), asked));
    }
}
