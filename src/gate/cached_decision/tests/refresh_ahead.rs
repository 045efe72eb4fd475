//! Sessions in use, which are read again before a request has to wait for it.

use super::*;

/// A fixture that refreshes ahead, on a clock that stands still while somebody has something to do.
fn refreshing() -> Fixture {
    let fixture = fixture(config(Duration::from_secs(8)));
    let Fixture { decisions, .. } = fixture;
    let decisions = Arc::into_inner(decisions).expect("nobody else has it").refreshing_ahead();
    Fixture { decisions, ..fixture }
}

impl Fixture {
    /// Lets all that waits for a moment go on.
    async fn pass_a_moment(&self) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// A hit when each reading is due that was made now, and none is too old; and what follows from it.
    async fn hit_when_due(&self, token: &str) {
        self.clock.advance(Duration::from_secs(6));
        assert_eq!(self.outcome(token).await, Ok(()));
        self.pass_a_moment().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_in_use_is_read_again_before_a_request_waits_for_it() {
    let fixture = refreshing();
    let token = fixture.cached("s", 600).await;
    for _ in 0..20 {
        fixture.clock.advance(Duration::from_millis(500));
        assert_eq!(fixture.outcome(&token).await, Ok(()));
        fixture.pass_a_moment().await;
    }
    let (hits, rechecks, misses) = fixture.decisions.metrics.looked_up();
    assert_eq!((hits, rechecks, misses), (21, 0, 1), "no request waited");
    assert_eq!(fixture.decisions.metrics.refreshes.get(), fixture.reads() - 1);
    assert!((1..=2).contains(&(fixture.reads() - 1)), "{} reads in ten seconds", fixture.reads());
}

#[tokio::test(start_paused = true)]
async fn many_sessions_are_read_by_few_questions() {
    let fixture = refreshing();
    let mut tokens = Vec::new();
    for n in 0..100 {
        tokens.push(fixture.cached(&format!("s{n}"), 600).await);
    }
    let before = fixture.reads();
    // All are due, and none is too old.
    fixture.clock.advance(Duration::from_secs(6));
    for token in &tokens {
        assert_eq!(fixture.outcome(token).await, Ok(()));
        assert_eq!(fixture.outcome(token).await, Ok(()));
    }
    fixture.pass_a_moment().await;
    assert_eq!(fixture.reads() - before, 7, "16 at once");
    assert_eq!(fixture.decisions.metrics.refreshes.get(), 100);
    fixture.clock.advance(Duration::from_secs(6));
    for token in &tokens {
        assert_eq!(fixture.outcome(token).await, Ok(()));
    }
    assert_eq!(fixture.decisions.metrics.looked_up().1, 0, "no request waited");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_found_dead_ahead_of_time_is_refused_at_once() {
    let fixture = refreshing();
    let token = fixture.cached("s", 600).await;
    // By somebody who tells nobody.
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    fixture.hit_when_due(&token).await;
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_stretches_no_bound() {
    let fixture = refreshing();
    let token = fixture.cached("s", 600).await;
    fixture.store.is_down.store(true, Ordering::SeqCst);
    fixture.clock.advance(Duration::from_secs(6));
    for _ in 0..5 {
        assert_eq!(fixture.outcome(&token).await, Ok(()), "it is not too old yet");
        fixture.pass_a_moment().await;
    }
    assert_eq!(fixture.reads(), 2, "it is tried once");
    fixture.clock.advance(Duration::from_secs(2));
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::StoreUnavailable));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_a_revocation_overtakes_lets_nobody_in() {
    let fixture = refreshing();
    let token = fixture.cached("s", 600).await;
    fixture.store.may_answer.forget_permits(1);
    fixture.hit_when_due(&token).await;
    assert_eq!(fixture.reads(), 2, "it waits for its answer");
    fixture.decisions.sessions().revoke(&Fixture::id("s")).await.unwrap();
    fixture.store.may_answer.add_permits(1);
    fixture.pass_a_moment().await;
    assert_eq!(fixture.outcome(&token).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test(start_paused = true)]
async fn what_a_session_is_found_to_say_anew_is_in_the_next_answer() {
    let fixture = refreshing();
    let token = fixture.cached("s", 600).await;
    fixture.rename("s", "Alice").await;
    let name = async || {
        let decision = fixture.decisions.decide(&token, &Origin::of_connection(0)).await.unwrap();
        decision.session.as_ref().unwrap().claims.get("name").cloned()
    };
    fixture.clock.advance(Duration::from_secs(6));
    assert_eq!(name().await, None);
    fixture.pass_a_moment().await;
    assert_eq!(name().await, Some(json!("Alice")));
}

#[tokio::test(start_paused = true)]
async fn all_tokens_of_a_session_that_is_found_dead_are_refused() {
    let fixture = refreshing();
    let tokens = [fixture.cached("s", 600).await, fixture.sign("s", NOW + 500)];
    fixture.clock.advance(Duration::from_secs(3));
    assert_eq!(fixture.outcome(&tokens[1]).await, Ok(()), "it was read later than the other one");
    fixture.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    fixture.clock.advance(Duration::from_secs(3));
    assert_eq!(fixture.outcome(&tokens[0]).await, Ok(()));
    fixture.pass_a_moment().await;
    for token in &tokens {
        assert_eq!(fixture.outcome(token).await, Err(DenialCode::SessionUnknown));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_request_has_read_meanwhile_is_not_read_again() {
    let fixture = refreshing();
    let token = fixture.cached("s", 600).await;
    fixture.clock.advance(Duration::from_secs(6));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    // Before the queue is looked at, it is too old, and is read by a request.
    fixture.clock.advance(Duration::from_secs(2));
    assert_eq!(fixture.outcome(&token).await, Ok(()));
    fixture.pass_a_moment().await;
    assert_eq!((fixture.reads(), fixture.decisions.metrics.refreshes.get()), (2, 0));
}
