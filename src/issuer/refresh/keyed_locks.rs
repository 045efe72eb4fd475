//! Locks by token, for rotations in this process: one at a time for each token, so that only one
//! asks the stores for more than the token. Nobody waits for the lock of another token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::opaque::TokenDigest;

/// The tokens that are being rotated.
#[derive(Debug, Default)]
pub(super) struct KeyedLocks(Mutex<HashMap<TokenDigest, CancellationToken>>);

/// The lock of a token; released when it is dropped.
#[derive(Debug)]
pub(super) struct LockGuard<'t> {
    locks: &'t KeyedLocks,
    digest: TokenDigest,
    released: CancellationToken,
}

/// Another caller has the lock.
#[derive(Debug)]
pub(super) struct Locked(CancellationToken);

impl KeyedLocks {
    /// Locks this token, where nobody has.
    pub(super) fn try_lock(&self, digest: &TokenDigest) -> Result<LockGuard<'_>, Locked> {
        let mut held = self.lock();
        if let Some(released) = held.get(digest) {
            return Err(Locked(released.clone()));
        }
        let released = CancellationToken::new();
        held.insert(*digest, released.clone());
        Ok(LockGuard { locks: self, digest: *digest, released })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenDigest, CancellationToken>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        self.locks.lock().remove(&self.digest);
        self.released.cancel();
    }
}

impl Locked {
    /// Waits until the lock is released, or until then; says whether it was. All who wait for it go
    /// on at once.
    pub(super) async fn is_released_by(&self, deadline: Instant) -> bool {
        timeout_at(deadline, self.0.cancelled()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_has_the_lock_of_a_token_and_another_token_has_its_own() {
        let locks = KeyedLocks::default();
        let [one, other] = ["one", "other"].map(TokenDigest::of);
        let guard = locks.try_lock(&one).expect("nobody has it");
        let _other = locks.try_lock(&other).expect("nobody has that one");
        let soon = || Instant::now() + Duration::from_millis(10);
        assert!(!locks.try_lock(&one).expect_err("it is taken").is_released_by(soon()).await);
        let waiting = [(); 2].map(|()| locks.try_lock(&one).expect_err("it is taken"));
        drop(guard);
        for locked in waiting {
            assert!(locked.is_released_by(soon()).await, "all go on at once");
        }
        drop(locks.try_lock(&one).expect("it is free again"));
        assert_eq!(locks.lock().len(), 1, "what was released leaves nothing behind");
    }
}
