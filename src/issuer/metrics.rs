//! Metrics of the issuer.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::error::IssueError;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Grant {
    grant: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    outcome: &'static str,
}

/// The counters of the issuer.
#[derive(Clone, Debug, Default)]
pub struct IssuerMetrics {
    grants: Family<Grant, Counter>,
    reuses: Counter,
    ended: Family<Reason, Counter>,
    mails: Family<Sent, Counter>,
}

impl IssuerMetrics {
    /// Counters that are shown by `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_grants",
            "Requests for tokens by grant, with the error that they were answered",
            metrics.grants.clone(),
        );
        registry.register(
            "portcullis_refresh_reuses",
            "Families that ended because a used refresh token came back",
            metrics.reuses.clone(),
        );
        registry.register(
            "portcullis_sessions_ended",
            "Sessions that the issuer ended, by what asked for it",
            metrics.ended.clone(),
        );
        registry.register(
            "portcullis_mails",
            "Mails by what became of them: sent, failed, or dropped because too many waited",
            metrics.mails.clone(),
        );
        metrics
    }

    pub(super) fn mail(&self, outcome: &'static str) {
        self.mails.get_or_create(&Sent { outcome }).inc();
    }

    pub(super) fn issued(&self, grant: &'static str, refused: Option<&IssueError>) {
        let outcome = refused.map_or("issued", IssueError::code);
        self.grants.get_or_create(&Grant { grant, outcome }).inc();
    }

    pub(super) fn reuse(&self) {
        self.reuses.inc();
    }

    pub(super) fn ended(&self, reason: &'static str) {
        self.ended.get_or_create(&Reason { reason }).inc();
    }
}
