//! Standard output for what was asked for, standard error for everything else.

use std::io::{self, Write as _};

use anyhow::Context as _;

/// The two channels.
pub(super) struct Output;

impl Output {
    /// One line of what was asked for.
    pub(super) fn line(text: &str) -> io::Result<()> {
        Self::write(format!("{text}\n").as_bytes())
    }

    /// Lines that may hold what a stranger wrote: whatever could move the cursor is escaped.
    pub(super) fn lines(text: &str) -> io::Result<()> {
        let mut clean = String::with_capacity(text.len());
        for char in text.chars() {
            if char.is_control() && char != '\n' {
                clean.extend(char.escape_default());
            } else {
                clean.push(char);
            }
        }
        Self::line(&clean)
    }

    /// JSON, for machines, on one line.
    pub(super) fn json(value: &serde_json::Value) -> io::Result<()> {
        Self::line(&value.to_string())
    }

    /// A line with a secret that is shown this once. It must have been taken, so a reader that went
    /// away is an error here; whoever stores something about it does so after this.
    pub(super) fn secret(text: &str) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(format!("{text}\n").as_bytes());
        let written = written.and_then(|()| stdout.flush());
        written.context("the secret cannot be printed, so nothing was changed")
    }

    /// What was asked for. A reader that went away, as `head` does, is no error.
    pub(super) fn write(bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        }
    }

    /// A remark for people. Where nobody listens, nothing is lost.
    pub(super) fn say(text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}
