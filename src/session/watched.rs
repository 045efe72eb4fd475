//! Stores under a deadline: how long they may take, how they do, and when to say that one fails
//! or answers again: rarely, however often it does both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use super::StoreError;
use super::lane::{Lane, Priority};
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
        priority: Priority,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let entered = self.clock.monotonic();
        let entering = tokio::time::timeout(limit, self.lane.enter(priority)).await;
        let left = limit.saturating_sub(self.clock.monotonic().saturating_sub(entered));
        let _place = match entering {
            Ok(Ok(place)) if left >= limit / 2 => place,
            Ok(Err(why)) => {
                self.metrics.not_asked();
                return Err(why.into());
            }
            // Too late to ask: that we had to wait for our turn says nothing of the store.
            Ok(Ok(_)) | Err(_) => {
                self.metrics.not_asked();
                return Err(StoreError::TimedOut);
            }
        };
        let mut question = Question { watched: self, limit: left, asked: self.clock.monotonic() };
        let outcome = self.within(left, operation, answer).await;
        question.limit = Duration::MAX;
        match &outcome {
            Err(StoreError::Unavailable(_) | StoreError::TimedOut) => self.failed(),
            Ok(_)
            | Err(StoreError::Corrupt { .. } | StoreError::Conflict(_) | StoreError::CannotList) => {
                self.lane.answered();
            }
        }
        outcome
    }

    /// Whether the store was found to be down since this was asked last with the same counter.
    pub(crate) fn was_down_since(&self, seen: &AtomicU64) -> bool {
        let rests = self.lane.rests();
        seen.swap(rests, Ordering::Relaxed) != rests
    }

    fn failed(&self) {
        if self.lane.failed() {
            let store = &*self.store;
            warn!(store, "the {} is left alone for a moment, and tried again", self.metrics.kind());
        }
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
                let operation = operation.as_str();
                warn!(%error, operation, store, "the {kind} failed");
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

/// A question that is under way. Whoever gives it up after most of its time has learnt that the
/// store is slow, too.
struct Question<'w> {
    watched: &'w Watched,
    limit: Duration,
    asked: Duration,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let waited = self.watched.clock.monotonic().saturating_sub(self.asked);
        if waited >= self.limit / 2 {
            self.watched.failed();
        }
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
