//! The answer to an inquiry. It is a value: an error on the way to it is a denial like any other.

use std::sync::Arc;

use http::HeaderMap;

use super::cached_decision::CachedDecision;
use super::denial::{Denial, DenialCode};
use super::policy_in_force::PolicyGeneration;
use crate::clock::UnixTime;

/// The answer: may this request pass, and for which user?
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It may.
    Allow(Grant),
    /// It may not.
    Deny(Denial),
}

impl Verdict {
    /// The code of the denial, where it may not.
    pub fn denied(&self) -> Option<DenialCode> {
        match self {
            Self::Allow(_) => None,
            Self::Deny(denial) => Some(denial.code),
        }
    }

    /// The route of the policy that decided, where one did.
    pub fn route(&self) -> Option<&str> {
        let route = match self {
            Self::Allow(grant) => &grant.route,
            Self::Deny(denial) => &denial.route,
        };
        route.as_deref()
    }
}

/// A request that may pass.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The user that it passes for.
    pub identity: Identity,
    /// The route of the policy that let it pass, where one did.
    pub route: Option<Arc<str>>,
    /// The policy that was in force.
    pub(super) policy: PolicyGeneration,
    /// True where the same request is let pass again under this policy for as long as the decision about its credential is
    /// valid: it depended neither on the time, nor on a count, nor on anybody who was asked, and nothing was used up.
    pub(super) is_repeatable: bool,
}

/// The user for whom a request passes.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A user whose credential was found good, and the time at which it was.
    Known(CachedDecision, UnixTime),
    /// Anybody: the route demands nothing. All headers of the identity are empty.
    Public(Arc<HeaderMap>),
    /// Somebody who sent no credential, where that suffices: no user, and the role `anonymous`.
    Anonymous(Arc<HeaderMap>),
}

impl From<Identity> for Grant {
    /// Lets this one request pass.
    fn from(identity: Identity) -> Self {
        let (route, policy) = (None, PolicyGeneration::default());
        Self { identity, route, policy, is_repeatable: false }
    }
}

impl Grant {
    /// Lets a request of a user pass. What was proved beside the credential is proved on each request.
    pub(super) fn to_user(decision: CachedDecision, at: UnixTime, is_repeatable: bool) -> Self {
        let is_repeatable = is_repeatable && !decision.is_bound;
        Self { is_repeatable, ..Self::from(Identity::Known(decision, at)) }
    }

    /// The decision for which the same request passes again, and the policy under which it does.
    pub(super) fn repeatable(&self) -> Option<(&CachedDecision, PolicyGeneration)> {
        match &self.identity {
            Identity::Known(decision, _) if self.is_repeatable => Some((decision, self.policy)),
            _ => None,
        }
    }

    /// The headers that carry the identity to the application.
    pub fn headers(&self) -> HeaderMap {
        match &self.identity {
            Identity::Known(decision, _) => decision.headers(),
            Identity::Public(headers) | Identity::Anonymous(headers) => (**headers).clone(),
        }
    }

    /// The same as ready lines of an answer, where they are kept, and the time of the decision.
    pub(super) fn ready(&self) -> Option<(&[u8], UnixTime)> {
        match &self.identity {
            Identity::Known(decision, at) => Some((decision.lines(), *at)),
            Identity::Public(_) | Identity::Anonymous(_) => None,
        }
    }

    /// The user, where it is known.
    pub fn user(&self) -> Option<&str> {
        match &self.identity {
            Identity::Known(decision, _) => Some(&decision.token.subject),
            Identity::Public(_) | Identity::Anonymous(_) => None,
        }
    }
}
