//! Readiness of the stores that issuance needs.

use std::sync::Arc;

use super::Dependencies;
use super::error::Cause;
use crate::account::AccountStore;
use crate::session::Sessions;
use crate::store::records::Records;

/// The stores, to be asked.
#[derive(Debug)]
pub struct Readiness {
    sessions: Arc<Sessions>,
    accounts: Arc<dyn AccountStore>,
    records: Records,
}

impl Readiness {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { sessions, accounts, records, .. } = on.clone();
        Self { sessions, accounts, records }
    }

    /// Probes the stores: sessions can be written, accounts be read, attempts be counted.
    pub async fn probe(&self) -> (bool, bool, bool) {
        let (sessions, accounts, limits) =
            tokio::join!(self.sessions.probe_write(), self.accounts.ping(), self.records.ping());
        // The other stores log by themselves what fails.
        let accounts = accounts.map_err(Cause::from).inspect_err(Cause::log);
        (sessions.is_ok(), accounts.is_ok(), limits.is_ok())
    }
}
