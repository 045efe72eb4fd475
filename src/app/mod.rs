//! Putting it together: the only place that names concrete stores, and the life of the process
//! from build to bind to run until stopped.

mod watch;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::account::{AccountStore, PostgresAccounts, SqliteAccounts};
use crate::clock::Clock;
use crate::config::{
    AccountStoreConfig, AccountsConfig, Config, IssuerConfig, KeysConfig, SessionConfig,
    StoreConfig,
};
use crate::gate::Gate;
use crate::gate::admission::Admissions;
use crate::gate::metrics::GateMetrics;
use crate::gate::service::{BodyWasRead, GateService, ServiceTerms};
use crate::secret::Random;
use crate::server::{Address, BodyRead, Listeners, Shutdown, signals};
use crate::session::{MemoryStore, RedisStore, SessionStore, Sessions, SqliteStore, StoreMetrics};
use crate::storage;
use crate::telemetry::metrics::{Exposition, Registry};
use crate::token::jwks::{Fetcher, Source, keep};
use crate::token::{Issuer, KeyRing, Verifier};
use watch::Watched;

/// How often room is made in the store.
const PURGE_INTERVAL: Duration = Duration::from_secs(600);
/// How long an expired session stays listed.
const PURGE_AFTER: Duration = Duration::from_secs(3_600);

/// A ring, and where its keys are published.
type Published = (Arc<KeyRing>, Source);

const NO_AUTHORITIES: &str = "cannot read the system's certificate authorities";

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
    clock: Arc<dyn Clock>,
}

/// An app whose addresses are open.
#[derive(Debug)]
pub struct Bound {
    app: App,
    gate: Listeners,
    metrics: Option<Listeners>,
    shutdown: Shutdown,
}

/// Opens the configured store.
///
/// # Errors
/// Where the embedded store cannot be opened. A Redis that is down is no error: it may come up.
pub async fn open_store(config: &SessionConfig) -> anyhow::Result<Arc<dyn SessionStore>> {
    Ok(match &config.store {
        StoreConfig::Sqlite(path) => {
            let busy_timeout = config.terms.timeout;
            let options = storage::sqlite::Options { busy_timeout, ..Default::default() };
            Arc::new(SqliteStore::open(path, options).await?)
        }
        StoreConfig::Redis { url, database, ca_pem } => {
            let timeout = config.terms.timeout;
            let options = storage::redis::Options {
                database: *database,
                ca_pem: ca_pem.clone(),
                // A little less than our own deadline, so that a dead connection is noticed.
                response_timeout: timeout.mul_f64(0.8),
                ..storage::redis::Options::default()
            };
            Arc::new(RedisStore::new(storage::redis::Redis::new(url, &options)?))
        }
        StoreConfig::Memory => Arc::new(MemoryStore::new()),
    })
}

/// Opens the configured store of accounts. A login waits for a hash anyway, so it is given more
/// time than the sessions have.
///
/// # Errors
/// Where it cannot be opened; its schema is brought up to date here, so it must be there.
pub async fn open_accounts(config: &AccountsConfig) -> anyhow::Result<Arc<dyn AccountStore>> {
    Ok(match &config.store {
        AccountStoreConfig::Sqlite(path) => {
            Arc::new(SqliteAccounts::open(path, storage::sqlite::Options::default()).await?)
        }
        AccountStoreConfig::Postgres(url) => {
            Arc::new(PostgresAccounts::open(url, storage::postgres::Options::default()).await?)
        }
    })
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
        let store_metrics = StoreMetrics::register(&mut registry);
        let store = open_store(&config.sessions).await.context("cannot open the session store")?;
        let sessions = Arc::new(Sessions::new(
            store,
            config.sessions.terms,
            Arc::clone(&clock),
            store_metrics,
        ));
        let (issuers, published) = issuers(&config.tokens.issuers);
        let verifier = Arc::new(Verifier::new(issuers, config.max_token_bytes, Arc::clone(&clock)));
        let admissions = Admissions::new(
            verifier,
            Arc::clone(&sessions),
            config.gate.identity.clone(),
            config.cache,
            Arc::clone(&clock),
            metrics.clone(),
        );
        let service = Arc::new(GateService::new(
            Gate::new(admissions, config.gate.cookie.clone()),
            ServiceTerms {
                manners: config.gate.manners.clone(),
                prefix: config.gate.prefix.clone(),
                access_log: config.gate.access_log,
                own_keys: config.tokens.own_keys.clone(),
            },
            metrics.clone(),
            random,
        ));
        let exposition = Exposition::new(registry);
        Ok(Self { service, sessions, metrics, exposition, published, clock })
    }

    /// Reads published keys once; for commands, which have no background.
    ///
    /// # Errors
    /// Where a source cannot be read.
    pub async fn read_published_keys(&self) -> anyhow::Result<()> {
        if self.published.is_empty() {
            return Ok(());
        }
        let fetcher = Fetcher::new().context(NO_AUTHORITIES)?;
        for (ring, source) in &self.published {
            let keys = fetcher.read(source).await;
            let keys = keys.with_context(|| format!("keys at {}", source.location))?;
            ring.replace(keys, self.clock.monotonic().saturating_add(source.max_age));
        }
        Ok(())
    }

    /// Opens all addresses, or none.
    ///
    /// # Errors
    /// Which address cannot be opened, and what to do.
    pub fn bind(self, config: &Config) -> anyhow::Result<Bound> {
        let gate = Listeners::bind(&config.gate.listen, &config.limits)?;
        let metrics = match &config.metrics_listen {
            Some(address) => Some(Listeners::bind(std::slice::from_ref(address), &config.limits)?),
            None => None,
        };
        Ok(Bound { app: self, gate, metrics, shutdown: Shutdown::new(config.shutdown_grace) })
    }
}

impl Bound {
    /// Where the gate listens, with the ports that the system chose.
    pub fn gate_addresses(&self) -> Vec<Address> {
        self.gate.addresses()
    }

    /// Where metrics are served.
    pub fn metrics_addresses(&self) -> Vec<Address> {
        self.metrics.as_ref().map(Listeners::addresses).unwrap_or_default()
    }

    /// Answers until SIGTERM or SIGINT; then drains.
    ///
    /// # Errors
    /// Where published keys cannot be fetched at all.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { app, gate, metrics, shutdown } = self;
        let App { service, sessions, metrics: counters, exposition, published, clock } = app;
        let background = CancellationToken::new();
        start_fetching(published, &clock, &background)?;
        let closing = Arc::clone(&sessions);
        tokio::spawn(make_room(Arc::clone(&sessions), background.clone()));
        let stopping = shutdown.clone();
        tokio::spawn(async move {
            if let Err(error) = signals(stopping).await {
                warn!(%error, "signals cannot be heard; only SIGKILL stops this process");
            }
        });
        let addresses = gate.addresses().iter().map(ToString::to_string).collect::<Vec<_>>();
        info!(gate = addresses.join(","), store = sessions.describe(), "ready to answer");

        // Metrics outlive the gate: the drain itself is worth watching.
        let metrics_shutdown = Shutdown::new(Duration::from_millis(100));
        let watching = metrics.map(|listeners| {
            let (service, stopping) = (Arc::clone(&service), shutdown.clone());
            let watched = Watched { service, counters, exposition, stopping };
            let ended = metrics_shutdown.clone();
            tokio::spawn(async move { watch::serve(listeners, watched, &ended).await })
        });
        let answer = service_fn(move |request: Request<Incoming>| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(mark_read(service.answer(request).await)) }
        });
        let report = gate.serve(answer, &shutdown).await;
        info!(finished = report.finished, aborted = report.aborted, "stopped");
        background.cancel();
        metrics_shutdown.begin();
        if let Some(watching) = watching {
            watching.await.context("the metrics listener failed")?;
        }
        closing.close().await;
        Ok(())
    }
}

/// Tells the server, in its own word, that a body was read to its end.
fn mark_read(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    if response.extensions().get::<BodyWasRead>().is_some() {
        response.extensions_mut().insert(BodyRead);
    }
    response
}

/// The issuers with their key rings, and those rings that have to be filled.
fn issuers(configured: &[IssuerConfig]) -> (Vec<Arc<Issuer>>, Vec<Published>) {
    let mut published = Vec::new();
    let issuers = configured.iter().map(|issuer| {
        let keys = Arc::new(match &issuer.keys {
            KeysConfig::Fixed(keys) => KeyRing::fixed(keys.clone()),
            KeysConfig::Published(_) => KeyRing::awaiting(),
        });
        if let KeysConfig::Published(source) = &issuer.keys {
            published.push((Arc::clone(&keys), source.clone()));
        }
        Arc::new(Issuer {
            name: issuer.name.as_str().into(),
            iss: issuer.iss.clone(),
            audiences: issuer.audiences.clone(),
            leeway: issuer.leeway,
            sessions: issuer.sessions,
            keys,
        })
    });
    let issuers = issuers.collect();
    (issuers, published)
}

fn start_fetching(
    published: Vec<Published>,
    clock: &Arc<dyn Clock>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    if published.is_empty() {
        return Ok(());
    }
    let fetcher = Fetcher::new().context(NO_AUTHORITIES)?;
    for (ring, source) in published {
        tokio::spawn(keep(ring, source, fetcher.clone(), Arc::clone(clock), stop.clone()));
    }
    Ok(())
}

/// Forgets long expired sessions, now and then.
async fn make_room(sessions: Arc<Sessions>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(PURGE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        match sessions.purge(PURGE_AFTER).await {
            Ok(0) => {}
            Ok(purged) => debug!(purged, "forgot expired sessions"),
            Err(error) => warn!(%error, "expired sessions could not be forgotten"),
        }
    }
}
