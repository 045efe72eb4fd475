//! Metrics of the stores: latency, failures, and calls that were rejected.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// An operation of a store: the label of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Acquires a lease.
    AcquireLease,
    /// Moves the end of a token forward.
    Extend,
    /// Reads one record.
    Get,
    /// Lists sessions.
    List,
    /// Checks that the store answers.
    Ping,
    /// Deletes expired records.
    Purge,
    /// Adds records.
    Put,
    /// Reads a lease.
    ReadLease,
    /// Records an attempt as a failure.
    RecordFailure,
    /// Puts one back into a token bucket.
    Refund,
    /// Releases a lease.
    ReleaseLease,
    /// Remembers a message of authnzerver's clients.
    RememberMessage,
    /// Remembers a DPoP proof.
    RememberProof,
    /// Deletes a token.
    Remove,
    /// Moves the end of a session forward.
    Renew,
    /// Replaces a lease.
    ReplaceLease,
    /// Deletes the failures of a name.
    ResetFailures,
    /// Ends one session, or all of a user's.
    Revoke,
    /// Rotates a token: successors take its place.
    Rotate,
    /// Takes one from a token bucket.
    Take,
    /// Takes a ticket, which is good once.
    TakeTicket,
    /// Records that a session is in use.
    Touch,
    /// Undoes a recorded failure.
    UndoFailure,
}

impl Operation {
    /// The value of its label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AcquireLease => "acquire_lease",
            Self::Extend => "extend",
            Self::Get => "get",
            Self::List => "list",
            Self::Ping => "ping",
            Self::Purge => "purge",
            Self::Put => "put",
            Self::ReadLease => "read_lease",
            Self::RecordFailure => "record_failure",
            Self::Refund => "refund",
            Self::ReleaseLease => "release_lease",
            Self::RememberMessage => "remember_message",
            Self::RememberProof => "remember_proof",
            Self::Remove => "remove",
            Self::Renew => "renew",
            Self::ReplaceLease => "replace_lease",
            Self::ResetFailures => "reset_failures",
            Self::Revoke => "revoke",
            Self::Rotate => "rotate",
            Self::Take => "take",
            Self::TakeTicket => "take_ticket",
            Self::Touch => "touch",
            Self::UndoFailure => "undo_failure",
        }
    }
}

/// The kind of records that a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Sessions.
    Sessions,
    /// Opaque tokens.
    Tokens,
    /// Leases, limits and DPoP proofs.
    Limits,
}

impl StoreKind {
    /// The prefix of its metrics' names.
    fn prefix(self) -> &'static str {
        match self {
            Self::Sessions => "portcullis_store",
            Self::Tokens => "portcullis_token_store",
            Self::Limits => "portcullis_limit_store",
        }
    }

    /// The operations of such a store.
    fn operations(self) -> &'static [Operation] {
        use Operation as O;
        match self {
            Self::Sessions => {
                &[O::Get, O::Put, O::Revoke, O::List, O::Touch, O::Renew, O::Purge, O::Ping]
            }
            Self::Tokens => &[O::Put, O::Get, O::Rotate, O::Extend, O::Remove, O::Purge, O::Ping],
            Self::Limits => &[
                O::Get,
                O::Put,
                O::Remove,
                O::AcquireLease,
                O::ReplaceLease,
                O::ReadLease,
                O::ReleaseLease,
                O::RememberMessage,
                O::RememberProof,
                O::Take,
                O::Refund,
                O::RecordFailure,
                O::UndoFailure,
                O::ResetFailures,
                O::Purge,
                O::Ping,
            ],
        }
    }
}

impl fmt::Display for StoreKind {
    /// Its name in texts, as in "the session store".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sessions => "session store",
            Self::Tokens => "token store",
            Self::Limits => "limit store",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
}

/// The handles of the metrics, made once, so that counting takes no lock.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    kind: StoreKind,
    handles: Vec<(Histogram, Counter)>,
    rejected: Counter,
    last_seen_dropped: Counter,
}

impl StoreMetrics {
    /// Metrics of the store of sessions that are shown by `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        Self::register_for(registry, StoreKind::Sessions)
    }

    /// Metrics of a store of that kind that are shown by `registry`.
    pub fn register_for(registry: &mut Registry, kind: StoreKind) -> Self {
        // From a local read to more than any gateway waits for.
        const BUCKETS: [f64; 11] =
            [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.15, 1.0];
        let seconds = Family::<Labels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let failures = Family::<Labels, Counter>::default();
        registry.register(
            format!("{}_seconds", kind.prefix()),
            format!("Time that the {kind} took to answer, failures included"),
            seconds.clone(),
        );
        registry.register(
            format!("{}_failures", kind.prefix()),
            format!("Questions to the {kind} that got an error or no answer in time"),
            failures.clone(),
        );
        let (rejected, last_seen_dropped) = (Counter::default(), Counter::default());
        // Only for stores that the gate waits for; limits are the issuer's, and always asked.
        if kind != StoreKind::Limits {
            registry.register(
                format!("{}_rejected", kind.prefix()),
                format!(
                    "Calls to the {kind} that were rejected: it had just failed, or too many waited"
                ),
                rejected.clone(),
            );
        }
        if kind == StoreKind::Sessions {
            registry.register(
                "portcullis_store_last_seen_dropped",
                "Last-seen times of sessions that were not written: no room, or the store failed",
                last_seen_dropped.clone(),
            );
        }
        let handles = kind
            .operations()
            .iter()
            .map(|operation| {
                let labels = Labels { operation: operation.as_str() };
                (seconds.get_or_create_owned(&labels), failures.get_or_create_owned(&labels))
            })
            .collect();
        Self { kind, handles, rejected, last_seen_dropped }
    }

    /// Metrics in no registry, for commands that end at once.
    pub fn unregistered(kind: StoreKind) -> Self {
        Self::register_for(&mut Registry::default(), kind)
    }

    /// The kind of records in the store.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// Counts a call that the circuit breaker rejected.
    pub fn rejected(&self) {
        self.rejected.inc();
    }

    /// Counts last-seen times that were not written.
    pub fn last_seen_dropped(&self, how_many: u64) {
        self.last_seen_dropped.inc_by(how_many);
    }

    /// Counts one call and its outcome.
    pub fn observe(&self, operation: Operation, took: Duration, succeeded: bool) {
        let place = self.kind.operations().iter().position(|listed| *listed == operation);
        if let Some((seconds, failures)) = place.and_then(|place| self.handles.get(place)) {
            seconds.observe(took.as_secs_f64());
            if !succeeded {
                failures.inc();
            }
        }
    }
}

impl Default for StoreMetrics {
    /// Metrics of the store of sessions, in no registry.
    fn default() -> Self {
        Self::unregistered(StoreKind::Sessions)
    }
}
