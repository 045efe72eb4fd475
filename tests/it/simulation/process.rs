//! A process: the real gate, over the real caches and epochs, with the real invalidation; and where it issues, the real
//! issuance. Only its stores, its clock, its random numbers and its source of invalidations are simulated.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, LazyLock},
    task::Poll,
    time::Duration,
};

use portcullis::{
    account::password::{HashConfig, Passwords},
    clock::Clock,
    gate::{
        Origin,
        cached_decision::{CacheConfig, DecisionCache},
        handle::Handles,
        identity::IdentityHeaders,
        metrics::GateMetrics,
    },
    issuer::{
        Dependencies, Issuance,
        audit::Audit,
        login::PasswordCheck,
        metrics::IssuerMetrics,
        policy::IssuancePolicy,
        rules::PolicyAccess,
        self_service::SelfServiceConfig,
        throttle::{Throttle, ThrottleConfig},
        users::password_rules::PasswordRules,
    },
    lease::Leases,
    limit::Limits,
    opaque::Tokens,
    secret::{Secret, SystemRandom},
    session::{SessionId, SessionPolicy, Sessions, UserId},
    store::invalidation::{
        DeliveryMode, InvalidationEvent, InvalidationListener, InvalidationSource as _,
        InvalidationState,
    },
    store::records::Records,
    store::{CHANGE_TIMEOUT, EpochStatus, StoreKind, StoreMetrics},
    telemetry::audit::AuditLog,
    token::{Algorithm, SigningKey, SigningRing},
};
use tokio::time::sleep_until;

use super::{
    cluster::ClusterState,
    fault_injection::ReadKind,
    heads::Heads,
    invalidation::Source,
    mutation::Mutation,
    oracle::{Answer, Credential},
    store::Link,
};
use crate::support::{
    faulty_store::accounts::NoAccounts,
    issuance::{setup::usual_policy, verifier},
};

/// The issuer, and the audience, of all tokens.
pub const ISS: &str = "https://issuer.test";
/// The time that a gate waits for the store, as configured by default.
const TIMEOUT: Duration = Duration::from_millis(150);

/// The key of all tokens.
pub static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let secret = Secret::new("a secret that is long enough for HS256");
    SigningKey::from_secret(Algorithm::HS256, &secret).expect("a key")
});
static PASSWORDS: LazyLock<Arc<Passwords>> = LazyLock::new(|| {
    let cheap = HashConfig { memory_kib: 16, passes: 1, lanes: 1, threads: 1, queue: 1 };
    Arc::new(Passwords::new(cheap, Arc::new(SystemRandom)).expect("a thread"))
});
static GATE_METRICS: LazyLock<GateMetrics> = LazyLock::new(GateMetrics::default);
static ISSUER_METRICS: LazyLock<IssuerMetrics> = LazyLock::new(IssuerMetrics::default);
static STORE_METRICS: LazyLock<[StoreMetrics; 3]> = LazyLock::new(|| {
    [StoreKind::Sessions, StoreKind::Tokens, StoreKind::Limits].map(StoreMetrics::unregistered)
});

/// The readings that went on, in all runs together, since the store named no change of their sessions.
pub fn confirmations() -> u64 {
    GATE_METRICS.confirmations.get()
}

/// The staleness bounds of a gate.
#[derive(Clone, Copy, Debug)]
pub struct GateConfig {
    pub staleness: Duration,
    pub stale_if_error: Duration,
}

/// The heads, in all runs together, that were let pass before, and again without being parsed.
pub fn repeated_heads() -> u64 {
    GATE_METRICS.repeated_heads.get()
}

/// One process.
#[derive(Debug)]
pub struct Process {
    pub number: usize,
    pub cluster: Arc<ClusterState>,
    pub sessions: Arc<Sessions>,
    pub tokens: Arc<Tokens>,
    pub decisions: Arc<DecisionCache>,
    heads: Heads,
}

impl Process {
    /// A process with an empty cache, which follows invalidations from now on.
    ///
    /// Sessions and users of these names share no epoch of the process: which do is up to a hash that is different in each
    /// process and each run, and this run must be able to happen again.
    pub fn start(
        cluster: &Arc<ClusterState>,
        number: usize,
        config: GateConfig,
        names: &[String],
    ) -> Arc<Self> {
        let link = Link { process: number, cluster: Arc::clone(cluster) };
        let clock: Arc<dyn Clock> = cluster.clock.clone();
        let [of_sessions, of_tokens, _] = &*STORE_METRICS;
        let suspect_when_down = cluster.mutation != Mutation::TrustedWhenDown
            && config.stale_if_error < config.staleness;
        let session_policy = SessionPolicy {
            timeout: TIMEOUT,
            records_use: true,
            suspect_when_down,
            ..SessionPolicy::default()
        };
        let sessions = loop {
            let (link, clock) = (Arc::new(link.clone()), Arc::clone(&clock));
            let sessions = Sessions::new(link, session_policy, clock, of_sessions.clone());
            if has_distinct_epochs(&sessions, names) {
                break Arc::new(sessions);
            }
        };
        let tokens = Tokens::new(Arc::new(link), TIMEOUT, Arc::clone(&clock), of_tokens.clone());
        let tokens = Arc::new(tokens.suspecting_when_down(suspect_when_down));
        let decisions = DecisionCache::new(
            Arc::new(verifier(ISS, &KEY, Duration::ZERO, Arc::clone(&clock))),
            Arc::clone(&sessions),
            IdentityHeaders::default(),
            cache_config(config, cluster.mutation),
            clock,
            GATE_METRICS.clone(),
        )
        .with_handles(Handles::new(Arc::clone(&tokens)))
        .refreshing_ahead();
        let keeps = cluster.mutation == Mutation::HeadKept;
        let heads = Heads::new(&decisions, cluster.clock.clone(), GATE_METRICS.clone(), keeps);
        let cluster = Arc::clone(cluster);
        let process = Arc::new(Self { number, cluster, sessions, tokens, decisions, heads });
        process.follow();
        process
    }

    /// Follows the invalidations.
    fn follow(self: &Arc<Self>) {
        let process = Arc::clone(self);
        tokio::spawn(async move {
            let source = Source { process: process.number, cluster: Arc::clone(&process.cluster) };
            let state = InvalidationState::new(DeliveryMode::Bound);
            process.while_running(source.follow(&*process, &state)).await;
        });
    }

    /// Does some work whenever the process does not stand still.
    pub async fn while_running<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut nap = None;
        poll_fn(move |cx| {
            while let Some(until) = self.cluster.injector.stalled_until(self.number) {
                let nap = nap.insert(Box::pin(sleep_until(until)));
                if nap.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Asks the gate, and checks the answer against the oracle. Tells whether it was a yes.
    pub async fn ask(&self, credential: &Credential, is_settled: bool) -> bool {
        self.while_running(self.check_answer(credential, is_settled)).await
    }

    async fn check_answer(&self, credential: &Credential, is_settled: bool) -> bool {
        let (cluster, process) = (&self.cluster, self.number);
        let name = cluster.oracle.session(credential.session).name;
        cluster.record(process, "is asked", &name);
        let (asked, asked_wall) = (cluster.stamp(), cluster.clock.now());
        let down = self.down_since(credential);
        let is_open = self.is_open(credential);
        let denied = if self.heads.passes_again(&credential.text) {
            None
        } else {
            let outcome = self.decisions.decide(&credential.text, &Origin::of_connection(0)).await;
            outcome.err().map(|denial| denial.code.as_str())
        };
        if denied.is_none() {
            self.heads.pass(&credential.text);
        }
        cluster.record(process, denied.unwrap_or("says yes"), &name);
        let answer = Answer {
            process,
            asked,
            asked_wall,
            answered_wall: cluster.clock.now(),
            denied,
            healthy_since: cluster.injector.healthy_since(process),
            down_since: down.filter(|_| self.down_since(credential) == down),
            is_open,
            is_settled,
        };
        cluster.oracle.answered(credential, &answer);
        denied.is_none()
    }

    fn read_kinds(credential: &Credential) -> &'static [ReadKind] {
        match credential.handle {
            Some(_) => &[ReadKind::Sessions, ReadKind::Tokens],
            None => &[ReadKind::Sessions],
        }
    }

    /// The moment since which the store has answered no read that this credential needs, where it counts as down.
    fn down_since(&self, credential: &Credential) -> Option<Duration> {
        let reads = |kind: &ReadKind| self.cluster.injector.reads(self.number, *kind);
        let is_down = |kind: &&ReadKind| reads(kind).failed >= super::oracle::DOWN;
        Self::read_kinds(credential).iter().filter(is_down).map(|kind| reads(kind).since).min()
    }

    /// Tells whether each kind of read that this credential needs was answered since something last went wrong.
    fn is_open(&self, credential: &Credential) -> bool {
        let Some(calm) = self.cluster.injector.healthy_since(self.number) else { return false };
        let answered = |kind: &ReadKind| self.cluster.injector.reads(self.number, *kind).answered;
        let is_open = |kind: &ReadKind| answered(kind).is_some_and(|answered| answered > calm);
        calm.is_zero() || Self::read_kinds(credential).iter().all(is_open)
    }

    /// Something that issues in this process.
    pub fn issuance(&self, lease: Duration, grace: Duration) -> Issuance {
        let clock: Arc<dyn Clock> = self.cluster.clock.clone();
        let link = Link { process: self.number, cluster: Arc::clone(&self.cluster) };
        let metrics = STORE_METRICS[2].clone();
        let records = Records::new(Arc::new(link), CHANGE_TIMEOUT, Arc::clone(&clock), metrics);
        let limits = Limits::new(records.clone());
        Issuance::new(&Dependencies {
            policy: Arc::new(IssuancePolicy { grace, ..usual_policy(ISS, lease) }),
            accounts: Arc::new(NoAccounts),
            passwords: Arc::clone(&PASSWORDS),
            password_rules: PasswordRules::default(),
            self_service: SelfServiceConfig::default(),
            mailer: None,
            password_check: PasswordCheck::Accounts,
            tokens: Arc::clone(&self.tokens),
            throttle: Throttle::new(limits, UNLIMITED, Arc::clone(&clock)),
            leases: Leases::new(records.clone()),
            records,
            sessions: Arc::clone(&self.sessions),
            signers: Arc::new(SigningRing::fixed(KEY.clone())),
            verifier: Arc::new(verifier(ISS, &KEY, Duration::ZERO, Arc::clone(&clock))),
            permissions: Arc::default(),
            rules: PolicyAccess::unused(Arc::new(NoAccounts)),
            audit: Audit::new(AuditLog::off(), Arc::clone(&clock)),
            metrics: ISSUER_METRICS.clone(),
            clock,
            random: self.cluster.rng.clone(),
        })
    }
}

impl InvalidationListener for Process {
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        let (cluster, process, now) = (&self.cluster, self.number, self.cluster.stamp());
        let is_swallowed = match event {
            InvalidationEvent::Lost => {
                cluster.record(process, "is warned", "");
                cluster.oracle.loss_reported(process, now);
                cluster.mutation == Mutation::LossIgnored
            }
            InvalidationEvent::Changed(key) => {
                let key = String::from_utf8_lossy(key);
                cluster.record(process, "gets invalidation", &key);
                cluster.oracle.change_seen(&key, process, now);
                cluster.mutation == Mutation::ChangeIgnored && cluster.rng.percent(20)
            }
            InvalidationEvent::Asked | InvalidationEvent::Complete => false,
        };
        if !is_swallowed {
            self.sessions.on_invalidation(event);
            self.tokens.on_invalidation(event);
        }
    }
}

fn cache_config(config: GateConfig, mutation: Mutation) -> CacheConfig {
    let for_ever = Duration::from_secs(86_400);
    let is = |broken| mutation == broken;
    CacheConfig {
        staleness: if is(Mutation::AgeUnchecked) { for_ever } else { config.staleness },
        stale_if_error: if is(Mutation::AgeUncheckedWhenDown) {
            for_ever
        } else {
            config.stale_if_error
        },
        store_timeout: TIMEOUT.mul_f64(1.2),
        bytes: 64 << 20,
        remembers_heads: true,
    }
}

/// Tells whether a change of one of these concerns none of the others.
fn has_distinct_epochs(sessions: &Sessions, names: &[String]) -> bool {
    let user = UserId::parse("nobody").expect("a name");
    let epochs: Vec<_> = names
        .iter()
        .map(|name| sessions.epoch(&user, &SessionId::parse(name).expect("a name")))
        .chain(names.iter().map(|name| {
            sessions.epoch(
                &UserId::parse(name).expect("a name"),
                &SessionId::parse("none").expect("one"),
            )
        }))
        .collect();
    let mut changed = 0;
    names
        .iter()
        .map(|name| format!("session:{name}"))
        .chain(names.iter().map(|name| format!("user:{name}")))
        .all(|key| {
            sessions.on_invalidation(InvalidationEvent::Changed(key.as_bytes()));
            changed += 1;
            let outdated =
                epochs.iter().filter(|epoch| sessions.status(epoch) == EpochStatus::Changed);
            outdated.count() == changed
        })
}

const UNLIMITED: ThrottleConfig =
    ThrottleConfig { enabled: false, per_minute: 0, lock_tries: 0, lock_time: Duration::ZERO };
