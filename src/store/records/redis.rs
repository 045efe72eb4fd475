//! Records in Redis, shared by the processes of many hosts: a string each, under
//! `portcullis:<kind>:<name>`.
//!
//! Each stands alone, so that on a cluster nothing is different but that `portcullis:<database>:`
//! comes first, and `{}` before the name: no name chooses its server. The server's own expiry makes
//! room.

use async_trait::async_trait;
use redis::RedisResult;

use super::{NewRecord, RecordKey, RecordStore, StoredRecord};
use crate::clock::UnixTime;
use crate::store::StoreError;
use crate::store::redis::{LONGEST, Redis, Script, Slot};

/// KEYS: the record. ARGV: what was read, empty where there was none; what to write; for how many
/// milliseconds to keep it. Says 1 where it was written.
const COMPARE_AND_SET: &str = r"
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// Records in Redis.
#[derive(Debug)]
pub struct RedisRecordStore {
    redis: Redis,
    compare_and_set: Script,
}

impl RedisRecordStore {
    /// Over a pool that is connected to the right database.
    pub fn new(redis: Redis) -> Self {
        Self { redis, compare_and_set: Script::new(COMPARE_AND_SET) }
    }

    fn name(&self, key: &RecordKey) -> String {
        self.redis.keys(key.kind(), Slot::WholeKey).of(key.name())
    }
}

#[async_trait]
impl RecordStore for RedisRecordStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(self.name(key));
        let value: RedisResult<Option<String>> =
            command.query_async(&mut self.redis.connection().await?).await;
        let value = value.map_err(|error| key.failed(error))?;
        Ok(value.map(|value| StoredRecord { value, version: 0 }))
    }

    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        let mut call = self.compare_and_set.key(self.name(key));
        let millis = u64::try_from(record.keep.as_millis()).unwrap_or(LONGEST);
        call.arg(read.map_or("", |read| &read.value));
        call.arg(&record.value).arg(millis.clamp(1, LONGEST));
        let done: RedisResult<bool> = call.invoke_async(&mut self.redis.connection().await?).await;
        done.map_err(|error| key.failed(error))
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        let mut command = redis::cmd("DEL");
        command.arg(self.name(key));
        let done: RedisResult<bool> =
            command.query_async(&mut self.redis.connection().await?).await;
        done.map_err(|error| key.failed(error))
    }

    /// Nothing: the server makes room by itself.
    async fn purge(&self, _: UnixTime) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A name that nobody has: a server that only says PONG may still refuse the keys.
        self.get(&RecordKey::new("lease", "?")).await?;
        Ok(self.redis.probe_write().await?)
    }

    fn describe(&self) -> String {
        format!("redis {}", self.redis.name())
    }
}
