//! Results of one turn.

use std::time::{Duration, Instant};

use crate::histogram::Histogram;

/// Counts of a turn, and its latencies.
#[derive(Debug)]
pub struct Tally {
    expected: u16,
    pub latencies: Histogram,
    pub failed: u64,
    /// The last status that was not expected.
    pub unexpected: Option<u16>,
    pub reconnected: u64,
    /// The time of the polls that found nothing ready.
    pub idle: Duration,
}

impl Tally {
    pub fn new(expected: u16) -> Self {
        Self {
            expected,
            latencies: Histogram::new(),
            failed: 0,
            unexpected: None,
            reconnected: 0,
            idle: Duration::ZERO,
        }
    }

    pub fn answered(&mut self, status: u16, asked: Instant) {
        self.latencies.record(asked.elapsed());
        if status != self.expected {
            self.failed += 1;
            self.unexpected = Some(status);
        }
    }

    /// One line of JSON.
    pub fn report(&self, took_micros: u128) -> String {
        let [p50, p90, p99, p999] =
            [500, 900, 990, 999].map(|share| self.latencies.per_mille(share));
        format!(
            "{{\"requests\":{},\"micros\":{took_micros},\"failed\":{},\"status\":{},\"reconnected\":{},\
             \"idle\":{},\"p50\":{p50},\"p90\":{p90},\"p99\":{p99},\"p999\":{p999}}}",
            self.latencies.total(),
            self.failed,
            self.unexpected.unwrap_or(0),
            self.reconnected,
            self.idle.as_micros(),
        )
    }
}
