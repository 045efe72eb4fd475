//! Sessions of many tokens that are asked for at once.

use futures_util::FutureExt as _;

use super::*;

impl Fixture {
    /// The outcomes for all these tokens, asked for at once.
    async fn outcomes(&self, tokens: &[String]) -> Vec<Result<(), DenialCode>> {
        let asked: Vec<_> = tokens.iter().map(|token| self.ask(token)).collect();
        let mut outcomes = Vec::new();
        for asked in asked {
            outcomes.push(asked.await.expect("task"));
        }
        outcomes
    }

    async fn tokens(&self, sessions: impl Iterator<Item = String>) -> Vec<String> {
        let mut tokens = Vec::new();
        for session in sessions {
            tokens.push(self.token(&session, 600).await);
        }
        tokens
    }
}

#[tokio::test]
async fn sessions_that_are_asked_for_at_once_are_one_question_to_the_store() {
    for (tokens, questions) in [(1, 1), (100, 1), (256, 1), (257, 2), (600, 3)] {
        let fixture = usual();
        let tokens = fixture.tokens((0..tokens).map(|n| format!("s{n}"))).await;
        assert!(fixture.outcomes(&tokens).await.iter().all(Result::is_ok));
        assert_eq!(fixture.reads(), questions, "{} tokens", tokens.len());
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_read_keeps_no_other() {
    let fixture = usual();
    let sessions = ["s1", "unreadable", "s2", "s3"].map(str::to_owned);
    let mut tokens = fixture.tokens(sessions.into_iter()).await;
    tokens.push(fixture.sign("unknown", NOW + 600));
    let outcomes = fixture.outcomes(&tokens).await;
    let refused = [Err(DenialCode::StoreUnavailable), Err(DenialCode::SessionUnknown)];
    assert_eq!(outcomes, [Ok(()), refused[0], Ok(()), Ok(()), refused[1]]);
    assert_eq!(fixture.reads(), 1);
}

#[tokio::test]
async fn a_store_that_is_down_denies_all_of_them() {
    let fixture = usual();
    let tokens = fixture.tokens((0..50).map(|n| format!("s{n}"))).await;
    fixture.store.is_down.store(true, Ordering::SeqCst);
    let outcomes = fixture.outcomes(&tokens).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Err(DenialCode::StoreUnavailable)));
    assert_eq!(fixture.reads(), 1);
    fixture.store.is_down.store(false, Ordering::SeqCst);
    assert!(fixture.outcomes(&tokens).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_store_that_failed_just_now_is_asked_for_few_at_once() {
    let fixture = usual();
    let tokens = fixture.tokens((0..21).map(|n| format!("s{n}"))).await;
    fixture.store.is_down.store(true, Ordering::SeqCst);
    for _ in 0..8 {
        assert_eq!(fixture.outcome(&tokens[0]).await, Err(DenialCode::StoreUnavailable));
    }
    fixture.store.is_down.store(false, Ordering::SeqCst);
    fixture.clock.advance(Duration::from_millis(100));
    assert_eq!(fixture.outcome(&tokens[0]).await, Ok(()), "the trial");
    assert!(fixture.outcomes(&tokens[1..]).await.iter().all(Result::is_ok));
    assert_eq!(fixture.reads(), 8 + 1 + 3, "eight sessions in a question at most");
}

#[tokio::test]
async fn nobody_asks_for_those_who_gave_up() {
    let fixture = usual();
    let (user, id) = (UserId::parse("alice").unwrap(), Fixture::id("s"));
    let mut asked = Box::pin(fixture.decisions.sessions().live(&user, &id));
    assert!((&mut asked).now_or_never().is_none());
    drop(asked);
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.reads(), 0);
}

#[tokio::test]
async fn who_gives_up_takes_nobody_with_him() {
    let fixture = usual();
    let tokens = fixture.tokens((0..2).map(|n| format!("s{n}"))).await;
    fixture.store.may_answer.forget_permits(1);
    let [gone, stays] = [0, 1].map(|n| fixture.ask(&tokens[n]));
    fixture.wait_for_read().await;
    gone.abort();
    assert!(gone.await.is_err());
    fixture.store.may_answer.add_permits(1);
    assert_eq!(stays.await.expect("task"), Ok(()));
    assert_eq!(fixture.reads(), 1);
}
