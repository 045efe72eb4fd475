//! Verification on threads of its own: what is known does not wait for it, and what it refuses pushes nothing out.

use std::pin::pin;

use futures_util::FutureExt as _;

use super::*;
use crate::gate::denial::Class;

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cache in front of one thread that verifies, with room for `capacity` tokens that wait for `patience`.
fn behind_one_thread(capacity: usize, patience: Duration) -> Fixture {
    let fixture = fixture(config(Duration::from_secs(60)));
    let Fixture { decisions, store, clock, signer, ring } = fixture;
    let pool = VerificationPool::with_threads(1, capacity, patience, GateMetrics::default());
    let decisions = Arc::into_inner(decisions).unwrap().with_verification_pool(pool.unwrap());
    Fixture { decisions: Arc::new(decisions), store, clock, signer, ring }
}

impl Fixture {
    /// Such a token with a signature that is not good.
    fn bad_token(&self, id: u64) -> String {
        let token = self.new_token(id);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { 'B' } else { 'A' };
        format!("{signed}.{other}{}", &signature[1..])
    }

    fn hold_up(&self) -> std::sync::mpsc::Sender<()> {
        self.decisions.pool.as_ref().unwrap().hold_up()
    }

    /// Asks over a connection, in a task of its own, and waits until the token waits to be verified.
    async fn ask_over(&self, connection: u64, token: String) -> JoinHandle<Result<(), DenialCode>> {
        let (before, decisions) = (self.decisions.waiting_verifications(), self.decisions.clone());
        let asked = tokio::spawn(async move {
            let outcome = decisions.decide(&token, &Origin::of_connection(connection)).await;
            outcome.map(|_| ()).map_err(|denial| denial.code)
        });
        while self.decisions.waiting_verifications() == before {
            tokio::task::yield_now().await;
        }
        asked
    }
}

#[tokio::test]
async fn what_is_known_is_answered_while_all_that_verifies_is_busy() {
    let fixture = behind_one_thread(8, PATIENCE);
    let known = fixture.cached("s", 600).await;
    let go = fixture.hold_up();
    let asked = fixture.ask_over(1, fixture.new_token(1)).await;
    let answer = pin!(fixture.outcome(&known)).now_or_never();
    assert_eq!(answer, Some(Ok(())), "at once");
    assert!(!asked.is_finished(), "the new one waits");
    drop(go);
    assert_eq!(asked.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_connection_that_fills_the_queue_is_refused_and_another_has_its_turn_next() {
    let fixture = behind_one_thread(4, PATIENCE);
    let go = fixture.hold_up();
    let mut flood = Vec::new();
    for id in 0..4 {
        flood.push(fixture.ask_over(1, fixture.bad_token(id)).await);
    }
    let (too_many, origin) = (fixture.bad_token(4), Origin::of_connection(1));
    let refused = fixture.decisions.decide(&too_many, &origin).await.unwrap_err();
    assert_eq!(refused.code, DenialCode::VerificationBusy);
    assert_eq!(refused.code.class(), Class::Unavailable);

    let (good, origin) = (fixture.new_token(5), Origin::of_connection(2));
    let mut good = pin!(fixture.decisions.decide(&good, &origin));
    assert!((&mut good).now_or_never().is_none(), "it has a place");
    assert_eq!(flood.pop().unwrap().await.unwrap(), Err(DenialCode::VerificationBusy));
    drop(go);
    assert!(good.await.is_ok());
    for bad in flood {
        assert_eq!(bad.await.unwrap(), Err(DenialCode::BadSignature));
    }
}

#[tokio::test]
async fn clients_behind_one_connection_are_told_apart() {
    let fixture = behind_one_thread(2, PATIENCE);
    let go = fixture.hold_up();
    let gateways = crate::wire::networks::Networks::everybody();
    let (flooding, other) = (headers_of("198.51.100.1"), headers_of("203.0.113.7"));
    let [flooding, other] = [&flooding, &other]
        .map(|headers| Origin::of_connection(1).told_by(&gateways, None, headers.into()));
    let tokens: Vec<_> = (0..3).map(|id| fixture.new_token(id)).collect();
    let mut first = pin!(fixture.decisions.decide(&tokens[0], &flooding));
    let mut second = pin!(fixture.decisions.decide(&tokens[1], &flooding));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    let mut others = pin!(fixture.decisions.decide(&tokens[2], &other));
    assert!((&mut others).now_or_never().is_none(), "it has a place");
    assert_eq!(second.await.unwrap_err().code, DenialCode::VerificationBusy);
    drop(go);
    assert!(first.await.is_ok() && others.await.is_ok());
}

fn headers_of(client: &str) -> HeaderMap {
    let value = HeaderValue::from_str(client).unwrap();
    HeaderMap::from_iter([(http::HeaderName::from_static("x-forwarded-for"), value)])
}

#[tokio::test]
async fn a_token_whose_turn_does_not_come_in_time_is_refused_and_forgotten() {
    let fixture = behind_one_thread(1, Duration::ZERO);
    let go = fixture.hold_up();
    for id in 0..3 {
        let late = fixture.outcome(&fixture.new_token(id)).await;
        assert_eq!(late, Err(DenialCode::VerificationBusy), "{id}: the one before left its place");
    }
    drop(go);
}

#[tokio::test]
async fn a_token_that_is_too_large_takes_nobodys_place() {
    let fixture = behind_one_thread(1, PATIENCE);
    let _held = fixture.hold_up();
    let huge = format!("{}{}", fixture.new_token(1), "A".repeat(8_192));
    let answer = pin!(fixture.outcome(&huge)).now_or_never();
    assert_eq!(answer, Some(Err(DenialCode::TokenTooLarge)));
}

#[tokio::test]
async fn bad_tokens_however_many_push_no_good_decision_out() {
    let fixture = fixture(config(Duration::from_secs(60)));
    let mut good = Vec::new();
    for id in 0..100 {
        good.push(fixture.cached(&format!("s{id}"), 600).await);
    }
    let reads = fixture.reads();
    for id in 0..5_000 {
        assert!(fixture.outcome(&fixture.bad_token(id)).await.is_err());
    }
    fixture.decisions.cache.run_pending_tasks();
    for token in &good {
        assert!(fixture.is_kept(token));
        assert_eq!(fixture.outcome(token).await, Ok(()));
    }
    assert_eq!(fixture.reads(), reads);
}

/// Good tokens that are used once, each time many times as many as there is room for: as a client may send who
/// has each of his requests signed anew. By recency alone every hot one would go each time.
#[tokio::test]
async fn good_tokens_that_are_used_once_push_few_out_that_are_used_often() {
    let small = CacheConfig { bytes: CACHE_BYTES / 4, ..config(Duration::from_secs(60)) };
    let fixture = fixture(small);
    let hot: Vec<_> = (0..25).map(|id| fixture.new_token(id)).collect();
    let (mut used, mut verified_again) = (1_000, 0);
    let misses = || fixture.decisions.metrics.looked_up().2;
    for round in 0..16 {
        let before = misses();
        for token in &hot {
            assert_eq!(fixture.outcome(token).await, Ok(()));
        }
        // It takes some rounds until the cache knows what is used often.
        verified_again += if round < 8 { 0 } else { misses() - before };
        for _ in 0..500 {
            used += 1;
            assert_eq!(fixture.outcome(&fixture.new_token(used)).await, Ok(()));
        }
        fixture.decisions.cache.run_pending_tasks();
    }
    assert!(fixture.decisions.size().0 < 450, "a whole round has room");
    assert!(verified_again < 40, "{verified_again} of 200 were verified again");
}

#[tokio::test]
async fn a_new_token_costs_one_question_to_the_store_and_a_known_one_none() {
    let fixture = behind_one_thread(8, PATIENCE);
    let token = fixture.token("s", 600).await;
    for _ in 0..3 {
        assert_eq!(fixture.outcome(&token).await, Ok(()));
        assert_eq!(fixture.reads(), 1);
    }
    assert!(fixture.outcome(&fixture.bad_token(1)).await.is_err());
    assert_eq!(fixture.reads(), 1, "a bad one costs none");
}
