//! Logs, on standard error: text for people, or one JSON object a line for machines.
//!
//! The log is bounded: by the bytes that wait for a slow reader, and by the lines that one place in
//! the code may write in a time, since strangers may cause them.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::lost::{Log, Reason, count_all, count_lost};
use super::queue::{LineQueue, LineWriter};
use super::rate::{LineLimiter, LineRate};
use crate::wire::{ACCESS_ALLOWED, ACCESS_REFUSED};

/// Bytes of lines that may wait for the reader.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// The rate at which one place in the code may write lines at `info` and above.
const USUAL_RATE: LineRate = LineRate { burst: 100, per_second: 10 };
/// The same for refused requests.
const REFUSED_RATE: LineRate = LineRate { burst: 2_000, per_second: 500 };
/// The interval between two reports of lines that were lost.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// The time that the end of the process waits for the reader.
const FINAL_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON for machines.
    Json,
}

impl Format {
    /// Reads the setting.
    ///
    /// # Errors
    /// The texts that may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("write `text` or `json`"),
        }
    }
}

/// The log lines that are written, and their format.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The format of lines.
    pub format: Format,
    /// The lines: a level, or a filter as `tracing` reads it.
    pub filter: String,
}

impl LogConfig {
    /// Checks that the filter can be read.
    ///
    /// # Errors
    /// The mistake in it.
    pub fn check_filter(filter: &str) -> Result<String, String> {
        match EnvFilter::try_new(with_quiet_libraries(filter)) {
            Ok(_) => Ok(filter.to_owned()),
            Err(error) => Err(format!("{error}; write a level such as `info`")),
        }
    }

    /// Starts logging, once in a process; a second call changes nothing. Lines are written by a
    /// thread of their own, so that a reader of the log that is stuck delays no answer. A line
    /// without room in its queue is lost and counted. Dropping the guard writes out the rest.
    pub fn start(&self) -> LogGuard {
        let Ok((lines, writer)) = LineQueue::start(Log::Process, MAX_WAITING_BYTES, to_stderr())
        else {
            return LogGuard(None);
        };
        let filter = EnvFilter::try_new(with_quiet_libraries(&self.filter)).unwrap_or_default();
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(Sink::new(lines))
            .with_ansi(io::stderr().is_terminal());
        // It fails only where something else logs already, as in tests.
        let _ = match self.format {
            Format::Text => builder.try_init(),
            Format::Json => builder.json().flatten_event(true).try_init(),
        };
        LogGuard(Some(writer))
    }
}

/// Writes out the rest of the log when it is dropped, unless that takes longer than a second.
#[derive(Debug)]
#[must_use = "without it the end of the log is lost"]
pub struct LogGuard(Option<LineWriter>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            writer.finish(Some(FINAL_FLUSH_TIMEOUT));
        }
    }
}

/// Writes lines to standard error, and from time to time the number of lost ones.
fn to_stderr() -> impl FnMut(&[u8]) {
    let (mut reported, mut reported_at) = (0, None::<Instant>);
    move |line| {
        // A log without a reader is no reason to stop.
        let _ = io::stderr().write_all(line);
        let lines = count_all(Log::Process);
        if lines > reported && reported_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL) {
            tracing::warn!(
                lines = lines - reported,
                "lines of this log were lost: too many came at once"
            );
            (reported, reported_at) = (lines, Some(Instant::now()));
        }
    }
}

/// Puts lines into the queue, no more of a kind than its rate limit allows.
#[derive(Debug)]
struct Sink {
    lines: LineQueue,
    started: Instant,
    /// By the place in the code, so their number is bounded by the number of such places.
    limiters: Mutex<HashMap<Identifier, LineLimiter>>,
}

impl Sink {
    fn new(lines: LineQueue) -> Self {
        Self { lines, started: Instant::now(), limiters: Mutex::default() }
    }

    fn is_within_rate(&self, line: &Metadata<'_>) -> bool {
        let Some(rate) = rate(line) else { return true };
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = limiters.entry(line.callsite()).or_insert_with(|| LineLimiter::new(rate));
        limiter.take(self.started.elapsed()).is_some()
    }
}

/// The rate limit of such a line. `None`: no limit, since the operator asked for these lines.
fn rate(line: &Metadata<'_>) -> Option<LineRate> {
    match line.name() {
        ACCESS_ALLOWED => None,
        ACCESS_REFUSED => Some(REFUSED_RATE),
        _ if *line.level() > Level::INFO => None,
        _ => Some(USUAL_RATE),
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = SinkWriter<'a>;

    fn make_writer(&'a self) -> SinkWriter<'a> {
        SinkWriter(Some(&self.lines))
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> SinkWriter<'a> {
        SinkWriter(self.is_within_rate(line).then_some(&self.lines))
    }
}

/// Takes one line, or counts it as lost.
#[derive(Debug)]
struct SinkWriter<'a>(Option<&'a LineQueue>);

impl Write for SinkWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0 {
            Some(lines) => {
                lines.push(line);
            }
            None => count_lost(Log::Process, Reason::Rate, 1),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Libraries that we use log all bytes that they send and receive at their lowest levels,
/// credentials included. So a filter applies to our own lines; theirs stay at `warn` unless they
/// are named.
fn with_quiet_libraries(filter: &str) -> String {
    if filter.contains(['=', ',', '[']) {
        filter.to_owned()
    } else {
        format!("warn,portcullis={filter}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_opens_our_own_lines_alone() {
        assert_eq!(with_quiet_libraries("trace"), "warn,portcullis=trace");
        assert_eq!(with_quiet_libraries("info,sqlx=debug"), "info,sqlx=debug");
    }

    #[test]
    fn filters_that_cannot_be_read_are_refused() {
        assert!(LogConfig::check_filter("info").is_ok());
        assert!(LogConfig::check_filter("portcullis::access=off").is_ok());
        assert!(LogConfig::check_filter("a=b=c").is_err());
        assert!(LogConfig::check_filter("loud").is_err());
    }
}
