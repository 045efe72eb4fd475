//! Rate limits that many processes keep together: token buckets, and delays that grow with the
//! failures under a name. With [leases](crate::lease) tp-auth's "refresh restrict" database.
//!
//! Times are the caller's. The hosts' clocks must agree within a minute: by so much a clock that
//! was set back may delay, and none gives more; a record further in the future is taken for a
//! mistake. What a store forgets begins anew.

mod arithmetic;
mod requests;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use arithmetic::Attempt;
use arithmetic::{Bucket, Failures, Rate, TOLERANCE, length, moment};

use crate::clock::UnixTime;
use crate::store::records::{Record, Records};
use crate::store::{Operation, StoreError};

/// Token buckets and failures by name. Names may be any text; the bucket and the failures of one
/// name have nothing to do with each other. A clone has the same limits.
#[derive(Clone, Debug)]
pub struct Limits {
    records: Records,
}

impl Record for Bucket {
    const KIND: &'static str = "bucket";
    const MARGIN: Duration = Duration::from_millis(TOLERANCE);

    fn end(&self) -> UnixTime {
        UnixTime::from_millis(self.full_at)
    }
}

impl Record for Failures {
    const KIND: &'static str = "failures";
    const MARGIN: Duration = Duration::from_millis(TOLERANCE);

    fn end(&self) -> UnixTime {
        UnixTime::from_millis(self.expires)
    }
}

impl Limits {
    /// Limits among these records.
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    /// Takes one from a token bucket, to which one comes back each `interval`, `burst` at most.
    /// `None`: it was taken. Otherwise how long to wait for the next one; nothing was taken. Of a
    /// `burst` of zero nothing is ever to be had.
    pub async fn take(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let rate = Rate::new(interval, burst);
        let decide = move |bucket| arithmetic::take(bucket, moment(at), rate);
        let wait = self.records.change(Operation::Take, name, at, decide).await?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }

    /// Puts one back into a bucket of that interval: what it was taken for was not done after all.
    /// A bucket never holds more than its burst.
    pub async fn refund(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
    ) -> Result<(), StoreError> {
        let refunded = move |bucket| arithmetic::refund(bucket, interval);
        let decide = move |bucket: Option<Bucket>| ((), bucket.map(refunded));
        self.records.change(Operation::Refund, name, at, decide).await
    }

    /// Records an attempt as a failure before it is known to be one, unless the failures before it
    /// forbid it now: the n-th (from 0) may come `delays[n]` after the one before it, and the last
    /// of `delays` holds for all later ones. All is forgotten `memory` after the last recorded
    /// failure. Where the answer is to wait, nothing was recorded.
    pub async fn record_failure(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Attempt, StoreError> {
        let delays: Vec<u64> = delays.iter().copied().map(length).collect();
        let (moment, memory) = (moment(at), length(memory));
        let decide = move |kept| arithmetic::record_failure(kept, moment, &delays, memory);
        self.records.change(Operation::RecordFailure, name, at, decide).await
    }

    /// Undoes one recorded failure: nothing was tried after all. The others stay.
    pub async fn undo_failure(&self, name: &str, at: UnixTime) -> Result<(), StoreError> {
        let decide = |kept: Option<Failures>| ((), kept.map(arithmetic::undo_failure));
        self.records.change(Operation::UndoFailure, name, at, decide).await
    }

    /// Forgets the failures recorded under a name.
    pub async fn reset_failures(&self, name: &str) -> Result<(), StoreError> {
        self.records.delete::<Failures>(Operation::ResetFailures, name).await.map(drop)
    }
}
