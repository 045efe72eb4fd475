//! What was learnt since: whether an opaque token that was read earlier may still be believed.
//!
//! The same idea as with sessions: a reader takes a [`TokenMark`] before it asks the store, and
//! whatever changes a token through this process moves that token's mark on. So a cached answer is
//! found to be outdated by one comparison, also one whose read was under way at the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::record::{OpaqueToken, TokenDigest};
use super::store::{Exchange, OpaqueStore};
use crate::clock::UnixTime;
use crate::session::StoreError;

/// Tokens that share a counter: a change makes its neighbours be read again too.
const SLOTS: usize = 1024;

/// The moment at which a token was read, in terms of what was changed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenMark {
    slot: usize,
    changes: u64,
}

/// A store of which this process knows at once what it changed. Everybody in the process must
/// change tokens through the same one.
#[derive(Debug)]
pub struct WatchedStore {
    store: Arc<dyn OpaqueStore>,
    changes: Box<[AtomicU64]>,
}

impl WatchedStore {
    /// Watches what goes to `store`.
    pub fn new(store: Arc<dyn OpaqueStore>) -> Self {
        Self { store, changes: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The present mark of a token; to be taken before it is read.
    pub fn mark(&self, digest: &TokenDigest) -> TokenMark {
        let slot = slot(digest);
        TokenMark { slot, changes: self.changes[slot].load(Ordering::Acquire) }
    }

    /// Whether nothing was changed since `mark` that could be the token it was taken for.
    pub fn is_current(&self, mark: &TokenMark) -> bool {
        self.changes[mark.slot].load(Ordering::Acquire) == mark.changes
    }

    /// Tells of a change when it goes: also after an error, and when the caller was cancelled, the
    /// store may have done what it was asked.
    fn changes(&self, digest: &TokenDigest) -> Change<'_> {
        Change(&self.changes[slot(digest)])
    }
}

/// The digest is of random bytes, so any bits of it serve.
fn slot(digest: &TokenDigest) -> usize {
    let [first, second, ..] = *digest.as_bytes();
    usize::from(u16::from_le_bytes([first, second])) % SLOTS
}

struct Change<'c>(&'c AtomicU64);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[async_trait]
impl OpaqueStore for WatchedStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        self.store.put(tokens).await
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        self.store.get(digest).await
    }

    async fn exchange(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Exchange, StoreError> {
        let _told = self.changes(old);
        self.store.exchange(old, at, successors).await
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let _told = self.changes(digest);
        self.store.extend(digest, expires, claims).await
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let _told = self.changes(digest);
        self.store.remove(digest).await
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        self.store.purge(expired_before).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that is down.
    #[derive(Debug)]
    struct Down;

    #[async_trait]
    impl OpaqueStore for Down {
        async fn put(&self, _: &[OpaqueToken]) -> Result<(), StoreError> {
            Err(StoreError::TimedOut)
        }
        async fn get(&self, _: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
            Err(StoreError::TimedOut)
        }
        async fn exchange(
            &self,
            _: &TokenDigest,
            _: UnixTime,
            _: &[OpaqueToken],
        ) -> Result<Exchange, StoreError> {
            Err(StoreError::TimedOut)
        }
        async fn extend(
            &self,
            _: &TokenDigest,
            _: UnixTime,
            _: Option<&Map<String, Value>>,
        ) -> Result<bool, StoreError> {
            Err(StoreError::TimedOut)
        }
        async fn remove(&self, _: &TokenDigest) -> Result<bool, StoreError> {
            std::future::pending().await
        }
        async fn purge(&self, _: UnixTime) -> Result<u64, StoreError> {
            Err(StoreError::TimedOut)
        }
    }

    #[tokio::test]
    async fn whatever_may_have_changed_a_token_outdates_its_mark_and_no_other() {
        let store = WatchedStore::new(Arc::new(Down));
        let (digest, other) = (TokenDigest::of("a"), TokenDigest::of("b"));
        assert_ne!(slot(&digest), slot(&other), "the two stand for two");
        let elsewhere = store.mark(&other);
        let mark = store.mark(&digest);
        assert!(store.get(&digest).await.is_err() && store.put(&[]).await.is_err());
        assert!(store.purge(UnixTime::EPOCH).await.is_err());
        assert!(store.is_current(&mark), "reading changes nothing");

        assert!(store.extend(&digest, UnixTime::EPOCH, None).await.is_err());
        assert!(!store.is_current(&mark), "an error may come after the change");
        let mark = store.mark(&digest);
        assert!(store.exchange(&digest, UnixTime::EPOCH, &[]).await.is_err());
        assert!(!store.is_current(&mark));
        let mark = store.mark(&digest);
        drop(futures_now(store.remove(&digest)).await);
        assert!(!store.is_current(&mark), "and so may the end of the caller");
        assert!(store.is_current(&elsewhere));
    }

    /// Asks once, and goes away.
    async fn futures_now<T>(asked: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = asked => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
