//! The trait that every store of leases and limits implements.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::UnixTime;
use crate::store::StoreError;

/// A store of leases, token buckets and failures, by name. Each of its methods is one atomic step,
/// whatever the number of processes; times are the caller's, and the store's own expiry only makes
/// room. The hosts' clocks must agree within a minute: by so much a clock that was set back may
/// delay, and none gives more; a record further in the future is taken for a mistake. Names may
/// hold anything; the lease, the bucket and the failures of one name have nothing to do with each
/// other.
#[async_trait]
pub trait LimitStore: Send + Sync + Debug {
    /// Acquires a lease where there is none that is live at `at`; it lives until `until`. Otherwise
    /// says what the present one holds. Of any number of callers exactly one acquires it.
    async fn acquire_lease(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Lease, StoreError>;

    /// Replaces a lease that holds `expected` by one that holds `value` and lives until `until`;
    /// says whether it did. It does not where the lease holds something else or is gone; one that
    /// is over may still be there.
    async fn replace_lease(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError>;

    /// Reads what a lease holds, if it is live at `at`.
    async fn read_lease(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError>;

    /// Releases a lease. Says whether there was one, live or over.
    async fn release_lease(&self, name: &str) -> Result<bool, StoreError>;

    /// Takes one from a token bucket (GCRA), to which one comes back each `interval`, `burst` at
    /// most. `None`: it was taken. Otherwise how long to wait for the next one; nothing was taken.
    /// Of a `burst` of zero nothing is ever to be had.
    async fn take(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError>;

    /// Puts one back into a bucket of that interval: what it was taken for was not done after all.
    /// A bucket never holds more than its burst.
    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError>;

    /// Records an attempt as a failure before it is known to be one, unless the failures before it
    /// forbid it now: the n-th (from 0) may come `delays[n]` after the one before it, and the last
    /// of `delays` holds for all later ones. All is forgotten `memory` after the last recorded
    /// failure. Where the answer is to wait, nothing was recorded.
    async fn record_failure(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Attempt, StoreError>;

    /// Undoes one recorded failure: nothing was tried after all. The others stay.
    async fn undo_failure(&self, name: &str) -> Result<(), StoreError>;

    /// Forgets the failures recorded under a name.
    async fn reset_failures(&self, name: &str) -> Result<(), StoreError>;

    /// Forgets what is over, to make room; says how much.
    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError>;

    /// Whether the store answers, and takes writes: only who issues tokens has any use for it.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Leaves the store tidy at the end of the process. Without it nothing is lost.
    async fn close(&self) {}

    /// What and where this store is, for logs; holds no credentials.
    fn describe(&self) -> String;
}

/// Outcome of [`LimitStore::acquire_lease`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The caller has it now.
    Acquired,
    /// Another has it; this is what it holds.
    Held(String),
}

/// Outcome of [`LimitStore::record_failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The attempt may go on; this many failures were recorded before it.
    Counted(u32),
    /// The attempt comes too early; it may come again after this long.
    Wait(Duration),
}
