//! Logs, on standard error: text for people, or one JSON object a line for machines.
//!
//! Whatever is written is bounded: by the bytes that wait for a slow reader, and by how often one
//! place in the code may speak, since what makes it speak may be a stranger.

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
/// How often one place in the code may write a line at `info` and above.
const USUAL_RATE: LineRate = LineRate { burst: 100, per_second: 10 };
/// The same for refused requests.
const REFUSED_RATE: LineRate = LineRate { burst: 2_000, per_second: 500 };
/// The interval between two reports of lines that were lost.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// The time that the end of the process waits for the reader.
const FINAL_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl Format {
    /// Reads the setting.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("write `text` or `json`"),
        }
    }
}

/// Which lines are written, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How.
    pub format: Format,
    /// Which: a level, or a filter as `tracing` reads it.
    pub filter: String,
}

impl LogConfig {
    /// Checks that the filter can be read.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_filter(filter: &str) -> Result<String, String> {
        match EnvFilter::try_new(with_quiet_libraries(filter)) {
            Ok(_) => Ok(filter.to_owned()),
            Err(error) => Err(format!("{error}; write a level such as `info`")),
        }
    }

    /// Starts logging, once in a process; a second call changes nothing. Lines are written by a
    /// thread of their own, so that a reader of the log that is stuck delays no answer; what does
    /// not fit into its queue is lost and counted. Dropping the guard writes out what is left.
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

/// Writes out what is left of the log when it is dropped, unless that takes longer than a second.
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

/// Writes lines to standard error, and now and then how many could not be.
fn to_stderr() -> impl FnMut(&[u8]) {
    let (mut reported, mut reported_at) = (0, None::<Instant>);
    move |line| {
        // A log that nobody reads any more is no reason to stop.
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
    /// By the place in the code; so there are no more of them than such places.
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

/// How often such a line may be written; `None`: as often as it comes, since somebody asked for it.
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

/// Takes one line, or takes it for lost.
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

/// Libraries below us write what they send and receive at their lowest levels, credentials
/// included. So a filter opens our own lines; theirs stay at `warn` unless they are named.
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
