//! Opaque tokens as the rest of the program uses them: a store under a deadline.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::{Map, Value};

use super::marks::{Marks, TokenMark};
use super::record::{OpaqueToken, TokenDigest};
use super::seen::{Existing, Unknown};
use super::store::{Exchange, OpaqueStore};
use crate::clock::{Clock, UnixTime};
use crate::session::{
    CHANGE_TIMEOUT, Operation, Priority, Since, StoreError, StoreMetrics, Watched,
};
use crate::storage::news::{Heard, Hears};

/// Opaque tokens, wherever they are kept, of which this process knows at once what it changed.
/// What each of these does, [`OpaqueStore`] says; none takes longer than the timeout, and then it
/// is [`StoreError::TimedOut`] and may or may not have happened.
#[derive(Debug)]
pub struct Tokens {
    store: Arc<dyn OpaqueStore>,
    timeout: Duration,
    watched: Watched,
    clock: Arc<dyn Clock>,
    marks: Marks,
    existing: Existing,
    unknown: Unknown,
    doubts_when_down: bool,
    /// How often the store had been found to be down when that was looked at last.
    downs_seen: AtomicU64,
}

impl Tokens {
    /// Tokens in `store`, which may take `timeout` to answer, or [`CHANGE_TIMEOUT`] to change
    /// something where that is longer; then it counts as down.
    pub fn new(
        store: Arc<dyn OpaqueStore>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        metrics: StoreMetrics,
    ) -> Self {
        let watched = Watched::new(store.describe(), Arc::clone(&clock), metrics);
        Self {
            store,
            timeout,
            watched,
            clock,
            marks: Marks::new(),
            existing: Existing::new(),
            unknown: Unknown::new(),
            doubts_when_down: false,
            downs_seen: AtomicU64::new(0),
        }
    }

    /// The same; where `doubts`, everything that was read is in doubt from the moment on at which
    /// the store is found to be down. Whoever shows handles alone never asks for a session then,
    /// so what [`Sessions`](crate::session::Sessions) finds out is not enough.
    #[must_use]
    pub fn doubting_when_down(self, doubts: bool) -> Self {
        Self { doubts_when_down: doubts, ..self }
    }

    /// The present mark of a token; to be taken before it is read.
    pub fn mark(&self, digest: &TokenDigest) -> TokenMark {
        self.marks.mark(digest)
    }

    /// What this process has learnt since `mark` of the token that it was taken for.
    pub fn since(&self, mark: &TokenMark) -> Since {
        self.marks.since(mark)
    }

    /// Adds tokens, all or none.
    pub async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        let _told = Added { to: self, tokens };
        self.timed(Operation::Put, self.store.put(tokens)).await
    }

    /// The token of that digest, expired and used ones too. One that this process has never met may
    /// be a stranger's guess: then it is asked for within the part of the store that strangers
    /// have, and that there is none is remembered for a second, unless it is heard of before.
    pub async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let (mark, now) = (self.marks.mark(digest), self.clock.monotonic());
        if self.unknown.holds(digest, mark, now) {
            return Ok(None);
        }
        let is_known = self.existing.holds(digest);
        let found = self.ask(digest, is_known).await;
        match &found {
            Ok(Some(_)) if !is_known => self.existing.note(digest),
            Ok(None) => self.unknown.note(digest, mark, now),
            Ok(Some(_)) | Err(_) => {}
        }
        found
    }

    /// The same for one that was found to exist before.
    pub async fn get_known(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        self.ask(digest, true).await
    }

    async fn ask(
        &self,
        digest: &TokenDigest,
        is_known: bool,
    ) -> Result<Option<OpaqueToken>, StoreError> {
        let priority = if is_known { Priority::Known } else { Priority::Unknown };
        let asked = self.store.get(digest);
        let found = self.watched.asking(self.timeout, priority, Operation::Get, asked).await;
        if self.doubts_when_down && self.watched.was_down_since(&self.downs_seen) {
            self.marks.doubt();
        }
        found
    }

    /// The same for who has to know what became of a change: the store is asked also while it is
    /// spared, and given as long as a change.
    pub async fn find_out(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        self.timed(Operation::Get, self.store.get(digest)).await
    }

    /// Marks `old` as used and adds its successors, both or nothing; exactly one caller does.
    pub async fn exchange(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Exchange, StoreError> {
        let _told = (self.marks.changing(old), Added { to: self, tokens: successors });
        self.timed(Operation::Exchange, self.store.exchange(old, at, successors)).await
    }

    /// Moves the end of a token forward. Says whether it is there.
    pub async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let _told = self.marks.changing(digest);
        self.timed(Operation::Extend, self.store.extend(digest, expires, claims)).await
    }

    /// Deletes a token. Says whether it was there.
    pub async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let _told = self.marks.changing(digest);
        self.timed(Operation::Remove, self.store.remove(digest)).await
    }

    /// Makes room: forgets tokens that expired at or before then. May take a minute.
    pub async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        self.watched.purging(self.store.purge(expired_before)).await
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.timed(Operation::Ping, self.store.ping()).await
    }

    /// Leaves the store tidy at the end of the process, if that takes less than a second.
    pub async fn close(&self) {
        self.watched.closing(self.store.close()).await;
    }

    /// What and where the store is, without credentials.
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
        self.watched.within(timeout, operation, asked).await
    }
}

impl Hears for Tokens {
    fn hear(&self, heard: Heard<'_>) {
        match heard {
            Heard::Missed => self.marks.doubt(),
            Heard::Changed(key) => {
                if let Some(digest) = self.store.concern(key) {
                    self.existing.note(&digest);
                    self.marks.changed(&digest);
                }
            }
        }
    }
}

/// Takes note of new tokens when it goes: also after an error, and when the caller was cancelled,
/// they may be there.
struct Added<'a> {
    to: &'a Tokens,
    tokens: &'a [OpaqueToken],
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        for token in self.tokens {
            self.to.existing.note(&token.digest);
            self.to.marks.changed(&token.digest);
        }
    }
}

#[cfg(test)]
mod tests;
