//! An explanation of the gate's answer, step by step.
//!
//! The steps call the same functions as the gate, and the verdict is the gate's own. This module
//! only says in words what happens on the way.

use serde::Serialize;

use super::cached_decision::{CredentialKind, session_of};
use super::credential::{CredentialSource, Found};
use super::handle::is_handle;
use super::inquiry::Inquiry;
use super::verdict::Verdict;
use super::{Gate, credential};
use crate::clock::Clock;
use crate::session::NotLive;
use crate::token::algorithm;
use crate::token::{TokenError, Verified};

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
    take_steps(gate, inquiry, clock, &mut steps).await;
    Explanation { steps, verdict: gate.check(inquiry).await }
}

/// Takes the steps until one fails, which is told by `None`.
async fn take_steps(
    gate: &Gate,
    inquiry: &Inquiry<'_>,
    clock: &dyn Clock,
    steps: &mut Vec<Step>,
) -> Option<()> {
    let mut record = |step, outcome: Result<String, String>| {
        let passed = outcome.is_ok();
        let finding = outcome.unwrap_or_else(|failure| failure);
        steps.push(Step { step, passed, finding });
        passed.then_some(())
    };
    let requirement = match &inquiry.requirement {
        Ok(requirement) => requirement,
        Err(code) => return record("requirement", Err(code.description().to_owned())),
    };
    record("requirement", Ok("what the gateway's address demands is understood".to_owned()))?;
    let found = match credential::find(inquiry.headers, &gate.cookies) {
        Ok(found) => found,
        Err(code) => return record("credential", Err(code.description().to_owned())),
    };
    let kind = gate.decisions.kind_of(found.credential);
    record("credential", Ok(credential_found(kind, &found)))?;
    let step = match kind {
        CredentialKind::Jwt => "token",
        CredentialKind::Handle => "handle",
    };
    let verified = match verify(gate, kind, found.credential).await {
        Ok(verified) => verified,
        Err(refused) => return record(step, Err(refused)),
    };
    record(step, Ok(token_found(&verified, clock)))?;
    record("session", session_found(gate, &verified).await)?;
    if let CredentialSource::Pair { .. } = found.source {
        record("cookies", cookies_found(&found.source, &verified))?;
    }
    let scopes: Vec<_> = verified.scopes.iter().collect();
    let granted = format!("the token grants [{}]", scopes.join(" "));
    match requirement.check(&verified.scopes) {
        Ok(()) => record("scopes", Ok(format!("{granted}, which suffices"))),
        Err(denial) => {
            let needed = denial.scopes.unwrap_or_default();
            record("scopes", Err(format!("{granted}; needed are [{needed}]")))
        }
    }
}

fn credential_found(kind: CredentialKind, found: &Found<'_>) -> String {
    let what = match kind {
        CredentialKind::Jwt => "a token",
        CredentialKind::Handle => "a handle",
    };
    let source = match found.source {
        CredentialSource::Bearer => "the Authorization header",
        CredentialSource::Cookie => "a cookie",
        CredentialSource::Pair { .. } => "one of a pair of cookies",
    };
    format!("{what} of {} bytes in {source}", found.credential.len())
}

/// The claims of the credential, where it is good by itself; else the reason why not.
async fn verify(gate: &Gate, kind: CredentialKind, credential: &str) -> Result<Verified, String> {
    let verifier = gate.decisions.verifier();
    match (kind, gate.decisions.handles()) {
        (CredentialKind::Handle, Some(handles)) => {
            let found =
                handles.verify(credential, false, verifier).await.map(|(verified, _)| verified);
            found.map_err(|error| error.to_string())
        }
        (CredentialKind::Handle | CredentialKind::Jwt, _) => {
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
    let left = verified.usable_until.since(clock.now()).as_secs();
    let issuer = &verified.issuer.name;
    let Some(signature) = &verified.signature else {
        return format!("known, issuer {issuer}; good for another {left} s");
    };
    let key = signature
        .key
        .as_ref()
        .map_or_else(|| "the shared secret".to_owned(), |key| format!("key {key}"));
    format!(
        "issuer {issuer}, signed with {} by {key}; good for another {left} s, leeway included",
        algorithm::name(signature.algorithm),
    )
}

async fn session_found(gate: &Gate, verified: &Verified) -> Result<String, String> {
    let (user, id) = match session_of(verified) {
        Ok(Some(named)) => named,
        Ok(None) => {
            return Ok("the token names no session, or its issuer's are not looked at".to_owned());
        }
        Err(_) => return Err("the token names a session that nobody could own".to_owned()),
    };
    match gate.decisions.sessions().live(&user, &id).await {
        Ok(session) => Ok(format!(
            "session {id} of {user} lives: since {}, last seen {}, until {}",
            session.created, session.last_seen, session.expires
        )),
        Err(NotLive::Unknown) => Err(format!("{user} has no session {id}, or it was revoked")),
        Err(NotLive::Ended(how)) => Err(format!("session {id} of {user} is over: {how:?}")),
        Err(NotLive::Store(error)) => Err(error.to_string()),
    }
}
