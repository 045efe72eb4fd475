//! The issuer beside the gate: built over the same sessions, on listeners of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::admin_token::read_or_make;
use super::audit::{self, AuditWriters};
use super::authnzerver;
use super::issuer_routes::{GateMount, IssuerRoutes};
use super::listening::Opening;
use super::purge::PurgedEvents;
use super::reload::ModelsInForce;
use super::stores::{AccountDatabase, Stores};
use crate::account::AccountStore;
use crate::account::password::Passwords;
use crate::clock::Clock;
use crate::config::{Config, IssuanceConfig};
use crate::gate::service::GateService;
use crate::issuer::authnzerver::AuthnzerverService;
use crate::issuer::grpc::GrpcService;
use crate::issuer::hook::Hook;
use crate::issuer::http::{Routes, Web, WebConfig};
use crate::issuer::login::PasswordCheck;
use crate::issuer::metrics::IssuerMetrics;
use crate::issuer::rules::PolicyAccess;
use crate::issuer::throttle::Throttle;
use crate::issuer::{Dependencies, Issuance};
use crate::lease::Leases;
use crate::limit::Limits;
use crate::opaque::Tokens;
use crate::secret::{Random, Secret};
use crate::server::{self, Address, DrainReport, Listeners, Shutdown};
use crate::session::Sessions;
use crate::store::records::Records;
use crate::store::{CHANGE_TIMEOUT, StoreMetrics};
use crate::telemetry::metrics::Registry;
use crate::token::{SigningRing, Verifier};
use crate::wire::connection::Connection;

/// Number of users whose hashes are looked at when the issuer starts.
const SAMPLED_USERS: usize = 1_000;

/// Parts that the issuer shares with the gate of its process.
pub(super) struct Shared {
    pub(super) stores: Stores,
    pub(super) record_metrics: StoreMetrics,
    pub(super) tokens: Arc<Tokens>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) signers: Arc<SigningRing>,
    pub(super) verifier: Arc<Verifier>,
    pub(super) models: ModelsInForce,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

/// The issuer, not yet bound to any address.
#[derive(Debug)]
pub struct IssuerApp {
    /// Issuance.
    pub issuance: Arc<Issuance>,
    /// The parts that it is built of.
    pub dependencies: Dependencies,
    public: Routes,
    internal: Routes,
    grpc: GrpcService,
    audit: AuditWriters,
    audit_retention: Option<Duration>,
    authnzerver: Option<AuthnzerverService>,
}

/// The issuer with its addresses open.
#[derive(Debug)]
pub struct BoundIssuer {
    app: IssuerApp,
    public: Listeners,
    internal: Listeners,
    grpc: Listeners,
    authnzerver: Listeners,
    /// True where the public listener demands certificates.
    is_certified: bool,
}

impl IssuerApp {
    /// Builds it; opens the account store and the audit log, but no address.
    pub(super) async fn build(
        config: &Config,
        issuance: &IssuanceConfig,
        shared: Shared,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let (dependencies, audit) = dependencies(config, issuance, shared, registry).await?;
        let admin_token = admin_token(issuance, dependencies.random.as_ref())?;
        let core = Arc::new(Issuance::new(&dependencies));
        let web_config = WebConfig {
            admin_token: admin_token.clone(),
            read_only: config.gate.read_only.clone(),
            ..issuance.web.clone()
        };
        let gateways = web_config.trusted_proxies.clone();
        let read_only = web_config.read_only.clone();
        let web = Web::new(Arc::clone(&core), web_config);
        let grpc = GrpcService::new(&core, admin_token, read_only, gateways).await?;
        // Made here, so that routes that do not fit together stop the start, not a listener.
        let (public, internal) = (web.public(), web.internal());
        let audit_retention = issuance.audit.retention;
        let authnzerver = issuance.authnzerver.as_ref();
        let authnzerver = authnzerver
            .map(|wire| AuthnzerverService::new(&core, &dependencies, wire.service.clone()));
        Ok(Self {
            issuance: core,
            dependencies,
            public,
            internal,
            grpc,
            authnzerver,
            audit,
            audit_retention,
        })
    }

    /// Opens its addresses, or none.
    pub(super) fn bind(
        self,
        opening: &Opening,
        at: &IssuanceConfig,
        limits: &server::Limits,
    ) -> anyhow::Result<BoundIssuer> {
        let public = opening.listen("issuer", &at.listen, limits)?;
        let internal = opening.listen("internal", &at.internal, limits)?;
        let grpc = opening.listen("grpc", &at.grpc, &limits.of_grpc())?;
        let authnzerver = authnzerver::listen(opening, at.authnzerver.as_ref(), limits)?;
        let is_certified = at.listen.asks_for_certificates();
        Ok(BoundIssuer { app: self, public, internal, grpc, authnzerver, is_certified })
    }
}

/// The parts that issuing is built of; beside them, who writes the audit log.
async fn dependencies(
    config: &Config,
    issuance: &IssuanceConfig,
    shared: Shared,
    registry: &mut Registry,
) -> anyhow::Result<(Dependencies, AuditWriters)> {
    let database = super::open_account_database(&config.accounts).await;
    let AccountDatabase { accounts, events, rules } =
        database.context("cannot open the account store")?;
    let clock = shared.clock;
    let random = shared.random.as_ref();
    let (audit, writers) = audit::open(&issuance.audit, events, Arc::clone(&clock), random)?;
    let records = Records::new(
        shared.stores.records,
        config.sessions.policy.timeout.max(CHANGE_TIMEOUT),
        Arc::clone(&clock),
        shared.record_metrics,
    );
    let password_check = match &issuance.hook {
        None => PasswordCheck::Accounts,
        Some(hook) => PasswordCheck::Hook(Arc::new(
            Hook::new(hook.clone()).context(super::keys::NO_AUTHORITIES)?,
        )),
    };
    if !issuance.throttle.enabled {
        tracing::warn!("RATE_LIMITS=false: passwords and keys may be guessed without limit");
    }
    let limits = Limits::new(records.clone());
    let throttle = Throttle::new(limits, issuance.throttle, Arc::clone(&clock));
    let passwords = Passwords::new(config.accounts.hashing, Arc::clone(&shared.random))?;
    learn_hash_costs(&passwords, accounts.as_ref()).await;
    let mail = issuance.mail.as_ref();
    let mailer =
        mail.map(|mail| super::mail::mailer(mail, Arc::clone(&shared.random))).transpose()?;
    let dependencies = Dependencies {
        policy: Arc::new(issuance.policy.clone()),
        accounts,
        passwords: Arc::new(passwords),
        password_rules: config.accounts.password_rules().context(super::keys::NO_AUTHORITIES)?,
        self_service: issuance.self_service.clone(),
        mailer,
        password_check,
        tokens: shared.tokens,
        leases: Leases::new(records.clone()),
        records,
        throttle,
        sessions: shared.sessions,
        signers: shared.signers,
        verifier: shared.verifier,
        permissions: shared.models.permissions,
        rules: PolicyAccess {
            store: rules,
            casbin: shared.models.casbin,
            changed: shared.models.rules_changed,
            user_prefix: config.accounts_issuer.user_prefix.clone(),
        },
        audit,
        metrics: IssuerMetrics::register(registry),
        clock,
        random: shared.random,
    };
    Ok((dependencies, writers))
}

/// Learns what the hashes of present users cost from some of them; of the others, when they log in.
async fn learn_hash_costs(passwords: &Passwords, accounts: &dyn AccountStore) {
    match accounts.users(None, SAMPLED_USERS).await {
        Ok(users) => passwords.learn_costs(users.iter().filter_map(|user| user.password.as_ref())),
        Err(error) => {
            tracing::warn!(%error, "the time of a login may tell whose password hash is older");
        }
    }
}

/// The administrator's token: the operator's, or one that is made for him.
fn admin_token(issuance: &IssuanceConfig, random: &dyn Random) -> anyhow::Result<Option<Secret>> {
    let Some(path) = &issuance.generated_admin_token else {
        return Ok(issuance.web.admin_token.clone());
    };
    let token = read_or_make(path, random)?;
    tracing::info!(file = %path.display(), "ADMIN_TOKEN is not set: this file has it");
    Ok(Some(token))
}

impl BoundIssuer {
    /// The account store.
    pub(super) fn accounts(&self) -> Arc<dyn AccountStore> {
        Arc::clone(&self.app.dependencies.accounts)
    }

    /// Addresses where tokens are issued, with the ports that the system chose.
    pub fn public_addresses(&self) -> Vec<Address> {
        self.public.addresses()
    }

    /// Addresses of the internal listener.
    pub fn internal_addresses(&self) -> Vec<Address> {
        self.internal.addresses()
    }

    /// Addresses of gRPC.
    pub fn grpc_addresses(&self) -> Vec<Address> {
        self.grpc.addresses()
    }

    /// Addresses of authnzerver's wire.
    pub fn authnzerver_addresses(&self) -> Vec<Address> {
        self.authnzerver.addresses()
    }

    /// The parts that issuing is built of.
    pub fn dependencies(&self) -> &Dependencies {
        &self.app.dependencies
    }

    /// The table of audit events, where they are deleted at some age.
    pub(super) fn purged_events(&self) -> Option<PurgedEvents> {
        let audit = self.app.dependencies.audit.clone();
        self.app.audit_retention.map(|retention| PurgedEvents { audit, retention })
    }

    /// Answers until `shutdown` begins, then drains. Ends when the last listener has.
    pub(super) async fn run(
        self,
        gate: Arc<GateService>,
        gate_prefix: String,
        shutdown: Shutdown,
    ) -> DrainedIssuer {
        let Self { app, public, internal, grpc, authnzerver, is_certified } = self;
        let mut serving = JoinSet::new();
        let gate = Some(GateMount { service: gate, prefix: gate_prefix.into(), is_certified });
        serving.spawn(serve(public, IssuerRoutes { routes: app.public, gate }, shutdown.clone()));
        let answering = IssuerRoutes { routes: app.internal, gate: None };
        serving.spawn(serve(internal, answering, shutdown.clone()));
        serving.spawn(serve_grpc(grpc, app.grpc, shutdown.clone()));
        if let Some(service) = app.authnzerver {
            serving.spawn(authnzerver::serve(authnzerver, service, shutdown.clone()));
        }
        let mut outcome = Ok(());
        while let Some(ended) = serving.join_next().await {
            if let (Err(error), Ok(())) = (ended, &outcome) {
                // The others are drained, and what was told is written, before the process ends.
                outcome = Err(error).context("a listener of the issuer failed");
                shutdown.begin();
            }
        }
        let IssuerApp { issuance, dependencies, audit, .. } = app;
        DrainedIssuer { issuance, accounts: dependencies.accounts, audit, outcome }
    }
}

/// The issuer when its listeners have ended. The gate may still have passwords checked there.
pub(super) struct DrainedIssuer {
    issuance: Arc<Issuance>,
    accounts: Arc<dyn AccountStore>,
    audit: AuditWriters,
    outcome: anyhow::Result<()>,
}

impl DrainedIssuer {
    /// Ends what was begun, and closes the accounts and the audit log; to be called when nobody asks
    /// any more.
    ///
    /// # Errors
    /// A listener failed.
    pub(super) async fn close(self, shutdown: &Shutdown) -> anyhow::Result<()> {
        finish(&self.issuance, shutdown).await;
        self.audit.finish().await;
        self.accounts.close().await;
        self.outcome
    }
}

/// Waits for what was begun for callers who are gone, as long as the stores may take for it.
async fn finish(issuance: &Issuance, shutdown: &Shutdown) {
    let tasks = issuance.tasks();
    tokio::select! {
        biased;
        () = async { tasks.ended().await; issuance.self_service.ended().await } => {}
        () = shutdown.aborted() => {}
        () = tokio::time::sleep(issuance.policy().lease) => {}
    }
    if !tasks.is_empty() {
        tracing::warn!(requests = tasks.len(), "requests were cut: they took too long to end");
    }
}

async fn serve(listeners: Listeners, answering: IssuerRoutes, shutdown: Shutdown) -> DrainReport {
    let answer = move |connection: Connection, request| {
        let answering = answering.clone();
        async move { answering.answer(connection, request).await }
    };
    listeners.serve(answer, &shutdown).await
}

/// Answers calls until `shutdown` begins, then says so to those who watch the health of the services,
/// and drains.
pub async fn serve_grpc(
    listeners: Listeners,
    service: GrpcService,
    shutdown: Shutdown,
) -> DrainReport {
    let health = service.clone();
    let answer = move |connection: Connection, request| service.clone().answer(connection, request);
    let ended = async {
        shutdown.begun().await;
        health.end().await;
    };
    let (report, ()) = tokio::join!(listeners.serve(answer, &shutdown), ended);
    report
}
