//! Logs, on standard error: text for people, or one JSON object a line for machines.

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

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
    /// not fit into its queue is lost. Dropping the guard writes out what is left.
    pub fn start(&self) -> WorkerGuard {
        let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
        let filter = EnvFilter::try_new(with_quiet_libraries(&self.filter)).unwrap_or_default();
        let builder = fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            .with_ansi(std::io::stderr().is_terminal());
        // It fails only where something else logs already, as in tests.
        let _ = match self.format {
            Format::Text => builder.try_init(),
            Format::Json => builder.json().flatten_event(true).try_init(),
        };
        guard
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
