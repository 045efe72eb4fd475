//! The audit log of commands: the same that the issuer writes to.

use anyhow::{Context as _, anyhow};

use super::settings::SettingFlags;
use super::{Failure, clock_and_random};
use crate::app::make_data_dir;
use crate::config::Config;
use crate::issuer::audit::{Audit, Entry, Event};
use crate::telemetry::audit::{AuditLog, AuditTarget, AuditWriter};

/// The reason of what an operator did by a command, where there is no better one.
pub(super) const COMMAND: &str = "command";

/// The audit log, open for one command. What it was told is written when it is dropped, so also
/// where the command fails after it has done something.
pub(super) struct CommandLog {
    audit: Audit,
    writer: Option<AuditWriter>,
}

/// Opens the configured log; to be done before anything is changed, since a change that nobody
/// could answer for must not be made.
pub(super) fn open(flags: &SettingFlags) -> Result<CommandLog, Failure> {
    let (target, data_dir) = flags.load(Config::load_audit)?;
    // A command may be the first to use it.
    if let AuditTarget::File(path) = &target {
        make_data_dir(path, &data_dir).map_err(Failure::unavailable)?;
    }
    let started = AuditLog::start(&target).with_context(|| match &target {
        AuditTarget::File(path) => {
            let path = path.display();
            anyhow!("cannot open {path}, where the audit log is; AUDIT_LOG names another place")
        }
        AuditTarget::Off | AuditTarget::Stderr => anyhow!("cannot start the audit log"),
    });
    let (log, writer) = started.map_err(Failure::unavailable)?;
    let (clock, _) = clock_and_random();
    Ok(CommandLog { audit: Audit::new(log, clock), writer: Some(writer) })
}

impl CommandLog {
    /// The log, for parts of the issuer that tell it themselves.
    pub(super) fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// Begins a line about an event.
    pub(super) fn event(&self, event: Event) -> Entry<'_> {
        self.audit.event(event)
    }
}

impl Drop for CommandLog {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.finish();
        }
    }
}
