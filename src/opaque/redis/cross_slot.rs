//! The steps of a rotation on a cluster, which keeps a token and its successors on different servers.

use async_trait::async_trait;
use redis::RedisResult;

use super::record::{PARENT, read};
use super::{RedisTokenStore, about, rotation_of};
use crate::clock::UnixTime;
use crate::opaque::record::{OpaqueToken, TokenDigest};
use crate::opaque::store::Rotation;
use crate::opaque::successors::{TokenRecord, TokenRecords};
use crate::store::{Hash, StoreError};

#[async_trait]
impl TokenRecords for RedisTokenStore {
    async fn read(&self, digest: &TokenDigest) -> Result<Option<TokenRecord>, StoreError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.key(digest));
        let hash = command.query_async(&mut self.connection().await?).await;
        let hash: Hash = hash.map_err(about(digest))?;
        if hash.is_empty() {
            return Ok(None);
        }
        read(digest, &hash).map(Some).map_err(|bad| StoreError::corrupt(digest, bad))
    }

    async fn add(
        &self,
        token: &OpaqueToken,
        parent: Option<&TokenDigest>,
    ) -> Result<bool, StoreError> {
        let mut call = self.put.call();
        self.push(&mut call, token, parent.map(|parent| (PARENT, parent.name())));
        call.invoke_async(&mut self.connection().await?).await.map_err(about(&token.digest))
    }

    async fn commit(
        &self,
        digest: &TokenDigest,
        at: UnixTime,
        successors: &[TokenDigest],
    ) -> Result<Rotation, StoreError> {
        let names: Vec<String> = successors.iter().map(TokenDigest::name).collect();
        let mut call = self.commit.key(self.key(digest));
        call.arg(at.as_millis()).arg(names.join(" "));
        let mut connection = self.connection().await?;
        let outcome: RedisResult<String> = self.redis.change(&call, &mut connection).await;
        rotation_of(digest, &outcome.map_err(about(digest))?)
    }

    async fn clear_parent(&self, digest: &TokenDigest) -> Result<(), StoreError> {
        let mut command = redis::cmd("HDEL");
        command.arg(self.key(digest)).arg(PARENT);
        let cleared = command.query_async(&mut self.connection().await?).await;
        cleared.map_err(about(digest))
    }

    async fn delete(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let mut command = redis::cmd("DEL");
        command.arg(self.key(digest));
        command.query_async(&mut self.connection().await?).await.map_err(about(digest))
    }
}
