//! Leases that many processes keep together: a refresh token that is being rotated, an assertion
//! that was seen. Of all who want one, one acquires it, and the others read what it holds.
//!
//! Times are the caller's. A lease that its store forgot is acquired by whoever comes first.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;
use crate::store::records::{Record, Records};
use crate::store::{Operation, StoreError};

/// Leases by name. Names and values may be any text. A clone has the same leases.
#[derive(Clone, Debug)]
pub struct Leases {
    records: Records,
}

/// Outcome of [`Leases::acquire`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The caller has it now.
    Acquired,
    /// Another has it; this is what it holds.
    Held(String),
}

/// A lease as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeaseRecord {
    value: String,
    /// In milliseconds since the Unix epoch.
    expires: u64,
}

impl LeaseRecord {
    fn new(value: &str, until: UnixTime) -> Self {
        Self { value: value.to_owned(), expires: until.as_millis() }
    }

    fn is_live(&self, at: UnixTime) -> bool {
        self.end() > at
    }
}

impl Record for LeaseRecord {
    const KIND: &'static str = "lease";
    const MARGIN: Duration = Duration::from_secs(3_600);

    fn end(&self) -> UnixTime {
        UnixTime::from_millis(self.expires)
    }
}

impl Leases {
    /// Leases among these records.
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    /// Acquires a lease where there is none that is live at `at`; it lives until `until`. Otherwise
    /// says what the present one holds. Of any number of callers exactly one acquires it.
    pub async fn acquire(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Lease, StoreError> {
        let new = LeaseRecord::new(value, until);
        let decide = move |held: Option<LeaseRecord>| match held {
            Some(held) if held.is_live(at) => (Lease::Held(held.value), None),
            _ => (Lease::Acquired, Some(new.clone())),
        };
        self.records.change(Operation::AcquireLease, name, at, decide).await
    }

    /// Replaces a lease that holds `expected` by one that holds `value` and lives until `until`;
    /// says whether it did. It does not where the lease holds something else or is gone; one that
    /// is over may still be there.
    pub async fn replace(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let (expected, new) = (expected.to_owned(), LeaseRecord::new(value, until));
        let decide = move |held: Option<LeaseRecord>| match held {
            Some(held) if held.value == expected => (true, Some(new.clone())),
            _ => (false, None),
        };
        self.records.change(Operation::ReplaceLease, name, at, decide).await
    }

    /// Reads what a lease holds, if it is live at `at`.
    pub async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        let held = self.records.read::<LeaseRecord>(Operation::ReadLease, name).await?;
        Ok(held.filter(|held| held.is_live(at)).map(|held| held.value))
    }

    /// Releases a lease that holds `value`; says whether there was one that was live at `at`. What
    /// another acquired since stays.
    pub async fn release(&self, name: &str, value: &str, at: UnixTime) -> Result<bool, StoreError> {
        let value = value.to_owned();
        // Over by every clock.
        let released = LeaseRecord::new("", UnixTime::EPOCH);
        let decide = move |held: Option<LeaseRecord>| match held {
            Some(held) if held.value == value && held.is_live(at) => (true, Some(released.clone())),
            _ => (false, None),
        };
        self.records.change(Operation::ReleaseLease, name, at, decide).await
    }
}
