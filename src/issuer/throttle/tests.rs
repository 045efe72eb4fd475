//! Tests of what is counted, and of what it comes to.

use super::*;
use crate::clock::{ManualClock, UnixTime};
use crate::store::records::{MemoryRecordStore, Records};
use crate::store::{StoreKind, StoreMetrics};

const RIGHT: Result<(), IssueError> = Ok(());
const WRONG: Result<(), IssueError> = Err(IssueError::InvalidGrant);

fn unavailable() -> IssueError {
    StoreError::TimedOut.into()
}

/// Three attempts of a name, and two checks of an address at once.
fn throttle() -> Throttle {
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_800_000_000)));
    let records = Records::new(
        Arc::new(MemoryRecordStore::new()),
        Duration::from_secs(60),
        clock.clone(),
        StoreMetrics::unregistered(StoreKind::Limits),
    );
    let lock_time = Duration::from_secs(900);
    let config = ThrottleConfig { enabled: true, per_minute: 4, lock_tries: 3, lock_time };
    Throttle::new(Limits::new(records), config, clock)
}

#[tokio::test]
async fn only_a_refusal_is_counted_and_the_last_one_locks() {
    let (throttle, name) = (throttle(), AttemptName::written("alice"));
    let attempt = async |outcome: Result<(), IssueError>| {
        let counted = throttle.counted(&name, TooEarly::RetryAfter, async { outcome }).await;
        (counted.outcome, counted.locks)
    };
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(attempt(WRONG).await, (WRONG, false));
        }
        for error in [unavailable(), IssueError::Busy, IssueError::InvalidScope] {
            assert_eq!(attempt(Err(error.clone())).await, (Err(error), false));
        }
        assert_eq!(attempt(RIGHT).await, (RIGHT, false), "which forgets the others");
    }
    for locks in [false, false, true] {
        assert_eq!(attempt(WRONG).await, (WRONG, locks));
    }
    assert!(matches!(attempt(RIGHT).await, (Err(IssueError::SlowDown(_)), false)));
}

#[tokio::test]
async fn what_comes_too_early_for_a_shared_count_is_checked_and_refused_as_wrong() {
    let (throttle, name) = (throttle(), AttemptName::user("a1"));
    let checks = std::sync::atomic::AtomicU32::new(0);
    let attempt = async |outcome: Result<(), IssueError>| {
        let check = async {
            checks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            outcome
        };
        throttle.counted(&name, TooEarly::RefusedAsWrong, check).await.outcome
    };
    for _ in 0..3 {
        assert_eq!(attempt(WRONG).await, WRONG);
    }
    for (outcome, told) in
        [(RIGHT, WRONG), (WRONG, WRONG), (Err(unavailable()), Err(unavailable()))]
    {
        assert_eq!(attempt(outcome).await, told);
    }
    assert_eq!(checks.into_inner(), 6, "all cost a check");
}

#[tokio::test]
async fn a_budget_pays_for_what_was_checked() {
    let (throttle, caller) = (throttle(), Caller::default());
    let ask = async |is_random, outcome: Result<(), IssueError>| {
        throttle.secret(is_random, &caller, async { outcome }).await
    };
    for _ in 0..9 {
        assert_eq!(ask(false, RIGHT).await, RIGHT);
        assert_eq!(ask(true, RIGHT).await, RIGHT);
        let unavailable = Err(unavailable());
        assert_eq!(ask(false, unavailable.clone()).await, unavailable);
        assert_eq!(ask(true, unavailable.clone()).await, unavailable);
    }
    assert_eq!(ask(false, WRONG).await, WRONG);
    assert_eq!(ask(true, WRONG).await, WRONG);
    for outcome in [ask(false, RIGHT).await, ask(false, WRONG).await, ask(true, WRONG).await] {
        assert!(matches!(outcome, Err(IssueError::SlowDown(_))), "{outcome:?}");
    }
    assert_eq!(ask(true, RIGHT).await, RIGHT);
    let dear = throttle.within_budget(&caller, Success::Costs, async { RIGHT }).await;
    assert!(matches!(dear, Err(IssueError::SlowDown(_))), "{dear:?}");
}

#[test]
fn delays_grow_and_end_with_the_lock() {
    let config = ThrottleConfig {
        enabled: true,
        per_minute: 60,
        lock_tries: 6,
        lock_time: Duration::from_secs(900),
    };
    let seconds: Vec<f64> = delays(&config).iter().map(Duration::as_secs_f64).collect();
    assert_eq!(seconds, [0.0, 0.0, 0.0, 1.0, 1.5, 2.25, 900.0]);
}

#[test]
fn an_ipv6_customer_is_one_network_and_a_mapped_address_is_the_mapped_one() {
    let of = |text: &str| network(text.parse().expect("an address"));
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
}
