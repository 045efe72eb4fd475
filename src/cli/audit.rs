//! The audit log of commands: the same that the issuer writes to, and the same table.
//!
//! Lines are written at once. The table is opened when the command has ended, since some commands
//! need no accounts; what it cannot take is said, and is in the lines all the same.

use std::cell::RefCell;

use anyhow::{Context as _, anyhow};

use super::output::Output;
use super::settings::SettingFlags;
use super::{Failure, block_on, clock_and_random};
use crate::app::{make_data_dir, open_account_database};
use crate::config::{AccountStoreConfig, AccountsConfig, AuditConfig, Config};
use crate::issuer::audit::queue::{EventQueue, QueuedEvents};
use crate::issuer::audit::{Audit, Entry, Event};
use crate::telemetry::audit::{AuditLog, AuditTarget, AuditWriter};

/// The reason of what an operator did by a command, where there is no better one.
pub(super) const COMMAND: &str = "command";

/// The audit log, open for one command. What it was told is written when it is dropped, so also
/// where the command fails after it has done something.
pub(super) struct CommandLog {
    audit: Audit,
    writer: Option<AuditWriter>,
    table: Option<CommandEvents>,
}

/// Events of a command that has ended, and the accounts in whose database they belong.
struct CommandEvents {
    events: QueuedEvents,
    accounts: AccountsConfig,
}

thread_local! {
    /// Those of the command that this thread runs.
    static ENDED: RefCell<Vec<CommandEvents>> = const { RefCell::new(Vec::new()) };
}

/// Opens the configured log; to be done before anything is changed, since a change that nobody
/// could answer for must not be made.
pub(super) fn open(flags: &SettingFlags) -> Result<CommandLog, Failure> {
    let (config, accounts) = flags.load(Config::load_audit)?;
    // A command may be the first to use it.
    if let AuditTarget::File(path) = &config.target {
        make_data_dir(path, &config.data_dir).map_err(Failure::unavailable)?;
    }
    let (log, writer) = start(&config).map_err(Failure::unavailable)?;
    let (clock, random) = clock_and_random();
    let audit = Audit::new(log, clock).with_pseudonyms(config.pseudonyms);
    if !config.has_table {
        return Ok(CommandLog { audit, writer: Some(writer), table: None });
    }
    let (queue, events) = EventQueue::new(random.as_ref())?;
    let table = Some(CommandEvents { events, accounts });
    Ok(CommandLog { audit: audit.with_table(queue, None), writer: Some(writer), table })
}

fn start(config: &AuditConfig) -> anyhow::Result<(AuditLog, AuditWriter)> {
    AuditLog::start(&config.target).with_context(|| match &config.target {
        AuditTarget::File(path) => {
            let path = path.display();
            anyhow!("cannot open {path}, where the audit log is; AUDIT_LOG names another place")
        }
        AuditTarget::Off | AuditTarget::Stderr => anyhow!("cannot start the audit log"),
    })
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
        if let Some(table) = self.table.take().filter(|table| !table.events.is_empty()) {
            ENDED.with_borrow_mut(|ended| ended.push(table));
        }
    }
}

/// Writes the events of the command that has ended into their table.
pub(super) fn write_table() {
    for CommandEvents { events, accounts } in ENDED.take() {
        // Whoever keeps accounts elsewhere, or has none, gets no file by telling of something.
        if matches!(&accounts.store, AccountStoreConfig::Sqlite(path) if !path.exists()) {
            continue;
        }
        let written = block_on(async {
            let database = open_account_database(&accounts).await?;
            match events.start(database.events).finish().await {
                0 => Ok(()),
                lost => Err(anyhow!("{lost} events could not be written")),
            }
        });
        if let Ok(Err(error)) = written {
            Output::say(&format!(
                "what was done is in the audit log, and not in the table that `audit list` searches: \
                 {error:#}"
            ));
        }
    }
}
