//! Stores that count their calls, and of which one call fails: because nothing happened, or because the answer was lost.

pub mod accounts;
pub mod injector;

pub use injector::FaultInjector;

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use portcullis::{
    clock::UnixTime,
    opaque::{OpaqueToken, OpaqueTokenStore, Rotation, TokenDigest},
    session::{Filter, FoundSession, Session, SessionId, SessionKey, SessionStore, UserId},
    store::StoreError,
    store::records::{NewRecord, RecordKey, RecordStore, StoredRecord},
};

/// A store whose calls are counted, and one of which may fail.
#[derive(Debug)]
pub struct FaultyStore<S> {
    /// The store itself, which never fails.
    pub inner: Arc<S>,
    faults: Arc<FaultInjector>,
    /// Every token that was ever to be kept.
    remembered: Mutex<Vec<TokenDigest>>,
}

impl<S> FaultyStore<S> {
    /// This store, counted by `faults`.
    pub fn new(inner: S, faults: &Arc<FaultInjector>) -> Self {
        Self { inner: Arc::new(inner), faults: Arc::clone(faults), remembered: Mutex::default() }
    }

    fn remember(&self, tokens: &[OpaqueToken]) {
        self.remembered
            .lock()
            .expect("never poisoned")
            .extend(tokens.iter().map(|token| token.digest));
    }
}

impl<S: OpaqueTokenStore> FaultyStore<S> {
    /// Every token that is kept.
    pub async fn kept(&self) -> Vec<OpaqueToken> {
        let remembered = self.remembered.lock().expect("never poisoned").clone();
        let mut kept = Vec::new();
        for digest in remembered {
            kept.extend(self.inner.get(&digest).await.expect("memory answers"));
        }
        kept
    }
}

#[async_trait]
impl<S: OpaqueTokenStore> OpaqueTokenStore for FaultyStore<S> {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        self.remember(tokens);
        self.faults.call("tokens.put", self.inner.put(tokens)).await
    }
    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        self.faults.call("tokens.get", self.inner.get(digest)).await
    }
    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        self.remember(successors);
        self.faults.call("tokens.rotate", self.inner.rotate(old, at, successors)).await
    }
    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&serde_json::Map<String, serde_json::Value>>,
    ) -> Result<bool, StoreError> {
        self.faults.call("tokens.extend", self.inner.extend(digest, expires, claims)).await
    }
    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        self.faults.call("tokens.remove", self.inner.remove(digest)).await
    }
    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        self.inner.purge(expired_before).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[async_trait]
impl<S: RecordStore> RecordStore for FaultyStore<S> {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.faults.call("records.get", self.inner.get(key)).await
    }
    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        let name = match key.kind() {
            "lease" => "lease.set",
            "bucket" => "bucket.set",
            _ => "failures.set",
        };
        self.faults.call(name, self.inner.compare_and_set(key, read, record)).await
    }
    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        self.faults.call("records.delete", self.inner.delete(key)).await
    }
    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.inner.purge(before).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[async_trait]
impl<S: SessionStore> SessionStore for FaultyStore<S> {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        self.faults.call("sessions.put", self.inner.put(session)).await
    }
    async fn get_many(&self, keys: &[SessionKey]) -> Result<Vec<FoundSession>, StoreError> {
        self.faults.call("sessions.get", self.inner.get_many(keys)).await
    }
    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        self.faults.call("sessions.touch", self.inner.touch(uses)).await
    }
    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        self.faults.call("sessions.renew", self.inner.renew(id, expires)).await
    }
    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        self.faults.call("sessions.revoke", self.inner.revoke(id)).await
    }
    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        self.faults.call("sessions.revoke_user", self.inner.revoke_user(user, at)).await
    }
    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        self.faults.call("sessions.list", self.inner.list(filter, limit)).await
    }
    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        self.inner.purge(expired_before).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}
