//! The audit log as something to search: the table of events on both databases, the queue that leads into it, and
//! searches through the real program.

mod pseudonyms;
mod queue;
mod retention;
mod search;
mod table;

use portcullis::account::{AuditEvent, EventFilter};
use portcullis::clock::UnixTime;

/// Some moment; all times of these tests are milliseconds around it.
const T: u64 = 1_800_000_000_000;

fn at(offset: u64) -> UnixTime {
    UnixTime::from_millis(T + offset)
}

/// An event with nothing but a kind.
fn event(id: &str, offset: u64) -> AuditEvent {
    AuditEvent {
        id: id.to_owned(),
        time: at(offset),
        kind: "login".to_owned(),
        ..AuditEvent::default()
    }
}

fn ids(events: &[AuditEvent]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

fn all() -> EventFilter {
    EventFilter::default()
}
