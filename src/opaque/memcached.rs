//! Opaque tokens in memcached, shared by the processes of many hosts, until it forgets them:
//! `portcullis:opaque:<digest>`.
//!
//! Memcached changes one record at a time; `successors.rs` is how a rotation is one step all the same.
//!
//! What memcached forgets only refuses. A token that is gone is unknown, and so are its
//! pending successors. Of a used token that is gone nobody can tell that it was used: whoever shows
//! it again is refused, and his family does not end for it.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::record::{OpaqueToken, TokenDigest};
use super::store::{OpaqueTokenStore, Rotation};
use super::successors::{self, TokenRecord, TokenRecords};
use crate::clock::UnixTime;
use crate::store::memcached::{Change, Found, Key, Lifetime, Memcached, to_json};
use crate::store::{BadField, Fields as _, StoreError};

const PREFIX: &str = "portcullis:opaque:";

/// Opaque tokens in memcached.
#[derive(Clone, Debug)]
pub struct MemcachedTokenStore {
    memcached: Memcached,
}

impl MemcachedTokenStore {
    /// In these servers.
    pub fn new(memcached: Memcached) -> Self {
        Self { memcached }
    }

    /// Changes a token that is there: `decide` says the outcome, and what to keep for how long, if
    /// that is to be another record. Without a token nothing is done, and the outcome is `absent`.
    async fn change<T: Copy + Send + Sync>(
        &self,
        digest: &TokenDigest,
        absent: T,
        decide: impl Fn(TokenRecord, Lifetime) -> (T, Option<(TokenRecord, Lifetime)>) + Send + Sync,
    ) -> Result<T, StoreError> {
        let decide = |found: Option<&Found>| {
            let Some(found) = found else { return Ok(Change::Leave(absent)) };
            Ok(match decide(read(digest, found)?, found.left) {
                (outcome, None) => Change::Leave(outcome),
                (outcome, Some((record, keep))) => {
                    Change::Write { value: value(&record)?, keep, outcome }
                }
            })
        };
        self.memcached.change(&key(digest), decide).await
    }
}

#[async_trait]
impl TokenRecords for MemcachedTokenStore {
    async fn read(&self, digest: &TokenDigest) -> Result<Option<TokenRecord>, StoreError> {
        let found = self.memcached.get(&key(digest)).await?;
        found.map(|found| read(digest, &found)).transpose()
    }

    async fn add(
        &self,
        token: &OpaqueToken,
        parent: Option<&TokenDigest>,
    ) -> Result<bool, StoreError> {
        let keep = Lifetime::between(token.issued, token.expires);
        let (token, parent) = (token.clone(), parent.copied());
        let record = TokenRecord { token, parent, successors: Vec::new() };
        let key = key(&record.token.digest);
        Ok(self.memcached.add(&key, &value(&record)?, keep).await?)
    }

    async fn commit(
        &self,
        digest: &TokenDigest,
        at: UnixTime,
        successors: &[TokenDigest],
    ) -> Result<Rotation, StoreError> {
        let decide = |record: TokenRecord, left| {
            if record.token.used.is_some() {
                return (Rotation::AlreadyUsed, None);
            }
            let token = OpaqueToken { used: Some(at), ..record.token };
            let record = TokenRecord { token, parent: None, successors: successors.to_vec() };
            (Rotation::Rotated, Some((record, left)))
        };
        self.change(digest, Rotation::Unknown, decide).await
    }

    async fn clear_parent(&self, digest: &TokenDigest) -> Result<(), StoreError> {
        let decide = |record: TokenRecord, left| {
            let is_pending = record.parent.is_some();
            ((), is_pending.then_some((TokenRecord { parent: None, ..record }, left)))
        };
        self.change(digest, (), decide).await
    }

    async fn delete(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        Ok(self.memcached.delete(&key(digest)).await?)
    }
}

#[async_trait]
impl OpaqueTokenStore for MemcachedTokenStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        successors::put(self, tokens, None).await
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
        successors::rotate(self, old, at, successors).await
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        // What is there does not become pending again.
        if successors::find(self, digest).await?.is_none() {
            return Ok(false);
        }
        let decide = |record: TokenRecord, left: Lifetime| {
            let before = record.token.expires;
            let expires = before.max(expires);
            let claims = claims.unwrap_or(&record.token.claims).clone();
            let token = OpaqueToken { claims, expires, ..record.token };
            (
                true,
                Some((TokenRecord { token, parent: None, ..record }, left.moved(before, expires))),
            )
        };
        self.change(digest, false, decide).await
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        self.delete(digest).await
    }

    /// Nothing: the servers make room by themselves.
    async fn purge(&self, _: UnixTime) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.memcached.ping(PREFIX).await?)
    }

    fn describe(&self) -> String {
        format!("memcached {}", self.memcached.name())
    }
}

fn key(digest: &TokenDigest) -> Key {
    Key::plain(PREFIX, &digest.name())
}

/// A token as it is kept. Times are milliseconds, digests their names.
fn value(record: &TokenRecord) -> Result<Vec<u8>, StoreError> {
    let token = &record.token;
    let mut fields = json!({
        "kind": token.kind.as_str(),
        "session": token.session.as_str(),
        "user": token.user.as_str(),
        "client": token.client,
        "claims": token.claims,
        "issued": token.issued.as_millis(),
        "expires": token.expires.as_millis(),
        "used": token.used.map(UnixTime::as_millis),
    });
    if let Some(parent) = &record.parent {
        fields["parent"] = parent.name().into();
    }
    if !record.successors.is_empty() {
        let names: Vec<String> = record.successors.iter().map(TokenDigest::name).collect();
        fields["heirs"] = names.into();
    }
    to_json(token.digest, &fields)
}

fn read(digest: &TokenDigest, found: &Found) -> Result<TokenRecord, StoreError> {
    let fields: Map<String, Value> = found.parse(digest)?;
    let named = |name| TokenDigest::parse_name(name).ok_or(BadField("parent"));
    let names = fields.get("heirs").and_then(Value::as_array).into_iter().flatten();
    let record = || {
        Ok(TokenRecord {
            token: OpaqueToken::read(digest, &fields)?,
            parent: fields.optional_text("parent")?.map(named).transpose()?,
            successors: names.filter_map(|it| TokenDigest::parse_name(it.as_str()?)).collect(),
        })
    };
    record().map_err(|bad: BadField| StoreError::corrupt(digest, bad))
}
