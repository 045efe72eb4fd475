//! Leases and limits as the rest of the program uses them: a store under a deadline.

use std::sync::Arc;
use std::time::Duration;

use super::store::{Attempt, Lease, LimitStore};
use crate::clock::{Clock, UnixTime};
use crate::store::{GuardedStore, Operation, StoreError, StoreMetrics};

/// Leases and limits, wherever they are kept. What each of these does, [`LimitStore`] says; none
/// takes longer than the timeout, and then it is [`StoreError::TimedOut`] and may or may not have
/// happened.
#[derive(Debug)]
pub struct Limits {
    store: Arc<dyn LimitStore>,
    timeout: Duration,
    guard: GuardedStore,
}

impl Limits {
    /// Leases and limits in `store`, which may take `timeout` to answer; then it counts as down.
    pub fn new(
        store: Arc<dyn LimitStore>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        metrics: StoreMetrics,
    ) -> Self {
        let guard = GuardedStore::new(store.describe(), clock, metrics);
        Self { store, timeout, guard }
    }

    /// Acquires a lease where none is live; exactly one caller does.
    pub async fn acquire_lease(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Lease, StoreError> {
        self.timed(Operation::AcquireLease, self.store.acquire_lease(name, value, at, until)).await
    }

    /// Replaces a lease that holds the expected value; says whether it did.
    pub async fn replace_lease(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        self.timed(Operation::ReplaceLease, self.store.replace_lease(name, expected, value, until))
            .await
    }

    /// Reads what a lease holds, if it is live.
    pub async fn read_lease(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        self.timed(Operation::ReadLease, self.store.read_lease(name, at)).await
    }

    /// Releases a lease. Says whether there was one.
    pub async fn release_lease(&self, name: &str) -> Result<bool, StoreError> {
        self.timed(Operation::ReleaseLease, self.store.release_lease(name)).await
    }

    /// Takes one from a token bucket; otherwise says how long to wait.
    pub async fn take(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        self.timed(Operation::Take, self.store.take(name, at, interval, burst)).await
    }

    /// Puts one back into a token bucket.
    pub async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        self.timed(Operation::Refund, self.store.refund(name, interval)).await
    }

    /// Records an attempt as a failure, or says how long to wait.
    pub async fn record_failure(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Attempt, StoreError> {
        self.timed(Operation::RecordFailure, self.store.record_failure(name, at, delays, memory))
            .await
    }

    /// Undoes one recorded failure.
    pub async fn undo_failure(&self, name: &str) -> Result<(), StoreError> {
        self.timed(Operation::UndoFailure, self.store.undo_failure(name)).await
    }

    /// Forgets the failures recorded under a name.
    pub async fn reset_failures(&self, name: &str) -> Result<(), StoreError> {
        self.timed(Operation::ResetFailures, self.store.reset_failures(name)).await
    }

    /// Makes room: forgets what is over. May take a minute.
    pub async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.guard.purge(self.store.purge(before)).await
    }

    /// Whether the store answers, and takes writes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.timed(Operation::Ping, self.store.ping()).await
    }

    /// Leaves the store tidy at the end of the process, if that takes less than a second.
    pub async fn close(&self) {
        self.guard.close(self.store.close()).await;
    }

    /// What and where the store is, without credentials.
    pub fn describe(&self) -> String {
        self.store.describe()
    }

    async fn timed<T>(
        &self,
        operation: Operation,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.guard.with_timeout(self.timeout, operation, asked).await
    }
}
