//! Records in memcached, shared by the processes of many hosts, until it forgets them: under
//! `portcullis:<kind>:<SHA-256 of the name>`. What it forgets begins anew.

use async_trait::async_trait;

use super::{NewRecord, RecordKey, RecordStore, StoredRecord};
use crate::clock::UnixTime;
use crate::store::StoreError;
use crate::store::memcached::{Key, Lifetime, Memcached};

/// Records in memcached.
#[derive(Debug)]
pub struct MemcachedRecordStore {
    memcached: Memcached,
}

impl MemcachedRecordStore {
    /// In these servers.
    pub fn new(memcached: Memcached) -> Self {
        Self { memcached }
    }
}

#[async_trait]
impl RecordStore for MemcachedRecordStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let Some(found) = self.memcached.get(&hashed(key)).await? else { return Ok(None) };
        let value = String::from_utf8(found.value).map_err(|_| key.corrupt("it is no text"))?;
        Ok(Some(StoredRecord { value, version: found.version }))
    }

    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        let (key, value, keep) = (hashed(key), record.value.as_bytes(), Lifetime::of(record.keep));
        Ok(match read {
            None => self.memcached.add(&key, value, keep).await?,
            Some(read) => self.memcached.compare_and_swap(&key, read.version, value, keep).await?,
        })
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        Ok(self.memcached.delete(&hashed(key)).await?)
    }

    /// Nothing: the servers make room by themselves.
    async fn purge(&self, _: UnixTime) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.memcached.ping("portcullis:lease:").await?)
    }

    fn describe(&self) -> String {
        format!("memcached {}", self.memcached.name())
    }
}

fn hashed(key: &RecordKey) -> Key {
    Key::hashed(&format!("portcullis:{}:", key.kind()), key.name())
}
