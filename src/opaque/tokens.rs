//! Opaque tokens as the rest of the program uses them: a store under a deadline.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::{Map, Value};

use super::marks::{Marks, TokenMark};
use super::record::{OpaqueToken, TokenDigest};
use super::store::{Exchange, OpaqueStore};
use crate::clock::{Clock, UnixTime};
use crate::session::{CHANGE_TIMEOUT, Operation, Since, StoreError, StoreMetrics, Watched};
use crate::storage::news::{Heard, Hears};

/// Opaque tokens, wherever they are kept, of which this process knows at once what it changed.
/// What each of these does, [`OpaqueStore`] says; none takes longer than the timeout, and then it
/// is [`StoreError::TimedOut`] and may or may not have happened.
#[derive(Debug)]
pub struct Tokens {
    store: Arc<dyn OpaqueStore>,
    timeout: Duration,
    watched: Watched,
    marks: Marks,
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
        let watched = Watched::new(store.describe(), clock, metrics);
        let (marks, downs_seen) = (Marks::new(), AtomicU64::new(0));
        Self { store, timeout, watched, marks, doubts_when_down: false, downs_seen }
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
        self.timed(Operation::Put, self.store.put(tokens)).await
    }

    /// The token of that digest, expired and used ones too.
    pub async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let asked = self.store.get(digest);
        let found = self.watched.asking(self.timeout, Operation::Get, asked).await;
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
        let _told = self.marks.changing(old);
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
                    self.marks.changed(&digest);
                }
            }
        }
    }
}
