//! Cache invalidation: a process gets to know which records others changed in a store that it
//! caches.
//!
//! A cache gets the keys of changed records, or an event that says that others may have been lost.
//! A source never interprets a change; the owner of the record does.

use std::fmt;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use crossbeam_utils::atomic::AtomicCell;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::clock::Moment;

/// An event of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidationEvent<'e> {
    /// The record with this key was changed, or is gone.
    Changed(&'e [u8]),
    /// Events may have been lost: all that was read before this moment has to be checked again.
    Lost,
    /// From this moment on the store is asked what has changed.
    Asked,
    /// All that had changed when the store was [`Asked`](Self::Asked) last was told of. What was read since the last loss,
    /// and of which nothing was told, was then in the store as it was read. Only a source that finds every change, by
    /// whomever, and notices each gap, may say so.
    Complete,
}

/// The moment before which a source told of every change, for a cache that believes what was not told of.
#[derive(Debug)]
pub struct Completeness {
    asked: AtomicCell<Option<Moment>>,
    until: AtomicCell<Option<Moment>>,
}

impl Default for Completeness {
    fn default() -> Self {
        Self { asked: AtomicCell::new(None), until: AtomicCell::new(None) }
    }
}

impl Completeness {
    /// Notes that the source asks now: [`InvalidationEvent::Asked`].
    pub fn ask(&self, now: Moment) {
        self.asked.store(Some(now));
    }

    /// Notes that all was told of, as of the last question: [`InvalidationEvent::Complete`].
    pub fn complete(&self) {
        self.until.store(self.asked.load());
    }

    /// That moment; `None` as long as no source said so.
    pub fn until(&self) -> Option<Moment> {
        self.until.load()
    }
}

/// A cache, which has to know when its content may be outdated.
pub trait InvalidationListener: Send + Sync + Debug {
    /// Takes an event. Never waits, and is cheap: it is called for every change in the store.
    fn on_invalidation(&self, event: InvalidationEvent<'_>);
}

/// A source of invalidation events.
#[async_trait]
pub trait InvalidationSource: Send + Sync + Debug {
    /// Passes events on, for as long as it is polled. Never returns: after a failure it sends
    /// [`InvalidationEvent::Lost`] to `listener`, shows it in `state`, and tries again.
    ///
    /// [`InvalidationEvent::Lost`] is sent when the source falls silent *and* again when it is
    /// back, since no event covers readings of the time between.
    async fn follow(&self, listener: &dyn InvalidationListener, state: &InvalidationState);
}

/// The way in which events are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DeliveryMode {
    /// No events, yet or any more: readings are believed until the bound.
    Bound,
    /// The server sends the keys that change, whoever changes them.
    Tracking,
    /// Our own processes publish their changes; changes by others are found at the bound.
    PubSub,
    /// A log of changes in the file.
    ChangeLog,
    /// No other process can change anything.
    Own,
}

impl DeliveryMode {
    const ALL: [Self; 5] = [Self::Bound, Self::Tracking, Self::PubSub, Self::ChangeLog, Self::Own];

    /// Its name in `/ready`, the log and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Tracking => "tracking",
            Self::PubSub => "pubsub",
            Self::ChangeLog => "change-log",
            Self::Own => "own",
        }
    }
}

impl fmt::Display for DeliveryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a source, for `/ready` and metrics.
#[derive(Debug)]
pub struct InvalidationState {
    mode: AtomicU8,
    changes: Counter,
    losses: Counter,
    pushed: Gauge,
}

impl InvalidationState {
    /// A state in this mode.
    pub fn new(mode: DeliveryMode) -> Self {
        let state = Self {
            mode: AtomicU8::new(0),
            changes: Counter::default(),
            losses: Counter::default(),
            pushed: Gauge::default(),
        };
        state.set_mode(mode);
        state
    }

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "portcullis_invalidation_changes",
            "Changed records of the store that this process was told of",
            self.changes.clone(),
        );
        registry.register(
            "portcullis_invalidation_lost",
            "Times that events may have been lost, so that everything was checked again",
            self.losses.clone(),
        );
        registry.register(
            "portcullis_invalidation_pushed",
            "1 while this process is told of changes, 0 while only SESSION_STALENESS bounds them",
            self.pushed.clone(),
        );
    }

    /// The mode in which events are delivered now.
    pub fn mode(&self) -> DeliveryMode {
        let now = self.mode.load(Ordering::Relaxed);
        DeliveryMode::ALL.into_iter().find(|mode| *mode as u8 == now).unwrap_or(DeliveryMode::Bound)
    }

    /// Sets the mode in which they are delivered from now on.
    pub fn set_mode(&self, mode: DeliveryMode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
        self.pushed.set(i64::from(mode != DeliveryMode::Bound));
    }

    /// Counts an event.
    pub fn count(&self, event: InvalidationEvent<'_>) {
        match event {
            InvalidationEvent::Changed(_) => self.changes.inc(),
            InvalidationEvent::Lost => self.losses.inc(),
            InvalidationEvent::Asked | InvalidationEvent::Complete => return,
        };
    }
}
