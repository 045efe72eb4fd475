//! Locks by key: of one process only one at a time compares and writes a record, so that who is
//! first is decided between processes, of which there are few. Nobody waits for another key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::RecordKey;

/// The keys that somebody holds or waits for.
#[derive(Debug, Default)]
pub(super) struct KeyLocks(Mutex<HashMap<RecordKey, Arc<tokio::sync::Mutex<()>>>>);

/// The lock of one key, of one who wants it.
pub(super) struct KeyLock<'l> {
    locks: &'l KeyLocks,
    key: &'l RecordKey,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl KeyLocks {
    /// The lock of this key.
    pub(super) fn of<'l>(&'l self, key: &'l RecordKey) -> KeyLock<'l> {
        let lock = Arc::clone(self.all().entry(key.clone()).or_default());
        KeyLock { locks: self, key, lock }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<RecordKey, Arc<tokio::sync::Mutex<()>>>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyLock<'_> {
    /// Waits for the lock, first come first served. Beside it: whether another had it.
    pub(super) async fn acquire(&self) -> (tokio::sync::MutexGuard<'_, ()>, bool) {
        match self.lock.try_lock() {
            Ok(guard) => (guard, false),
            Err(_) => (self.lock.lock().await, true),
        }
    }
}

impl Drop for KeyLock<'_> {
    fn drop(&mut self) {
        let mut all = self.locks.all();
        // Ours and the one in the map: nobody else wants it.
        if Arc::strong_count(&self.lock) == 2 {
            all.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holds_a_key_another_key_has_its_own_and_nothing_is_left_behind() {
        let locks = KeyLocks::default();
        let [one, other] = ["one", "other"].map(|name| RecordKey::new("kind", name));
        let (first, second, apart) = (locks.of(&one), locks.of(&one), locks.of(&other));
        let (held, has_waited) = first.acquire().await;
        assert!(!has_waited && !apart.acquire().await.1);
        let waits = async {
            let (_held, has_waited) = second.acquire().await;
            has_waited
        };
        let releases = async { drop(held) };
        assert!(tokio::join!(biased; waits, releases).0, "the second waited for the first");
        drop((first, apart));
        assert_eq!(locks.all().len(), 1, "the second may still want it");
        drop(second);
        assert!(locks.all().is_empty());
    }
}
