//! What every store of restrictions can do.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::UnixTime;
use crate::session::StoreError;

/// Where restrictions are kept, by name. Each of these is one atomic step, whatever the number of
/// processes; times are the caller's, and the store's own expiry only makes room. The hosts' clocks
/// must agree within a minute: by so much a clock that was set back may delay, and none gives
/// more; a record further in the future is taken for a mistake. Names may hold anything, and
/// markers, budgets and attempts of one name have nothing to do with each other.
#[async_trait]
pub trait RestrictStore: Send + Sync + Debug {
    /// Sets a marker where there is none that is live at `at`; it lives until `until`. Otherwise
    /// says what the present one holds. Of any number of callers exactly one wins.
    async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError>;

    /// Puts `value` in the place of `expected`, to live until `until`; says whether it did. Not,
    /// where the marker holds something else or is gone; one that is over may still be there.
    async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError>;

    /// What the marker holds, if it is live at `at`.
    async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError>;

    /// Takes a marker away. Says whether there was one, live or over.
    async fn clear(&self, name: &str) -> Result<bool, StoreError>;

    /// Takes one from a budget that fills evenly (GCRA): one back each `interval`, `burst` at most.
    /// `None`: it was taken. Otherwise how long to wait for the next one; nothing was taken. Of a
    /// `burst` of zero nothing is ever to be had.
    async fn spend(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError>;

    /// Puts one back into a budget of that interval: what it was taken for was not done after all.
    /// A budget never holds more than its burst.
    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError>;

    /// Counts an attempt, unless the attempts before it forbid one now: the n-th (from 0) may come
    /// `delays[n]` after the one before it, and the last of `delays` holds for all later ones. All
    /// is forgotten `memory` after the last counted attempt. `None`: it was counted and may go on.
    /// Otherwise how long to wait; nothing was counted.
    async fn strike(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Strike, StoreError>;

    /// Takes back one attempt that was counted: nothing was tried after all. The others stay.
    async fn uncount(&self, name: &str) -> Result<(), StoreError>;

    /// Forgets the attempts counted under a name.
    async fn pardon(&self, name: &str) -> Result<(), StoreError>;

    /// Forgets what is over, to make room; says how much.
    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError>;

    /// Whether the store answers, and takes writes: only who issues tokens has any use for it.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Leaves the store tidy at the end of the process. Without it nothing is lost.
    async fn close(&self) {}

    /// What and where this store is, for logs; holds no credentials.
    fn describe(&self) -> String;
}

/// Whether a marker was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was.
    Won,
    /// There is one, and this is what it holds.
    Held(String),
}

/// Whether an attempt may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// It may; this many were counted before it.
    Counted(u32),
    /// Not yet; in this long.
    Wait(Duration),
}
