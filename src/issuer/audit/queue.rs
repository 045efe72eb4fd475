//! Events on their way into the table: a bounded queue, and a task that writes them in batches, many
//! in one transaction.
//!
//! Nobody waits for the database. While it does not answer, events wait; what finds no room, or is
//! still there at the end of the process, is lost and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::account::{AccountError, AuditEvent, AuditStore};
use crate::secret::{Random, RandomFailed};
use crate::telemetry::lost::{Log, Reason, count_lost};

/// The number of events that may wait. An event has some hundred bytes, at most two thousand.
const MAX_WAITING: usize = 16_384;
/// The number of events that are written in one transaction.
const MAX_BATCH: usize = 256;
/// The time for which the first event of a batch waits for others: a database that many logins
/// write to is asked ten times a second, not for each of them.
const LINGER: Duration = Duration::from_millis(100);
/// The time between two attempts while the database takes nothing.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// The longest wait of a search for the events before it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait at the end of the process.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events")]
enum Message {
    Event(AuditEvent),
    /// Tell when all before this are written.
    Flush(oneshot::Sender<()>),
}

/// The way in. A clone leads to the same table.
#[derive(Clone, Debug)]
pub struct EventQueue {
    sender: mpsc::Sender<Message>,
    names: Arc<Names>,
}

/// Names of events: random ones for the process, then numbers, so that events of one moment are in
/// their order.
#[derive(Debug)]
struct Names {
    process: u64,
    next: AtomicU64,
    /// Events that were taken and are not yet written.
    waiting: AtomicU64,
}

impl EventQueue {
    /// An empty queue, and what comes out of it.
    ///
    /// # Errors
    /// [`RandomFailed`] where the random source gave nothing.
    pub fn new(random: &dyn Random) -> Result<(Self, QueuedEvents), RandomFailed> {
        let mut process = [0; 8];
        random.fill(&mut process)?;
        let process = u64::from_be_bytes(process);
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let (next, waiting) = (AtomicU64::new(0), AtomicU64::new(0));
        let names = Arc::new(Names { process, next, waiting });
        Ok((Self { sender, names: Arc::clone(&names) }, QueuedEvents { receiver, names }))
    }

    /// Adds an event, without waiting, and gives it its name. One without room is counted.
    pub(super) fn push(&self, mut event: AuditEvent) {
        let number = self.names.next.fetch_add(1, Ordering::Relaxed);
        event.id = format!("{:016x}{number:016x}", self.names.process);
        self.names.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(refused) = self.sender.try_send(Message::Event(event)) {
            self.names.waiting.fetch_sub(1, Ordering::Relaxed);
            count_lost(Log::AuditEvents, Reason::Room, 1);
            if let Message::Event(event) = refused.into_inner() {
                error!(event = event.kind, "the table of audit events cannot keep up; one is lost");
            }
        }
    }

    /// Waits until all events so far are written, for two seconds at most.
    pub(super) async fn flush(&self) {
        let flushed = async {
            let (tell, told) = oneshot::channel();
            if self.sender.send(Message::Flush(tell)).await.is_ok() {
                let _ended_first = told.await;
            }
        };
        let _not_in_time = timeout(FLUSH_TIMEOUT, flushed).await;
    }
}

/// The events of a queue.
#[derive(Debug)]
pub struct QueuedEvents {
    receiver: mpsc::Receiver<Message>,
    names: Arc<Names>,
}

impl QueuedEvents {
    /// Writes events into this store, in a task of its own, until the writer is finished.
    pub fn start(self, store: Arc<dyn AuditStore>) -> EventWriter {
        let (stop, names) = (CancellationToken::new(), Arc::clone(&self.names));
        let task = tokio::spawn(self.write_all(store, stop.clone()));
        EventWriter { task, stop, names }
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.names.waiting.load(Ordering::Relaxed) == 0
    }

    async fn write_all(mut self, store: Arc<dyn AuditStore>, stop: CancellationToken) {
        let mut has_failed = false;
        while let Some(batch) = self.next(&stop).await {
            self.write(store.as_ref(), batch.events, &mut has_failed).await;
            for flushed in batch.flushed {
                let _nobody_waits = flushed.send(());
            }
        }
    }

    /// Waits for events, and takes as many as a batch may have; `None` at the end.
    async fn next(&mut self, stop: &CancellationToken) -> Option<Batch> {
        let first = tokio::select! {
            biased;
            () = stop.cancelled(), if !self.receiver.is_closed() => {
                // Nothing comes in any more, and what is there still comes out.
                self.receiver.close();
                self.receiver.recv().await?
            }
            first = self.receiver.recv() => first?,
        };
        let mut batch = Batch::default();
        batch.add(first);
        let until = Instant::now() + LINGER;
        while batch.has_room() {
            let waits = !stop.is_cancelled() && batch.flushed.is_empty();
            let more = if waits {
                tokio::select! {
                    more = timeout_at(until, self.receiver.recv()) => more.ok().flatten(),
                    () = stop.cancelled() => continue,
                }
            } else {
                self.receiver.try_recv().ok()
            };
            let Some(more) = more else { break };
            batch.add(more);
        }
        Some(batch)
    }

    /// Writes events, again and again until they are there.
    async fn write(
        &self,
        store: &dyn AuditStore,
        mut events: Vec<AuditEvent>,
        has_failed: &mut bool,
    ) {
        let mut size = events.len();
        while !events.is_empty() {
            let part = size.min(events.len());
            match store.add_events(&events[..part]).await {
                Ok(()) => {
                    events.drain(..part);
                    let written = u64::try_from(part).unwrap_or(u64::MAX);
                    self.names.waiting.fetch_sub(written, Ordering::Relaxed);
                    if std::mem::take(has_failed) {
                        info!("audit events are written into their table again");
                    }
                }
                Err(error) => {
                    if !std::mem::replace(has_failed, true) {
                        error!(%error, "audit events wait: their table takes none");
                    }
                    // A database far away may need longer for so many than a call may take.
                    if error == AccountError::TimedOut {
                        size = (part / 2).max(1);
                    }
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }
}

/// Events that are written together.
#[derive(Default)]
struct Batch {
    events: Vec<AuditEvent>,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, message: Message) {
        match message {
            Message::Event(event) => self.events.push(event),
            Message::Flush(tell) => self.flushed.push(tell),
        }
    }

    fn has_room(&self) -> bool {
        self.events.len() < MAX_BATCH
    }
}

/// The task that writes events.
#[derive(Debug)]
pub struct EventWriter {
    task: JoinHandle<()>,
    stop: CancellationToken,
    names: Arc<Names>,
}

impl EventWriter {
    /// Waits until all events so far are written, for five seconds at most. What is left is lost, and
    /// so is what comes later. Returns how many were lost.
    pub async fn finish(mut self) -> u64 {
        self.stop.cancel();
        if timeout(FINISH_TIMEOUT, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let lost = self.names.waiting.load(Ordering::Relaxed);
        if lost > 0 {
            count_lost(Log::AuditEvents, Reason::Write, lost);
            error!(events = lost, "audit events were not written into their table before the end");
        }
        lost
    }
}
