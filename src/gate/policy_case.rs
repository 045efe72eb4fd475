//! A case of `policy test`: a request and its user, judged by a policy alone.
//!
//! It takes the steps that the gate takes, without keys, store or cache: the credential of a case is
//! good, or there is none.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::denial::{Denial, DenialCode};
use super::request_limit::check_allowance;
use super::{announced_method, check_facts, requirement_at, route_of};
use crate::clock::UnixTime;
use crate::policy::canonical::{Refusal, Told, canonical};
use crate::policy::{
    Certificates, DecisionRequest, Decisions, Facts, Policy, Requirement, Unmet, check_all,
};
use crate::session::{Session, SessionId, UserId};
use crate::token::{Claims, TokenError, Verified};
use crate::wire::fields::Fields;

/// The present time of all cases; what counts is how long ago something was.
const NOW: UnixTime = UnixTime::from_secs(4_000_000_000);
/// The name of a session in a case.
const SESSION: &str = "case";
/// The user of claims that name none.
const NOBODY: &str = "somebody";

/// A request, and the user who sends it.
#[derive(Debug)]
pub struct PolicyCase {
    /// The method.
    pub method: String,
    /// The address, as the client spells it.
    pub url: String,
    /// The address of the client.
    pub client: Option<IpAddr>,
    /// The headers of the request. None of them is a credential.
    pub headers: HeaderMap,
    /// The certificates that were shown.
    pub certificates: Certificates,
    /// The scopes that the gateway's address demands.
    pub demanded: Requirement,
    /// The user; `None` sends no credential.
    pub user: Option<CaseUser>,
    /// The answer that the external authorizer is taken to give; it is never asked.
    pub authorizer: Option<bool>,
}

/// The verdict on a case.
#[derive(Debug)]
pub struct Judged {
    /// The name of the route that lets the request pass, where it has one; else the [`Denial`] that
    /// the gate would give.
    pub verdict: Result<Option<Arc<str>>, Denial>,
    /// The first question that the gate would ask the external authorizer, if it did.
    pub asked: Option<Box<DecisionRequest>>,
}

/// A user with a good credential.
#[derive(Debug)]
pub struct CaseUser {
    token: Verified,
    session: Option<Session>,
}

impl CaseUser {
    /// A user whose token has these claims, and whose session, where there is one, has those. Without
    /// an age of the login nobody knows when it was.
    ///
    /// # Errors
    /// A [`TokenError`], where a claim is one that no good token has.
    pub fn new(
        mut claims: Map<String, Value>,
        session: Option<Map<String, Value>>,
        login_age: Option<Duration>,
    ) -> Result<Self, TokenError> {
        let login = login_age.map(|age| NOW.before(age));
        if let Some(login) = login {
            claims.insert("auth_time".to_owned(), login.as_secs().into());
        }
        let claims = Claims::parse(Value::Object(claims).to_string().as_bytes())?;
        let subject = claims.subject()?.unwrap_or_else(|| NOBODY.to_owned());
        let session = session.map(|claims| session_of_case(&subject, login, claims)).transpose()?;
        let token = Verified {
            subject,
            scopes: claims.scopes()?,
            claims,
            session: session.as_ref().map(|session| session.id.to_string()),
            issuer: Arc::default(),
            signature: None,
            usable_from: UnixTime::EPOCH,
            usable_until: NOW.after(Duration::from_secs(60)),
        };
        Ok(Self { token, session })
    }
}

fn session_of_case(
    subject: &str,
    login: Option<UnixTime>,
    claims: Map<String, Value>,
) -> Result<Session, TokenError> {
    let id = SessionId::parse(SESSION).map_err(|_| TokenError::BadClaim("sid"))?;
    let user = UserId::parse(subject).map_err(|_| TokenError::BadClaim("sub"))?;
    let (created, expires) = (login.unwrap_or(UnixTime::EPOCH), NOW.after(Duration::from_secs(60)));
    Ok(Session { claims, ..Session::new(id, user, created, expires) })
}

/// Judges a case.
pub fn judge(policy: &Policy, case: &PolicyCase) -> Judged {
    let mut asked = None;
    Judged { verdict: verdict(policy, case, &mut asked), asked }
}

fn verdict(
    policy: &Policy,
    case: &PolicyCase,
    asked: &mut Option<Box<DecisionRequest>>,
) -> Result<Option<Arc<str>>, Denial> {
    let told = Told::of_url(&case.method, &case.url).ok_or(Refusal::BadScheme)?;
    let request = canonical(&Told { client: case.client, ..told })?;
    let preflight = announced_method(policy, &request, Fields::Map(&case.headers));
    let route = route_of(policy, &request, preflight)?;
    let nothing = Requirement::default();
    let demanded = if preflight.is_some() { &nothing } else { &case.demanded };
    let nobody = || route.limit.map(|limit| policy.allowance_of_nobody(limit));
    let outcome = match (requirement_at(&route, demanded), &case.user) {
        (Err(code), _) => Err(code.into()),
        (Ok(None), _) => nobody().map_or(Ok(()), check_allowance).map_err(Denial::from),
        (Ok(Some(_)), None) => Err(DenialCode::MissingCredentials.into()),
        (Ok(Some(requirement)), Some(user)) => {
            let facts = Facts::new(&user.token, user.session.as_ref(), NOW)
                .with_certificates(case.certificates);
            let facts = policy.facts_at(&route, &request, facts);
            let requirements = [requirement, demanded];
            if let Err(Unmet::Undecided(question)) = check_all(&requirements, &facts) {
                *asked = Some(question);
            }
            let assumed = Decisions::assumed(case.authorizer);
            let allowance = route.limit.map(|limit| facts.allowance(limit));
            check_facts(&requirements, &facts.with_decisions(&assumed))
                .and_then(|()| Ok(allowance.map_or(Ok(()), check_allowance)?))
        }
    };
    outcome.map_err(|denial: Denial| denial.at(route.name))?;
    Ok(route.name.cloned())
}
