//! Opaque tokens as the rest of the program uses them: a guarded store.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::{Map, Value};

use super::digest_cache::{KnownDigests, NegativeCache};
use super::record::{OpaqueToken, TokenDigest, TokenEpoch};
use super::store::{OpaqueTokenStore, Rotation};
use crate::clock::{Clock, UnixTime};
use crate::store::invalidation::{InvalidationEvent, InvalidationListener};
use crate::store::{
    CHANGE_TIMEOUT, EpochStatus, EpochTable, GuardedStore, Operation, Priority, StoreError,
    StoreMetrics,
};

/// Slots for the epochs of tokens, a quarter of a megabyte.
const EPOCH_SLOTS: u32 = 1 << 16;

/// Opaque tokens, wherever they are kept, of which this process knows at once what it changed.
/// What each of these does, [`OpaqueTokenStore`] says; none takes longer than the timeout, and then
/// it is [`StoreError::TimedOut`] and may or may not have happened.
#[derive(Debug)]
pub struct Tokens {
    store: Arc<dyn OpaqueTokenStore>,
    timeout: Duration,
    guard: GuardedStore,
    clock: Arc<dyn Clock>,
    epochs: EpochTable,
    known: KnownDigests,
    absent: NegativeCache,
    suspect_when_down: bool,
    /// The number of times that the circuit breaker had opened at the last look.
    opens_seen: AtomicU64,
}

impl Tokens {
    /// Tokens in `store`, which may take `timeout` to answer, or [`CHANGE_TIMEOUT`] to change
    /// something where that is longer; then it counts as down.
    pub fn new(
        store: Arc<dyn OpaqueTokenStore>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        metrics: StoreMetrics,
    ) -> Self {
        let guard = GuardedStore::new(store.describe(), Arc::clone(&clock), metrics);
        Self {
            store,
            timeout,
            guard,
            clock,
            epochs: EpochTable::with_slots(EPOCH_SLOTS),
            known: KnownDigests::new(),
            absent: NegativeCache::new(),
            suspect_when_down: false,
            opens_seen: AtomicU64::new(0),
        }
    }

    /// The same; with `suspect`, everything that was read is suspect from the moment on at which
    /// the store is found to be down. Whoever shows handles alone never asks for a session then,
    /// so what [`Sessions`](crate::session::Sessions) finds out is not enough.
    #[must_use]
    pub fn suspecting_when_down(self, suspect: bool) -> Self {
        Self { suspect_when_down: suspect, ..self }
    }

    /// The present epoch of a token; to be taken before it is read.
    pub fn epoch(&self, digest: &TokenDigest) -> TokenEpoch {
        self.epochs.epoch([digest])
    }

    /// The status of the token that this epoch was taken for, as far as this process knows.
    pub fn status(&self, epoch: &TokenEpoch) -> EpochStatus {
        self.epochs.status(epoch)
    }

    /// Adds tokens, all or none.
    pub async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        let _told = NotifyAdded { to: self, tokens };
        self.timed(Operation::Put, self.store.put(tokens)).await
    }

    /// The token of that digest, expired and used ones too. One that this process has never met may
    /// be a stranger's guess: then it is asked for within the part of the store that strangers
    /// have, and that there is none is remembered for a second, unless an event names it before.
    pub async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let (epoch, now) = (self.epochs.epoch([digest]), self.clock.monotonic());
        if self.absent.contains(digest, epoch, now) {
            return Ok(None);
        }
        let is_known = self.known.contains(digest);
        let found = self.fetch(digest, is_known).await;
        match &found {
            Ok(Some(_)) if !is_known => self.known.insert(digest),
            Ok(None) => self.absent.insert(digest, epoch, now),
            Ok(Some(_)) | Err(_) => {}
        }
        found
    }

    /// The same for one that was found to exist before.
    pub async fn get_known(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        self.fetch(digest, true).await
    }

    async fn fetch(
        &self,
        digest: &TokenDigest,
        is_known: bool,
    ) -> Result<Option<OpaqueToken>, StoreError> {
        let priority = if is_known { Priority::Known } else { Priority::Unknown };
        let asked = self.store.get(digest);
        let found = self.guard.call(self.timeout, priority, Operation::Get, asked).await;
        if self.suspect_when_down && self.guard.opened_since(&self.opens_seen) {
            self.epochs.suspect_all();
        }
        found
    }

    /// The same for who has to know what became of a change: the store is asked also while its
    /// circuit breaker is open, and given as long as a change.
    pub async fn get_bypassing_breaker(
        &self,
        digest: &TokenDigest,
    ) -> Result<Option<OpaqueToken>, StoreError> {
        self.timed(Operation::Get, self.store.get(digest)).await
    }

    /// Rotates a token: marks `old` as used and adds its successors, both or nothing; exactly one
    /// caller does.
    pub async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        let _told =
            (self.epochs.advance_on_drop(old), NotifyAdded { to: self, tokens: successors });
        self.timed(Operation::Rotate, self.store.rotate(old, at, successors)).await
    }

    /// Moves the end of a token forward. Says whether it is there.
    pub async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let _told = self.epochs.advance_on_drop(digest);
        self.timed(Operation::Extend, self.store.extend(digest, expires, claims)).await
    }

    /// Deletes a token. Says whether it was there.
    pub async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let _told = self.epochs.advance_on_drop(digest);
        self.timed(Operation::Remove, self.store.remove(digest)).await
    }

    /// Makes room: forgets tokens that expired at or before then. May take a minute.
    pub async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        self.guard.purge(self.store.purge(expired_before)).await
    }

    /// Checks that the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.timed(Operation::Ping, self.store.ping()).await
    }

    /// Leaves the store tidy at the end of the process, if that takes less than a second.
    pub async fn close(&self) {
        self.guard.close(self.store.close()).await;
    }

    /// The kind and the place of the store, without credentials.
    pub fn describe(&self) -> String {
        self.store.describe()
    }

    async fn timed<T>(
        &self,
        operation: Operation,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // The gate reads within its own deadline; only issuance changes anything.
        let timeout = match operation {
            Operation::Ping => self.timeout,
            _ => self.timeout.max(CHANGE_TIMEOUT),
        };
        self.guard.with_timeout(timeout, operation, asked).await
    }
}

impl InvalidationListener for Tokens {
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        match event {
            InvalidationEvent::Lost => self.epochs.suspect_all(),
            InvalidationEvent::Asked | InvalidationEvent::Complete => {}
            InvalidationEvent::Changed(key) => {
                if let Some(digest) = self.store.invalidated_record(key) {
                    self.known.insert(&digest);
                    self.epochs.advance(digest);
                }
            }
        }
    }
}

/// Notes new tokens when it is dropped: also after an error, and when the caller was cancelled,
/// they may be there.
struct NotifyAdded<'a> {
    to: &'a Tokens,
    tokens: &'a [OpaqueToken],
}

impl Drop for NotifyAdded<'_> {
    fn drop(&mut self) {
        for token in self.tokens {
            self.to.known.insert(&token.digest);
            self.to.epochs.advance(token.digest);
        }
    }
}

#[cfg(test)]
mod tests;
