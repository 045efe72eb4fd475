//! The audit log: one JSON object a line, appended to a file that several processes may share.
//!
//! Lines are written by a thread of their own, in order. The caller never waits for the disk: up to
//! 16 MiB of lines wait in memory. A line is one `write` to a file opened for appending, so that
//! lines of two processes never mix. A file that was moved away is opened anew, so that logs can be
//! rotated: with the owner and the mode of the one before, so that a command run by root does not
//! take it away from the server.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::error;

use super::lost::{Log, Reason, count_lost};
use super::queue::{LineQueue, LineWriter};

/// Bytes of lines that may wait to be written. More are lost, and the log says so: the caller may
/// be answering gateways, and a disk that hangs must not stop it.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// The interval at which a file that was moved away is noticed.
const MOVED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The target of audit events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// No log.
    Off,
    /// Standard error, together with the log.
    Stderr,
    /// This file, made for the owner of its folder alone.
    File(PathBuf),
}

/// A handle to write events. A clone writes to the same log.
#[derive(Clone, Debug)]
pub struct AuditLog(Option<LineQueue>);

/// The writer of the log. Once it is dropped, all events so far are on their way to the disk.
#[derive(Debug)]
pub struct AuditWriter(Option<LineWriter>);

impl AuditLog {
    /// A log that keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the log; the writer has to be kept until the process ends.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn start(target: &AuditTarget) -> io::Result<(Self, AuditWriter)> {
        let mut output = match target {
            AuditTarget::Off => return Ok((Self(None), AuditWriter(None))),
            AuditTarget::Stderr => Output::Stderr,
            AuditTarget::File(path) => Output::File(AppendFile::open(path)?),
        };
        let mut has_failed = false;
        let write = move |line: &[u8]| has_failed = output.write(line, has_failed);
        let (lines, writer) = LineQueue::start(Log::Audit, MAX_WAITING_BYTES, write)?;
        Ok((Self(Some(lines)), AuditWriter(Some(writer))))
    }

    /// Writes an event.
    pub fn write(&self, event: &Value) {
        if let Some(lines) = &self.0
            && !lines.push(format!("{event}\n").as_bytes())
        {
            let event = event["event"].as_str().unwrap_or_default();
            error!(event, "the audit log cannot keep up; an event is lost");
        }
    }

    /// Counts an event that is not written, since too many of its kind came at once.
    pub fn count_suppressed(&self) {
        count_lost(Log::Audit, Reason::Rate, 1);
    }
}

impl AuditWriter {
    /// Waits until all events so far are written. Events that come later are lost.
    pub fn finish(mut self) {
        if let Some(writer) = self.0.take() {
            writer.finish(None);
        }
    }
}

enum Output {
    Stderr,
    File(AppendFile),
}

impl Output {
    /// Writes a line, and logs the first failure after a success. Returns whether this one failed.
    fn write(&mut self, line: &[u8], has_failed: bool) -> bool {
        let outcome = match self {
            Self::Stderr => io::stderr().write_all(line),
            Self::File(file) => file.append(line),
        };
        let Err(error) = outcome else { return false };
        count_lost(Log::Audit, Reason::Write, 1);
        if !has_failed {
            error!(%error, "the audit log cannot be written; events are lost");
        }
        true
    }
}

/// A file that is appended to, by its name.
struct AppendFile {
    path: PathBuf,
    file: File,
    checked_at: Instant,
}

impl AppendFile {
    fn open(path: &Path) -> io::Result<Self> {
        Self::open_like(path, None)
    }

    /// Opens the file, or makes it: with the owner and mode of the one that was there, or else for
    /// its folder's owner alone.
    fn open_like(path: &Path, before: Option<&Metadata>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).mode(0o600);
        let file = match options.clone().create_new(true).open(path) {
            Ok(file) => {
                set_owner(&file, path, before)?;
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), file, checked_at: Instant::now() })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.checked_at.elapsed() >= MOVED_CHECK_INTERVAL && !self.is_still_named() {
            *self = Self::open_like(&self.path, self.file.metadata().ok().as_ref())?;
        }
        self.file.write_all(line)
    }

    fn is_still_named(&mut self) -> bool {
        self.checked_at = Instant::now();
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        match (std::fs::metadata(&self.path), self.file.metadata()) {
            (Ok(named), Ok(opened)) => id(named) == id(opened),
            _ => false,
        }
    }
}

/// Sets the owner of a new file: that of the file before it, or of its folder. A process without
/// the right to do so stays the owner.
fn set_owner(file: &File, path: &Path, before: Option<&Metadata>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = std::fs::metadata(folder.unwrap_or_else(|| Path::new("."))).ok();
    if let Some(like) = before.or(folder.as_ref()) {
        let _not_ours_to_give = fchown(file, Some(like.uid()), Some(like.gid()));
    }
    match before {
        Some(before) => file.set_permissions(Permissions::from_mode(before.mode() & 0o777)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_event_told_is_a_line_of_the_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("audit.jsonl");
        let (log, writer) = AuditLog::start(&AuditTarget::File(path.clone())).expect("open");
        for number in 0..1000 {
            log.write(&json!({ "number": number, "text": "line\nbreak" }));
        }
        writer.finish();
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(text.lines().count(), 1000);
        for (number, line) in text.lines().enumerate() {
            let event: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(event["number"], number);
        }
        assert_eq!(std::fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_was_moved_away_comes_back_with_its_owner_and_its_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("audit.jsonl");
        let mut file = AppendFile::open(&path).expect("open");
        file.file.set_permissions(Permissions::from_mode(0o640)).expect("mode");
        // Only root may; others stay the owner, which is enough here.
        let _kept = std::os::unix::fs::chown(&path, Some(4242), Some(4243));
        let before = std::fs::metadata(&path).expect("metadata");
        std::fs::rename(&path, folder.path().join("audit.jsonl.1")).expect("rename");
        file.checked_at -= MOVED_CHECK_INTERVAL;
        file.append(b"{}\n").expect("append");
        let after = std::fs::metadata(&path).expect("metadata");
        let kept = |of: &Metadata| (of.uid(), of.gid(), of.mode());
        assert_eq!(kept(&after), kept(&before));
        assert_eq!(after.len(), 3);
    }

    #[test]
    fn a_new_file_belongs_to_whom_its_folder_does() {
        let folder = tempfile::tempdir().expect("folder");
        let _kept = std::os::unix::fs::chown(folder.path(), Some(4242), Some(4243));
        let owner = std::fs::metadata(folder.path()).expect("metadata");
        let path = folder.path().join("audit.jsonl");
        AppendFile::open(&path).expect("open");
        let made = std::fs::metadata(&path).expect("metadata");
        assert_eq!((made.uid(), made.gid()), (owner.uid(), owner.gid()));
        assert_eq!(made.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_told_at_the_start() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(AuditLog::start(&AuditTarget::File(folder.path().to_owned())).is_err());
    }

    #[test]
    fn a_log_that_is_off_keeps_nothing_and_stops_nobody() {
        let (log, writer) = AuditLog::start(&AuditTarget::Off).expect("open");
        log.write(&json!({}));
        AuditLog::off().write(&json!({}));
        writer.finish();
    }
}
