//! Opaque tokens in memory: for tests and trials, gone with the process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::record::{OpaqueToken, TokenDigest};
use super::store::{OpaqueTokenStore, Rotation, check_distinct, collision};
use crate::clock::UnixTime;
use crate::store::StoreError;

type Tokens = HashMap<TokenDigest, OpaqueToken>;

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryTokenStore {
    tokens: Mutex<Tokens>,
}

impl MemoryTokenStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        // No caller's code runs under the lock, so a poisoned state is still a whole one.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds all or none.
fn add(tokens: &mut Tokens, new: &[OpaqueToken]) -> Result<(), StoreError> {
    check_distinct(new)?;
    if new.iter().any(|token| tokens.contains_key(&token.digest)) {
        return Err(collision());
    }
    tokens.extend(new.iter().map(|token| (token.digest, token.clone())));
    Ok(())
}

#[async_trait]
impl OpaqueTokenStore for MemoryTokenStore {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        add(&mut self.tokens(), tokens)
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        Ok(self.tokens().get(digest).cloned())
    }

    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        let mut tokens = self.tokens();
        match tokens.get(old) {
            None => return Ok(Rotation::Unknown),
            Some(token) if token.used.is_some() => return Ok(Rotation::AlreadyUsed),
            Some(_) => add(&mut tokens, successors)?,
        }
        if let Entry::Occupied(mut token) = tokens.entry(*old) {
            token.get_mut().used = Some(at);
        }
        Ok(Rotation::Rotated)
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let mut tokens = self.tokens();
        let Some(token) = tokens.get_mut(digest) else { return Ok(false) };
        token.expires = token.expires.max(expires);
        if let Some(claims) = claims {
            token.claims.clone_from(claims);
        }
        Ok(true)
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        Ok(self.tokens().remove(digest).is_some())
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let mut tokens = self.tokens();
        let before = tokens.len();
        tokens.retain(|_, token| token.expires > expired_before);
        Ok((before - tokens.len()) as u64)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
