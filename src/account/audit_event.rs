//! Audit events as they are kept to be searched, and the trait of stores that keep them.
//!
//! They are in the accounts' database, so that every process that issues tokens writes to one
//! place, and one question is answered for all of them. They refer to no account, and outlive it.

use std::fmt;
use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::store::AccountError;
use crate::clock::UnixTime;

/// An event. Its texts are short, and hold no NUL, which PostgreSQL does not take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its name, which no other process gives: an event that is written twice is there once.
    pub id: String,
    /// The time at which it happened.
    pub time: UnixTime,
    /// The kind.
    pub kind: String,
    /// The id of the user whose account it is.
    pub user: Option<String>,
    /// The name that was written, in its canonical form.
    pub login: Option<String>,
    /// The address of the caller.
    pub address: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The client.
    pub client: Option<String>,
    /// The grant, or the reason.
    pub reason: Option<String>,
    /// The error that the client was told.
    pub error: Option<String>,
    /// The number of events of its kind that were left out before it, since they came too often.
    pub left_out: u64,
    /// The fields that have no column.
    pub rest: Map<String, Value>,
}

/// Events that are looked for: those in which everything that is named here is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// The user's id.
    pub user: Option<String>,
    /// The login name, in its canonical form.
    pub login: Option<String>,
    /// The address.
    pub address: Option<String>,
    /// The kind.
    pub kind: Option<String>,
    /// Not before this time.
    pub from: Option<UnixTime>,
    /// Before this time.
    pub to: Option<UnixTime>,
}

/// A place between two events, the older of which is the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCursor {
    time: UnixTime,
    id: String,
}

impl EventCursor {
    /// The place behind this event, where the newest stand first.
    pub fn behind(event: &AuditEvent) -> Self {
        Self { time: event.time, id: event.id.clone() }
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (time, id) = text.split_once('.')?;
        let time = UnixTime::from_millis(time.parse().ok()?);
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_id.then(|| Self { time, id: id.to_owned() })
    }

    /// The time and the id of the event before it.
    pub(super) fn parts(&self) -> (UnixTime, &str) {
        (self.time, &self.id)
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.time.as_millis(), self.id)
    }
}

/// The number of events in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSummary {
    /// By kind: how many are kept, and how many more were left out.
    pub kinds: Vec<(String, u64, u64)>,
    /// Refused logins by the name that was written; the most frequent ones.
    pub refused_logins: Vec<(String, u64)>,
    /// Refused logins by the address that they came from; the most frequent ones.
    pub refused_addresses: Vec<(String, u64)>,
}

/// A store of audit events.
#[async_trait]
pub trait AuditStore: Send + Sync + Debug {
    /// Adds events, all or none. Those that are there already stay as they are.
    async fn add_events(&self, events: &[AuditEvent]) -> Result<(), AccountError>;

    /// At most `limit` of these events behind that place, newest first. What is added meanwhile
    /// moves no event from one page to another.
    async fn events(
        &self,
        filter: &EventFilter,
        behind: Option<&EventCursor>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, AccountError>;

    /// The number of events in a period; at most `limit` names and addresses.
    async fn summary(
        &self,
        from: Option<UnixTime>,
        to: Option<UnixTime>,
        limit: usize,
    ) -> Result<EventSummary, AccountError>;

    /// Deletes at most `limit` of the events before that time. Returns how many.
    async fn purge_events(&self, before: UnixTime, limit: usize) -> Result<u64, AccountError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let event = AuditEvent {
            id: "00ff".to_owned(),
            time: UnixTime::from_millis(1_800_000_000_123),
            ..AuditEvent::default()
        };
        let cursor = EventCursor::behind(&event);
        assert_eq!(cursor.to_string(), "1800000000123.00ff");
        assert_eq!(EventCursor::parse(&cursor.to_string()), Some(cursor));
        for wrong in ["", ".", "1.", ".a", "x.a", "-1.a", "1.a b", "1.'", "1"] {
            assert_eq!(EventCursor::parse(wrong), None, "{wrong}");
        }
    }
}
