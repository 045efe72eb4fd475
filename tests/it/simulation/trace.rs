//! The events of a run, in their order: as two hashes always, as text on request.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Mutex,
};

use super::time::Timestamp;

/// The number of no process, for events outside of all of them.
pub const NO_PROCESS: usize = usize::MAX;

/// The events of a run.
#[derive(Debug)]
pub struct Trace(Mutex<Events>);

#[derive(Debug)]
struct Events {
    /// Of everything, with its time.
    exact: DefaultHasher,
    /// Of the order of events alone.
    order: DefaultHasher,
    lines: Option<Vec<String>>,
}

/// The identity of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Equal where everything happened at the same times.
    pub exact: u64,
    /// Equal where everything happened in the same order: an interleaving.
    pub order: u64,
}

impl Trace {
    /// Empty; `with_text`: kept as text too.
    pub fn new(with_text: bool) -> Self {
        let hasher = DefaultHasher::new;
        let lines = with_text.then(Vec::new);
        Self(Mutex::new(Events { exact: hasher(), order: hasher(), lines }))
    }

    /// Adds an event.
    pub fn record(&self, at: Timestamp, process: usize, what: &str, of: &str) {
        let mut events = self.0.lock().expect("never poisoned");
        (process, what, of).hash(&mut events.order);
        (at, process, what, of).hash(&mut events.exact);
        if let Some(lines) = &mut events.lines {
            let who = if process == NO_PROCESS { "-".to_owned() } else { process.to_string() };
            lines.push(format!("{:>13.6} ms  {who}  {what} {of}", at.as_secs_f64() * 1e3));
        }
    }

    /// The fingerprint of all events so far.
    pub fn fingerprint(&self) -> Fingerprint {
        let events = self.0.lock().expect("never poisoned");
        Fingerprint { exact: events.exact.finish(), order: events.order.finish() }
    }

    /// As text.
    pub fn text(&self) -> String {
        let events = self.0.lock().expect("never poisoned");
        events.lines.as_deref().unwrap_or_default().join("\n")
    }
}
