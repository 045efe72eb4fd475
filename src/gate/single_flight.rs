//! Single flight: work that many callers ask for at the same time is done once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use tokio::sync::OnceCell;

/// Calls in flight, by key. A caller that asks for a key in flight waits for that call and gets its
/// outcome, errors included. If the leader, which does the work, goes away, the next waiter takes
/// over.
#[derive(Debug)]
pub struct SingleFlight<K, V> {
    in_flight: Mutex<HashMap<K, Call<V>, RandomState>>,
}

/// One call in flight, and the number of its waiters.
#[derive(Debug)]
struct Call<V> {
    outcome: Arc<OnceCell<V>>,
    waiters: usize,
}

impl<K, V> Default for SingleFlight<K, V> {
    /// A set without calls.
    fn default() -> Self {
        Self { in_flight: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash, V> SingleFlight<K, V> {
    /// Joins the call for `key` that is in flight, or else leads a new one with `work`.
    pub async fn join(&self, key: K, work: impl Future<Output = V>) -> V
    where
        V: Clone,
    {
        let outcome = self.enter(&key);
        let waiter = Waiter { single_flight: self, key, outcome };
        waiter.outcome.get_or_init(|| work).await.clone()
    }

    /// Returns whether a call for `key` is in flight now.
    pub fn contains(&self, key: &K) -> bool {
        self.lock().contains_key(key)
    }

    /// The number of calls in flight.
    pub fn in_flight(&self) -> usize {
        self.lock().len()
    }

    fn enter(&self, key: &K) -> Arc<OnceCell<V>> {
        let mut in_flight = self.lock();
        let new = || Call { outcome: Arc::default(), waiters: 0 };
        let call = in_flight.entry(key.clone()).or_insert_with(new);
        call.waiters += 1;
        Arc::clone(&call.outcome)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Call<V>, RandomState>> {
        // Nothing that can panic runs under the lock.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's part in a call, which also ends when the caller is cancelled.
struct Waiter<'f, K: Clone + Eq + Hash, V> {
    single_flight: &'f SingleFlight<K, V>,
    key: K,
    outcome: Arc<OnceCell<V>>,
}

impl<K: Clone + Eq + Hash, V> Drop for Waiter<'_, K, V> {
    /// The call is over when it has an outcome, or when its last waiter leaves.
    fn drop(&mut self) {
        let mut in_flight = self.single_flight.lock();
        // After the outcome there may be a later call for the same key.
        let Some(call) =
            in_flight.get_mut(&self.key).filter(|call| Arc::ptr_eq(&call.outcome, &self.outcome))
        else {
            return;
        };
        call.waiters -= 1;
        if call.waiters == 0 || self.outcome.initialized() {
            in_flight.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_get_one_outcome() {
        let (single_flight, done) =
            (Arc::new(SingleFlight::default()), Arc::new(AtomicU32::new(0)));
        let gate = Arc::new(Notify::new());
        let ask = || {
            let (single_flight, done, gate) = (single_flight.clone(), done.clone(), gate.clone());
            tokio::spawn(async move {
                let work = async {
                    gate.notified().await;
                    done.fetch_add(1, Ordering::SeqCst) + 1
                };
                single_flight.join("key", work).await
            })
        };
        let asked: Vec<_> = (0..50).map(|_| ask()).collect();
        tokio::task::yield_now().await;
        gate.notify_one();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), 1);
        }
        assert!(single_flight.lock().is_empty());
    }

    #[tokio::test]
    async fn what_is_done_is_not_handed_out_again() {
        let single_flight = SingleFlight::default();
        assert_eq!(single_flight.join(1, async { "first" }).await, "first");
        assert_eq!(single_flight.join(1, async { "second" }).await, "second");
    }

    #[tokio::test]
    async fn when_the_worker_goes_away_the_next_takes_over() {
        let single_flight = Arc::new(SingleFlight::default());
        let first = tokio::spawn({
            let single_flight = single_flight.clone();
            async move { single_flight.join(1, std::future::pending()).await }
        });
        tokio::task::yield_now().await;
        let second = tokio::spawn({
            let single_flight = single_flight.clone();
            async move { single_flight.join(1, async { "second" }).await }
        });
        tokio::task::yield_now().await;
        first.abort();
        assert_eq!(second.await.unwrap(), "second");
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(single_flight.lock().is_empty());
    }
}
