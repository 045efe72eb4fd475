//! Standard output for what was asked for, standard error for everything else.

use std::io::{self, Write as _};

use anyhow::Context as _;

/// A column of a table: its head, its width, and its cell for an item.
pub(super) type Column<T> = (&'static str, usize, fn(&T) -> String);

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

    /// A list: an array for machines, or a table for people.
    pub(super) fn list<T>(
        items: &[T],
        as_json: bool,
        to_json: fn(&T) -> serde_json::Value,
        columns: &[Column<T>],
    ) -> io::Result<()> {
        if as_json {
            return Self::json(&items.iter().map(to_json).collect());
        }
        let line = |cell: &dyn Fn(&Column<T>) -> String| {
            let padded = columns.iter().map(|column| format!("{:<1$}", cell(column), column.1));
            padded.collect::<Vec<_>>().join(" ")
        };
        let head = line(&|(head, ..)| (*head).to_owned());
        let rows = items.iter().map(|item| line(&|(_, _, cell)| cell(item)));
        Self::lines(&std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n"))
    }

    /// A remark where a list is as long as it may be.
    pub(super) fn say_if_full(length: usize, limit: usize) {
        if length >= limit {
            Self::say(&format!("there may be more than {limit}; see --limit"));
        }
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

    /// Bytes that were asked for. A reader that went away, as `head` does, is no error.
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
