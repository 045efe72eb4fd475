//! Putting it together: the only place that names concrete stores, and the life of the process
//! from build to bind to run until stopped.

mod admin_token;
mod audit;
mod authnzerver;
mod basic;
mod ext_authz;
mod gate_heads;
mod gate_parts;
mod invalidation;
mod issuer;
mod issuer_routes;
mod keys;
mod listening;
mod mail;
mod metrics_endpoint;
mod purge;
mod reload;
mod rules;
mod stores;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::gate::gateway_proof::Peer;
use crate::gate::metrics::GateMetrics;
use crate::gate::service::GateService;
use crate::opaque::Tokens;
use crate::secret::Random;
use crate::server::{Address, Listeners, Shutdown, TlsMetrics, signals};
use crate::session::{SessionPolicy, Sessions};
use crate::store::invalidation::{InvalidationSource, InvalidationState};
use crate::store::records::Records;
use crate::store::{StoreKind, StoreMetrics};
use crate::telemetry::lost;
use crate::telemetry::metrics::{Exposition, Registry};
use crate::token::{KeyRing, SigningRing, Verifier, watch_key_file};
use ext_authz::BoundExtAuthz;
use gate_heads::GateHeads;
use gate_parts::GateParts;
use issuer::Shared;
pub use issuer::{BoundIssuer, IssuerApp, serve_grpc};
pub use keys::own_keys;
use keys::{Issuers, Published, issuers, start_fetching};
use listening::Opening;
use metrics_endpoint::MetricsEndpoint;
use purge::{PurgedStores, purge_expired};
use reload::{FollowedKeys, ModelsInForce, PolicyReload};
use rules::RulesFollower;
pub use stores::{
    AccountDatabase, Stores, close_stores_after, make_data_dir, open_account_database,
    open_accounts, open_stores,
};

/// Everything that answers, not yet bound to any address.
#[derive(Debug)]
pub struct App {
    /// The gate as a web service.
    pub service: Arc<GateService>,
    /// The sessions, for whoever opens and ends them in this process.
    pub sessions: Arc<Sessions>,
    metrics: GateMetrics,
    exposition: Exposition,
    published: Vec<Published>,
    own_keys: Arc<SigningRing>,
    /// The keys that check our own tokens, where they rotate.
    own_verifying: Option<Arc<KeyRing>>,
    tokens: Arc<Tokens>,
    records: Records,
    invalidation: Option<Arc<dyn InvalidationSource>>,
    invalidation_state: Arc<InvalidationState>,
    clock: Arc<dyn Clock>,
    tls_metrics: TlsMetrics,
    policy: Option<PolicyReload>,
    rules: Option<RulesFollower>,
    /// The issuer, where AUTHORIZATION_SERVER is on.
    pub issuer: Option<IssuerApp>,
}

/// An app whose addresses are open.
#[derive(Debug)]
pub struct Bound {
    app: App,
    gate: Listeners,
    ext_authz: BoundExtAuthz,
    metrics: Listeners,
    issuer: Option<BoundIssuer>,
    gate_prefix: String,
    /// True where the gate's listener demands certificates.
    is_certified: bool,
    shutdown: Shutdown,
}

impl App {
    /// Builds everything; opens the store, but no address.
    ///
    /// # Errors
    /// Where the store cannot be opened.
    pub async fn build(
        config: &Config,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> anyhow::Result<Self> {
        let mut registry = Registry::default();
        let metrics = GateMetrics::register(&mut registry);
        lost::register(&mut registry);
        let tls_metrics = TlsMetrics::register(&mut registry);
        let stores = open_stores(&config.sessions).await.context("cannot open the store")?;
        let (invalidation, invalidation_state) =
            (stores.invalidation.clone(), Arc::clone(&stores.invalidation_state));
        invalidation_state.register(&mut registry);
        let (sessions, tokens) =
            sessions_and_tokens(&stores, config.sessions.policy, &clock, &mut registry);
        let (records, record_metrics) = records_of_gate(&stores, config, &clock, &mut registry);
        let own_keys = Arc::new(own_keys(&config.tokens)?);
        let Issuers { all: issuers, published, own_verifying } =
            issuers(&config.tokens, &own_keys.verifying(clock.now()));
        let verifier = Arc::new(Verifier::new(issuers, config.max_token_bytes, Arc::clone(&clock)));
        // Before the issuer is built, whose routes depend on them.
        let models = ModelsInForce::of(config.gate.policy.as_ref());
        let issuer = match &config.issuance {
            None => None,
            Some(issuance) => {
                let shared = Shared {
                    stores,
                    record_metrics,
                    tokens: Arc::clone(&tokens),
                    sessions: Arc::clone(&sessions),
                    signers: Arc::clone(&own_keys),
                    verifier: Arc::clone(&verifier),
                    models: models.clone(),
                    clock: Arc::clone(&clock),
                    random: Arc::clone(&random),
                };
                Some(IssuerApp::build(config, issuance, shared, &mut registry).await?)
            }
        };
        let parts = GateParts {
            config,
            verifier,
            sessions: Arc::clone(&sessions),
            tokens: &tokens,
            own_keys: &own_keys,
            records: &records,
            issuer: issuer.as_ref(),
            clock: &clock,
            random: &random,
        };
        let gate = parts.gate(metrics.clone()).await?;
        let settings = parts.service_config(&invalidation_state);
        let service = Arc::new(GateService::new(gate, settings, metrics.clone(), random));
        let policy = config.gate.policy.clone();
        let policy = policy.map(|it| PolicyReload::start(it, &service, &models, &mut registry));
        let rules = rules::start(config, &models, &clock, &mut registry).await?;
        Ok(Self {
            service,
            sessions,
            metrics,
            exposition: Exposition::new(registry),
            published,
            own_keys,
            own_verifying,
            tokens,
            records,
            invalidation,
            invalidation_state,
            clock,
            tls_metrics,
            policy,
            rules,
            issuer,
        })
    }

    /// Reads published keys once; for commands, which have no background.
    ///
    /// # Errors
    /// An error where a source cannot be read.
    pub async fn read_published_keys(&self) -> anyhow::Result<()> {
        keys::read_once(&self.published, self.clock.as_ref()).await
    }

    /// Opens all addresses, or none.
    ///
    /// # Errors
    /// Which address cannot be opened, and what to do.
    pub fn bind(mut self, config: &Config) -> anyhow::Result<Bound> {
        let (clock, metrics) = (Arc::clone(&self.clock), self.tls_metrics.clone());
        let (opening, limits) = (Opening { clock, metrics }, &config.limits);
        let gate = opening.listen("gate", &config.gate.listen, limits)?;
        let ext_authz = BoundExtAuthz::open(&opening, &config.gate.ext_authz, limits)?;
        let metrics = opening.listen("metrics", &config.metrics_listen, limits)?;
        let issuer = match (self.issuer.take(), &config.issuance) {
            (Some(issuer), Some(at)) => Some(issuer.bind(&opening, at, limits)?),
            _ => None,
        };
        Ok(Bound {
            app: self,
            gate,
            ext_authz,
            metrics,
            issuer,
            gate_prefix: config.gate.prefix.clone(),
            is_certified: config.gate.listen.asks_for_certificates(),
            shutdown: Shutdown::new(config.shutdown_grace),
        })
    }
}

impl Bound {
    /// Addresses of the gate, with the ports that the system chose.
    pub fn gate_addresses(&self) -> Vec<Address> {
        self.gate.addresses()
    }

    /// Addresses where gateways ask by gRPC.
    pub fn ext_authz_addresses(&self) -> Vec<Address> {
        self.ext_authz.addresses()
    }

    /// Addresses of the metrics.
    pub fn metrics_addresses(&self) -> Vec<Address> {
        self.metrics.addresses()
    }

    /// The issuer, where there is one.
    pub fn issuer(&self) -> Option<&BoundIssuer> {
        self.issuer.as_ref()
    }

    /// Answers until SIGTERM or SIGINT; then drains.
    ///
    /// # Errors
    /// Where published keys cannot be fetched at all.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { app, gate, ext_authz, metrics, issuer, gate_prefix, is_certified, shutdown } =
            self;
        let App { service, sessions, metrics: counters, exposition, published, .. } = app;
        let (own_keys, own_verifying, clock) = (app.own_keys, app.own_verifying, app.clock);
        let (tokens, records, invalidation, invalidation_state) =
            (app.tokens, app.records, app.invalidation, app.invalidation_state);
        log_store_state(&service, &sessions);
        let background = CancellationToken::new();
        let keys = FollowedKeys::new(own_verifying.as_ref().map(|_| &own_keys), &published);
        tokio::spawn(reload::follow(app.policy, keys, background.clone()));
        tokio::spawn(rules::follow(app.rules, background.clone()));
        start_fetching(published, &clock, &background)?;
        if let Some(verifying) = own_verifying {
            let clock = Arc::clone(&clock);
            tokio::spawn(watch_key_file(own_keys, verifying, clock, background.clone()));
        }
        if let Some(source) = invalidation {
            let (sessions, tokens) = (Arc::clone(&sessions), Arc::clone(&tokens));
            let caches =
                Arc::new(invalidation::FanOut { sessions, tokens, state: invalidation_state });
            tokio::spawn(invalidation::follow(source, caches, background.clone()));
        }
        let closing = Arc::clone(&sessions);
        let events = issuer.as_ref().and_then(BoundIssuer::purged_events);
        let accounts = issuer.as_ref().map(BoundIssuer::accounts);
        let purged_stores =
            PurgedStores { sessions: Arc::clone(&sessions), tokens, records, accounts, events };
        tokio::spawn(purge_expired(purged_stores, Arc::clone(&clock), background.clone()));
        stop_on_signals(&shutdown);
        info!("ready to answer");

        // Metrics outlive the gate: the drain itself is worth watching.
        let metrics_shutdown = Shutdown::new(Duration::from_millis(100));
        let (watched_service, stopping) = (Arc::clone(&service), shutdown.clone());
        let endpoint = MetricsEndpoint { service: watched_service, counters, exposition, stopping };
        let watching =
            tokio::spawn(metrics_endpoint::serve(metrics, endpoint, metrics_shutdown.clone()));
        let issuing = issuer.map(|issuer| {
            let (gate, shutdown) = (Arc::clone(&service), shutdown.clone());
            tokio::spawn(issuer.run(gate, gate_prefix, shutdown))
        });
        let calls = ext_authz.serve(Arc::clone(&service), &shutdown);
        let heads = GateHeads { service: Arc::clone(&service), is_certified };
        let answer = move |connection, request| {
            let service = Arc::clone(&service);
            async move { service.answer(Peer::new(connection, is_certified), request).await }
        };
        let report =
            async { tokio::join!(gate.serve_with(Some(heads), answer, &shutdown), calls).0 };
        let report = match issuing {
            None => report.await,
            // Half of a service is worse than none: a gateway would lead logins nowhere.
            Some(issuing) => {
                let drained = async {
                    let drained = issuing.await;
                    shutdown.begin();
                    drained
                };
                let (report, drained) = tokio::join!(report, drained);
                drained.context("the issuer failed")?.close(&shutdown).await?;
                report
            }
        };
        info!(finished = report.finished, aborted = report.aborted, "stopped");
        background.cancel();
        metrics_shutdown.begin();
        watching.await.context("the metrics listener failed")?;
        closing.close().await;
        Ok(())
    }
}

/// Begins the shutdown when a signal asks for it.
fn stop_on_signals(shutdown: &Shutdown) {
    let stopping = shutdown.clone();
    tokio::spawn(async move {
        if let Err(error) = signals(stopping).await {
            warn!(%error, "signals cannot be heard; only SIGKILL stops this process");
        }
    });
}

/// Says what an operator should know of the store: also where it, which may come up later, is not of
/// use now; why, the line before says.
fn log_store_state(service: &Arc<GateService>, sessions: &Sessions) {
    if !sessions.lists() {
        warn_about_memcached();
    }
    let (service, store) = (Arc::clone(service), sessions.describe());
    tokio::spawn(async move {
        if !service.gate().readiness().await.store {
            warn!(
                store,
                "started without the store: what needs it is answered 503 until it is there"
            );
        }
    });
}

fn warn_about_memcached() {
    warn!(
        "sessions are in memcached: one that it forgets is over, revocations elsewhere are learnt of \
         at SESSION_STALENESS, and nothing that lists sessions is served (`GET /sessions`, \
         `DELETE /sessions?except=current`, `/admin/sessions`, gRPC `ListSessions`, `session list`)"
    );
}

/// The records in which the gate remembers DPoP proofs; it waits for them as long as for sessions.
fn records_of_gate(
    stores: &Stores,
    config: &Config,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> (Records, StoreMetrics) {
    let metrics = StoreMetrics::register_for(registry, StoreKind::Limits);
    let (store, timeout) = (Arc::clone(&stores.records), config.sessions.policy.timeout);
    (Records::new(store, timeout, Arc::clone(clock), metrics.clone()), metrics)
}

/// The sessions and the opaque tokens of these stores.
fn sessions_and_tokens(
    stores: &Stores,
    policy: SessionPolicy,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> (Arc<Sessions>, Arc<Tokens>) {
    let (store, metrics) = (Arc::clone(&stores.sessions), StoreMetrics::register(registry));
    let sessions = Sessions::new(store, policy, Arc::clone(clock), metrics);
    let metrics = StoreMetrics::register_for(registry, StoreKind::Tokens);
    let tokens =
        Tokens::new(Arc::clone(&stores.opaque), policy.timeout, Arc::clone(clock), metrics);
    (Arc::new(sessions), Arc::new(tokens.suspecting_when_down(policy.suspect_when_down)))
}
