//! Purges: what expired long ago is deleted from the stores, now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::account::{AccountError, AccountStore};
use crate::clock::{Clock, UnixTime};
use crate::issuer::audit::Audit;
use crate::opaque::Tokens;
use crate::session::Sessions;
use crate::store::StoreError;
use crate::store::records::Records;

/// The time between two purges.
const PURGE_INTERVAL: Duration = Duration::from_secs(600);
/// The time that an expired session stays listed.
const PURGE_AFTER: Duration = Duration::from_secs(3_600);

/// Stores that are purged of expired records.
pub(super) struct PurgedStores {
    pub(super) sessions: Arc<Sessions>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) records: Records,
    /// The accounts, where this process has them open to issue tokens.
    pub(super) accounts: Option<Arc<dyn AccountStore>>,
    pub(super) events: Option<PurgedEvents>,
}

/// The table of audit events, and the age at which they are deleted.
pub(super) struct PurgedEvents {
    pub(super) audit: Audit,
    pub(super) retention: Duration,
}

impl PurgedEvents {
    async fn purge(&self, now: UnixTime) {
        match self.audit.purge(now.before(self.retention)).await {
            Ok(0) => {}
            Ok(purged) => debug!(purged, "deleted audit events: AUDIT_RETENTION"),
            Err(error) => warn!(%error, "audit events that are old enough could not be deleted"),
        }
    }
}

impl PurgedStores {
    /// Forgets what is long over; says how much.
    async fn purge(&self, now: UnixTime) -> Result<u64, StoreError> {
        let before = now.before(PURGE_AFTER);
        let sessions = self.sessions.purge(PURGE_AFTER).await?;
        let tokens = self.tokens.purge(before).await?;
        // Each has a margin of its own.
        let records = self.records.purge(now).await?;
        Ok(sessions + tokens + records)
    }

    /// Forgets API keys that are of no use to anybody; says how many.
    async fn purge_keys(&self, now: UnixTime) -> Result<u64, AccountError> {
        match &self.accounts {
            Some(accounts) => accounts.purge_keys(now.before(PURGE_AFTER)).await,
            None => Ok(0),
        }
    }
}

/// Deletes expired records, now and then.
pub(super) async fn purge_expired(
    purged_stores: PurgedStores,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut interval = tokio::time::interval(PURGE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        match purged_stores.purge(clock.now()).await {
            Ok(0) => {}
            Ok(purged) => debug!(purged, "forgot what has expired"),
            Err(error) => warn!(%error, "what has expired could not be forgotten"),
        }
        match purged_stores.purge_keys(clock.now()).await {
            Ok(0) => {}
            Ok(purged) => debug!(purged, "forgot API keys of no use"),
            Err(error) => warn!(%error, "API keys that are over could not be forgotten"),
        }
        if let Some(events) = &purged_stores.events {
            events.purge(clock.now()).await;
        }
    }
}
