//! An explanation of the gate's answer, step by step.
//!
//! The steps call the same functions as the gate, and the verdict is the gate's own. This module
//! only says in words what happens on the way.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::basic::BasicCredentials;
use super::cached_decision::{CredentialKind, session_of};
use super::credential::{CredentialSource, Found};
use super::denial::{Denial, DenialCode};
use super::handle::is_handle;
use super::inquiry::Inquiry;
use super::verdict::Verdict;
use super::{Gate, announced_method, credential, dpop, route_of};
use crate::clock::{Clock, UnixTime};
use crate::policy::canonical::{CanonicalRequest, Refusal, canonical};
use crate::policy::{Access, Facts, Policy, Requirement, Unmet};
use crate::session::{NotLive, Session};
use crate::token::algorithm;
use crate::token::{Confirmation, TokenError, Verified};

/// The time from which on a credential has no end that anybody should read.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

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

/// Explains the answer to `inquiry`.
pub async fn explain(gate: &Gate, inquiry: &Inquiry<'_>, clock: &dyn Clock) -> Explanation {
    let mut steps = Vec::new();
    take_steps(gate, inquiry, clock, &mut Steps(&mut steps)).await;
    Explanation { steps, verdict: gate.check(inquiry).await }
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
    clock: &dyn Clock,
    steps: &mut Steps<'_>,
) -> Option<()> {
    let demanded = match &inquiry.requirement {
        Ok(requirement) => requirement,
        Err(code) => return steps.record("requirement", Err(code.description().to_owned())),
    };
    steps
        .record("requirement", Ok("what the gateway's address demands is understood".to_owned()))?;
    let Some(policy) = gate.policy_for(inquiry) else {
        let verified = take_credential_steps(gate, inquiry, clock, steps).await?;
        return take_requirement_steps(demanded, &verified.facts(inquiry, clock.now()), steps);
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
            return steps.record("route", Ok(format!("{name}: it demands nothing{near}")));
        }
        Access::Public | Access::Required(_) => {
            steps.record("route", Ok(format!("{name}{near}")))?;
        }
    }
    let found = take_credential_steps(gate, inquiry, clock, steps).await?;
    let facts = policy.facts_at(&route, &request, found.facts(inquiry, clock.now()));
    let of_route = match route.access {
        Access::Required(requirement) => requirement,
        Access::Public | Access::Denied => demanded,
    };
    take_requirement_steps(of_route, &facts, steps)?;
    if demanded.is_empty() { Some(()) } else { take_requirement_steps(demanded, &facts, steps) }
}

/// A credential that is good, and its session.
struct GoodCredential {
    token: Verified,
    session: Option<Session>,
}

impl GoodCredential {
    fn facts(&self, inquiry: &Inquiry<'_>, now: UnixTime) -> Facts<'_> {
        Facts::new(&self.token, self.session.as_ref(), now)
            .with_certificates(inquiry.certificates.facts())
    }
}

async fn take_credential_steps(
    gate: &Gate,
    inquiry: &Inquiry<'_>,
    clock: &dyn Clock,
    steps: &mut Steps<'_>,
) -> Option<GoodCredential> {
    let accepted = gate.decisions.accepted_kinds();
    let found = match credential::find(inquiry.headers, &gate.cookies, accepted) {
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
    let step = match kind {
        CredentialKind::Jwt => "token",
        CredentialKind::Handle => "handle",
        CredentialKind::ApiKey => "api key",
        CredentialKind::Password => "password",
        CredentialKind::Introspected(_) => "introspection",
    };
    let verified = verify(gate, kind, found.credential, inquiry.counted_address()).await;
    let (finding, verified) = match verified {
        Ok(verified) => (Ok(token_found(&verified, clock)), Some(verified)),
        Err(refused) => (Err(refused), None),
    };
    steps.record(step, finding)?;
    let token = verified?;
    let (finding, session) = match session_found(gate, &token).await {
        Ok((finding, session)) => (Ok(finding), session),
        Err(refused) => (Err(refused), None),
    };
    steps.record("session", finding)?;
    if let CredentialSource::Pair { .. } = found.source {
        steps.record("cookies", cookies_found(&found.source, &token))?;
    }
    let shown = gate.check_shown(&found, &token, inquiry);
    let shown = shown.map_err(|denial| not_shown(&denial, &found, &token, inquiry));
    steps.record("possession", possession_found(&token, shown))?;
    Some(GoodCredential { token, session })
}

/// One step for each condition; where there is none, what the token may do.
fn take_requirement_steps(
    requirement: &Requirement,
    facts: &Facts<'_>,
    steps: &mut Steps<'_>,
) -> Option<()> {
    let granted: Vec<_> = facts.token.scopes.iter().collect();
    let granted = format!("the token grants [{}]", granted.join(" "));
    if requirement.is_empty() {
        return steps.record("scopes", Ok(format!("{granted}, which suffices")));
    }
    requirement.conditions().iter().try_for_each(|condition| {
        let (name, demand) = (condition.name(), condition.asked_of(facts));
        let outcome = match (condition.check(facts), name) {
            (Ok(()), "scopes") => Ok(format!("{granted}, which suffices")),
            (Ok(()), _) => Ok(format!("needed is {demand}, and it is so")),
            (Err(Unmet::Scope(needed)), _) => Err(format!("{granted}; needed are [{needed}]")),
            (Err(unmet), _) => Err(format!("needed is {demand}; {unmet}")),
        };
        steps.record(name, outcome)
    })
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
    let advice = header.map_or_else(String::new, |header| format!("; it does so in `{header}`"));
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

fn credential_found(kind: CredentialKind, found: &Found<'_>) -> String {
    let what = match kind {
        CredentialKind::Jwt => "a token",
        CredentialKind::Handle => "a handle",
        CredentialKind::ApiKey => "an API key",
        CredentialKind::Password => "a name and a password",
        CredentialKind::Introspected(_) => "an opaque token",
    };
    let source = match found.source {
        CredentialSource::Bearer | CredentialSource::Dpop | CredentialSource::Basic => {
            "the Authorization header"
        }
        CredentialSource::ApiKeyHeader => "the X-Api-Key header",
        CredentialSource::Cookie => "a cookie",
        CredentialSource::Pair { .. } => "one of a pair of cookies",
    };
    format!("{what} of {} bytes in {source}", found.credential.len())
}

/// The claims of the credential, where it is good by itself; else the reason why not.
async fn verify(
    gate: &Gate,
    kind: CredentialKind,
    credential: &str,
    client: Option<IpAddr>,
) -> Result<Verified, String> {
    let verifier = gate.decisions.verifier();
    if let (CredentialKind::Password, Some(basic)) = (kind, gate.decisions.basic()) {
        let shown = BasicCredentials::parse(credential).map_err(DenialCode::description)?;
        let verified = basic.verify(&shown, client).await.map(|(verified, _)| verified);
        return verified.map_err(|error| error.to_string());
    }
    if let (CredentialKind::ApiKey, Some(keys)) = (kind, gate.decisions.api_keys()) {
        return keys.verify(credential, false).await.map_err(|error| error.to_string());
    }
    let issuers = gate.decisions.introspection();
    if let (CredentialKind::Introspected(issuer), Some(issuers)) = (kind, issuers) {
        let verified = issuers.verify(issuer, credential, false).await;
        return verified.map_err(|error| error.to_string());
    }
    match (kind, gate.decisions.handles()) {
        (CredentialKind::Handle, Some(handles)) => {
            let found =
                handles.verify(credential, false, verifier).await.map(|(verified, _)| verified);
            found.map_err(|error| error.to_string())
        }
        (_, _) => {
            verifier.verify(credential).map_err(|error| token_refused(gate, credential, error))
        }
    }
}

fn cookies_found(source: &CredentialSource<'_>, verified: &Verified) -> Result<String, String> {
    match source.check(&verified.subject) {
        Ok(()) => Ok("the other cookie names the same user".to_owned()),
        Err(code) => Err(code.description().to_owned()),
    }
}

/// What the sender proved, where the token is bound to one.
fn possession_found(token: &Verified, shown: Result<(), String>) -> Result<String, String> {
    let finding = match Confirmation::of(&token.claims) {
        Ok(demanded) if demanded.is_empty() => "the token is not bound to its sender",
        _ => "the sender proved what the token is bound to",
    };
    shown.map(|()| finding.to_owned())
}

/// The reason why a proof is not that of the token, and what differs.
fn not_shown(
    denial: &Denial,
    found: &Found<'_>,
    token: &Verified,
    inquiry: &Inquiry<'_>,
) -> String {
    let key = Confirmation::of(&token.claims).ok().and_then(|demanded| demanded.key);
    let mismatches = match (denial.code, key) {
        (DenialCode::DpopProofMismatch, Some(key)) => {
            dpop::mismatches(key, found.credential, inquiry)
        }
        _ => Vec::new(),
    };
    let told = denial.code.description().to_owned();
    mismatches.iter().fold(told, |told, mismatch| format!("{told}; {mismatch}"))
}

fn token_refused(gate: &Gate, token: &str, error: TokenError) -> String {
    let verifier = gate.decisions.verifier();
    let advice = match error {
        TokenError::Malformed if is_handle(token) => {
            "; it may be a handle, which are accepted with TOKEN_MODE=opaque".to_owned()
        }
        TokenError::TooLarge => format!("; MAX_TOKEN_BYTES is {}", verifier.max_token_bytes()),
        TokenError::UnknownIssuer => {
            let accepted = verifier.issuers().iter().filter_map(|issuer| issuer.iss.as_deref());
            format!("; accepted are: {}", accepted.collect::<Vec<_>>().join(", "))
        }
        TokenError::WrongAudience => {
            let ours =
                verifier.issuers().iter().flat_map(|issuer| match &issuer.default_audience {
                    Some(default) if issuer.audiences.is_empty() => std::slice::from_ref(default),
                    _ => issuer.audiences.as_slice(),
                });
            let ours = ours.map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("; this service goes by [{ours}] (JWT_AUDIENCE)")
        }
        TokenError::Expired | TokenError::NotYetValid => "; LEEWAY is already counted".to_owned(),
        _ => String::new(),
    };
    format!("{error}{advice}")
}

fn token_found(verified: &Verified, clock: &dyn Clock) -> String {
    let left = verified.usable_until.since(clock.now());
    let issuer = &verified.issuer.name;
    let Some(signature) = &verified.signature else {
        let known = format!("known, issuer {issuer}");
        let has_end = left < FOR_EVER;
        return if has_end {
            format!("{known}; good for another {} s", left.as_secs())
        } else {
            known
        };
    };
    let left = left.as_secs();
    let key = signature
        .key
        .as_ref()
        .map_or_else(|| "the shared secret".to_owned(), |key| format!("key {key}"));
    format!(
        "issuer {issuer}, signed with {} by {key}; good for another {left} s, leeway included",
        algorithm::name(signature.algorithm),
    )
}

async fn session_found(
    gate: &Gate,
    verified: &Verified,
) -> Result<(String, Option<Session>), String> {
    let (user, id) = match session_of(verified) {
        Ok(Some(named)) => named,
        Ok(None) => {
            let none = "the token names no session, or its issuer's are not looked at";
            return Ok((none.to_owned(), None));
        }
        Err(_) => return Err("the token names a session that nobody could own".to_owned()),
    };
    match gate.decisions.sessions().live(&user, &id).await {
        Ok(session) => {
            let finding = format!(
                "session {id} of {user} lives: since {}, last seen {}, until {}",
                session.created, session.last_seen, session.expires
            );
            Ok((finding, Some(session)))
        }
        Err(NotLive::Unknown) => Err(format!("{user} has no session {id}, or it was revoked")),
        Err(NotLive::Ended(how)) => Err(format!("session {id} of {user} is over: {how:?}")),
        Err(NotLive::Store(error)) => Err(error.to_string()),
    }
}
