//! The audit log of an issuing process: its lines, and its table in the accounts' database.

use std::sync::Arc;

use anyhow::Context as _;

use super::make_data_dir;
use crate::account::AuditStore;
use crate::clock::Clock;
use crate::config::AuditConfig;
use crate::issuer::audit::Audit;
use crate::issuer::audit::queue::{EventQueue, EventWriter};
use crate::secret::Random;
use crate::telemetry::audit::{AuditLog, AuditTarget, AuditWriter};

/// The writers of the log, which have to be closed at the end of the process.
#[derive(Debug)]
pub(super) struct AuditWriters {
    lines: AuditWriter,
    table: Option<EventWriter>,
}

/// Opens the log, and begins to write into the table, where the operator wants one.
pub(super) fn open(
    config: &AuditConfig,
    store: Arc<dyn AuditStore>,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
) -> anyhow::Result<(Audit, AuditWriters)> {
    if let AuditTarget::File(path) = &config.target {
        make_data_dir(path, &config.data_dir)?;
    }
    let (log, lines) = AuditLog::start(&config.target).context("cannot open AUDIT_LOG")?;
    let audit = Audit::new(log, clock).with_pseudonyms(config.pseudonyms.clone());
    if !config.has_table {
        return Ok((audit, AuditWriters { lines, table: None }));
    }
    let (queue, events) = EventQueue::new(random)?;
    let table = Some(events.start(Arc::clone(&store)));
    Ok((audit.with_table(queue, Some(store)), AuditWriters { lines, table }))
}

impl AuditWriters {
    /// Waits for the table, and for the lines; before the accounts are closed, and after everybody who
    /// has something to tell has ended.
    pub(super) async fn finish(self) {
        if let Some(table) = self.table {
            table.finish().await;
        }
        self.lines.finish();
    }
}
