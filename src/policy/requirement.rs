//! What a route demands of whoever asks: pure, and checked again for every cached decision.

mod authorize;
mod logic;
mod models;
mod words;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use super::canonical::CanonicalPath;
use super::claim::{ClaimPath, FoundClaim, UserClaims, holds_integers_alone};
use super::decision::{AuthorizedAction, DecisionRequest, Decisions};
use super::models::Models;
use super::routes::PathPattern;
use super::template::Template;
use crate::clock::UnixTime;
use crate::session::Session;
use crate::token::{Thumbprint, Verified};
use logic::{all, any_of};

pub use logic::check_all;

/// The difference of clocks that is allowed for the time of a login.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// Conditions that must all hold. The default has none: any good credential suffices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement(Vec<Condition>);

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There is a user, also where requests without a credential may pass.
    User,
    /// The token grants all of these scopes.
    AllScopes(Vec<String>),
    /// The token grants one of these scopes.
    AnyScope(Vec<String>),
    /// The user has all of these roles.
    AllRoles(Vec<String>),
    /// The user has one of these roles.
    AnyRole(Vec<String>),
    /// The token's `iss` is one of these.
    Issuer(Vec<String>),
    /// The token's `aud` holds one of these.
    Audience(Vec<String>),
    /// A claim has one of these values, or holds one of them where it is a list.
    Claim { claim: ClaimPath, values: Vec<ExpectedValue> },
    /// The user logged in so long ago at most.
    MaxLoginAge(Duration),
    /// authnzerver's model lets one of the user's roles do this.
    Permission(ItemAction),
    /// Casbin lets the user do this to that object.
    Casbin { object: Template, action: Template },
    /// An external authorizer lets the user do this.
    Authorize(AuthorizedAction),
    /// The gateway showed a certificate to us.
    GatewayCertificate,
    /// The client showed the gateway one of these certificates; where none is named, any.
    ClientCertificate(Vec<Thumbprint>),
    /// One of these requirements is met.
    AnyOf(Vec<Requirement>),
}

/// An action on an item, as authnzerver's model knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ItemAction {
    pub(crate) item: Template,
    pub(crate) action: Template,
    pub(crate) owner: Template,
    pub(crate) visibility: Template,
    /// Users, separated by commas.
    pub(crate) shared_with: Template,
}

/// A value that a claim must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedValue {
    /// This text; of a number its digits, of a truth value `true` or `false`.
    Text(String),
    /// The text of a parameter of the route's path.
    Parameter(String),
}

/// The certificates that were shown. By default none was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// True where the gateway showed one to us.
    pub is_gateway_certified: bool,
    /// The one that the client showed the gateway.
    pub client: Option<Thumbprint>,
}

/// The facts that conditions are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// The token, or the claims that a handle stands for.
    pub token: &'f Verified,
    /// Its session, where it has one.
    pub session: Option<&'f Session>,
    /// The claims that hold the user's roles.
    pub(super) roles: &'f [ClaimPath],
    /// The path that a route named, and the route's pattern.
    pub(super) path: Option<(&'f PathPattern, &'f CanonicalPath<'f>)>,
    /// The method of the request.
    pub(super) method: &'f str,
    /// The models of permissions.
    pub(super) models: Option<&'f Models>,
    /// The answers of the external authorizer.
    pub(super) decisions: Option<&'f Decisions>,
    /// The certificates.
    pub(super) certificates: Certificates,
    /// The present time.
    pub now: UnixTime,
    /// The same by the clock that nobody can set back; without it nothing that ages is believed.
    pub(super) monotonic: Option<Duration>,
}

/// The first condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// These scopes are missing, separated by spaces; of several that would do, the first.
    #[error("a scope is missing")]
    Scope(String),
    /// A role is missing.
    #[error("a role is missing")]
    Role,
    /// The token is of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// The token is for another audience.
    #[error("the token is for another audience")]
    Audience,
    /// A claim has another value.
    #[error("a claim has another value")]
    Claim,
    /// The login is older than this, or nobody knows how old it is.
    #[error("the login is too long ago")]
    LoginAge(Duration),
    /// A model of permissions does not let the user do this.
    #[error("the answer is no")]
    Permission,
    /// The external authorizer decides it, and was not asked yet.
    #[error("the authorizer was not asked")]
    Undecided(Box<DecisionRequest>),
    /// The gateway showed no certificate.
    #[error("the gateway showed no certificate")]
    GatewayCertificate,
    /// The client showed no certificate, or another one.
    #[error("the client showed no such certificate")]
    ClientCertificate,
    /// Whoever is asked gives no answer now.
    #[error("there is no answer now")]
    Unavailable,
}

impl Requirement {
    /// All of these conditions.
    pub(crate) fn all(conditions: Vec<Condition>) -> Self {
        Self(conditions)
    }

    /// A user, and nothing else.
    pub(crate) fn user() -> Self {
        Self(vec![Condition::User])
    }

    /// All of these scopes, which may be none.
    pub(crate) fn scopes(scopes: Vec<String>) -> Self {
        if scopes.is_empty() { Self::default() } else { Self(vec![Condition::AllScopes(scopes)]) }
    }

    /// Returns whether it demands nothing but a good credential.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether an external authorizer may have to be asked.
    pub fn asks_authorizer(&self) -> bool {
        self.has(|condition| matches!(condition, Condition::Authorize(_)))
    }

    /// Returns whether the same request of the same user may be judged otherwise later, by the same policy: by the time,
    /// by rules that are replaced or grow old, or by others.
    pub fn may_change(&self) -> bool {
        self.has(|condition| match condition {
            Condition::MaxLoginAge(_) | Condition::Casbin { .. } | Condition::Authorize(_) => true,
            Condition::User
            | Condition::AllScopes(_)
            | Condition::AnyScope(_)
            | Condition::AllRoles(_)
            | Condition::AnyRole(_)
            | Condition::Issuer(_)
            | Condition::Audience(_)
            | Condition::Claim { .. }
            | Condition::Permission(_)
            | Condition::GatewayCertificate
            | Condition::ClientCertificate(_)
            | Condition::AnyOf(_) => false,
        })
    }

    /// Returns whether one of its conditions is so, or one in an alternative of them.
    fn has(&self, is_so: fn(&Condition) -> bool) -> bool {
        self.0.iter().any(|condition| match condition {
            Condition::AnyOf(ways) => ways.iter().any(|way| way.has(is_so)),
            condition => is_so(condition),
        })
    }

    /// Its conditions.
    pub(crate) fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// Adds the issuers that its conditions name.
    pub(super) fn add_issuers<'r>(&'r self, issuers: &mut BTreeSet<&'r str>) {
        for condition in &self.0 {
            match condition {
                Condition::Issuer(names) => issuers.extend(names.iter().map(String::as_str)),
                Condition::AnyOf(ways) => ways.iter().for_each(|way| way.add_issuers(issuers)),
                _ => {}
            }
        }
    }

    /// Checks all conditions.
    ///
    /// # Errors
    /// The first condition that does not hold; where all others hold, the first that is not decided.
    pub fn check(&self, facts: &Facts<'_>) -> Result<(), Unmet> {
        all(self.0.iter(), facts)
    }
}

impl Condition {
    /// Checks this condition alone.
    pub(crate) fn check(&self, facts: &Facts<'_>) -> Result<(), Unmet> {
        let granted = |scope: &String| facts.token.scopes.contains(scope);
        match self {
            // Whoever is nobody has no facts to be checked against.
            Self::User => Ok(()),
            Self::AllScopes(scopes) => {
                holds(scopes.iter().all(granted), || Unmet::Scope(scopes.join(" ")))
            }
            Self::AnyScope(scopes) => holds(scopes.iter().any(granted), || {
                Unmet::Scope(scopes.first().cloned().unwrap_or_default())
            }),
            Self::AllRoles(roles) => {
                let held = facts.sound(facts.roles);
                holds(roles.iter().all(|role| has_text(held.as_ref(), role)), || Unmet::Role)
            }
            Self::AnyRole(roles) => {
                let held = facts.sound(facts.roles);
                holds(roles.iter().any(|role| has_text(held.as_ref(), role)), || Unmet::Role)
            }
            Self::Issuer(issuers) => {
                let issuer = facts.token.claims.text("iss").ok().flatten();
                holds(issuer.is_some_and(|iss| issuers.iter().any(|own| *own == iss)), || {
                    Unmet::Issuer
                })
            }
            Self::Audience(names) => {
                let audiences = facts.token.claims.audiences().unwrap_or_default();
                let is_one = |name: &String| audiences.iter().any(|audience| audience == name);
                holds(names.iter().any(is_one), || Unmet::Audience)
            }
            Self::Claim { claim, values } => holds(facts.has_value(claim, values), || Unmet::Claim),
            Self::MaxLoginAge(age) => {
                let login = facts.login();
                let is_recent = login.is_some_and(|login| facts.now.since(login) <= *age);
                holds(is_recent, || Unmet::LoginAge(*age))
            }
            Self::Permission(asked) => holds(facts.permits(asked), || Unmet::Permission),
            Self::Casbin { object, action } => facts.check_casbin(object, action),
            Self::Authorize(asked) => facts.check_authorized(asked),
            Self::GatewayCertificate => {
                holds(facts.certificates.is_gateway_certified, || Unmet::GatewayCertificate)
            }
            Self::ClientCertificate(listed) => {
                let shown = facts.certificates.client;
                let is_one = |shown| listed.is_empty() || listed.contains(&shown);
                holds(shown.is_some_and(is_one), || Unmet::ClientCertificate)
            }
            Self::AnyOf(ways) => any_of(ways, facts),
        }
    }
}

fn holds(is_met: bool, unmet: impl FnOnce() -> Unmet) -> Result<(), Unmet> {
    if is_met { Ok(()) } else { Err(unmet()) }
}

/// Returns whether a claim is this text, or a list that holds it.
fn has_text(found: Option<&FoundClaim<'_>>, text: &str) -> bool {
    found.is_some_and(|found| found.texts().any(|own| own == text))
}

impl<'f> Facts<'f> {
    /// The facts about a user, at no route.
    pub fn new(token: &'f Verified, session: Option<&'f Session>, now: UnixTime) -> Self {
        let certificates = Certificates::default();
        Self {
            token,
            session,
            roles: &[],
            path: None,
            method: "",
            models: None,
            decisions: None,
            certificates,
            now,
            monotonic: None,
        }
    }

    /// The same facts, at this time of the monotonic clock.
    #[must_use]
    pub fn at(self, monotonic: Duration) -> Self {
        Self { monotonic: Some(monotonic), ..self }
    }

    /// The same facts, with the certificates that were shown.
    #[must_use]
    pub fn with_certificates(self, certificates: Certificates) -> Self {
        Self { certificates, ..self }
    }

    pub(super) fn has_role(&self, role: &str) -> bool {
        has_text(self.sound(self.roles).as_ref(), role)
    }

    /// Returns whether a claim has one of these values, or holds one. Users of several issuers are told apart by a prefix,
    /// here as in the headers for applications.
    fn has_value(&self, claim: &ClaimPath, values: &[ExpectedValue]) -> bool {
        let prefix = if claim.names_user() { self.token.issuer.user_prefix.as_str() } else { "" };
        let found = self.sound(std::slice::from_ref(claim));
        let is_there = |expected: &str| {
            expected.strip_prefix(prefix).is_some_and(|expected| has_text(found.as_ref(), expected))
        };
        values.iter().any(|value| match value {
            ExpectedValue::Text(text) => is_there(text),
            ExpectedValue::Parameter(name) => self.parameter(name).is_some_and(is_there),
        })
    }

    /// The texts of a claim, or of a list.
    pub(super) fn texts(&self, claim: &[ClaimPath]) -> Vec<String> {
        let found = self.sound(claim);
        found.map_or_else(Vec::new, |found| found.texts().map(Cow::into_owned).collect())
    }

    /// The first of these claims that has a value. What nobody verified, and what other numbers are written like, counts
    /// for nothing.
    fn sound<'a>(&'a self, claim: &'a [ClaimPath]) -> Option<FoundClaim<'a>> {
        let claims = UserClaims::new(self.token, self.session);
        claims.find(claim).filter(|found| {
            !claims.is_unverified(found, None) && holds_integers_alone(found.value())
        })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let (pattern, path) = self.path?;
        pattern.parameters(path).find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The user, as applications are told: with the prefix of the issuer's users.
    pub(super) fn user(&self) -> Cow<'f, str> {
        let (prefix, subject) = (&self.token.issuer.user_prefix, &self.token.subject);
        if prefix.is_empty() { subject.into() } else { format!("{prefix}{subject}").into() }
    }

    fn render<'t>(&'t self, template: &'t Template) -> Option<Cow<'t, str>> {
        template.render(|name| self.parameter(name), self.method)
    }

    /// The time of the login: `auth_time` (OpenID Connect Core, section 2), else the beginning of
    /// the session.
    fn login(&self) -> Option<UnixTime> {
        let login = match self.token.claims.time("auth_time") {
            Ok(Some(time)) => Some(time),
            Ok(None) => self.session.map(|session| session.created),
            Err(_) => None,
        };
        // A time that is still to come says nothing: some issuers write milliseconds.
        login.filter(|login| *login <= self.now.after(CLOCK_DIFFERENCE))
    }
}
