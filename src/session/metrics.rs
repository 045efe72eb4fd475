//! How stores do.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What a store was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To set a marker.
    Claim,
    /// To take a marker away.
    Clear,
    /// To exchange a token for its successors.
    Exchange,
    /// To move the end of a token forward.
    Extend,
    /// To read one record.
    Get,
    /// To list sessions.
    List,
    /// To forget attempts.
    Pardon,
    /// To answer at all.
    Ping,
    /// To forget what expired.
    Purge,
    /// To add records.
    Put,
    /// To read a marker.
    Read,
    /// To put one back into a budget.
    Refund,
    /// To delete a token.
    Remove,
    /// To move the end of a session forward.
    Renew,
    /// To end one session, or a user's.
    Revoke,
    /// To take one from a budget.
    Spend,
    /// To count an attempt.
    Strike,
    /// To replace a marker.
    Swap,
    /// To note that a session is in use.
    Touch,
    /// To take a counted attempt back.
    Uncount,
}

impl Operation {
    /// The value of its label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Clear => "clear",
            Self::Exchange => "exchange",
            Self::Extend => "extend",
            Self::Get => "get",
            Self::List => "list",
            Self::Pardon => "pardon",
            Self::Ping => "ping",
            Self::Purge => "purge",
            Self::Put => "put",
            Self::Read => "read",
            Self::Refund => "refund",
            Self::Remove => "remove",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::Spend => "spend",
            Self::Strike => "strike",
            Self::Swap => "swap",
            Self::Touch => "touch",
            Self::Uncount => "uncount",
        }
    }
}

/// What a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Sessions.
    Sessions,
    /// Opaque tokens.
    Tokens,
    /// Restrictions.
    Restrictions,
}

impl StoreKind {
    /// What its metrics' names begin with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Sessions => "portcullis_store",
            Self::Tokens => "portcullis_token_store",
            Self::Restrictions => "portcullis_restriction_store",
        }
    }

    /// What it can be asked.
    fn operations(self) -> &'static [Operation] {
        use Operation as O;
        match self {
            Self::Sessions => {
                &[O::Get, O::Put, O::Revoke, O::List, O::Touch, O::Renew, O::Purge, O::Ping]
            }
            Self::Tokens => &[O::Put, O::Get, O::Exchange, O::Extend, O::Remove, O::Purge, O::Ping],
            Self::Restrictions => &[
                O::Claim,
                O::Swap,
                O::Read,
                O::Clear,
                O::Spend,
                O::Refund,
                O::Strike,
                O::Uncount,
                O::Pardon,
                O::Purge,
                O::Ping,
            ],
        }
    }
}

impl fmt::Display for StoreKind {
    /// As in "the session store".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sessions => "session store",
            Self::Tokens => "token store",
            Self::Restrictions => "restriction store",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
}

/// The handles, made once, so that counting takes no lock.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    kind: StoreKind,
    handles: Vec<(Histogram, Counter)>,
    not_asked: Counter,
    uses_dropped: Counter,
}

impl StoreMetrics {
    /// Metrics of the store of sessions that are shown by `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        Self::register_for(registry, StoreKind::Sessions)
    }

    /// Metrics of a store of that kind that are shown by `registry`.
    pub fn register_for(registry: &mut Registry, kind: StoreKind) -> Self {
        // From a local read to the far side of every gateway's patience.
        const BUCKETS: [f64; 11] =
            [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.15, 1.0];
        let seconds = Family::<Labels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let failures = Family::<Labels, Counter>::default();
        registry.register(
            format!("{}_seconds", kind.prefix()),
            format!("How long the {kind} took to answer, failures included"),
            seconds.clone(),
        );
        registry.register(
            format!("{}_failures", kind.prefix()),
            format!("Questions to the {kind} that got an error or no answer in time"),
            failures.clone(),
        );
        let (not_asked, uses_dropped) = (Counter::default(), Counter::default());
        // What the gate waits for; restrictions are the issuer's, and always asked.
        if kind != StoreKind::Restrictions {
            registry.register(
                format!("{}_not_asked", kind.prefix()),
                format!("Questions the {kind} was spared: it had just failed, or too many asked"),
                not_asked.clone(),
            );
        }
        if kind == StoreKind::Sessions {
            registry.register(
                "portcullis_store_uses_dropped",
                "Uses of sessions that found no room among those to be noted",
                uses_dropped.clone(),
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
        Self { kind, handles, not_asked, uses_dropped }
    }

    /// Metrics that nobody looks at; for commands that end at once.
    pub fn unseen(kind: StoreKind) -> Self {
        Self::register_for(&mut Registry::default(), kind)
    }

    /// What the store keeps.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// Counts a question that was not asked.
    pub fn not_asked(&self) {
        self.not_asked.inc();
    }

    /// Counts uses that were not noted.
    pub fn uses_dropped(&self, how_many: u64) {
        self.uses_dropped.inc_by(how_many);
    }

    /// Counts one question and its answer.
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
    /// Metrics of the store of sessions that nobody looks at.
    fn default() -> Self {
        Self::unseen(StoreKind::Sessions)
    }
}
