//! Stores that count their calls, and of which one call fails: because nothing happened, or because the answer was lost.

use std::{
    fmt::Debug,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use portcullis::{
    account::{AccountError, AccountStore, ApiKey, Client, KeyDigest, Login, User, UserState},
    clock::UnixTime,
    opaque::{OpaqueToken, OpaqueTokenStore, Rotation, TokenDigest},
    secret::Secret,
    session::{Filter, Session, SessionId, SessionStore, UserId},
    store::StoreError,
    store::records::{NewRecord, RecordKey, RecordStore, StoredRecord},
};
use tokio::sync::Notify;

/// The way in which a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happened.
    NotDone,
    /// It happened, and nobody was told.
    AnswerLost,
    /// Nothing happened, and whoever asked was killed while it waited.
    KilledBefore,
    /// It happened, and whoever asked was killed before it was told.
    KilledAfter,
    /// The caller of the operation goes away; then it happens.
    CallerLeaves,
}

/// The call, of all stores together, that fails, and the calls so far.
#[derive(Debug, Default)]
pub struct FaultInjector {
    plan: Mutex<Option<(usize, Fault)>>,
    calls: Mutex<Vec<&'static str>>,
    injected: AtomicUsize,
    killed: Notify,
    left: Notify,
}

impl FaultInjector {
    /// Counts from here on, and makes the n-th call (from 1) fail.
    pub fn plan(&self, nth: usize, fault: Fault) {
        self.reset();
        *self.plan.lock().expect("never poisoned") = Some((nth, fault));
    }

    /// Counts from here on; nothing fails.
    pub fn reset(&self) {
        *self.plan.lock().expect("never poisoned") = None;
        self.calls.lock().expect("never poisoned").clear();
        self.injected.store(0, Ordering::SeqCst);
    }

    /// The calls since then, in their order.
    pub fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().expect("never poisoned").clone()
    }

    /// The number of them that were made to fail.
    pub fn injected(&self) -> usize {
        self.injected.load(Ordering::SeqCst)
    }

    /// Runs an operation to its end, or to where it is killed: then there is no outcome, and it did nothing any more.
    pub async fn run<T>(&self, operation: impl Future<Output = T>) -> Option<T> {
        let outcome = tokio::select! {
            biased;
            outcome = operation => Some(outcome),
            () = self.killed.notified() => None,
        };
        self.left.notify_one();
        outcome
    }

    /// Kills the operation. A task of its own that waits here ends with it.
    async fn killed<T, E: Failure>(&self) -> Result<T, E> {
        self.killed.notify_one();
        self.left.notified().await;
        Err(E::timed_out())
    }

    async fn call<T, E: Failure>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let nth = {
            let mut calls = self.calls.lock().expect("never poisoned");
            calls.push(name);
            calls.len()
        };
        let plan = *self.plan.lock().expect("never poisoned");
        match plan.filter(|(planned, _)| *planned == nth) {
            None => call.await,
            Some((_, fault)) => {
                self.injected.fetch_add(1, Ordering::SeqCst);
                match fault {
                    Fault::NotDone => Err(E::unavailable()),
                    Fault::AnswerLost => call.await.and_then(|_| Err(E::timed_out())),
                    Fault::KilledBefore => self.killed().await,
                    Fault::CallerLeaves => {
                        self.killed.notify_one();
                        self.left.notified().await;
                        call.await
                    }
                    Fault::KilledAfter => {
                        let _ = call.await;
                        self.killed().await
                    }
                }
            }
        }
    }
}

/// An error that says that something failed.
trait Failure {
    fn unavailable() -> Self;
    fn timed_out() -> Self;
}

impl Failure for StoreError {
    fn unavailable() -> Self {
        Self::Unavailable("made to fail".to_owned())
    }
    fn timed_out() -> Self {
        Self::TimedOut
    }
}

impl Failure for AccountError {
    fn unavailable() -> Self {
        Self::Unavailable("made to fail".to_owned())
    }
    fn timed_out() -> Self {
        Self::TimedOut
    }
}

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
impl<S: AccountStore> AccountStore for FaultyStore<S> {
    async fn add_user(&self, user: &User) -> Result<(), AccountError> {
        self.faults.call("add_user", self.inner.add_user(user)).await
    }
    async fn user(&self, id: &UserId) -> Result<Option<User>, AccountError> {
        self.faults.call("user", self.inner.user(id)).await
    }
    async fn user_by_login(&self, login: &Login) -> Result<Option<User>, AccountError> {
        self.faults.call("user_by_login", self.inner.user_by_login(login)).await
    }
    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, AccountError> {
        self.faults.call("users", self.inner.users(after, limit)).await
    }
    async fn change_user(&self, user: &User) -> Result<bool, AccountError> {
        self.faults.call("change_user", self.inner.change_user(user)).await
    }
    async fn set_state(
        &self,
        id: &UserId,
        state: UserState,
        at: UnixTime,
    ) -> Result<bool, AccountError> {
        self.faults.call("set_state", self.inner.set_state(id, state, at)).await
    }
    async fn set_password(
        &self,
        id: &UserId,
        hash: &Secret,
        instead_of: Option<&Secret>,
        at: UnixTime,
    ) -> Result<bool, AccountError> {
        self.faults.call("set_password", self.inner.set_password(id, hash, instead_of, at)).await
    }
    async fn record_login(&self, id: &UserId, at: UnixTime) -> Result<(), AccountError> {
        self.faults.call("record_login", self.inner.record_login(id, at)).await
    }
    async fn delete_user(&self, id: &UserId) -> Result<bool, AccountError> {
        self.faults.call("delete_user", self.inner.delete_user(id)).await
    }
    async fn add_key(&self, key: &ApiKey) -> Result<(), AccountError> {
        self.faults.call("add_key", self.inner.add_key(key)).await
    }
    async fn key(&self, digest: &KeyDigest) -> Result<Option<ApiKey>, AccountError> {
        self.faults.call("key", self.inner.key(digest)).await
    }
    async fn keys(&self, user: Option<&UserId>, limit: usize) -> Result<Vec<ApiKey>, AccountError> {
        self.faults.call("keys", self.inner.keys(user, limit)).await
    }
    async fn renew_key(
        &self,
        digest: &KeyDigest,
        expires: Option<UnixTime>,
    ) -> Result<bool, AccountError> {
        self.faults.call("renew_key", self.inner.renew_key(digest, expires)).await
    }
    async fn record_key_use(&self, id: &str, at: UnixTime) -> Result<(), AccountError> {
        self.faults.call("record_key_use", self.inner.record_key_use(id, at)).await
    }
    async fn delete_key(&self, id: &str) -> Result<bool, AccountError> {
        self.faults.call("delete_key", self.inner.delete_key(id)).await
    }
    async fn add_client(&self, client: &Client) -> Result<(), AccountError> {
        self.faults.call("add_client", self.inner.add_client(client)).await
    }
    async fn client(&self, id: &str) -> Result<Option<Client>, AccountError> {
        self.faults.call("client", self.inner.client(id)).await
    }
    async fn clients(&self) -> Result<Vec<Client>, AccountError> {
        self.faults.call("clients", self.inner.clients()).await
    }
    async fn change_client(&self, client: &Client) -> Result<bool, AccountError> {
        self.faults.call("change_client", self.inner.change_client(client)).await
    }
    async fn delete_client(&self, id: &str) -> Result<bool, AccountError> {
        self.faults.call("delete_client", self.inner.delete_client(id)).await
    }
    async fn ping(&self) -> Result<(), AccountError> {
        self.inner.ping().await
    }
    async fn close(&self) {
        self.inner.close().await;
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
    async fn get(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.faults.call("sessions.get", self.inner.get(user, id)).await
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
