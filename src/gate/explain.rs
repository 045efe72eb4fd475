//! Why a request is answered as it is, step by step.
//!
//! The steps are taken by the same functions that the gate is made of, and the verdict is the
//! gate's own: this only says in words what happens on the way.

use http::HeaderMap;
use serde::Serialize;

use super::admission::session_of;
use super::inquiry::Inquiry;
use super::verdict::Verdict;
use super::{Gate, credential};
use crate::clock::Clock;
use crate::session::NotLive;
use crate::token::algorithm;
use crate::token::{TokenError, Verified};

/// What happened at one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which step it was.
    pub step: &'static str,
    /// Whether it led on.
    pub passed: bool,
    /// What was found, in words; never a part of a credential.
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

/// Takes the steps until one fails, which the `None` says.
async fn take_steps(
    gate: &Gate,
    inquiry: &Inquiry<'_>,
    clock: &dyn Clock,
    steps: &mut Vec<Step>,
) -> Option<()> {
    let mut note = |step, outcome: Result<String, String>| {
        let passed = outcome.is_ok();
        let finding = outcome.unwrap_or_else(|failure| failure);
        steps.push(Step { step, passed, finding });
        passed.then_some(())
    };
    let requirement = match &inquiry.requirement {
        Ok(requirement) => requirement,
        Err(code) => return note("requirement", Err(code.description().to_owned())),
    };
    note("requirement", Ok("what the gateway's address demands is understood".to_owned()))?;
    let token = match credential::find(inquiry.headers, gate.cookie.as_deref()) {
        Ok(token) => token,
        Err(code) => return note("credential", Err(code.description().to_owned())),
    };
    note("credential", Ok(credential_found(inquiry.headers, token)))?;
    let verified = match gate.admissions.verifier().verify(token) {
        Ok(verified) => verified,
        Err(error) => return note("token", Err(token_refused(gate, error))),
    };
    note("token", Ok(token_found(&verified, clock)))?;
    note("session", session_found(gate, &verified).await)?;
    let scopes: Vec<_> = verified.scopes.iter().collect();
    let granted = format!("the token grants [{}]", scopes.join(" "));
    match requirement.check(&verified.scopes) {
        Ok(()) => note("scopes", Ok(format!("{granted}, which suffices"))),
        Err(denial) => {
            let needed = denial.scopes.unwrap_or_default();
            note("scopes", Err(format!("{granted}; needed are [{needed}]")))
        }
    }
}

fn credential_found(headers: &HeaderMap, token: &str) -> String {
    // Without a cookie to look for, what is found stands in the header.
    let is_bearer = credential::find(headers, None) == Ok(token);
    let place = if is_bearer { "the Authorization header" } else { "a cookie" };
    format!("a token of {} bytes in {place}", token.len())
}

fn token_refused(gate: &Gate, error: TokenError) -> String {
    let verifier = gate.admissions.verifier();
    let advice = match error {
        TokenError::TooLarge => format!("; MAX_TOKEN_BYTES is {}", verifier.max_token_bytes()),
        TokenError::UnknownIssuer => {
            let accepted = verifier.issuers().iter().filter_map(|issuer| issuer.iss.as_deref());
            format!("; accepted are: {}", accepted.collect::<Vec<_>>().join(", "))
        }
        TokenError::WrongAudience => {
            let ours = verifier.issuers().iter().flat_map(|issuer| issuer.audiences.iter());
            let ours = ours.map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("; this service goes by [{ours}] (JWT_AUDIENCE)")
        }
        TokenError::Expired | TokenError::NotYetValid => "; LEEWAY is already counted".to_owned(),
        _ => String::new(),
    };
    format!("{error}{advice}")
}

fn token_found(verified: &Verified, clock: &dyn Clock) -> String {
    let key = verified
        .key
        .as_ref()
        .map_or_else(|| "the shared secret".to_owned(), |key| format!("key {key}"));
    let left = verified.usable_until.since(clock.now()).as_secs();
    format!(
        "issuer {}, signed with {} by {key}; good for another {left} s, leeway included",
        verified.issuer.name,
        algorithm::name(verified.algorithm),
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
    match gate.admissions.sessions().live(&user, &id).await {
        Ok(session) => Ok(format!(
            "session {id} of {user} lives: since {}, last seen {}, until {}",
            session.created, session.last_seen, session.expires
        )),
        Err(NotLive::Unknown) => Err(format!("{user} has no session {id}, or it was revoked")),
        Err(NotLive::Ended(how)) => Err(format!("session {id} of {user} is over: {how:?}")),
        Err(NotLive::Store(error)) => Err(error.to_string()),
    }
}
