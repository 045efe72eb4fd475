//! What happened in a run, in its order: as two hashes always, as text where somebody wants to read it.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Mutex,
};

use super::time::Stamp;

/// Who does what no process does.
pub const NOBODY: usize = usize::MAX;

/// The events of a run.
#[derive(Debug)]
pub struct Trace(Mutex<Events>);

#[derive(Debug)]
struct Events {
    /// Of everything, with its time.
    exact: DefaultHasher,
    /// Of who did what after whom.
    order: DefaultHasher,
    lines: Option<Vec<String>>,
}

/// What a run was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Equal where everything happened at the same times.
    pub exact: u64,
    /// Equal where everything happened in the same order: an interleaving.
    pub order: u64,
}

impl Trace {
    /// Nothing yet; `is_read`: to be read by somebody.
    pub fn new(is_read: bool) -> Self {
        let hasher = DefaultHasher::new;
        let lines = is_read.then(Vec::new);
        Self(Mutex::new(Events { exact: hasher(), order: hasher(), lines }))
    }

    /// Notes an event.
    pub fn note(&self, at: Stamp, process: usize, what: &str, of: &str) {
        let mut events = self.0.lock().expect("never poisoned");
        (process, what, of).hash(&mut events.order);
        (at, process, what, of).hash(&mut events.exact);
        if let Some(lines) = &mut events.lines {
            let who = if process == NOBODY { "-".to_owned() } else { process.to_string() };
            lines.push(format!("{:>13.6} ms  {who}  {what} {of}", at.as_secs_f64() * 1e3));
        }
    }

    /// What it all was like.
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
