//! How the store of sessions does.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What the store was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To read one session.
    Get,
    /// To add one.
    Put,
    /// To end one, or a user's.
    Revoke,
    /// To list them.
    List,
    /// To note that one is in use.
    Touch,
    /// To forget those that expired.
    Purge,
    /// To answer at all.
    Ping,
}

const OPERATIONS: [(Operation, &str); 7] = [
    (Operation::Get, "get"),
    (Operation::Put, "put"),
    (Operation::Revoke, "revoke"),
    (Operation::List, "list"),
    (Operation::Touch, "touch"),
    (Operation::Purge, "purge"),
    (Operation::Ping, "ping"),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
}

/// The handles, made once, so that counting takes no lock.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    handles: Vec<(Histogram, Counter)>,
}

impl StoreMetrics {
    /// Metrics that are shown by `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        // From a local read to the far side of every gateway's patience.
        const BUCKETS: [f64; 11] =
            [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.15, 1.0];
        let seconds = Family::<Labels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let failures = Family::<Labels, Counter>::default();
        registry.register(
            "portcullis_store_seconds",
            "How long the session store took to answer, failures included",
            seconds.clone(),
        );
        registry.register(
            "portcullis_store_failures",
            "Questions to the session store that got an error or no answer in time",
            failures.clone(),
        );
        let handles = OPERATIONS
            .iter()
            .map(|(_, operation)| {
                let labels = Labels { operation };
                (seconds.get_or_create_owned(&labels), failures.get_or_create_owned(&labels))
            })
            .collect();
        Self { handles }
    }

    /// Counts one question and its answer.
    pub fn observe(&self, operation: Operation, took: Duration, succeeded: bool) {
        let place = OPERATIONS.iter().position(|(listed, _)| *listed == operation);
        if let Some((seconds, failures)) = place.and_then(|place| self.handles.get(place)) {
            seconds.observe(took.as_secs_f64());
            if !succeeded {
                failures.inc();
            }
        }
    }
}

impl Default for StoreMetrics {
    /// Metrics that nobody looks at; for commands that end at once.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}
