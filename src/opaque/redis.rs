//! Opaque tokens in Redis, shared by the processes of many hosts: a hash each,
//! `portcullis:opaque:<digest>`; on a cluster `portcullis:<database>:opaque:{}<digest>`.
//!
//! Every key that a script touches is named to the server, as Dragonfly demands; a rotation
//! names the old token's and its successors', which a cluster keeps on different servers:
//! `cross_slot.rs` is how both or nothing happens there. The server's own expiry only makes room. A
//! used token is kept until its end, so that whoever uses it again is known.

mod cross_slot;
mod record;
mod scripts;

use async_trait::async_trait;
use redis::{RedisError, RedisResult};
use serde_json::{Map, Value};

use super::record::{OpaqueToken, TokenDigest};
use super::store::{OpaqueTokenStore, Rotation, check_distinct, collision, corrupt};
use crate::clock::UnixTime;
use crate::store::Failure;
use crate::store::StoreError;
use crate::store::redis::{
    BATCH, Call, Connection, Keys, LONGEST, Redis, Scan, Script, Slot, invoke_all, time_to_live,
};
use record::{Record, bad, fields, json, read};
use scripts::{ADD, COMMIT, EXTEND, PURGE, PUT, ROTATE};

/// Opaque tokens in Redis.
#[derive(Debug)]
pub struct RedisTokenStore {
    redis: Redis,
    keys: Keys,
    put: Script,
    rotate: Script,
    commit: Script,
    extend: Script,
    purge: Script,
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
            extend: Script::new(EXTEND),
            purge: Script::new(PURGE),
            redis,
        }
    }

    /// What the keys of those records begin with that somebody may remember.
    pub fn invalidation_prefixes(&self) -> Vec<String> {
        vec![self.keys.prefix().to_owned()]
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        self.redis.connection().await.map_err(unnamed)
    }

    fn key(&self, digest: &TokenDigest) -> String {
        self.keys.of(&digest.name())
    }

    async fn record(&self, digest: &TokenDigest) -> Result<Record, StoreError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.key(digest));
        command.query_async(&mut self.connection().await?).await.map_err(on(digest))
    }

    /// Hands a token to a script that begins with [`ADD`].
    fn add(&self, call: &mut Call<'_>, token: &OpaqueToken, more: Option<(&'static str, String)>) {
        let mut fields = fields(token);
        fields.extend(more);
        call.key(self.key(&token.digest));
        call.arg(time_to_live(token.issued, token.expires)).arg(fields.len() * 2);
        for (field, value) in fields {
            call.arg(field).arg(value);
        }
    }
}

#[async_trait]
impl OpaqueTokenStore for RedisTokenStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        check_distinct(tokens)?;
        if self.redis.is_cluster() {
            return self.put_cross_slot(tokens, None).await;
        }
        let mut call = self.put.call();
        for token in tokens {
            self.add(&mut call, token, None);
        }
        let added: bool =
            call.invoke_async(&mut self.connection().await?).await.map_err(unnamed)?;
        if added { Ok(()) } else { Err(collision()) }
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let record = self.record(digest).await?;
        if record.is_empty() || !self.is_committed(digest, &record).await? {
            return Ok(None);
        }
        read(digest, &record).map(Some)
    }

    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        check_distinct(successors)?;
        if self.redis.is_cluster() {
            return self.rotate_cross_slot(old, at, successors).await;
        }
        let mut call = self.rotate.key(self.key(old));
        call.arg(at.as_millis());
        for token in successors {
            self.add(&mut call, token, None);
        }
        let outcome: RedisResult<String> =
            self.redis.change(&call, &mut self.connection().await?).await;
        rotation_of(old, &outcome.map_err(on(old))?)
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
            call.arg(json(claims));
        }
        let outcome: RedisResult<i64> =
            self.redis.change(&call, &mut self.connection().await?).await;
        match outcome.map_err(on(digest))? {
            -1 => Err(bad(digest, "expires")),
            found => Ok(found == 1),
        }
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let is_there = self.is_there(digest).await?;
        let mut connection = self.connection().await?;
        let removed = self.redis.remove(&self.key(digest), &mut connection).await;
        Ok(removed.map_err(on(digest))? && is_there)
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let mut connection = self.connection().await?;
        let mut removed = 0;
        let mut tokens = Scan::of(&self.redis, &self.keys).await.map_err(unnamed)?;
        while let Some(names) = tokens.next().await.map_err(unnamed)? {
            for batch in names.chunks(BATCH) {
                let calls: Vec<Call<'_>> = batch
                    .iter()
                    .map(|name| {
                        let mut call = self.purge.key(self.keys.of(name));
                        call.arg(expired_before.as_millis());
                        call
                    })
                    .collect();
                for gone in invoke_all(&calls, &mut connection).await.map_err(unnamed)? {
                    let gone: u64 = gone.map_err(unnamed)?;
                    removed += gone;
                }
            }
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A name that nobody has: a server that only says PONG may still refuse the keys.
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.of("?"));
        let asked = command.query_async(&mut self.connection().await?).await;
        asked.map(|_: Record| ()).map_err(unnamed)
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
        _ => Err(corrupt(old, "it is of another kind")),
    }
}

/// For commands on one token.
fn on(digest: &TokenDigest) -> impl Fn(RedisError) -> StoreError {
    move |error| match Failure::of(&error) {
        Failure::WrongKind => corrupt(digest, "it is of another kind"),
        failure => unnamed(failure),
    }
}

/// For commands on no particular token.
fn unnamed(failure: impl Into<Failure>) -> StoreError {
    failure.into().into()
}
