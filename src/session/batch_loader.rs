//! Reads of sessions in batches: what many requests ask for in one turn of the runtime is one question to the store.
//!
//! A request waits for nobody: its question goes out as soon as those have asked too that were ready to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{FoundSession, SessionId, SessionKey, SessionStore, UserId};
use crate::store::{GuardedStore, Operation, Priority, StoreError};

/// The sessions that are asked for, until the store is asked.
#[derive(Debug)]
pub(super) struct BatchLoader {
    store: Arc<dyn SessionStore>,
    guard: GuardedStore,
    /// The time that the store has to answer.
    timeout: Duration,
    waiting: Mutex<Vec<Waiter>>,
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
        Self { store, guard, timeout, waiting: Mutex::default() }
    }

    /// The session with this id, as it is in the store after the call.
    pub(super) async fn load(self: &Arc<Self>, user: &UserId, id: &SessionId) -> FoundSession {
        if self.store.max_batch() <= 1 {
            return Box::pin(self.call(self.store.get(user, id))).await;
        }
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
        let max_batch = self.store.max_batch();
        while waiting.len() > max_batch {
            let batch = waiting.split_off(waiting.len() - max_batch);
            let loader = Arc::clone(&self);
            tokio::spawn(async move { loader.ask(batch).await });
        }
        self.ask(waiting).await;
    }

    async fn ask(&self, waiting: Vec<Waiter>) {
        // Who gave up in the meantime is not asked for.
        let waiting = waiting.into_iter().filter(|waiter| !waiter.answer.is_closed());
        let (keys, answers): (Vec<_>, Vec<_>) =
            waiting.map(|Waiter { key, answer }| (key, answer)).unzip();
        if keys.is_empty() {
            return;
        }
        let found = self.call(async { or_failure(self.store.get_many(&keys).await?) }).await;
        let found = found.unwrap_or_else(|error| vec![Err(error); keys.len()]);
        let mut found = found.into_iter();
        for answer in answers {
            // What is missing is no session.
            let found = found.next().unwrap_or(Ok(None));
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

/// The answers, unless each of them is a failure: that is one of the store, or of a record that was asked for alone.
fn or_failure(found: Vec<FoundSession>) -> Result<Vec<FoundSession>, StoreError> {
    if found.iter().all(Result::is_err)
        && let Some(Err(error)) = found.first()
    {
        return Err(error.clone());
    }
    Ok(found)
}
