//! The trait that every store of records implements.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use super::RecordKey;
use crate::clock::UnixTime;
use crate::store::StoreError;

/// A store of records by key. Each of its methods is one atomic step, whatever the number of
/// processes; it knows neither the time nor what a record means.
#[async_trait]
pub trait RecordStore: Send + Sync + Debug {
    /// The record of this key; also one that has ended, if it is still there.
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError>;

    /// Writes a record where the present one is still the one that was `read`, or where there is
    /// none if none was read. Says whether it did; of any number of callers that read the same
    /// exactly one does.
    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError>;

    /// Deletes the record of this key. Says whether there was one.
    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError>;

    /// Deletes the records that ended at or before a moment, and says how many. A store that makes
    /// room by itself deletes none.
    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError>;

    /// Checks that the store answers, and takes writes: only who issues tokens has any use for it.
    async fn ping(&self) -> Result<(), StoreError>;

    /// The kind and the place of this store, for logs; no credentials.
    fn describe(&self) -> String;
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its content, never empty.
    pub value: String,
    /// A number that is another one after every change, of a store that gives one. Others compare
    /// the whole value, and it is zero.
    pub version: u64,
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Its content, never empty.
    pub value: String,
    /// The moment from which it may be purged.
    pub end: UnixTime,
    /// For how long, from now on, a store that makes room by itself should keep it.
    pub keep: Duration,
}
