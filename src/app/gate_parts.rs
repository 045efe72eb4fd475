//! The gate, put together: what it accepts as a credential, and how it answers.

use std::sync::Arc;

use anyhow::Context as _;

use super::basic::LoginPasswords;
use super::issuer::IssuerApp;
use super::keys::NO_AUTHORITIES;
use super::open_accounts;
use crate::clock::Clock;
use crate::config::{AccountsIssuer, Config, DpopConfig, OWN_NAME, TokenMode};
use crate::gate::Gate;
use crate::gate::api_key::ApiKeys;
use crate::gate::authorizer::Authorizer;
use crate::gate::basic::BasicAccounts;
use crate::gate::cached_decision::DecisionCache;
use crate::gate::dpop::{Dpop, ProcessMemory, ReplayMemory, ReplayScope};
use crate::gate::gateway_proof::GatewayProof;
use crate::gate::handle::Handles;
use crate::gate::introspection::Introspection;
use crate::gate::metrics::GateMetrics;
use crate::gate::request_limit::RequestLimits;
use crate::gate::service::ServiceConfig;
use crate::gate::ticket::AcceptedTickets;
use crate::gate::upstream::{Audience, UpstreamJwt};
use crate::gate::verification_pool::VerificationPool;
use crate::limit::Limits;
use crate::opaque::{Tickets, Tokens};
use crate::secret::Random;
use crate::session::Sessions;
use crate::store::invalidation::InvalidationState;
use crate::store::records::Records;
use crate::token::{Issuer, SessionRule, SigningRing, Verifier};

/// The parts that a gate is made of.
pub(super) struct GateParts<'p> {
    pub(super) config: &'p Config,
    pub(super) verifier: Arc<Verifier>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) tokens: &'p Arc<Tokens>,
    pub(super) own_keys: &'p Arc<SigningRing>,
    /// The issuer in this process, if there is one.
    pub(super) issuer: Option<&'p IssuerApp>,
    /// The records in which the gate remembers what it must not take twice.
    pub(super) records: &'p Records,
    pub(super) clock: &'p Arc<dyn Clock>,
    pub(super) random: &'p Arc<dyn Random>,
}

impl GateParts<'_> {
    /// The gate itself.
    pub(super) async fn gate(&self, metrics: GateMetrics) -> anyhow::Result<Gate> {
        let decisions = DecisionCache::new(
            Arc::clone(&self.verifier),
            Arc::clone(&self.sessions),
            self.config.gate.identity.clone(),
            self.config.cache,
            Arc::clone(self.clock),
            metrics.clone(),
        );
        let pool = VerificationPool::start(metrics.clone());
        let pool = pool.context("cannot start the threads that verify tokens")?;
        let decisions = decisions.with_verification_pool(pool);
        let decisions = self.with_api_keys(self.with_opaque(decisions)).await?;
        let decisions = self.with_introspection(self.with_basic(decisions)?, &metrics)?;
        let decisions = self.with_tickets(decisions);
        let config = &self.config.gate;
        let gate = Gate::new(decisions.refreshing_ahead(), config.cookies.clone());
        let gate = gate.with_read_only(config.read_only.clone());
        let gate = if config.admits_anonymous { gate.admitting_anonymous() } else { gate };
        let gate = gate.with_dpop(self.dpop()).with_authorizer(self.authorizer(&metrics)?);
        let limits = Limits::new(self.records.clone());
        let gate = gate.with_request_limits(RequestLimits::new(limits, Arc::clone(self.clock)));
        Ok(gate.needing_writes(needs_writes(self.config)))
    }

    /// The external authorizer, where there is one.
    fn authorizer(&self, metrics: &GateMetrics) -> anyhow::Result<Option<Authorizer>> {
        let config = self.config.gate.authorizer.as_ref();
        let open = |config| Authorizer::new(config, Arc::clone(self.clock), metrics);
        config.map(open).transpose().context(NO_AUTHORITIES)
    }

    /// The settings of the service in front of the gate.
    pub(super) fn service_config(&self, invalidation: &Arc<InvalidationState>) -> ServiceConfig {
        let config = self.config;
        ServiceConfig {
            denial_config: config.gate.denial_config.clone(),
            prefix: config.gate.prefix.clone(),
            access_log: config.gate.access_log,
            pseudonyms: config.pseudonyms.clone(),
            open: config.gate.open.clone(),
            gateways: config.gate.gateways.and(&config.gate.gateway_networks),
            own_keys: Arc::clone(self.own_keys),
            clock: Arc::clone(self.clock),
            login_page: config.gate.login_page.clone(),
            proof: GatewayProof {
                secrets: config.gate.gateway_secrets.clone(),
                networks: config.gate.gateway_networks.clone(),
                by_certificate: config.gate.listen.asks_for_certificates(),
            },
            client_certificate_header: config.gate.client_certificate_header.clone(),
            invalidation: Arc::clone(invalidation),
        }
    }

    /// The judge of DPoP proofs.
    fn dpop(&self) -> Dpop {
        let DpopConfig { window, scope, memory_size } = self.config.gate.dpop;
        let memory = match scope {
            ReplayScope::Process => ReplayMemory::Process(ProcessMemory::new(memory_size)),
            ReplayScope::Store => ReplayMemory::Store(self.records.clone()),
        };
        Dpop::new(window, memory, Arc::clone(self.clock))
    }

    /// The same cache, with handles and a token for the app where the operator wants them.
    fn with_opaque(&self, mut decisions: DecisionCache) -> DecisionCache {
        let (signers, clock) = (Arc::clone(self.own_keys), Arc::clone(self.clock));
        if self.config.tokens.mode == TokenMode::Opaque {
            decisions = decisions.with_handles(Handles::new(Arc::clone(self.tokens)));
        }
        if let Some(header) = &self.config.gate.upstream_jwt_header {
            let upstream = UpstreamJwt::new(header.clone(), signers, clock);
            let upstream = upstream.for_audience(upstream_audience(self.config));
            decisions = decisions.with_upstream_jwt(upstream);
        }
        decisions
    }

    /// The same cache, with API keys of the accounts where the operator wants them.
    async fn with_api_keys(&self, decisions: DecisionCache) -> anyhow::Result<DecisionCache> {
        if !self.config.gate.accepts_api_keys {
            return Ok(decisions);
        }
        let accounts = open_accounts(&self.config.accounts).await;
        let accounts = accounts.context("cannot open the account store")?;
        let keys = ApiKeys::new(accounts, self.account_issuer(), Arc::clone(self.clock));
        Ok(decisions.with_api_keys(keys))
    }

    /// The same cache, with names and passwords of the accounts where the operator wants them.
    fn with_basic(&self, decisions: DecisionCache) -> anyhow::Result<DecisionCache> {
        let Some(issuer) = self.issuer.filter(|_| self.config.gate.accepts_basic) else {
            return Ok(decisions);
        };
        let passwords = Arc::new(LoginPasswords(Arc::clone(&issuer.issuance)));
        let accounts = Arc::clone(&issuer.dependencies.accounts);
        let basic =
            BasicAccounts::new(accounts, passwords, self.account_issuer(), self.random.as_ref());
        Ok(decisions.with_basic(basic.context("cannot make a key for ACCEPT_BASIC")?))
    }

    /// The same cache, with opaque tokens of the issuers that are asked about them.
    fn with_introspection(
        &self,
        decisions: DecisionCache,
        metrics: &GateMetrics,
    ) -> anyhow::Result<DecisionCache> {
        let issuers = &self.config.tokens.introspected;
        if issuers.is_empty() {
            return Ok(decisions);
        }
        let asked = Introspection::new(issuers, Arc::clone(self.clock), metrics.clone());
        Ok(decisions.with_introspection(asked.context(NO_AUTHORITIES)?))
    }

    /// The same cache, with tickets where the operator wants them.
    fn with_tickets(&self, decisions: DecisionCache) -> DecisionCache {
        let Some(parameter) = self.config.gate.ticket_parameter.clone() else { return decisions };
        decisions.with_tickets(AcceptedTickets::new(Tickets::new(self.records.clone()), parameter))
    }

    /// The issuer that stands for the accounts.
    fn account_issuer(&self) -> Arc<Issuer> {
        let AccountsIssuer { iss, user_prefix } = self.config.accounts_issuer.clone();
        Arc::new(Issuer {
            name: "accounts".into(),
            iss: Some(iss),
            audiences: own_audiences(self.config),
            user_prefix,
            has_accounts: true,
            sessions: SessionRule::Ignored,
            ..Issuer::default()
        })
    }
}

/// True if this process is of no use where its store takes no writes.
fn needs_writes(config: &Config) -> bool {
    config.issuance.is_some() || config.sessions.policy.inactivity.is_some()
}

/// The names of this service in tokens, whichever issuer they are of: an API key may be for any.
fn own_audiences(config: &Config) -> Vec<String> {
    let issuers = config.tokens.issuers.iter();
    let all = issuers.flat_map(|issuer| match &issuer.default_audience {
        Some(default) if issuer.audiences.is_empty() => std::slice::from_ref(default),
        _ => issuer.audiences.as_slice(),
    });
    all.cloned().collect()
}

/// The name of this service as an issuer: of its tokens, or of its own keys.
fn own_name(config: &Config) -> String {
    let issued = config.issuance.as_ref().map(|issuance| issuance.policy.iss.clone());
    let own = || config.tokens.own_issuer().and_then(|issuer| issuer.iss.clone());
    issued.or_else(own).unwrap_or_else(|| OWN_NAME.to_owned())
}

/// The application that tokens are made for, if they are.
fn upstream_audience(config: &Config) -> Option<Audience> {
    let (name, lifetime) = config.gate.upstream_audience.clone()?;
    Some(Audience { name, issuer: own_name(config), lifetime })
}
