//! An explanation of the gate's answer, step by step.
//!
//! The steps call the same functions as the gate, and the verdict is the gate's own. This module
//! only says in words what happens on the way. The external authorizer is not asked, and nothing is
//! counted.

mod demands;
mod findings;

use serde::Serialize;

use super::cached_decision::CredentialKind;
use super::credential::CredentialSource;
use super::denial::Denial;
use super::inquiry::Inquiry;
use super::verdict::Verdict;
use super::{Gate, announced_method, read_only, route_of};
use crate::clock::Clock;
use crate::policy::canonical::{CanonicalRequest, Refusal, canonical};
use crate::policy::{Access, Decisions, Facts, Policy, Requirement};
use crate::session::Session;
use crate::token::Verified;
use findings::{
    bounds_found, cookies_found, credential_found, not_shown, possession_found, session_found,
    token_found, unbound, verify,
};

/// The outcome of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The name of the step.
    pub step: &'static str,
    /// True where the next step could be taken.
    pub passed: bool,
    /// The finding, in words; never a part of a credential.
    pub finding: String,
}

/// The verdict, and every step that led to it.
#[derive(Debug)]
pub struct Explanation {
    /// The steps in order, up to the one that decided.
    pub steps: Vec<Step>,
    /// The gate's own verdict.
    pub verdict: Verdict,
}

/// Explains the answer to `inquiry`, where the external authorizer is taken to give this answer.
pub async fn explain(
    gate: &Gate,
    inquiry: &Inquiry<'_>,
    authorizer: Option<bool>,
    clock: &dyn Clock,
) -> Explanation {
    let mut steps = Vec::new();
    let assumed = Decisions::assumed(authorizer);
    take_steps(gate, inquiry, (&assumed, clock), &mut Steps(&mut steps)).await;
    Explanation { steps, verdict: gate.dry_run(inquiry, authorizer).await }
}

/// The steps so far.
struct Steps<'s>(&'s mut Vec<Step>);

impl Steps<'_> {
    /// Records a step; `None` where it failed, so that no other is taken.
    fn record(&mut self, step: &'static str, outcome: Result<String, String>) -> Option<()> {
        let passed = outcome.is_ok();
        let finding = outcome.unwrap_or_else(|failure| failure);
        self.0.push(Step { step, passed, finding });
        passed.then_some(())
    }
}

/// Takes the steps until one fails, which is told by `None`.
async fn take_steps(
    gate: &Gate,
    inquiry: &Inquiry<'_>,
    (assumed, clock): (&Decisions, &dyn Clock),
    steps: &mut Steps<'_>,
) -> Option<()> {
    let demanded = match &inquiry.requirement {
        Ok(requirement) => requirement,
        Err(code) => return steps.record("requirement", Err(code.description().to_owned())),
    };
    steps
        .record("requirement", Ok("what the gateway's address demands is understood".to_owned()))?;
    let Some(policy) = gate.policy_for(inquiry) else {
        if passes_without_credential(gate, &[demanded], inquiry, steps)? {
            return Some(());
        }
        let found = take_credential_steps(gate, inquiry, clock, steps).await?;
        demands::take_requirement_steps(demanded, &found.facts(inquiry, clock), steps)?;
        return take_method_step(gate, &found, inquiry, steps);
    };
    let request = match inquiry.told().and_then(|told| canonical(&told)) {
        Ok(request) => request,
        Err(refusal) => return steps.record("request", Err(request_refused(refusal, inquiry))),
    };
    steps.record("request", Ok(format!("{} {}", request.method, request.url())))?;
    let near = near_misses(&policy, &request);
    let preflight = announced_method(&policy, &request, inquiry.headers);
    let route = match route_of(&policy, &request, preflight) {
        Ok(route) => route,
        Err(denial) => return steps.record("route", Err(format!("{}{near}", not_routed(&denial)))),
    };
    let name = route.name.map_or("none; the default holds".to_owned(), ToString::to_string);
    match route.access {
        Access::Denied => {
            return steps.record("route", Err(format!("{name}: it lets nobody pass")));
        }
        Access::Public if demanded.is_empty() || preflight.is_some() => {
            steps.record("route", Ok(format!("{name}: it demands nothing{near}")))?;
            return demands::take_step_of_nobody(&policy, &route, steps);
        }
        Access::Public | Access::Required(_) => {
            steps.record("route", Ok(format!("{name}{near}")))?;
        }
    }
    let of_route = match route.access {
        Access::Required(requirement) => requirement,
        Access::Public | Access::Denied => demanded,
    };
    if passes_without_credential(gate, &[of_route, demanded], inquiry, steps)? {
        return demands::take_step_of_nobody(&policy, &route, steps);
    }
    let found = take_credential_steps(gate, inquiry, clock, steps).await?;
    let facts = policy.facts_at(&route, &request, found.facts(inquiry, clock));
    let facts = facts.with_decisions(assumed);
    demands::take_requirement_steps(of_route, &facts, steps)?;
    if !demanded.is_empty() {
        demands::take_requirement_steps(demanded, &facts, steps)?;
    }
    take_method_step(gate, &found, inquiry, steps)?;
    demands::take_limit_step(&route, &facts, steps)
}

/// Says whether the request passes without a credential; `None` where it is refused for its method.
fn passes_without_credential(
    gate: &Gate,
    requirements: &[&Requirement],
    inquiry: &Inquiry<'_>,
    steps: &mut Steps<'_>,
) -> Option<bool> {
    let demands_more = requirements.iter().any(|requirement| !requirement.is_empty());
    if !matches!(gate.ticket_of(inquiry), Ok(None)) {
        return Some(false);
    }
    match gate.anonymous(demands_more, inquiry) {
        Ok(None) => Some(false),
        Ok(Some(_)) => {
            let passes = "none was sent, and ANONYMOUS lets the request pass for nobody".to_owned();
            steps.record("credential", Ok(passes)).map(|()| true)
        }
        Err(denial) => {
            steps.record("method", Err(denial.code.description().to_owned()))?;
            None
        }
    }
}

/// One step where there are roles whose users may only read.
fn take_method_step(
    gate: &Gate,
    found: &GoodCredential,
    inquiry: &Inquiry<'_>,
    steps: &mut Steps<'_>,
) -> Option<()> {
    if gate.read_only.is_empty() {
        return Some(());
    }
    let session = found.session.as_ref();
    let outcome = read_only::check(&gate.read_only, &found.token, session, inquiry);
    let told = |denial: Denial| format!("{} (READ_ONLY_ROLES)", denial.code.description());
    let passes = || "the user may send it (READ_ONLY_ROLES)".to_owned();
    steps.record("method", outcome.map(|()| passes()).map_err(told))
}

/// A credential that is good, and its session.
struct GoodCredential {
    token: Verified,
    session: Option<Session>,
}

impl GoodCredential {
    fn facts(&self, inquiry: &Inquiry<'_>, clock: &dyn Clock) -> Facts<'_> {
        Facts::new(&self.token, self.session.as_ref(), clock.now())
            .at(clock.monotonic())
            .with_certificates(inquiry.certificates.facts())
    }
}

async fn take_credential_steps(
    gate: &Gate,
    inquiry: &Inquiry<'_>,
    clock: &dyn Clock,
    steps: &mut Steps<'_>,
) -> Option<GoodCredential> {
    let found =
        match gate.ticket_of(inquiry).and_then(|ticket| gate.locate(ticket, inquiry)?.read()) {
            Ok(found) => found,
            Err(code) => {
                steps.record("credential", Err(code.description().to_owned()));
                return None;
            }
        };
    let kind = match found.source {
        CredentialSource::Basic => CredentialKind::Password,
        _ => gate.decisions.kind_of(found.credential),
    };
    steps.record("credential", Ok(credential_found(kind, &found)))?;
    let step = match (found.source, kind) {
        (CredentialSource::Handshake, _) => "ticket",
        (_, CredentialKind::Jwt) => "token",
        (_, CredentialKind::Handle) => "handle",
        (_, CredentialKind::ApiKey) => "api key",
        (_, CredentialKind::Password) => "password",
        (_, CredentialKind::Introspected(_)) => "introspection",
    };
    let verified = match (found.source, gate.decisions.tickets()) {
        (CredentialSource::Handshake, Some(tickets)) => {
            let read = tickets.read(found.credential, gate.decisions.verifier(), clock.now()).await;
            unbound(read)
        }
        _ => verify(gate, kind, found.credential, inquiry.counted_address()).await,
    };
    let (finding, verified) = match verified {
        Ok(found) => (Ok(token_found(&found.0, clock)), Some(found)),
        Err(refused) => (Err(refused), None),
    };
    steps.record(step, finding)?;
    let (token, bounds) = verified?;
    let (finding, session) = match session_found(gate, &token).await {
        Ok((finding, session)) => (Ok(finding), session),
        Err(refused) => (Err(refused), None),
    };
    steps.record("session", finding)?;
    let binding = gate.decisions.sessions().binding();
    if session.is_some() && !binding.is_off() {
        let checked = gate.check_binding(session.as_ref(), inquiry);
        let found = checked.map(|()| "the client is the one that opened the session".to_owned());
        steps.record("binding", found.map_err(|code| code.description().to_owned()))?;
    }
    if let CredentialSource::Pair { .. } = found.source {
        steps.record("cookies", cookies_found(&found.source, &token))?;
    }
    if kind == CredentialKind::ApiKey {
        let met = gate.check_bounds(&bounds, inquiry);
        steps.record("bounds", bounds_found(&bounds, met))?;
    }
    let shown = gate.check_shown(&found, &token, inquiry);
    let shown = shown.map_err(|denial| not_shown(&denial, &found, &token, inquiry));
    steps.record("possession", possession_found(&token, shown))?;
    Some(GoodCredential { token, session })
}

/// The reason why a request is ambiguous, and where the gateway should say what is missing.
fn request_refused(refusal: Refusal, inquiry: &Inquiry<'_>) -> String {
    let header = inquiry.family.and_then(|family| match refusal {
        Refusal::MissingMethod => family.method,
        Refusal::MissingScheme => family.scheme,
        Refusal::MissingHost => family.host,
        Refusal::MissingTarget => family.target,
        _ => None,
    });
    let advice =
        header.map_or_else(String::new, |header| format!("; it does so in `{}`", header.name()));
    format!("{refusal} ({}){advice}", refusal.code())
}

fn not_routed(denial: &Denial) -> String {
    match denial.refusal {
        Some(refusal) => format!("{refusal} ({})", refusal.code()),
        None => denial.code.description().to_owned(),
    }
}

/// The routes that nearly took the request, and why they did not.
fn near_misses(policy: &Policy, request: &CanonicalRequest<'_>) -> String {
    let missed = policy.near_misses(request).into_iter();
    let texts: Vec<_> =
        missed.map(|near| format!("; not {}: {}", near.route, near.reason)).collect();
    texts.concat()
}
