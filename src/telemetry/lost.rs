//! Lines that nobody will read, counted: of a log that could not keep up, or that was too
//! talkative.

use std::sync::LazyLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What the process writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// What it does, on standard error.
    Process,
    /// The audit log.
    Audit,
    /// One of a test.
    #[cfg(test)]
    Test,
}

/// Why a line was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The reader or the disk is too slow.
    Room,
    /// Too many of its kind came at once.
    Rate,
    /// It could not be written.
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    log: &'static str,
    reason: &'static str,
}

/// The process has one log, so it counts in one place.
static LOST: LazyLock<Family<Labels, Counter>> = LazyLock::new(Family::default);

impl Log {
    /// Its name in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Process => "log",
            Self::Audit => "audit",
            #[cfg(test)]
            Self::Test => "test",
        }
    }
}

impl Reason {
    const ALL: [Self; 3] = [Self::Room, Self::Rate, Self::Write];

    fn as_str(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Rate => "rate",
            Self::Write => "write",
        }
    }
}

/// Counts lines that were lost.
pub(super) fn count_lost(log: Log, reason: Reason, lines: u64) {
    counter(log, reason).inc_by(lines);
}

/// How many were.
pub(super) fn count(log: Log, reason: Reason) -> u64 {
    counter(log, reason).get()
}

/// How many were, for whatever reason.
pub(super) fn count_all(log: Log) -> u64 {
    Reason::ALL.into_iter().map(|reason| count(log, reason)).sum()
}

fn counter(log: Log, reason: Reason) -> Counter {
    LOST.get_or_create_owned(&Labels { log: log.as_str(), reason: reason.as_str() })
}

/// Shows what was lost in `registry`.
pub fn register(registry: &mut Registry) {
    for (log, reasons) in [
        (Log::Process, &[Reason::Room, Reason::Rate][..]),
        (Log::Audit, &[Reason::Room, Reason::Rate, Reason::Write]),
    ] {
        for reason in reasons {
            count_lost(log, *reason, 0);
        }
    }
    registry.register(
        "portcullis_log_lines_lost",
        "Lines of the logs that were lost",
        LOST.clone(),
    );
}
