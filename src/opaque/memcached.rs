//! Opaque tokens in memcached, shared by the processes of many hosts, until it forgets them:
//! `portcullis:opaque:<digest>`.
//!
//! Memcached changes one record at a time, and a rotation changes several. So successors are
//! added *pending*, each naming its parent; then the parent becomes used and names its successors,
//! in one step, which is the commit; then they lose their parent. A pending token is there only
//! where its parent names it as a successor.
//!
//! What memcached forgets only refuses. A token that is gone is unknown, and so are its
//! pending successors. Of a used token that is gone nobody can tell that it was used: whoever shows
//! it again is refused, and his family does not end for it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::record::{OpaqueToken, TokenDigest, TokenKind};
use super::store::{OpaqueTokenStore, Rotation, check_distinct, collision, corrupt};
use crate::clock::UnixTime;
use crate::session::{SessionId, UserId};
use crate::store::Failure;
use crate::store::StoreError;
use crate::store::memcached::{Cas, Change, Found, Key, Lifetime, Memcached, Version};

const PREFIX: &str = "portcullis:opaque:";

/// Most attempts to rotate a token that is changed meanwhile, as by an extension.
const MAX_ATTEMPTS: usize = 32;

/// Opaque tokens in memcached.
#[derive(Debug)]
pub struct MemcachedTokenStore {
    memcached: Memcached,
}

/// A token. Times are milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    kind: String,
    session: String,
    user: String,
    client: Option<String>,
    claims: Map<String, Value>,
    issued: u64,
    expires: u64,
    used: Option<u64>,
    /// The tokens that it was rotated into, by the names of their digests.
    #[serde(default, rename = "heirs", skip_serializing_if = "Vec::is_empty")]
    successors: Vec<String>,
    /// It is pending: there only if this one names it as a successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
}

/// A token that was added, and what it takes to change it, if nobody else did.
struct Added {
    record: Record,
    key: Key,
    version: Version,
    keep: Lifetime,
}

impl MemcachedTokenStore {
    /// In these servers.
    pub fn new(memcached: Memcached) -> Self {
        Self { memcached }
    }

    /// A token that is there, and its record.
    async fn find(&self, digest: &TokenDigest) -> Result<Option<(Record, Found)>, StoreError> {
        let Some(found) = self.memcached.get(&key(digest)).await? else { return Ok(None) };
        let record = Record::read(digest, &found)?;
        Ok(self.is_there(digest, &record).await?.then_some((record, found)))
    }

    async fn is_there(&self, digest: &TokenDigest, record: &Record) -> Result<bool, StoreError> {
        let Some(parent) = &record.parent else { return Ok(true) };
        let parent = self.memcached.get(&Key::plain(PREFIX, parent)).await?;
        let parent = parent.map(|parent| Record::read(digest, &parent)).transpose()?;
        let name = digest.name();
        Ok(parent.is_some_and(|it| it.used.is_some() && it.successors.contains(&name)))
    }

    /// Adds tokens, all or none, as far as it is answered.
    async fn add(
        &self,
        tokens: &[OpaqueToken],
        parent: Option<&TokenDigest>,
    ) -> Result<Vec<Added>, StoreError> {
        let mut added = Vec::with_capacity(tokens.len());
        for token in tokens {
            let record = Record::of(token, parent);
            let (key, keep) = (key(&token.digest), Lifetime::between(token.issued, token.expires));
            let outcome = match record.bytes(&token.digest) {
                Ok(value) => self.memcached.add(&key, &value, keep).await.map_err(StoreError::from),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Some(version)) => added.push(Added { record, key, version, keep }),
                refused => {
                    self.roll_back(&added).await;
                    return Err(refused.err().unwrap_or_else(collision));
                }
            }
        }
        Ok(added)
    }

    /// Nobody was told of these; one that stays behind is forgotten in time.
    async fn roll_back(&self, added: &[Added]) {
        for token in added {
            let _ = self.memcached.delete(&token.key).await;
        }
    }

    /// Lets a token that is there be there without its parent. Where that fails, it is as good with
    /// its parent, and loses it when it is read.
    async fn clear_pending(&self, token: Added, digest: &TokenDigest) {
        let record = Record { parent: None, ..token.record };
        if let Ok(value) = record.bytes(digest) {
            let _ = self
                .memcached
                .compare_and_swap(&token.key, token.version, &value, token.keep)
                .await;
        }
    }

    /// Marks the old token as used, with these successors; `None`: somebody changed it.
    async fn commit(
        &self,
        old: &TokenDigest,
        (record, found): (Record, Found),
        at: UnixTime,
        successors: &[String],
    ) -> Result<Option<Rotation>, StoreError> {
        let (used, successors) = (Some(at.as_millis()), successors.to_vec());
        let value = Record { used, successors, parent: None, ..record }.bytes(old)?;
        match self.memcached.compare_and_swap(&key(old), found.version, &value, found.left).await? {
            Cas::Stored => Ok(Some(Rotation::Rotated)),
            Cas::NotFound => Ok(Some(Rotation::Unknown)),
            Cas::Exists => Ok(None),
        }
    }
}

#[async_trait]
impl OpaqueTokenStore for MemcachedTokenStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        check_distinct(tokens)?;
        self.add(tokens, None).await.map(drop)
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let Some((record, found)) = self.find(digest).await? else { return Ok(None) };
        let token = record.to_token(digest)?;
        if record.parent.is_some() {
            let (version, keep) = (found.version, found.left);
            self.clear_pending(Added { record, key: key(digest), version, keep }, digest).await;
        }
        Ok(Some(token))
    }

    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        check_distinct(successors)?;
        let mut present = match self.find(old).await? {
            None => return Ok(Rotation::Unknown),
            Some((record, _)) if record.used.is_some() => return Ok(Rotation::AlreadyUsed),
            Some(present) => present,
        };
        let added = self.add(successors, Some(old)).await?;
        let names: Vec<String> = successors.iter().map(|token| token.digest.name()).collect();
        for _ in 0..MAX_ATTEMPTS {
            // After an error it may have happened: then the successors are there, and else not.
            match self.commit(old, present, at, &names).await? {
                Some(Rotation::Rotated) => {
                    for (token, successor) in added.into_iter().zip(successors) {
                        self.clear_pending(token, &successor.digest).await;
                    }
                    return Ok(Rotation::Rotated);
                }
                Some(outcome) => {
                    self.roll_back(&added).await;
                    return Ok(outcome);
                }
                None => {}
            }
            let outcome = match self.find(old).await? {
                None => Rotation::Unknown,
                Some((record, _)) if record.used.is_some() => Rotation::AlreadyUsed,
                Some(changed) => {
                    present = changed;
                    continue;
                }
            };
            self.roll_back(&added).await;
            return Ok(outcome);
        }
        self.roll_back(&added).await;
        Err(Failure::contended().into())
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        // What is there does not become pending again.
        if self.find(digest).await?.is_none() {
            return Ok(false);
        }
        let decide = |found: Option<&Found>| {
            let Some(found) = found else { return Ok(Change::Leave(false)) };
            let record = Record::read(digest, found)?;
            let before = UnixTime::from_millis(record.expires);
            let claims = claims.unwrap_or(&record.claims).clone();
            let expires = before.max(expires);
            let keep = found.left.moved(before, expires);
            let record = Record { expires: expires.as_millis(), claims, parent: None, ..record };
            Ok(Change::Write { value: record.bytes(digest)?, keep, outcome: true })
        };
        self.memcached.change(&key(digest), decide).await
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        Ok(self.memcached.delete(&key(digest)).await?)
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

impl Record {
    fn of(token: &OpaqueToken, parent: Option<&TokenDigest>) -> Self {
        Self {
            kind: token.kind.as_str().to_owned(),
            session: token.session.as_str().to_owned(),
            user: token.user.as_str().to_owned(),
            client: token.client.clone(),
            claims: token.claims.clone(),
            issued: token.issued.as_millis(),
            expires: token.expires.as_millis(),
            used: token.used.map(UnixTime::as_millis),
            successors: Vec::new(),
            parent: parent.map(TokenDigest::name),
        }
    }

    fn read(digest: &TokenDigest, found: &Found) -> Result<Self, StoreError> {
        // What serde says of it could repeat a part of it.
        serde_json::from_slice(&found.value).map_err(|_| corrupt(digest, "it is not of its kind"))
    }

    fn bytes(&self, digest: &TokenDigest) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|_| corrupt(digest, "it cannot be written"))
    }

    fn to_token(&self, digest: &TokenDigest) -> Result<OpaqueToken, StoreError> {
        let bad = |field| corrupt(digest, format_args!("bad field {field}"));
        Ok(OpaqueToken {
            digest: *digest,
            kind: TokenKind::parse(&self.kind).ok_or_else(|| bad("kind"))?,
            session: SessionId::parse(&self.session).map_err(|_| bad("session"))?,
            user: UserId::parse(&self.user).map_err(|_| bad("user"))?,
            client: self.client.clone(),
            claims: self.claims.clone(),
            issued: UnixTime::from_millis(self.issued),
            expires: UnixTime::from_millis(self.expires),
            used: self.used.map(UnixTime::from_millis),
        })
    }
}
