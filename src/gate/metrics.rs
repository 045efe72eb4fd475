//! The metrics of the gate. Every counter is made at start, so that counting takes no lock.

mod authorizer;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::denial::DenialCode;
pub(super) use authorizer::AuthorizerMetrics;

/// The entry point of an inquiry: the path that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPoint {
    /// `/validate_request`.
    Nginx,
    /// `/validate_request/ingress`.
    Ingress,
    /// `/validate_request/traefik`.
    Traefik,
    /// `/validate_request/caddy`.
    Caddy,
    /// `/validate_request/haproxy`.
    HaProxy,
    /// `/validate_request/envoy/..`.
    Envoy,
    /// `ext_authz` over gRPC.
    ExtAuthz,
    /// `/validate`.
    Validate,
    /// Any other path or listener, where nobody is let in.
    Elsewhere,
}

impl EntryPoint {
    const ALL: [Self; 9] = [
        Self::Nginx,
        Self::Ingress,
        Self::Traefik,
        Self::Caddy,
        Self::HaProxy,
        Self::Envoy,
        Self::ExtAuthz,
        Self::Validate,
        Self::Elsewhere,
    ];

    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Ingress => "ingress",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::HaProxy => "haproxy",
            Self::Envoy => "envoy",
            Self::ExtAuthz => "ext_authz",
            Self::Validate => "validate",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// The result of a look-up in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It answered.
    Hit,
    /// It knew the token; the session was read.
    Recheck,
    /// It knew nothing.
    Miss,
    /// The store gave no answer, and its previous answer was believed.
    Stale,
}

/// The answer of an issuer that was asked about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntrospectionOutcome {
    /// It is active.
    Active,
    /// It is not.
    Inactive,
    /// There was none, or none that can be used.
    Failed,
}

/// The outcome of a verification of a token that was not in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerificationOutcome {
    /// It was verified, and found good or bad.
    Done,
    /// Too many waited.
    Refused,
    /// Its turn did not come in time.
    Late,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IntrospectionLabels {
    issuer: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    entry_point: &'static str,
    verdict: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// The metrics of the gate.
#[derive(Clone, Debug)]
pub struct GateMetrics {
    /// By entry point: the allowed, then the denied by code.
    requests: [(Counter, Vec<Counter>); 9],
    hits: Counter,
    /// Hits whose heads were answered before, and were not parsed.
    pub repeated_heads: Counter,
    rechecks: Counter,
    misses: Counter,
    stale: Counter,
    /// Sessions that were read again ahead of time.
    pub(super) refreshes: Counter,
    /// Readings that went on without one, since the store named no change of their sessions.
    pub confirmations: Counter,
    introspections: Family<IntrospectionLabels, Counter>,
    /// By [`VerificationOutcome`].
    verifications: [Counter; 3],
    authorizer: AuthorizerMetrics,
    /// Tokens that wait to be verified.
    pub waiting_verifications: Gauge,
    /// Decisions in the cache.
    pub cache_entries: Gauge,
    /// Their estimated memory, in bytes.
    pub cache_bytes: Gauge,
}

impl GateMetrics {
    /// Metrics that are shown by `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        let cache = Family::<OutcomeLabels, Counter>::default();
        let introspections = Family::<IntrospectionLabels, Counter>::default();
        let (cache_entries, cache_bytes) = (Gauge::default(), Gauge::default());
        let (verifications, waiting_verifications) = register_verifications(registry);
        registry.register("portcullis_requests", "Inquiries answered", requests.clone());
        registry.register("portcullis_cache_requests", "Look-ups in the cache", cache.clone());
        registry.register(
            "portcullis_cache_entries",
            "Decisions in the cache",
            cache_entries.clone(),
        );
        registry.register(
            "portcullis_cache_bytes",
            "Estimated memory of the cache, bounded by CACHE_BYTES",
            cache_bytes.clone(),
        );
        let repeated_heads = Counter::default();
        registry.register(
            "portcullis_cache_repeated_heads",
            "Hits whose heads were answered before, and were not parsed again",
            repeated_heads.clone(),
        );
        let refreshes = Counter::default();
        registry.register(
            "portcullis_cache_refreshes",
            "Sessions read again before a request had to wait for it",
            refreshes.clone(),
        );
        let confirmations = Counter::default();
        registry.register(
            "portcullis_cache_confirmations",
            "Sessions that were not read again, since the store told of all changes, and of none to them",
            confirmations.clone(),
        );
        registry.register(
            "portcullis_introspections",
            "Questions to other issuers about opaque tokens",
            introspections.clone(),
        );
        let handle = |entry_point: EntryPoint, verdict, code| {
            requests.get_or_create_owned(&RequestLabels {
                entry_point: entry_point.as_str(),
                verdict,
                code,
            })
        };
        let of_entry_point = |entry_point: EntryPoint| {
            let denied =
                DenialCode::ALL.iter().map(|code| handle(entry_point, "deny", code.as_str()));
            (handle(entry_point, "allow", "ok"), denied.collect())
        };
        let outcome = |outcome| cache.get_or_create_owned(&OutcomeLabels { outcome });
        Self {
            requests: EntryPoint::ALL.map(of_entry_point),
            hits: outcome("hit"),
            repeated_heads,
            rechecks: outcome("recheck"),
            misses: outcome("miss"),
            stale: outcome("stale"),
            refreshes,
            confirmations,
            introspections,
            verifications,
            waiting_verifications,
            authorizer: AuthorizerMetrics::register(registry),
            cache_entries,
            cache_bytes,
        }
    }

    /// Counts a verdict: the code of a denial, or none for a yes.
    pub fn verdict(&self, entry_point: EntryPoint, denied: Option<DenialCode>) {
        let (allowed, by_code) = &self.requests[entry_point as usize];
        match denied {
            None => allowed.inc(),
            Some(code) => by_code[code as usize].inc(),
        };
    }

    /// Counts a look-up in the cache.
    pub fn cache(&self, outcome: CacheOutcome) {
        match outcome {
            CacheOutcome::Hit => self.hits.inc(),
            CacheOutcome::Recheck => self.rechecks.inc(),
            CacheOutcome::Miss => self.misses.inc(),
            CacheOutcome::Stale => self.stale.inc(),
        };
    }
}

impl GateMetrics {
    /// Those of the external authorizer.
    pub(super) fn authorizer(&self) -> &AuthorizerMetrics {
        &self.authorizer
    }

    /// Counts a verification of a token.
    pub(super) fn verified(&self, outcome: VerificationOutcome) {
        self.verifications[outcome as usize].inc();
    }

    /// Counts a question to an issuer about a token.
    pub fn introspected(&self, issuer: &str, outcome: IntrospectionOutcome) {
        let outcome = match outcome {
            IntrospectionOutcome::Active => "active",
            IntrospectionOutcome::Inactive => "inactive",
            IntrospectionOutcome::Failed => "failed",
        };
        let labels = IntrospectionLabels { issuer: issuer.to_owned(), outcome };
        self.introspections.get_or_create(&labels).inc();
    }
}

fn register_verifications(registry: &mut Registry) -> ([Counter; 3], Gauge) {
    let (family, waiting) = (Family::<OutcomeLabels, Counter>::default(), Gauge::default());
    registry.register(
        "portcullis_verifications",
        "Tokens that were not in the cache, by whether their signatures were checked in time",
        family.clone(),
    );
    registry.register(
        "portcullis_verifications_waiting",
        "Tokens that wait to be verified",
        waiting.clone(),
    );
    let of = |outcome| family.get_or_create_owned(&OutcomeLabels { outcome });
    (["done", "refused", "late"].map(of), waiting)
}

#[cfg(test)]
impl GateMetrics {
    /// Hits, re-checks and misses so far.
    pub(super) fn looked_up(&self) -> (u64, u64, u64) {
        (self.hits.get(), self.rechecks.get(), self.misses.get())
    }
}

impl Default for GateMetrics {
    /// Metrics that nobody reads, for commands that end at once.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}
