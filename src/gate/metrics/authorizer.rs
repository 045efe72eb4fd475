//! The metrics of the authorizer.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// From a neighbour on the same host to longer than any gateway waits.
const BUCKETS: [f64; 10] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// The metrics, made at start, so that counting takes no lock.
#[derive(Clone, Debug)]
pub(in crate::gate) struct AuthorizerMetrics {
    allowed: Counter,
    denied: Counter,
    failed: Counter,
    remembered: Counter,
    seconds: Histogram,
}

impl AuthorizerMetrics {
    /// Metrics that are shown by `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let decisions = Family::<Labels, Counter>::default();
        let seconds = Histogram::new(BUCKETS);
        registry.register(
            "portcullis_authorizer_decisions",
            "Decisions of the external authorizer: asked (allowed, denied, failed), or remembered",
            decisions.clone(),
        );
        registry.register(
            "portcullis_authorizer_seconds",
            "Time that the external authorizer took to answer, failures and the wait for a turn included",
            seconds.clone(),
        );
        let outcome = |outcome| decisions.get_or_create_owned(&Labels { outcome });
        Self {
            allowed: outcome("allowed"),
            denied: outcome("denied"),
            failed: outcome("failed"),
            remembered: outcome("remembered"),
            seconds,
        }
    }

    /// Counts a question: its answer, or that there was none.
    pub(in crate::gate) fn asked(&self, answer: Option<bool>, took: Duration) {
        match answer {
            Some(true) => self.allowed.inc(),
            Some(false) => self.denied.inc(),
            None => self.failed.inc(),
        };
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts an answer that was remembered.
    pub(in crate::gate) fn remembered(&self) {
        self.remembered.inc();
    }
}
