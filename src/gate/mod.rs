//! The data plane: one request in, one verdict out.
//!
//! [`service`] takes the HTTP request, a [`dialect`] reads it into an [`inquiry`], [`Gate::check`]
//! judges, and the dialect renders the [`verdict`]. Nothing here talks to a user, opens or
//! ends a session; nothing here answers yes after an error.

mod access_log;
mod account;
mod anonymous;
pub mod api_key;
mod authentication;
pub mod authorizer;
pub mod basic;
pub mod browser;
pub mod cached_decision;
pub mod client_certificate;
pub mod credential;
pub mod denial;
pub mod dialect;
pub mod dpop;
pub mod explain;
pub mod ext_authz;
pub mod gateway_proof;
mod grpc_denial;
pub mod handle;
pub mod identity;
pub mod inquiry;
pub mod introspection;
mod jwthenticator;
pub mod metrics;
mod mode;
pub mod open;
pub mod policy_case;
mod policy_in_force;
mod possession;
mod read_only;
mod remote;
pub mod request_limit;
mod requester;
mod requirement;
mod route;
pub mod service;
pub mod single_flight;
pub mod ticket;
pub mod upstream;
pub mod verdict;
pub mod verification_pool;

use std::sync::Arc;

use futures_util::FutureExt as _;
use http::HeaderMap;

use crate::clock::Moment;
use crate::policy::canonical::{CanonicalRequest, canonical};
use crate::policy::{Facts, Policy, ReadOnlyRoles, Requirement, RouteMatch, Unmet, check_all};
use anonymous::Anonymous;
use authorizer::Authorizer;
use cached_decision::{CachedDecision, DecisionCache};
use credential::Cookies;
use denial::Denial;
pub use dialect::{DenialConfig, Dialect};
use dpop::Dpop;
use inquiry::Inquiry;
use mode::Mode;
use policy_in_force::{PolicyGeneration, PolicyInForce};
use request_limit::RequestLimits;
pub use requester::Origin;
use route::{announced_method, requirement_at, route_of};
use single_flight::SingleFlight;
use verdict::{Grant, Identity, Verdict};

/// The judge of requests.
#[derive(Debug)]
pub struct Gate {
    decisions: Arc<DecisionCache>,
    cookies: Cookies,
    policy: PolicyInForce,
    /// The headers of an answer that names nobody.
    nobody: Arc<HeaderMap>,
    pings: SingleFlight<(), bool>,
    /// The answer to requests without a credential, where they may pass.
    anonymous: Option<Anonymous>,
    /// The roles whose users may only read.
    read_only: ReadOnlyRoles,
    /// The judge of DPoP proofs; without one, tokens that need them are refused.
    dpop: Option<Dpop>,
    /// The external authorizer; without one, nobody passes where it decides.
    authorizer: Option<Authorizer>,
    /// The counts of requests; without them, nobody passes where a route has a limit.
    request_limits: Option<RequestLimits>,
    /// True where being ready takes a store that can be written.
    needs_writes: bool,
}

/// The place of a request in the policy.
type At<'a> = (&'a Policy, &'a RouteMatch<'a>, &'a CanonicalRequest<'a>);

/// The readiness of the parts that a decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// The store answers.
    pub store: bool,
    /// Every issuer's keys are at hand.
    pub keys: bool,
}

impl Gate {
    /// A gate that decides by `decisions`, and looks for credentials also in these cookies.
    pub fn new(decisions: impl Into<Arc<DecisionCache>>, cookies: Cookies) -> Self {
        let decisions = decisions.into();
        let nobody = Arc::new(decisions.headers_of_nobody());
        Self {
            decisions,
            cookies,
            policy: PolicyInForce::default(),
            nobody,
            pings: SingleFlight::default(),
            anonymous: None,
            read_only: ReadOnlyRoles::default(),
            dpop: None,
            authorizer: None,
            request_limits: None,
            needs_writes: false,
        }
    }

    /// The same gate, which takes tokens that are bound to a key, with a proof.
    #[must_use]
    pub fn with_dpop(self, dpop: Dpop) -> Self {
        Self { dpop: Some(dpop), ..self }
    }

    /// The same gate, which lets requests without a credential pass where no more than one is demanded.
    #[must_use]
    pub fn admitting_anonymous(self) -> Self {
        let anonymous = Anonymous::new(self.decisions.headers_of_nobody());
        Self { anonymous: Some(anonymous), ..self }
    }

    /// The same gate, where users with one of these roles may only read.
    #[must_use]
    pub fn with_read_only(self, read_only: ReadOnlyRoles) -> Self {
        Self { read_only, ..self }
    }

    /// The same gate, which asks this authorizer where a route says so.
    #[must_use]
    pub fn with_authorizer(self, authorizer: Option<Authorizer>) -> Self {
        Self { authorizer, ..self }
    }

    /// The same gate, which counts requests where a route says so.
    #[must_use]
    pub fn with_request_limits(self, limits: RequestLimits) -> Self {
        Self { request_limits: Some(limits), ..self }
    }

    /// Judges by this policy from now on; one caller at a time. A request that is being judged goes on by the one that it
    /// began with.
    pub fn set_policy(&self, policy: Arc<Policy>) {
        self.policy.replace(policy);
    }

    /// The number of the policy.
    fn policy_generation(&self) -> PolicyGeneration {
        self.policy.generation()
    }

    /// Returns whether there is a policy.
    pub fn has_policy(&self) -> bool {
        self.policy.is_some()
    }

    /// Returns whether it depends on the client's address what is decided.
    pub fn needs_client(&self) -> bool {
        let accepted = self.decisions.accepted_kinds();
        let is_bound = self.decisions.sessions().binding().address;
        accepted.basic || accepted.api_keys || is_bound || self.policy.needs_client()
    }

    /// The same gate in a process that writes to the store (it issues tokens, or records when
    /// sessions are used because of an inactivity limit), and so is ready only where writing works.
    #[must_use]
    pub fn needing_writes(self, needs_writes: bool) -> Self {
        Self { needs_writes, ..self }
    }

    /// Judges whether this request may pass, and for which user.
    pub async fn check(&self, inquiry: &Inquiry<'_>) -> Verdict {
        self.verdict(inquiry, Mode::Judge).await
    }

    /// The same, where nothing has to be waited for; else `None`, and nothing but the cache
    /// knows of it.
    pub(super) fn check_now(&self, inquiry: &Inquiry<'_>) -> Option<Verdict> {
        self.verdict(inquiry, Mode::FromMemory).now_or_never()
    }

    /// The same, but neither is the authorizer asked, whose answer is taken to be this, nor is the
    /// request counted, nor is a ticket used up.
    pub(super) async fn dry_run(&self, inquiry: &Inquiry<'_>, authorizer: Option<bool>) -> Verdict {
        self.verdict(inquiry, Mode::DryRun { authorizer }).await
    }

    async fn verdict(&self, inquiry: &Inquiry<'_>, mode: Mode) -> Verdict {
        match self.judge(inquiry, mode).await {
            Ok(grant) => Verdict::Allow(grant),
            Err(denial) => {
                let is_dpop = denial.is_dpop || credential::is_dpop(inquiry.headers);
                Verdict::Deny(Denial { is_dpop, ..denial })
            }
        }
    }

    async fn judge(&self, inquiry: &Inquiry<'_>, mode: Mode) -> Result<Grant, Denial> {
        let demanded = inquiry.requirement.as_ref().map_err(|code| *code)?;
        let under = self.policy.generation();
        let Some(policy) = self.policy_for(inquiry) else {
            let admitted = self.admit(&[demanded], inquiry, None, mode).await?;
            return Ok(Grant { policy: under, ..admitted });
        };
        let request = canonical(&inquiry.told()?)?;
        let preflight = announced_method(&policy, &request, inquiry.headers);
        let route = route_of(&policy, &request, preflight)?;
        let nothing = Requirement::default();
        let demanded = if preflight.is_some() { &nothing } else { demanded };
        let at = (&*policy, &route, &request);
        let judged = self.judge_at(at, inquiry, demanded, mode).await;
        let admitted = judged.map_err(|denial| denial.at(route.name))?;
        Ok(Grant { route: route.name.cloned(), policy: under, ..admitted })
    }

    /// Judges a request that takes this route. What the gateway's address demands comes on top.
    async fn judge_at(
        &self,
        at: At<'_>,
        inquiry: &Inquiry<'_>,
        demanded: &Requirement,
        mode: Mode,
    ) -> Result<Grant, Denial> {
        let (policy, route, _) = at;
        let Some(requirement) = requirement_at(route, demanded)? else {
            if let Some(limit) = route.limit {
                Box::pin(self.count_nobody(policy, limit, inquiry, mode)).await?;
            }
            return Ok(Identity::Public(Arc::clone(&self.nobody)).into());
        };
        self.admit(&[requirement, demanded], inquiry, Some(at), mode).await
    }

    /// Lets a request pass, if it meets these requirements; at this route of the policy, where there is one. What others
    /// decide comes last.
    async fn admit(
        &self,
        requirements: &[&Requirement],
        inquiry: &Inquiry<'_>,
        at: Option<At<'_>>,
        mode: Mode,
    ) -> Result<Grant, Denial> {
        let demands_more = requirements.iter().any(|requirement| !requirement.is_empty());
        let limited = at.and_then(|(policy, route, _)| Some((policy, route.limit?)));
        let ticket = self.ticket_of(inquiry)?;
        let asks_others = || requirements.iter().any(|requirement| requirement.asks_authorizer());
        if limited.is_some() || asks_others() {
            // Sooner than it has to be, so that no answer of the cache is counted twice.
            mode.begin_waiting().await;
        }
        if ticket.is_none()
            && let Some(anonymous) = self.anonymous(demands_more, inquiry)?
        {
            if let Some((policy, limit)) = limited {
                Box::pin(self.count_nobody(policy, limit, inquiry, mode)).await?;
            }
            return Ok(anonymous.into());
        }
        let (decision, now) = self.authenticate(ticket, inquiry, mode).await?;
        if at.is_none() && !demands_more {
            let session = decision.session.as_deref();
            read_only::check(&self.read_only, &decision.token, session, inquiry)?;
            return Ok(Grant::to_user(decision, now.wall, ticket.is_none()));
        }
        let (facts, assumed) = (facts(&decision, inquiry, now), mode.assumed());
        let facts = match at {
            Some((policy, route, request)) => policy.facts_at(route, request, facts),
            None => facts,
        };
        let facts = facts.with_decisions(&assumed);
        let open = match check_all(requirements, &facts) {
            Err(Unmet::Undecided(question)) => Some(question),
            outcome => outcome.map(|()| None).map_err(|unmet| unmet_by(&facts, unmet))?,
        };
        let session = decision.session.as_deref();
        read_only::check(&self.read_only, &decision.token, session, inquiry)?;
        // Boxed, as all that few requests wait for.
        if let Some(question) = open {
            Box::pin(self.ask_authorizer(question, requirements, &facts, mode)).await?;
        }
        if let Some((_, limit)) = limited {
            Box::pin(self.count_user(&facts, limit, inquiry, mode)).await?;
        }
        let may_change = limited.is_some() || requirements.iter().any(|it| it.may_change());
        let is_repeatable = ticket.is_none() && !may_change;
        Ok(Grant::to_user(decision, now.wall, is_repeatable))
    }

    /// The identity of a request without a credential, where one is not demanded; never where more is.
    fn anonymous(
        &self,
        demands_more: bool,
        inquiry: &Inquiry<'_>,
    ) -> Result<Option<Identity>, Denial> {
        let of_nobody = self.anonymous.as_ref().filter(|_| !demands_more);
        let headers = of_nobody.and_then(|it| it.headers(inquiry, &self.cookies));
        let Some(headers) = headers else { return Ok(None) };
        read_only::check_role(&self.read_only, anonymous::ROLE, inquiry)?;
        Ok(Some(Identity::Anonymous(headers)))
    }

    /// The policy by which a question is judged, if there is one. A question about a credential
    /// alone has no route.
    fn policy_for(&self, inquiry: &Inquiry<'_>) -> Option<Arc<Policy>> {
        inquiry.family.and_then(|_| self.policy.load())
    }

    /// Returns whether the store answers (and takes writes, where they are needed), and whether the
    /// keys of every issuer are at hand. Many callers at once cost the store one question: anybody
    /// may ask.
    pub async fn readiness(&self) -> Readiness {
        let sessions = self.decisions.sessions();
        let ping = async {
            let asked = if self.needs_writes {
                sessions.probe_write().await
            } else {
                sessions.ping().await
            };
            asked.is_ok()
        };
        Readiness { store: self.pings.join((), ping).await, keys: self.decisions.has_keys() }
    }

    /// The decisions, and their cache.
    pub fn decisions(&self) -> &DecisionCache {
        &self.decisions
    }
}

fn facts<'f>(decision: &'f CachedDecision, inquiry: &Inquiry<'_>, now: Moment) -> Facts<'f> {
    Facts::new(&decision.token, decision.session.as_deref(), now.wall)
        .at(now.at)
        .with_certificates(inquiry.certificates.facts())
}

fn check_facts(requirements: &[&Requirement], facts: &Facts<'_>) -> Result<(), Denial> {
    check_all(requirements, facts).map_err(|unmet| unmet_by(facts, unmet))
}

/// The denial of a user who does not meet a condition.
fn unmet_by(facts: &Facts<'_>, unmet: Unmet) -> Denial {
    Denial::from(unmet).of(&facts.token.subject)
}
