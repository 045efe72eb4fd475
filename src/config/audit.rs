//! The audit log: where events go, how long they are kept, and whether they name anybody.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::settings;
use crate::secret::pseudonym::Pseudonyms;
use crate::telemetry::audit::AuditTarget;

/// The audit log's file in DATA_DIR.
const AUDIT_FILE: &str = "audit.jsonl";
/// A day, in seconds.
const DAY: u64 = 86_400;

/// The audit log's section.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// The target of lines.
    pub target: AuditTarget,
    /// The folder that may be made for it.
    pub data_dir: PathBuf,
    /// True if events are kept in the accounts' database too.
    pub has_table: bool,
    /// The age at which they are deleted there; `None`: never.
    pub retention: Option<Duration>,
    /// The maker of pseudonyms of names and addresses.
    pub pseudonyms: Pseudonyms,
}

/// Reads everything; without AUDIT_LOG there is a file in DATA_DIR.
pub(super) fn read(reader: &mut Reader<'_>) -> AuditConfig {
    let data_dir = reader.get(settings::DATA_DIR);
    let usual = || AuditTarget::File(data_dir.join(AUDIT_FILE));
    let target = reader.get(settings::AUDIT_LOG).unwrap_or_else(usual);
    let days = u64::from(reader.get(settings::AUDIT_RETENTION));
    AuditConfig {
        target,
        data_dir,
        has_table: reader.get(settings::AUDIT_STORE),
        retention: (days > 0).then(|| Duration::from_secs(days * DAY)),
        pseudonyms: pseudonyms(reader),
    }
}

/// The maker of pseudonyms, by AUDIT_HASH_KEY.
pub(super) fn pseudonyms(reader: &mut Reader<'_>) -> Pseudonyms {
    let key = reader.get(settings::AUDIT_HASH_KEY);
    key.as_ref().map(Pseudonyms::keyed).unwrap_or_default()
}
