//! A cached answer about the servers, such as the topology, which may change at any time: it is
//! fresh for half a second, then stale and refreshed in the background, and expired after a second.
//! One caller refreshes it for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Failure;

/// From this age on it is stale: it is refreshed in the background while it is used.
const STALE_AFTER: Duration = Duration::from_millis(500);
/// From this age on it is expired: it is not used until it is refreshed.
pub(super) const EXPIRED_AFTER: Duration = Duration::from_secs(1);

/// The last answer, and its age.
#[derive(Debug)]
pub(super) struct CachedTopology<T> {
    last: ArcSwapOption<Answer<T>>,
    /// The last attempt; other callers wait for it while it is under way.
    attempt: Mutex<Option<Attempt<T>>>,
    is_refreshing: AtomicBool,
    is_marked_stale: AtomicBool,
}

#[derive(Debug)]
struct Answer<T> {
    value: Arc<T>,
    /// The time of the question: the age of the answer counts from it.
    asked: Instant,
}

#[derive(Debug)]
struct Attempt<T> {
    began: Instant,
    ended: Instant,
    outcome: Result<Arc<T>, Failure>,
}

/// The age of the last answer.
pub(super) enum TopologyAge<T> {
    /// It may be used.
    Fresh(Arc<T>),
    /// It may be used, and the caller has to refresh it in the background
    /// ([`CachedTopology::refresh_ended`]).
    Stale(Arc<T>),
    /// It may not be used.
    Expired,
}

impl<T> CachedTopology<T> {
    /// A cache without an answer.
    pub(super) fn new() -> Self {
        Self {
            last: ArcSwapOption::const_empty(),
            attempt: Mutex::const_new(None),
            is_refreshing: AtomicBool::new(false),
            is_marked_stale: AtomicBool::new(false),
        }
    }

    /// The last answer, however old.
    pub(super) fn last(&self) -> Option<Arc<T>> {
        self.last.load().as_ref().map(|answer| Arc::clone(&answer.value))
    }

    /// The age of the last answer at this moment. Only one caller at a time gets
    /// [`TopologyAge::Stale`].
    pub(super) fn age(&self, now: Instant) -> TopologyAge<T> {
        let last = self.last.load();
        let Some(answer) = last.as_ref() else { return TopologyAge::Expired };
        let (value, age) = (Arc::clone(&answer.value), now.saturating_duration_since(answer.asked));
        let is_stale = age >= STALE_AFTER || self.is_marked_stale.load(Ordering::Relaxed);
        if age >= EXPIRED_AFTER {
            TopologyAge::Expired
        } else if is_stale && !self.is_refreshing.swap(true, Ordering::Relaxed) {
            TopologyAge::Stale(value)
        } else {
            TopologyAge::Fresh(value)
        }
    }

    /// Makes it stale at once, since it may have changed.
    pub(super) fn mark_stale(&self) {
        self.is_marked_stale.store(true, Ordering::Relaxed);
    }

    /// Ends a refresh: the caller that got [`TopologyAge::Stale`] has refreshed it, or failed to.
    pub(super) fn refresh_ended(&self) {
        self.is_refreshing.store(false, Ordering::Relaxed);
    }

    /// Refreshes it, unless another caller has done so since.
    ///
    /// # Errors
    /// The [`Failure`] of the last attempt; the answer before it is used as long as before.
    pub(super) async fn refresh(
        &self,
        question: impl Future<Output = Result<Arc<T>, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let came = Instant::now();
        // A failure that began before this call says nothing about the present, and an answer that
        // took long is as old as its question.
        let is_of_use = |last: &Attempt<T>| {
            let is_fresh = || last.began.elapsed() < EXPIRED_AFTER;
            last.began >= came || (last.ended >= came && last.outcome.is_ok() && is_fresh())
        };
        self.refresh_unless(is_of_use, question).await
    }

    /// Refreshes it, unless another caller began to refresh it at that moment or later.
    ///
    /// # Errors
    /// As of [`Self::refresh`].
    pub(super) async fn refresh_since(
        &self,
        since: Instant,
        question: impl Future<Output = Result<Arc<T>, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        self.refresh_unless(|last| last.began >= since, question).await
    }

    /// The answer to a question that is asked now, if it comes within the limit.
    pub(super) async fn new_answer(
        &self,
        limit: Duration,
        question: impl Future<Output = Result<Arc<T>, Failure>>,
    ) -> Option<Arc<T>> {
        let asking = self.refresh_since(Instant::now(), question);
        tokio::time::timeout(limit, asking).await.ok()?.ok()
    }

    async fn refresh_unless(
        &self,
        is_of_use: impl Fn(&Attempt<T>) -> bool,
        question: impl Future<Output = Result<Arc<T>, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let mut attempt = self.attempt.lock().await;
        if let Some(last) = attempt.as_ref().filter(|last| is_of_use(last)) {
            return last.outcome.clone();
        }
        self.is_marked_stale.store(false, Ordering::Relaxed);
        let began = Instant::now();
        let outcome = question.await;
        if let Ok(value) = &outcome {
            let answer = Answer { value: Arc::clone(value), asked: began };
            self.last.store(Some(Arc::new(answer)));
        }
        *attempt = Some(Attempt { began, ended: Instant::now(), outcome: outcome.clone() });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refresh(cache: &CachedTopology<u32>, value: u32) -> Result<Arc<u32>, Failure> {
        cache.refresh(async { Ok(Arc::new(value)) }).await
    }

    #[tokio::test]
    async fn an_answer_is_used_for_a_second_and_refreshed_after_half_of_it() {
        let cache = CachedTopology::new();
        let start = Instant::now();
        assert!(matches!(cache.age(start), TopologyAge::Expired));
        refresh(&cache, 1).await.expect("an answer");
        assert!(matches!(cache.age(start), TopologyAge::Fresh(value) if *value == 1));
        let stale = Instant::now() + STALE_AFTER;
        assert!(matches!(cache.age(stale), TopologyAge::Stale(_)));
        assert!(matches!(cache.age(stale), TopologyAge::Fresh(_)), "one asks, not all");
        let failed = cache.refresh(async { Err(Failure::TimedOut) }).await;
        cache.refresh_ended();
        assert_eq!(failed, Err(Failure::TimedOut));
        assert!(matches!(cache.age(stale), TopologyAge::Stale(_)), "a failure is no answer");
        let expired = Instant::now() + EXPIRED_AFTER;
        assert!(matches!(cache.age(expired), TopologyAge::Expired));
        cache.refresh_ended();
        refresh(&cache, 2).await.expect("an answer");
        assert!(matches!(cache.age(start), TopologyAge::Fresh(value) if *value == 2));
        cache.mark_stale();
        assert!(matches!(cache.age(start), TopologyAge::Stale(_)));
    }

    #[tokio::test]
    async fn an_answer_serves_those_who_want_one_that_is_as_young_as_it() {
        let cache = CachedTopology::new();
        let before = Instant::now();
        let ask = async |since, value| {
            cache.refresh_since(since, async { Ok(Arc::new(value)) }).await.map(|value| *value)
        };
        assert_eq!(ask(before, 1).await, Ok(1));
        assert_eq!(ask(before, 2).await, Ok(1), "it began after that");
        assert_eq!(ask(Instant::now(), 3).await, Ok(3), "it began before that");
    }

    #[tokio::test]
    async fn one_asks_and_all_who_wait_are_told() {
        let cache = Arc::new(CachedTopology::new());
        let slow = |value: Result<u32, Failure>| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                let question = async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    value.map(Arc::new)
                };
                cache.refresh(question).await
            })
        };
        let first = slow(Err(Failure::TimedOut));
        // The only thread has run it until it waits.
        tokio::task::yield_now().await;
        let crowd: Vec<_> = (2..20).map(|n| slow(Ok(n))).collect();
        assert_eq!(first.await.expect("task"), Err(Failure::TimedOut));
        for task in crowd {
            // Those who came while it failed ask once more, together.
            assert_eq!(task.await.expect("task"), Ok(Arc::new(2)));
        }
    }
}
