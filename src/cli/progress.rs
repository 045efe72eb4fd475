//! A bar for what takes longer than a second; on standard error, and only for somebody who looks.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The least time of work that needs a bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar that shows how much of something is done.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    is_wanted: bool,
}

impl Progress {
    /// Nothing of `total` is done yet.
    pub(super) fn new(total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = "{wide_bar} {pos} of {len}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), is_wanted: std::io::stderr().is_terminal() }
    }

    /// One more is done.
    pub(super) fn step(&mut self) {
        if self.is_wanted && self.started.elapsed() >= PATIENCE {
            self.is_wanted = false;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
