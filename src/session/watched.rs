//! Stores under a deadline: how long they may take, how they do, and when to say that one fails
//! or answers again: rarely, however often it does both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use super::StoreError;
use super::lane::Lane;
use super::metrics::{Operation, StoreMetrics};
use crate::clock::Clock;

/// How long making room may take; nobody waits for it.
const PURGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long closing a store may take; nothing is lost if it takes longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often at most a failure is told, in milliseconds.
const TELL_EVERY_MILLIS: u64 = 5_000;

/// Looks at what a store answers, and how soon. A clone looks at the same store.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// What and where the store is.
    store: Arc<str>,
    clock: Arc<dyn Clock>,
    metrics: StoreMetrics,
    trouble: Arc<Trouble>,
    lane: Arc<Lane>,
}

/// What became of a question that many may ask at once.
#[derive(Debug)]
pub(crate) struct Asked<T> {
    /// The answer.
    pub(crate) outcome: Result<T, StoreError>,
    /// The store has failed so often that it is left alone from now on.
    pub(crate) begins_to_rest: bool,
}

impl Watched {
    /// Of a store that describes itself so.
    pub(crate) fn new(store: String, clock: Arc<dyn Clock>, metrics: StoreMetrics) -> Self {
        let lane = Arc::new(Lane::new(Arc::clone(&clock)));
        Self { store: store.into(), clock, metrics, trouble: Arc::default(), lane }
    }

    /// Asks what requests wait for: at most so many at once, not at all while the store is left
    /// alone, and for at most `limit`, the wait for a place included.
    pub(crate) async fn asking<T>(
        &self,
        limit: Duration,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Asked<T> {
        let entered = self.clock.monotonic();
        let place = match tokio::time::timeout(limit, self.lane.enter()).await {
            Ok(Ok(place)) => place,
            Ok(Err(why)) => {
                self.metrics.not_asked();
                return Asked { outcome: Err(why.into()), begins_to_rest: false };
            }
            Err(_) => {
                self.metrics.not_asked();
                return Asked { outcome: Err(StoreError::TimedOut), begins_to_rest: false };
            }
        };
        let left = limit.saturating_sub(self.clock.monotonic().saturating_sub(entered));
        let outcome = self.within(left, operation, answer).await;
        let begins_to_rest = match &outcome {
            Err(StoreError::Unavailable(_) | StoreError::TimedOut) => self.lane.failed(),
            Ok(_)
            | Err(StoreError::Corrupt { .. } | StoreError::Conflict(_) | StoreError::CannotList) => {
                self.lane.answered();
                false
            }
        };
        drop(place);
        if begins_to_rest {
            let store = &*self.store;
            warn!(store, "the {} is left alone for a moment, and tried again", self.metrics.kind());
        }
        Asked { outcome, begins_to_rest }
    }

    /// Waits for an answer for at most `limit`, counts it, and logs what went wrong.
    pub(crate) async fn within<T>(
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
        let (store, kind) = (&*self.store, self.metrics.kind());
        match &outcome {
            Err(error) if !matches!(error, StoreError::Conflict(_)) && self.trouble.failed(now) => {
                warn!(%error, ?operation, store, "the {kind} failed");
            }
            Ok(_) if self.trouble.answered() => info!(store, "the {kind} answers again"),
            Ok(_) | Err(_) => {}
        }
        outcome
    }

    /// What is counted of the store.
    pub(crate) fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    /// Waits until room was made, which may take longer than an answer.
    pub(crate) async fn purging(
        &self,
        purged: impl Future<Output = Result<u64, StoreError>>,
    ) -> Result<u64, StoreError> {
        self.within(PURGE_TIMEOUT, Operation::Purge, purged).await
    }

    /// Waits until the store is closed, if that takes less than a second.
    pub(crate) async fn closing(&self, closed: impl Future<Output = ()>) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
    }
}

/// What was told of the store so far.
#[derive(Debug, Default)]
struct Trouble {
    /// When a failure was last told, in milliseconds of the monotonic clock, and one; zero: never.
    told_at: AtomicU64,
    /// Whether no answer came since.
    is_open: AtomicBool,
}

impl Trouble {
    /// Whether a failure at `now` is to be told.
    fn failed(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1);
        let last = self.told_at.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= TELL_EVERY_MILLIS;
        let is_told = is_due
            && self
                .told_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_told {
            self.is_open.store(true, Ordering::Relaxed);
        }
        is_told
    }

    /// Whether an answer is to be told: the first after a failure that was.
    fn answered(&self) -> bool {
        self.is_open.load(Ordering::Relaxed) && self.is_open.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_and_its_end_are_told_once() {
        let trouble = Trouble::default();
        assert!(!trouble.answered());
        assert!(trouble.failed(Duration::ZERO));
        assert!(!trouble.failed(Duration::from_secs(1)));
        assert!(trouble.answered());
        assert!(!trouble.answered());
    }

    #[test]
    fn failures_and_answers_in_turn_are_told_no_more_often() {
        let trouble = Trouble::default();
        let mut told = 0;
        for millis in 0..20_000 {
            told += u32::from(trouble.failed(Duration::from_millis(millis)));
            told += u32::from(trouble.answered());
        }
        assert_eq!(told, 8, "four failures in twenty seconds, and the end of each");
    }
}
