//! Records in memory: for one process alone, gone with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{NewRecord, RecordKey, RecordStore, StoredRecord};
use crate::clock::UnixTime;
use crate::store::StoreError;

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryRecordStore {
    records: Mutex<HashMap<RecordKey, NewRecord>>,
}

impl MemoryRecordStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn records(&self) -> MutexGuard<'_, HashMap<RecordKey, NewRecord>> {
        // No caller's code runs under the lock, so a poisoned state is still a whole one.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RecordStore for MemoryRecordStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let records = self.records();
        let value = records.get(key).map(|record| record.value.clone());
        Ok(value.map(|value| StoredRecord { value, version: 0 }))
    }

    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        let mut records = self.records();
        let is_same =
            records.get(key).map(|present| &present.value) == read.map(|read| &read.value);
        if is_same {
            records.insert(key.clone(), record.clone());
        }
        Ok(is_same)
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        Ok(self.records().remove(key).is_some())
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        let mut records = self.records();
        let present = records.len();
        records.retain(|_, record| record.end > before);
        Ok((present - records.len()) as u64)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
