//! Stores that count what they are asked, and of which one call fails: because nothing happened, or because the answer was lost.

use std::{
    fmt::Debug,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use portcullis::{
    account::{AccountError, AccountStore, ApiKey, Client, KeyDigest, Login, User, UserState},
    clock::UnixTime,
    opaque::{Exchange, OpaqueStore, OpaqueToken, TokenDigest},
    restrict::{Claim, RestrictStore, Strike},
    secret::Secret,
    session::{Filter, Session, SessionId, SessionStore, StoreError, UserId},
};
use tokio::sync::Notify;

/// How a call fails.
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
    /// Whoever the operation is done for goes away; then it happens.
    CallerLeaves,
}

/// Which call of all stores together fails, and what was asked so far.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<Option<(usize, Fault)>>,
    made: Mutex<Vec<&'static str>>,
    struck: AtomicUsize,
    killed: Notify,
    left: Notify,
}

impl Faults {
    /// Counts from here on, and makes the n-th call (from 1) fail.
    pub fn plan(&self, nth: usize, fault: Fault) {
        self.calm();
        *self.plan.lock().expect("never poisoned") = Some((nth, fault));
    }

    /// Counts from here on; nothing fails.
    pub fn calm(&self) {
        *self.plan.lock().expect("never poisoned") = None;
        self.made.lock().expect("never poisoned").clear();
        self.struck.store(0, Ordering::SeqCst);
    }

    /// The calls since then, in their order.
    pub fn made(&self) -> Vec<&'static str> {
        self.made.lock().expect("never poisoned").clone()
    }

    /// How many of them were made to fail.
    pub fn struck(&self) -> usize {
        self.struck.load(Ordering::SeqCst)
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

    async fn killed<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }

    async fn call<T, E: Failure>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let nth = {
            let mut made = self.made.lock().expect("never poisoned");
            made.push(name);
            made.len()
        };
        let plan = *self.plan.lock().expect("never poisoned");
        match plan.filter(|(planned, _)| *planned == nth) {
            None => call.await,
            Some((_, fault)) => {
                self.struck.fetch_add(1, Ordering::SeqCst);
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
pub struct Faulty<S> {
    /// The store itself, which never fails.
    pub inner: Arc<S>,
    faults: Arc<Faults>,
    /// Every token that was ever to be kept.
    seen: Mutex<Vec<TokenDigest>>,
}

impl<S> Faulty<S> {
    /// This store, counted by `faults`.
    pub fn new(inner: S, faults: &Arc<Faults>) -> Self {
        Self { inner: Arc::new(inner), faults: Arc::clone(faults), seen: Mutex::default() }
    }

    fn see(&self, tokens: &[OpaqueToken]) {
        self.seen.lock().expect("never poisoned").extend(tokens.iter().map(|token| token.digest));
    }
}

impl<S: OpaqueStore> Faulty<S> {
    /// Every token that is kept.
    pub async fn kept(&self) -> Vec<OpaqueToken> {
        let seen = self.seen.lock().expect("never poisoned").clone();
        let mut kept = Vec::new();
        for digest in seen {
            kept.extend(self.inner.get(&digest).await.expect("memory answers"));
        }
        kept
    }
}

#[async_trait]
impl<S: AccountStore> AccountStore for Faulty<S> {
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
    async fn note_login(&self, id: &UserId, at: UnixTime) -> Result<(), AccountError> {
        self.faults.call("note_login", self.inner.note_login(id, at)).await
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
    async fn note_key_use(&self, id: &str, at: UnixTime) -> Result<(), AccountError> {
        self.faults.call("note_key_use", self.inner.note_key_use(id, at)).await
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
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[async_trait]
impl<S: OpaqueStore> OpaqueStore for Faulty<S> {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        self.see(tokens);
        self.faults.call("tokens.put", self.inner.put(tokens)).await
    }
    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        self.faults.call("tokens.get", self.inner.get(digest)).await
    }
    async fn exchange(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Exchange, StoreError> {
        self.see(successors);
        self.faults.call("tokens.exchange", self.inner.exchange(old, at, successors)).await
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
impl<S: RestrictStore> RestrictStore for Faulty<S> {
    async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        self.faults.call("claim", self.inner.claim(name, value, at, until)).await
    }
    async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        self.faults.call("swap", self.inner.swap(name, expected, value, until)).await
    }
    async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        self.faults.call("read", self.inner.read(name, at)).await
    }
    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        self.faults.call("clear", self.inner.clear(name)).await
    }
    async fn spend(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        self.faults.call("spend", self.inner.spend(name, at, interval, burst)).await
    }
    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        self.faults.call("refund", self.inner.refund(name, interval)).await
    }
    async fn strike(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Strike, StoreError> {
        self.faults.call("strike", self.inner.strike(name, at, delays, memory)).await
    }
    async fn uncount(&self, name: &str) -> Result<(), StoreError> {
        self.faults.call("uncount", self.inner.uncount(name)).await
    }
    async fn pardon(&self, name: &str) -> Result<(), StoreError> {
        self.faults.call("pardon", self.inner.pardon(name)).await
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
impl<S: SessionStore> SessionStore for Faulty<S> {
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
