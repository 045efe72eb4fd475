//! Group commit: changes of one record that are made in this process at the same time are written
//! together.
//!
//! The first caller starts to write, and leaves it to a task where the store does not answer at once.
//! The writer lets the changes that wait decide in turn, each on the record that the one before it
//! left, and writes the last one where nobody changed the record since it was read. Changes that come
//! meanwhile are the next batch. So a hundred callers cost hardly more round trips than one, and only
//! processes compete. The writer ends when no change waits. A caller that goes away ends nothing but
//! its own change.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::poll_immediate;
use tokio::sync::oneshot;

use super::{NewRecord, RecordKey, RecordStore, StoredRecord};
use crate::store::{Failure, StoreError};

/// Most changes that wait for one record.
const MAX_WAITING: usize = 2_048;
/// Most attempts to write a batch that another process forestalled. Each time somebody got on, so
/// that only a crowd of processes comes so far.
const MAX_ATTEMPTS: usize = 256;

/// The records that are being changed.
#[derive(Debug)]
pub(super) struct GroupCommit {
    store: Arc<dyn RecordStore>,
    /// For a batch, however large.
    timeout: Duration,
    /// The changes that wait, by record; a record without an entry has no writer.
    waiting: Mutex<HashMap<RecordKey, Batch>>,
}

/// Changes in the order in which they decide.
type Batch = Vec<Box<dyn Change>>;

/// A change that waits, whatever its outcome is made of.
trait Change: Send {
    /// Says whether the caller went away.
    fn is_abandoned(&self) -> bool;
    /// Decides on the present record. Returns the one to write, if any.
    fn decide(&mut self, present: Option<&str>) -> Option<NewRecord>;
    /// Tells the caller the outcome, or why it was not written.
    fn finish(self: Box<Self>, written: Result<(), StoreError>);
}

impl fmt::Debug for dyn Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Change")
    }
}

struct PendingChange<T, D> {
    decide: D,
    /// The outcome of the last decision.
    decided: Result<T, StoreError>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, D> Change for PendingChange<T, D>
where
    T: Send,
    D: Fn(Option<&str>) -> Result<(T, Option<NewRecord>), StoreError> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }

    fn decide(&mut self, present: Option<&str>) -> Option<NewRecord> {
        let (decided, write) = (self.decide)(present)
            .map_or_else(|error| (Err(error), None), |(outcome, write)| (Ok(outcome), write));
        self.decided = decided;
        write
    }

    fn finish(self: Box<Self>, written: Result<(), StoreError>) {
        let _gone = self.caller.send(written.and(self.decided));
    }
}

impl GroupCommit {
    pub(super) fn new(store: Arc<dyn RecordStore>, timeout: Duration) -> Self {
        Self { store, timeout, waiting: Mutex::default() }
    }

    /// Makes a change of a record, of which `decided` is the outcome where the record is still the
    /// one that was `read`. Says the outcome that was written.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        key: &RecordKey,
        read: Option<StoredRecord>,
        decided: T,
        decide: impl Fn(Option<&str>) -> Result<(T, Option<NewRecord>), StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (caller, outcome) = oneshot::channel();
        let change = Box::new(PendingChange { decide, decided: Ok(decided), caller });
        if let Some(first) = self.enqueue(key, change)? {
            let writer = Writer { of: Arc::clone(self), key: key.clone(), is_over: false };
            let mut write = Box::pin(writer.run(first, read));
            // A store in memory answers at once. What has to wait goes on without its caller.
            if poll_immediate(&mut write).await.is_none() {
                tokio::spawn(write);
            }
        }
        // A writer that ends before it answers was ended with the process, or by a panic.
        outcome.await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Lets a change wait for the writer of its record. Gives it back where there is none yet.
    fn enqueue(
        &self,
        key: &RecordKey,
        change: Box<dyn Change>,
    ) -> Result<Option<Box<dyn Change>>, StoreError> {
        match self.waiting().entry(key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Vec::new());
                Ok(Some(change))
            }
            Entry::Occupied(entry) if entry.get().len() >= MAX_WAITING => {
                Err(Failure::contended().into())
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().push(change);
                Ok(None)
            }
        }
    }

    /// Writes what the changes of a batch decide in turn, again where another process was first.
    async fn commit(
        &self,
        key: &RecordKey,
        batch: &mut [Box<dyn Change>],
        read: impl Future<Output = Result<Option<StoredRecord>, StoreError>>,
    ) -> Result<(), StoreError> {
        let mut read = read.await?;
        for _ in 0..MAX_ATTEMPTS {
            let Some(write) = decide_in_turn(batch, read.as_ref()) else { return Ok(()) };
            if self.store.compare_and_set(key, read.as_ref(), &write).await? {
                return Ok(());
            }
            read = self.store.get(key).await?;
        }
        Err(Failure::contended().into())
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<RecordKey, Batch>> {
        // Nothing that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record that is left when all have decided, where one of them writes.
fn decide_in_turn(batch: &mut [Box<dyn Change>], read: Option<&StoredRecord>) -> Option<NewRecord> {
    let mut left: Option<NewRecord> = None;
    for change in batch {
        let present = left.as_ref().map(|left| &*left.value);
        left = change.decide(present.or(read.map(|read| &*read.value))).or(left);
    }
    left
}

/// The one that writes a record now.
struct Writer {
    of: Arc<GroupCommit>,
    key: RecordKey,
    is_over: bool,
}

impl Writer {
    async fn run(mut self, first: Box<dyn Change>, read: Option<StoredRecord>) {
        self.write(vec![first], async { Ok(read) }).await;
        while let Some(batch) = self.next() {
            self.write(batch, self.of.store.get(&self.key)).await;
        }
    }

    async fn write(
        &self,
        mut batch: Batch,
        read: impl Future<Output = Result<Option<StoredRecord>, StoreError>>,
    ) {
        let written = self.of.commit(&self.key, &mut batch, read);
        let written = tokio::time::timeout(self.of.timeout, written).await;
        let written = written.unwrap_or(Err(StoreError::TimedOut));
        for change in batch {
            change.finish(written.clone());
        }
    }

    /// The changes that wait, or the end of this writer.
    fn next(&mut self) -> Option<Batch> {
        let mut waiting = self.of.waiting();
        let mut batch = waiting.get_mut(&self.key).map(mem::take).unwrap_or_default();
        batch.retain(|change| !change.is_abandoned());
        if batch.is_empty() {
            waiting.remove(&self.key);
            self.is_over = true;
            return None;
        }
        Some(batch)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A writer that was cut off leaves no record that nobody writes any more.
        if !self.is_over {
            self.of.waiting().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
