//! Doing once what many ask for at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// Work under way, by what it is for. Whoever asks for what is under way waits for that and gets
/// its outcome, errors included; if the one who does the work goes away, the next one takes over.
#[derive(Debug)]
pub struct Flights<K, V> {
    under_way: Mutex<HashMap<K, Flight<V>>>,
}

/// One piece of work, and how many wait for it.
#[derive(Debug)]
struct Flight<V> {
    outcome: Arc<OnceCell<V>>,
    passengers: usize,
}

impl<K, V> Default for Flights<K, V> {
    /// Nothing under way.
    fn default() -> Self {
        Self { under_way: Mutex::new(HashMap::new()) }
    }
}

impl<K: Clone + Eq + Hash, V> Flights<K, V> {
    /// The outcome of `work`, or of the work for the same `key` that is under way already.
    pub async fn join(&self, key: K, work: impl Future<Output = V>) -> V
    where
        V: Clone,
    {
        let outcome = self.board(&key);
        let seat = Seat { flights: self, key, outcome };
        seat.outcome.get_or_init(|| work).await.clone()
    }

    fn board(&self, key: &K) -> Arc<OnceCell<V>> {
        let mut under_way = self.lock();
        let new = || Flight { outcome: Arc::default(), passengers: 0 };
        let flight = under_way.entry(key.clone()).or_insert_with(new);
        flight.passengers += 1;
        Arc::clone(&flight.outcome)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<V>>> {
        // Nothing that can panic runs under the lock.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's part in a flight, which also ends when the caller is cancelled.
struct Seat<'f, K: Clone + Eq + Hash, V> {
    flights: &'f Flights<K, V>,
    key: K,
    outcome: Arc<OnceCell<V>>,
}

impl<K: Clone + Eq + Hash, V> Drop for Seat<'_, K, V> {
    /// The flight is over when it has landed, or when its last passenger leaves.
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        // After a landing there may be a later flight of the same name.
        let Some(flight) = under_way
            .get_mut(&self.key)
            .filter(|flight| Arc::ptr_eq(&flight.outcome, &self.outcome))
        else {
            return;
        };
        flight.passengers -= 1;
        if flight.passengers == 0 || self.outcome.initialized() {
            under_way.remove(&self.key);
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
        let (flights, done) = (Arc::new(Flights::default()), Arc::new(AtomicU32::new(0)));
        let gate = Arc::new(Notify::new());
        let ask = || {
            let (flights, done, gate) = (flights.clone(), done.clone(), gate.clone());
            tokio::spawn(async move {
                let work = async {
                    gate.notified().await;
                    done.fetch_add(1, Ordering::SeqCst) + 1
                };
                flights.join("key", work).await
            })
        };
        let asked: Vec<_> = (0..50).map(|_| ask()).collect();
        tokio::task::yield_now().await;
        gate.notify_one();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), 1);
        }
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn what_landed_is_not_handed_out_again() {
        let flights = Flights::default();
        assert_eq!(flights.join(1, async { "first" }).await, "first");
        assert_eq!(flights.join(1, async { "second" }).await, "second");
    }

    #[tokio::test]
    async fn when_the_worker_goes_away_the_next_takes_over() {
        let flights = Arc::new(Flights::default());
        let first = tokio::spawn({
            let flights = flights.clone();
            async move { flights.join(1, std::future::pending()).await }
        });
        tokio::task::yield_now().await;
        let second = tokio::spawn({
            let flights = flights.clone();
            async move { flights.join(1, async { "second" }).await }
        });
        tokio::task::yield_now().await;
        first.abort();
        assert_eq!(second.await.unwrap(), "second");
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(flights.lock().is_empty());
    }
}
