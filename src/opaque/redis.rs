//! Opaque tokens in Redis, shared by the processes of many hosts: a hash each,
//! `portcullis:opaque:<digest>`; on a cluster `portcullis:<database>:opaque:{}<digest>`.
//!
//! Every key that a script touches is named to the server, as Dragonfly demands. A rotation names the
//! old token's and its successors'. A cluster keeps these on different servers: there each step is
//! about one key (`cross_slot.rs`), and `successors.rs` is how both or nothing happens. The server's
//! own expiry only makes room. A used token is kept until its end, so that whoever uses it again is
//! known.

mod cross_slot;
mod record;
mod scripts;

use async_trait::async_trait;
use redis::RedisResult;
use serde_json::{Map, Value};

use super::record::{OpaqueToken, TokenDigest};
use super::store::{OpaqueTokenStore, Rotation, check_distinct, collision};
use super::successors;
use crate::clock::UnixTime;
use crate::store::redis::{
    Call, Connection, Keys, LONGEST, MOVE_END, Redis, Script, Slot, about, time_to_live,
};
use crate::store::{BadField, Hash, StoreError, claims_text};
use record::fields;
use scripts::{ADD, COMMIT, EXTEND, PUT, ROTATE};

/// Opaque tokens in Redis.
#[derive(Clone, Debug)]
pub struct RedisTokenStore {
    redis: Redis,
    keys: Keys,
    put: Script,
    rotate: Script,
    commit: Script,
    extend: Script,
}

impl RedisTokenStore {
    /// Over a Redis with the right database.
    pub fn new(redis: Redis) -> Self {
        let adding = |script| Script::new(&format!("{ADD}{script}"));
        Self {
            keys: redis.keys("opaque", Slot::WholeKey),
            put: adding(PUT),
            rotate: adding(ROTATE),
            commit: Script::new(COMMIT),
            extend: Script::new(&format!("{MOVE_END}{EXTEND}")),
            redis,
        }
    }

    /// The prefixes of the keys whose records somebody may remember.
    pub fn invalidation_prefixes(&self) -> Vec<String> {
        vec![self.keys.prefix().to_owned()]
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        Ok(self.redis.connection().await?)
    }

    fn key(&self, digest: &TokenDigest) -> String {
        self.keys.of(digest.name())
    }

    /// Hands a token to a script that begins with [`ADD`].
    fn push(&self, call: &mut Call<'_>, token: &OpaqueToken, more: Option<(&'static str, String)>) {
        let mut fields = fields(token);
        fields.extend(more);
        call.key(self.key(&token.digest));
        call.arg(time_to_live(token.issued, token.expires)).arg(fields.len() * 2);
        for (field, value) in fields {
            call.arg(field).arg(value);
        }
    }

    /// Returns whether there is such a token to change; on a single server the change itself says.
    async fn is_there(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        Ok(!self.redis.is_cluster() || successors::find(self, digest).await?.is_some())
    }
}

#[async_trait]
impl OpaqueTokenStore for RedisTokenStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        if self.redis.is_cluster() {
            return successors::put(self, tokens, None).await;
        }
        check_distinct(tokens)?;
        let mut call = self.put.call();
        for token in tokens {
            self.push(&mut call, token, None);
        }
        let added: bool = call.invoke_async(&mut self.connection().await?).await?;
        if added { Ok(()) } else { Err(collision()) }
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        successors::find(self, digest).await
    }

    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        if self.redis.is_cluster() {
            return successors::rotate(self, old, at, successors).await;
        }
        check_distinct(successors)?;
        let mut call = self.rotate.key(self.key(old));
        call.arg(at.as_millis());
        for token in successors {
            self.push(&mut call, token, None);
        }
        let outcome: RedisResult<String> =
            self.redis.change(&call, &mut self.connection().await?).await;
        rotation_of(old, &outcome.map_err(about(old))?)
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        if !self.is_there(digest).await? {
            return Ok(false);
        }
        let mut call = self.extend.key(self.key(digest));
        call.arg(expires.as_millis()).arg(LONGEST);
        if let Some(claims) = claims {
            call.arg(claims_text(claims));
        }
        let outcome: RedisResult<i64> =
            self.redis.change(&call, &mut self.connection().await?).await;
        match outcome.map_err(about(digest))? {
            -1 => Err(StoreError::corrupt(digest, BadField("expires"))),
            found => Ok(found == 1),
        }
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        // What cannot be read is removed all the same.
        let is_absent = matches!(self.is_there(digest).await, Ok(false));
        let mut connection = self.connection().await?;
        let removed = self.redis.remove(&self.key(digest), &mut connection).await;
        Ok(removed.map_err(about(digest))? && !is_absent)
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        Ok(self.redis.purge(&self.keys, expired_before).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A name that nobody has: a server that only says PONG may still refuse the keys.
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.of("?"));
        let _nothing: Hash = command.query_async(&mut self.connection().await?).await?;
        Ok(())
    }

    fn describe(&self) -> String {
        format!("redis {}", self.redis.name())
    }

    fn invalidated_record(&self, key: &[u8]) -> Option<TokenDigest> {
        TokenDigest::parse_name(self.keys.name(std::str::from_utf8(key).ok()?)?)
    }
}

/// Reads what a script says of a rotation.
fn rotation_of(old: &TokenDigest, outcome: &str) -> Result<Rotation, StoreError> {
    match outcome {
        "done" => Ok(Rotation::Rotated),
        "used" => Ok(Rotation::AlreadyUsed),
        "unknown" => Ok(Rotation::Unknown),
        "taken" => Err(collision()),
        _ => Err(StoreError::corrupt(old, "it is of another kind")),
    }
}
