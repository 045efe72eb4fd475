//! What servers told and may change at any time: believed for a second, asked for again while it is
//! used, by one for all who want to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Failure;

/// From this age on it is asked for again, beside whoever uses it.
const DUE: Duration = Duration::from_millis(500);
/// From this age on nobody uses it before it was asked for again.
pub(super) const OUTDATED: Duration = Duration::from_secs(1);

/// The last answer.
#[derive(Debug)]
pub(super) struct Told<T> {
    last: ArcSwapOption<Answer<T>>,
    /// The last attempt, which others wait for while it is under way.
    attempt: Mutex<Option<Attempt<T>>>,
    is_asked_aside: AtomicBool,
    is_doubted: AtomicBool,
}

#[derive(Debug)]
struct Answer<T> {
    value: Arc<T>,
    /// When it was asked for: it may be as old as that.
    asked: Instant,
}

#[derive(Debug)]
struct Attempt<T> {
    began: Instant,
    ended: Instant,
    outcome: Result<Arc<T>, Failure>,
}

/// Whether the last answer may be used.
pub(super) enum Standing<T> {
    /// It may.
    Young(Arc<T>),
    /// It may, and whoever is told so has to ask again, aside ([`Told::asked_aside`]).
    Due(Arc<T>),
    /// It may not.
    Outdated,
}

impl<T> Told<T> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            last: ArcSwapOption::const_empty(),
            attempt: Mutex::const_new(None),
            is_asked_aside: AtomicBool::new(false),
            is_doubted: AtomicBool::new(false),
        }
    }

    /// The last answer, however old.
    pub(super) fn last(&self) -> Option<Arc<T>> {
        self.last.load().as_ref().map(|answer| Arc::clone(&answer.value))
    }

    /// Whether the last answer may be used at this moment. Only one at a time is told [`Standing::Due`].
    pub(super) fn standing(&self, now: Instant) -> Standing<T> {
        let last = self.last.load();
        let Some(answer) = last.as_ref() else { return Standing::Outdated };
        let (value, age) = (Arc::clone(&answer.value), now.saturating_duration_since(answer.asked));
        let is_due = age >= DUE || self.is_doubted.load(Ordering::Relaxed);
        if age >= OUTDATED {
            Standing::Outdated
        } else if is_due && !self.is_asked_aside.swap(true, Ordering::Relaxed) {
            Standing::Due(value)
        } else {
            Standing::Young(value)
        }
    }

    /// Somebody has reason to think that it changed: it is due.
    pub(super) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
    }

    /// Whoever was told [`Standing::Due`] has asked.
    pub(super) fn asked_aside(&self) {
        self.is_asked_aside.store(false, Ordering::Relaxed);
    }

    /// Asks, unless another has asked since.
    ///
    /// # Errors
    /// The [`Failure`] of the last attempt; what was told before it is believed as long as before.
    pub(super) async fn ask(
        &self,
        question: impl Future<Output = Result<Arc<T>, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let came = Instant::now();
        // A failure that began before we came says nothing of how it is now, and an answer that took
        // long is as old as its question.
        let is_of_use = |last: &Attempt<T>| {
            let is_young = || last.began.elapsed() < OUTDATED;
            last.began >= came || (last.ended >= came && last.outcome.is_ok() && is_young())
        };
        self.ask_unless(is_of_use, question).await
    }

    /// Asks, unless another has begun to ask at that moment or later.
    ///
    /// # Errors
    /// As of [`Self::ask`].
    pub(super) async fn ask_since(
        &self,
        since: Instant,
        question: impl Future<Output = Result<Arc<T>, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        self.ask_unless(|last| last.began >= since, question).await
    }

    async fn ask_unless(
        &self,
        is_of_use: impl Fn(&Attempt<T>) -> bool,
        question: impl Future<Output = Result<Arc<T>, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let mut attempt = self.attempt.lock().await;
        if let Some(last) = attempt.as_ref().filter(|last| is_of_use(last)) {
            return last.outcome.clone();
        }
        self.is_doubted.store(false, Ordering::Relaxed);
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

    async fn tell(told: &Told<u32>, value: u32) -> Result<Arc<u32>, Failure> {
        told.ask(async { Ok(Arc::new(value)) }).await
    }

    #[tokio::test]
    async fn an_answer_is_used_for_a_second_and_asked_for_again_after_half_of_it() {
        let told = Told::new();
        let start = Instant::now();
        assert!(matches!(told.standing(start), Standing::Outdated));
        tell(&told, 1).await.expect("told");
        assert!(matches!(told.standing(start), Standing::Young(value) if *value == 1));
        let due = Instant::now() + DUE;
        assert!(matches!(told.standing(due), Standing::Due(_)));
        assert!(matches!(told.standing(due), Standing::Young(_)), "one asks, not all");
        let failed = told.ask(async { Err(Failure::TimedOut) }).await;
        told.asked_aside();
        assert_eq!(failed, Err(Failure::TimedOut));
        assert!(matches!(told.standing(due), Standing::Due(_)), "a failure is no answer");
        let outdated = Instant::now() + OUTDATED;
        assert!(matches!(told.standing(outdated), Standing::Outdated));
        told.asked_aside();
        tell(&told, 2).await.expect("told");
        assert!(matches!(told.standing(start), Standing::Young(value) if *value == 2));
        told.doubt();
        assert!(matches!(told.standing(start), Standing::Due(_)));
    }

    #[tokio::test]
    async fn an_answer_serves_those_who_want_one_that_is_as_young_as_it() {
        let told = Told::new();
        let before = Instant::now();
        let ask = async |since, value| {
            told.ask_since(since, async { Ok(Arc::new(value)) }).await.map(|value| *value)
        };
        assert_eq!(ask(before, 1).await, Ok(1));
        assert_eq!(ask(before, 2).await, Ok(1), "it began after that");
        assert_eq!(ask(Instant::now(), 3).await, Ok(3), "it began before that");
    }

    #[tokio::test]
    async fn one_asks_and_all_who_wait_are_told() {
        let told = Arc::new(Told::new());
        let slow = |value: Result<u32, Failure>| {
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let question = async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    value.map(Arc::new)
                };
                told.ask(question).await
            })
        };
        let first = slow(Err(Failure::TimedOut));
        // The only thread has run it as far as it goes.
        tokio::task::yield_now().await;
        let crowd: Vec<_> = (2..20).map(|n| slow(Ok(n))).collect();
        assert_eq!(first.await.expect("task"), Err(Failure::TimedOut));
        for task in crowd {
            // Those who came while it failed ask once more, together.
            assert_eq!(task.await.expect("task"), Ok(Arc::new(2)));
        }
    }
}
