//! Tests of opening, of what passes a breaker that is open, and of closing.

use futures_util::future::try_join_all;
use tokio::task::JoinHandle;

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

/// Takes so many permits at once.
async fn take(breaker: &CircuitBreaker, priority: Priority, number: usize) -> Vec<Permit<'_>> {
    let permits = (0..number).map(|_| breaker.acquire(priority));
    try_join_all(permits).await.expect("permits")
}

/// Starts callers that wait for a permit.
async fn wait(breaker: &Arc<CircuitBreaker>, priority: Priority, number: usize) -> Waiting {
    let waiting = (0..number).map(|_| {
        let breaker = Arc::clone(breaker);
        tokio::spawn(async move { breaker.acquire(priority).await.map(drop) })
    });
    let waiting = waiting.collect();
    while breaker.lock().waiting[priority as usize] < number {
        tokio::task::yield_now().await;
    }
    waiting
}

type Waiting = Vec<JoinHandle<Result<(), Rejected>>>;

async fn assert_all(waiting: Waiting, expected: Result<(), Rejected>) {
    for task in waiting {
        assert_eq!(task.await.expect("task"), expected);
    }
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
    let _inside = take(&breaker, Known, LIMIT_AFTER_OPEN).await;
    assert!(breaker.try_acquire(Known).expect("open").is_none(), "it starts with a low limit");
    breaker.record_success();
    assert!(breaker.try_acquire(Known).expect("open").is_some(), "every answer raises the limit");
}

#[tokio::test]
async fn half_open_a_known_caller_tries_before_those_who_may_have_made_theirs_up() {
    let (clock, breaker) = breaker();
    fail(&breaker, FAILURE_THRESHOLD);
    clock.advance(MIN_OPEN);
    assert_eq!(breaker.acquire(Unknown).await.map(drop), Err(Rejected::Open));
    assert_eq!(acquire(&breaker).await, Ok(()));
    clock.advance(HEAD_START);
    assert_eq!(breaker.acquire(Unknown).await.map(drop), Ok(()), "nobody is known");
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
    let mut inside = take(&breaker, Known, MAX_LIMIT).await;
    let waiting = wait(&breaker, Known, MAX_WAITING).await;
    assert_eq!(acquire(&breaker).await, Err(Rejected::Saturated));
    inside.pop();
    // Each gives its permit back at once, so all get one.
    assert_all(waiting, Ok(())).await;
    inside.push(breaker.acquire(Known).await.expect("a permit"));
    let late = wait(&breaker, Known, 1).await;
    fail(&breaker, FAILURE_THRESHOLD);
    assert_all(late, Err(Rejected::Open)).await;
}

#[tokio::test]
async fn who_gives_up_leaves_the_queue_and_takes_no_permit_along() {
    let (_, breaker) = breaker();
    let inside = take(&breaker, Known, MAX_LIMIT).await;
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
    let reserved = MAX_LIMIT / RESERVED_FOR_KNOWN;
    let mut strangers = take(&breaker, Unknown, MAX_LIMIT - reserved).await;
    let waiting = wait(&breaker, Unknown, MAX_UNKNOWN_WAITING).await;
    assert_eq!(breaker.acquire(Unknown).await.map(drop), Err(Rejected::Saturated));
    let mut known = take(&breaker, Known, reserved).await;
    let late = wait(&breaker, Known, 1).await;
    known.pop();
    // No stranger takes it.
    assert_all(late, Ok(())).await;
    strangers.pop();
    assert_all(waiting, Ok(())).await;
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
