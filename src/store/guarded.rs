//! A guard in front of a store: a deadline and a circuit breaker for every call, metrics, and a log
//! line when the store fails or answers again. Such lines are rare, however often it does both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use super::StoreError;
use super::circuit_breaker::{CircuitBreaker, Priority};
use super::metrics::{Operation, StoreMetrics};
use crate::clock::Clock;

/// The least time for a call that changes a store, or lists its content.
pub const CHANGE_TIMEOUT: Duration = Duration::from_secs(2);
/// The time that a purge may take; nobody waits for it.
const PURGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The time that closing a store may take; nothing is lost if it takes longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The shortest time between two log lines about failures, in milliseconds.
const LOG_EVERY_MILLIS: u64 = 5_000;

/// A store behind a deadline and a circuit breaker. A clone guards the same store.
#[derive(Clone, Debug)]
pub(crate) struct GuardedStore {
    /// The kind and the place of the store.
    store: Arc<str>,
    clock: Arc<dyn Clock>,
    metrics: StoreMetrics,
    log: Arc<FailureLog>,
    breaker: Arc<CircuitBreaker>,
}

impl GuardedStore {
    /// Guards a store with this description.
    pub(crate) fn new(store: String, clock: Arc<dyn Clock>, metrics: StoreMetrics) -> Self {
        let breaker = Arc::new(CircuitBreaker::new(Arc::clone(&clock)));
        Self { store: store.into(), clock, metrics, log: Arc::default(), breaker }
    }

    /// Makes a call that requests wait for. It passes the circuit breaker, and takes at most
    /// `limit`, the wait for a permit included.
    pub(crate) async fn call<T>(
        &self,
        limit: Duration,
        priority: Priority,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = self.clock.monotonic();
        let acquired = tokio::time::timeout(limit, self.breaker.acquire(priority)).await;
        let left = limit.saturating_sub(self.clock.monotonic().saturating_sub(began));
        let _permit = match acquired {
            Ok(Ok(permit)) if left >= limit / 2 => permit,
            Ok(Err(why)) => {
                self.metrics.rejected();
                return Err(why.into());
            }
            // Too late to ask. The wait for a permit says nothing about the store.
            Ok(Ok(_)) | Err(_) => {
                self.metrics.rejected();
                return Err(StoreError::TimedOut);
            }
        };
        let mut call = Call { guard: self, limit: left, asked: self.clock.monotonic() };
        let outcome = self.with_timeout(left, operation, answer).await;
        call.limit = Duration::MAX;
        match &outcome {
            Err(StoreError::Unavailable(_) | StoreError::TimedOut) => self.failed(),
            Ok(_)
            | Err(StoreError::Corrupt { .. } | StoreError::Conflict(_) | StoreError::CannotList) => {
                self.breaker.record_success();
            }
        }
        outcome
    }

    /// The number of calls that the circuit breaker lets through at once now.
    pub(crate) fn concurrency_limit(&self) -> usize {
        self.breaker.limit()
    }

    /// Returns whether the circuit breaker opened since the last call with the same counter.
    pub(crate) fn opened_since(&self, seen: &AtomicU64) -> bool {
        let opened = self.breaker.times_opened();
        seen.swap(opened, Ordering::Relaxed) != opened
    }

    fn failed(&self) {
        if self.breaker.record_failure() {
            let store = &*self.store;
            warn!(store, "the circuit breaker of the {} opened", self.metrics.kind());
        }
    }

    /// Waits for an answer for at most `limit`, counts it, and logs a failure.
    pub(crate) async fn with_timeout<T>(
        &self,
        limit: Duration,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let started = self.clock.monotonic();
        let outcome =
            tokio::time::timeout(limit, answer).await.unwrap_or(Err(StoreError::TimedOut));
        let now = self.clock.monotonic();
        self.metrics.observe(operation, now.saturating_sub(started), outcome.is_ok());
        match &outcome {
            Err(error) => self.log_failure(operation, error),
            Ok(_) if self.log.answered() => {
                info!(store = &*self.store, "the {} answers again", self.metrics.kind());
            }
            Ok(_) => {}
        }
        outcome
    }

    /// Logs a failure, where none was logged just now. That an id is taken is none.
    pub(crate) fn log_failure(&self, operation: Operation, error: &StoreError) {
        let now = self.clock.monotonic();
        if !matches!(error, StoreError::Conflict(_)) && self.log.failed(now) {
            let (store, operation) = (&*self.store, operation.as_str());
            warn!(%error, operation, store, "the {} failed", self.metrics.kind());
        }
    }

    /// The metrics of the store.
    pub(crate) fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    /// Waits for a purge, which may take longer than another answer.
    pub(crate) async fn purge(
        &self,
        purged: impl Future<Output = Result<u64, StoreError>>,
    ) -> Result<u64, StoreError> {
        self.with_timeout(PURGE_TIMEOUT, Operation::Purge, purged).await
    }

    /// Waits until the store is closed, if that takes less than a second.
    pub(crate) async fn close(&self, closed: impl Future<Output = ()>) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
    }
}

/// A call in flight. A caller that gives up after most of its time has also found the store slow.
struct Call<'w> {
    guard: &'w GuardedStore,
    limit: Duration,
    asked: Duration,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let waited = self.guard.clock.monotonic().saturating_sub(self.asked);
        if waited >= self.limit / 2 {
            self.guard.failed();
        }
    }
}

/// The failures of the store that were logged so far.
#[derive(Debug, Default)]
struct FailureLog {
    /// The time of the last failure that was logged, in milliseconds of the monotonic clock, plus
    /// one; zero: none.
    logged_at: AtomicU64,
    /// True until the next answer.
    is_failing: AtomicBool,
}

impl FailureLog {
    /// Returns whether a failure at `now` is to be logged.
    fn failed(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1);
        let last = self.logged_at.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= LOG_EVERY_MILLIS;
        let is_logged = is_due
            && self
                .logged_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_logged {
            self.is_failing.store(true, Ordering::Relaxed);
        }
        is_logged
    }

    /// Returns whether an answer is to be logged: the first after a logged failure.
    fn answered(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_and_its_end_are_logged_once() {
        let log = FailureLog::default();
        assert!(!log.answered());
        assert!(log.failed(Duration::ZERO));
        assert!(!log.failed(Duration::from_secs(1)));
        assert!(log.answered());
        assert!(!log.answered());
    }

    #[test]
    fn failures_and_answers_in_turn_are_logged_no_more_often() {
        let log = FailureLog::default();
        let mut logged = 0;
        for millis in 0..20_000 {
            logged += u32::from(log.failed(Duration::from_millis(millis)));
            logged += u32::from(log.answered());
        }
        assert_eq!(logged, 8, "four failures in twenty seconds, and the end of each");
    }
}
