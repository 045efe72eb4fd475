//! Tests of opening, of what passes a breaker that is open, and of closing.

use super::Priority::{Known, Unknown};
use super::*;
use crate::clock::{ManualClock, UnixTime};

fn breaker() -> (Arc<ManualClock>, Arc<CircuitBreaker>) {
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1)));
    (clock.clone(), Arc::new(CircuitBreaker::new(clock)))
}

async fn acquire(breaker: &CircuitBreaker) -> Result<(), Rejected> {
    breaker.acquire(Known).await.map(drop)
}

fn fail(breaker: &CircuitBreaker, times: u32) -> u32 {
    (0..times).map(|_| u32::from(breaker.record_failure())).sum()
}

#[tokio::test]
async fn a_store_that_fails_half_of_the_time_is_left_alone_for_a_while() {
    let (clock, breaker) = breaker();
    for _ in 0..7 {
        breaker.record_success();
        assert!(!breaker.record_failure());
    }
    assert_eq!(acquire(&breaker).await, Ok(()));
    assert_eq!(fail(&breaker, 1), 1, "that it opens is said once");
    assert_eq!(acquire(&breaker).await, Err(Rejected::Open));
    assert_eq!(fail(&breaker, 5), 0, "those in flight change nothing");
    breaker.record_success();
    assert_eq!(acquire(&breaker).await, Err(Rejected::Open), "nor does an answer to one of them");
    clock.advance(MIN_OPEN);
    assert_eq!(acquire(&breaker).await, Ok(()));
}

#[tokio::test]
async fn half_open_one_tries_and_the_others_are_rejected_at_once() {
    let (clock, breaker) = breaker();
    fail(&breaker, FAILURE_THRESHOLD);
    clock.advance(MIN_OPEN);
    let trial = breaker.acquire(Known).await.expect("the trial");
    assert_eq!(acquire(&breaker).await, Err(Rejected::Open));
    breaker.record_success();
    drop(trial);
    assert!(breaker.lock().open.is_none());
    let mut inside = Vec::new();
    for _ in 0..LIMIT_AFTER_OPEN {
        inside.push(breaker.acquire(Known).await.expect("below the limit"));
    }
    assert!(breaker.try_acquire(Known).expect("open").is_none(), "it starts with a low limit");
    breaker.record_success();
    assert!(breaker.try_acquire(Known).expect("open").is_some(), "every answer raises the limit");
}

#[tokio::test]
async fn the_time_open_grows_while_trials_fail_and_is_bounded() {
    let (clock, breaker) = breaker();
    fail(&breaker, FAILURE_THRESHOLD);
    for expected in [100, 200, 400, 800, 800] {
        clock.advance(Duration::from_millis(expected - 1));
        assert_eq!(acquire(&breaker).await, Err(Rejected::Open), "{expected}");
        clock.advance(Duration::from_millis(1));
        let trial = breaker.acquire(Known).await.expect("a trial");
        breaker.record_failure();
        drop(trial);
    }
}

#[tokio::test]
async fn those_without_a_permit_wait_in_a_bounded_queue_and_are_rejected_when_it_opens() {
    let (_, breaker) = breaker();
    let mut inside = Vec::new();
    for _ in 0..MAX_LIMIT {
        inside.push(breaker.acquire(Known).await.expect("a permit"));
    }
    let waiting: Vec<_> = (0..MAX_WAITING)
        .map(|_| {
            let breaker = breaker.clone();
            tokio::spawn(async move { acquire(&breaker).await })
        })
        .collect();
    while breaker.lock().waiting[0] < MAX_WAITING {
        tokio::task::yield_now().await;
    }
    assert_eq!(acquire(&breaker).await, Err(Rejected::Saturated));
    inside.pop();
    while breaker.lock().waiting[0] > 0 {
        // Each gives its permit back at once, so all get one.
        tokio::task::yield_now().await;
    }
    for task in waiting {
        assert_eq!(task.await.expect("task"), Ok(()));
    }
    inside.push(breaker.acquire(Known).await.expect("a permit"));
    let late = tokio::spawn({
        let breaker = breaker.clone();
        async move { acquire(&breaker).await }
    });
    while breaker.lock().waiting[0] == 0 {
        tokio::task::yield_now().await;
    }
    fail(&breaker, FAILURE_THRESHOLD);
    assert_eq!(late.await.expect("task"), Err(Rejected::Open));
}

#[tokio::test]
async fn who_gives_up_leaves_the_queue_and_takes_no_permit_along() {
    let (_, breaker) = breaker();
    let mut inside = Vec::new();
    for _ in 0..MAX_LIMIT {
        inside.push(breaker.acquire(Known).await.expect("a permit"));
    }
    let impatient = tokio::time::timeout(Duration::ZERO, breaker.acquire(Known)).await;
    assert!(impatient.is_err());
    assert_eq!(breaker.lock().waiting, [0; 2]);
    drop(inside);
    assert_eq!(breaker.lock().in_flight, [0; 2]);
    assert_eq!(acquire(&breaker).await, Ok(()));
}

#[tokio::test]
async fn some_permits_are_reserved_for_the_known_and_the_unknown_queue_apart_and_come_last() {
    let (_, breaker) = breaker();
    let mut strangers = Vec::new();
    for _ in 0..MAX_LIMIT - MAX_LIMIT / RESERVED_FOR_KNOWN {
        strangers.push(breaker.acquire(Unknown).await.expect("a permit"));
    }
    let waiting: Vec<_> = (0..MAX_UNKNOWN_WAITING)
        .map(|_| {
            let breaker = breaker.clone();
            tokio::spawn(async move { breaker.acquire(Unknown).await.map(drop) })
        })
        .collect();
    while breaker.lock().waiting[1] < MAX_UNKNOWN_WAITING {
        tokio::task::yield_now().await;
    }
    assert_eq!(breaker.acquire(Unknown).await.map(drop), Err(Rejected::Saturated));
    let mut known = Vec::new();
    for _ in 0..MAX_LIMIT / RESERVED_FOR_KNOWN {
        known.push(breaker.acquire(Known).await.expect("a reserved permit"));
    }
    let late = tokio::spawn({
        let breaker = breaker.clone();
        async move { acquire(&breaker).await }
    });
    while breaker.lock().waiting[0] == 0 {
        tokio::task::yield_now().await;
    }
    known.pop();
    assert_eq!(late.await.expect("task"), Ok(()), "no stranger takes it");
    strangers.pop();
    for stranger in waiting {
        assert_eq!(stranger.await.expect("task"), Ok(()));
    }
    drop((known, strangers));
    assert_eq!(breaker.lock().in_flight, [0; 2]);
}

#[tokio::test]
async fn a_low_limit_lets_one_of_the_unknown_in_at_least() {
    let (_, breaker) = breaker();
    breaker.lock().limit = 1;
    let stranger = breaker.acquire(Unknown).await.expect("a permit");
    assert!(breaker.try_acquire(Known).expect("open").is_none());
    drop(stranger);
    assert_eq!(acquire(&breaker).await, Ok(()));
}
