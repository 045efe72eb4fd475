//! Restrictions as the rest of the program uses them: a store under a deadline.

use std::sync::Arc;
use std::time::Duration;

use super::store::{Claim, RestrictStore, Strike};
use crate::clock::{Clock, UnixTime};
use crate::session::{Operation, StoreError, StoreMetrics, Watched};

/// Restrictions, wherever they are kept. What each of these does, [`RestrictStore`] says; none
/// takes longer than the timeout, and then it is [`StoreError::TimedOut`] and may or may not have
/// happened.
#[derive(Debug)]
pub struct Restrictions {
    store: Arc<dyn RestrictStore>,
    timeout: Duration,
    watched: Watched,
}

impl Restrictions {
    /// Restrictions in `store`, which may take `timeout` to answer; then it counts as down.
    pub fn new(
        store: Arc<dyn RestrictStore>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        metrics: StoreMetrics,
    ) -> Self {
        let watched = Watched::new(store.describe(), clock, metrics);
        Self { store, timeout, watched }
    }

    /// Sets a marker where none is live; exactly one caller wins.
    pub async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        self.timed(Operation::Claim, self.store.claim(name, value, at, until)).await
    }

    /// Puts a value in the place of the expected one; says whether it did.
    pub async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        self.timed(Operation::Swap, self.store.swap(name, expected, value, until)).await
    }

    /// What a marker holds, if it is live.
    pub async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        self.timed(Operation::Read, self.store.read(name, at)).await
    }

    /// Takes a marker away. Says whether there was one.
    pub async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        self.timed(Operation::Clear, self.store.clear(name)).await
    }

    /// Takes one from a budget; otherwise says how long to wait.
    pub async fn spend(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        self.timed(Operation::Spend, self.store.spend(name, at, interval, burst)).await
    }

    /// Puts one back into a budget.
    pub async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        self.timed(Operation::Refund, self.store.refund(name, interval)).await
    }

    /// Counts an attempt, or says how long to wait.
    pub async fn strike(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Strike, StoreError> {
        self.timed(Operation::Strike, self.store.strike(name, at, delays, memory)).await
    }

    /// Takes one counted attempt back.
    pub async fn uncount(&self, name: &str) -> Result<(), StoreError> {
        self.timed(Operation::Uncount, self.store.uncount(name)).await
    }

    /// Forgets the attempts counted under a name.
    pub async fn pardon(&self, name: &str) -> Result<(), StoreError> {
        self.timed(Operation::Pardon, self.store.pardon(name)).await
    }

    /// Makes room: forgets what is over. May take a minute.
    pub async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.watched.purging(self.store.purge(before)).await
    }

    /// Whether the store answers, and takes writes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.timed(Operation::Ping, self.store.ping()).await
    }

    /// Leaves the store tidy at the end of the process, if that takes less than a second.
    pub async fn close(&self) {
        self.watched.closing(self.store.close()).await;
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
        self.watched.within(self.timeout, operation, asked).await
    }
}
