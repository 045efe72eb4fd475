//! Reads of sessions in batches: what many requests ask for in one turn of the runtime is one question to the store.
//!
//! A request waits for nobody: its question goes out as soon as those have asked too that were ready to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::{FoundSession, SessionId, SessionKey, SessionStore, UserId};
use crate::store::{GuardedStore, Operation, Priority, StoreError};

/// At most this many requests wait for answers; further ones get none.
const MAX_WAITING: usize = 16_384;
/// The fault of a store that left an answer out.
const NO_ANSWER: &str = "an answer is missing";

/// The sessions that are asked for, until the store is asked.
#[derive(Debug)]
pub(super) struct BatchLoader {
    store: Arc<dyn SessionStore>,
    guard: GuardedStore,
    /// The time that the store has to answer.
    timeout: Duration,
    waiting: Mutex<Vec<Waiter>>,
    /// A place for each request that waits.
    places: Semaphore,
}

#[derive(Debug)]
struct Waiter {
    key: SessionKey,
    answer: oneshot::Sender<FoundSession>,
}

impl BatchLoader {
    /// Reads from `store`, which has so much time for an answer.
    pub(super) fn new(
        store: Arc<dyn SessionStore>,
        guard: GuardedStore,
        timeout: Duration,
    ) -> Self {
        let places = Semaphore::new(MAX_WAITING);
        Self { store, guard, timeout, waiting: Mutex::default(), places }
    }

    /// The session with this id, as it is in the store after the call.
    pub(super) async fn load(self: &Arc<Self>, user: &UserId, id: &SessionId) -> FoundSession {
        if self.store.max_batch() <= 1 {
            let found = Box::pin(self.call(self.store.get(user, id))).await;
            return only_of(user, id, found);
        }
        let saturated = |_| StoreError::Unavailable("too many ask it already".to_owned());
        let _place = self.places.try_acquire().map_err(saturated)?;
        let (answer, found) = oneshot::channel();
        let waiter = Waiter { key: (user.clone(), id.clone()), answer };
        let is_first = {
            let mut waiting = self.lock();
            waiting.push(waiter);
            waiting.len() == 1
        };
        if is_first {
            let loader = Arc::clone(self);
            tokio::spawn(async move {
                // Whoever is ready to ask comes before this task again.
                tokio::task::yield_now().await;
                loader.ask_for_all().await;
            });
        }
        let stopped = |_| Err(StoreError::Unavailable("the process stops".to_owned()));
        found.await.unwrap_or_else(stopped)
    }

    async fn ask_for_all(self: Arc<Self>) {
        let mut waiting = std::mem::take(&mut *self.lock());
        // A store that failed just now is asked for few, and for more with each answer.
        let max_batch = self.store.max_batch().min(self.guard.concurrency_limit());
        while waiting.len() > max_batch {
            let batch = waiting.split_off(waiting.len() - max_batch);
            let loader = Arc::clone(&self);
            tokio::spawn(async move { loader.ask(batch).await });
        }
        self.ask(waiting).await;
    }

    async fn ask(&self, waiting: Vec<Waiter>) {
        let (mut waiting, mut answers) = (waiting, Vec::new());
        let waits = |waiter: &Waiter| !waiter.answer.is_closed();
        if !waiting.iter().any(waits) {
            return;
        }
        let asked = async {
            // Who gave up while this waited for its turn is not asked for. If all have, they are all the same: an answer
            // that the store did not give must not close the circuit breaker.
            if waiting.iter().any(waits) {
                waiting.retain(waits);
            }
            let keys: Vec<_> = waiting.iter().map(|waiter| waiter.key.clone()).collect();
            answers = self.store.get_many(&keys).await?;
            common_failure(&answers)
        };
        let outcome = self.call(asked).await;
        let failure =
            outcome.err().unwrap_or_else(|| StoreError::Unavailable(NO_ANSWER.to_owned()));
        let mut answers = answers.into_iter();
        for Waiter { key: (user, id), answer } in waiting {
            let found = answers.next().unwrap_or_else(|| Err(failure.clone()));
            let found = only_of(&user, &id, found);
            if let Err(error) = &found {
                self.guard.log_failure(Operation::Get, error);
            }
            let _gone = answer.send(found);
        }
    }

    async fn call<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // Who asks has shown a signed token, or a handle that exists.
        self.guard.call(self.timeout, Priority::Known, Operation::Get, asked).await
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiter>> {
        // Nothing that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The failure of the store, or of a record that was asked for alone: where nothing could be read. What says that the
/// store gave no answer goes before what is wrong with a record.
fn common_failure(answers: &[FoundSession]) -> Result<(), StoreError> {
    if answers.iter().any(Result::is_ok) {
        return Ok(());
    }
    let failures = || answers.iter().filter_map(|answer| answer.as_ref().err());
    let of_store = failures().find(|error| !matches!(error, StoreError::Corrupt { .. }));
    of_store.or_else(|| failures().next()).map_or(Ok(()), |error| Err(error.clone()))
}

/// The session, if it is the one that was asked for.
fn only_of(user: &UserId, id: &SessionId, found: FoundSession) -> FoundSession {
    match found {
        Ok(Some(other)) if other.user != *user || other.id != *id => {
            Err(StoreError::corrupt(id, "another session came in its place"))
        }
        found => found,
    }
}
