//! How a process hears of what others changed in a store that it caches answers of.
//!
//! Whoever caches is told the keys of records that were changed, or that changes may have been
//! missed. A source never judges what a change means; that is the business of who owns the record.

use std::fmt;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'h> {
    /// The record that the store keeps under this key was changed, or is gone.
    Changed(&'h [u8]),
    /// Something may have been missed: what was read before this moment is to be checked again.
    Missed,
}

/// Who remembers what was read, and wants to know when that may be outdated.
pub trait Hears: Send + Sync + Debug {
    /// Takes note. Never waits, and is cheap: it is called for every change in the store.
    fn hear(&self, heard: Heard<'_>);
}

/// Where news come from.
#[async_trait]
pub trait NewsSource: Send + Sync + Debug {
    /// Passes on what is heard, for as long as it is polled. Never returns: what goes wrong is
    /// told to `hears` as [`Heard::Missed`], shown by `state`, and tried again.
    ///
    /// [`Heard::Missed`] is told when the source falls silent *and* again when it is heard anew,
    /// since what was read in between is not covered by it either.
    async fn follow(&self, hears: &dyn Hears, state: &NewsState);
}

/// By what means news come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Means {
    /// Not at all yet, or not any more: what was read is believed until the bound.
    Bound,
    /// The server tells which of its keys change, whoever changes them.
    Tracking,
    /// Our own processes tell each other; changes by others are found at the bound.
    PubSub,
    /// A log of changes in the file.
    ChangeLog,
    /// Nobody else can change anything.
    Own,
}

impl Means {
    const ALL: [Self; 5] = [Self::Bound, Self::Tracking, Self::PubSub, Self::ChangeLog, Self::Own];

    /// Its word in `/ready`, the log and metrics.
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

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the source does, for whoever looks: `/ready` and metrics.
#[derive(Debug)]
pub struct NewsState {
    means: AtomicU8,
    changes: Counter,
    misses: Counter,
    pushes: Gauge,
}

impl NewsState {
    /// By these means from the start.
    pub fn new(means: Means) -> Self {
        let state = Self {
            means: AtomicU8::new(0),
            changes: Counter::default(),
            misses: Counter::default(),
            pushes: Gauge::default(),
        };
        state.set_means(means);
        state
    }

    /// Has `registry` show it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "portcullis_news_changes",
            "Changed records of the store that this process was told of",
            self.changes.clone(),
        );
        registry.register(
            "portcullis_news_missed",
            "How often changes may have been missed, so that everything was checked again",
            self.misses.clone(),
        );
        registry.register(
            "portcullis_news_pushed",
            "1 while this process is told of changes, 0 while only SESSION_STALENESS bounds them",
            self.pushes.clone(),
        );
    }

    /// The means by which news come now.
    pub fn means(&self) -> Means {
        let now = self.means.load(Ordering::Relaxed);
        Means::ALL.into_iter().find(|means| *means as u8 == now).unwrap_or(Means::Bound)
    }

    /// From now on they come by these means.
    pub fn set_means(&self, means: Means) {
        self.means.store(means as u8, Ordering::Relaxed);
        self.pushes.set(i64::from(means != Means::Bound));
    }

    /// Counts what was heard.
    pub fn count(&self, heard: Heard<'_>) {
        match heard {
            Heard::Changed(_) => self.changes.inc(),
            Heard::Missed => self.misses.inc(),
        };
    }
}
