//! Counters of lost lines: of a log whose reader was too slow, or that had too many lines.

use std::sync::LazyLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The logs of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// The log on standard error.
    Process,
    /// The audit log.
    Audit,
    /// The audit events in the accounts' database.
    AuditEvents,
    /// A log of a test.
    #[cfg(test)]
    Test,
}

/// The reason why a line was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
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
            Self::AuditEvents => "audit-events",
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
pub(crate) fn count_lost(log: Log, reason: Reason, lines: u64) {
    counter(log, reason).inc_by(lines);
}

/// The lost lines, by their reason.
pub(super) fn count(log: Log, reason: Reason) -> u64 {
    counter(log, reason).get()
}

/// The lost lines, for any reason.
pub(super) fn count_all(log: Log) -> u64 {
    Reason::ALL.into_iter().map(|reason| count(log, reason)).sum()
}

fn counter(log: Log, reason: Reason) -> Counter {
    LOST.get_or_create_owned(&Labels { log: log.as_str(), reason: reason.as_str() })
}

/// Registers the counters of lost lines.
pub fn register(registry: &mut Registry) {
    for (log, reasons) in [
        (Log::Process, &[Reason::Room, Reason::Rate][..]),
        (Log::Audit, &[Reason::Room, Reason::Rate, Reason::Write]),
        (Log::AuditEvents, &[Reason::Room, Reason::Write]),
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
