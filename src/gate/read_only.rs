//! Users that may only read: those with one of the roles that the operator names (READ_ONLY_ROLES).
//!
//! It is decided by the method of the client's request: GET, HEAD and OPTIONS are safe (RFC 9110,
//! section 9.2.1). Where the gateway tells no method, or the request names another one beside it,
//! such a user is refused. It holds at every route, whatever the credential is.

use http::HeaderMap;
use serde_json::Value;

use super::denial::{Denial, DenialCode};
use super::identity::IdentityHeaders;
use super::inquiry::Inquiry;
use crate::policy::claim::{ClaimPath, UserClaims, as_text};
use crate::session::Session;
use crate::token::Verified;

/// The methods that are for reading.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// The headers by which many frameworks let a client replace its method.
const OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// The roles whose users may only read. By default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOnlyRoles {
    names: Vec<String>,
    /// The claims that hold the user's roles.
    claims: Vec<ClaimPath>,
}

impl ReadOnlyRoles {
    /// These roles, among those that `identity` sends.
    pub fn new(names: Vec<String>, identity: &IdentityHeaders) -> Self {
        Self { names, claims: identity.roles() }
    }

    /// Returns whether there is any, so that the method of requests must be known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Checks that this user may send such a request.
    ///
    /// # Errors
    /// [`DenialCode::ReadOnlyUser`].
    pub(super) fn check(
        &self,
        token: &Verified,
        session: Option<&Session>,
        inquiry: &Inquiry<'_>,
    ) -> Result<(), Denial> {
        if self.names.is_empty() || !self.hold_one_of(token, session) || only_reads(inquiry) {
            return Ok(());
        }
        Err(Denial::from(DenialCode::ReadOnlyUser).of(&token.subject))
    }

    /// The same for a user who has one role and no claims.
    pub(super) fn check_role(&self, role: &str, inquiry: &Inquiry<'_>) -> Result<(), Denial> {
        let is_restricted = self.names.iter().any(|name| name == role);
        if is_restricted && !only_reads(inquiry) {
            return Err(DenialCode::ReadOnlyUser.into());
        }
        Ok(())
    }

    /// Returns whether one of the roles is in any claim that may hold roles: what restricts counts
    /// wherever it stands, where what permits counts in the first alone.
    fn hold_one_of(&self, token: &Verified, session: Option<&Session>) -> bool {
        let is_one = |value: &Value| self.names.iter().any(|name| *name == *as_text(value));
        let found = UserClaims::new(token, session).all(&self.claims);
        found.into_iter().any(|value| match value.as_array() {
            Some(members) => members.iter().any(is_one),
            None => is_one(value),
        })
    }
}

/// Returns whether the gateway told a safe method, and the client asks for no other one beside it.
fn only_reads(inquiry: &Inquiry<'_>) -> bool {
    let method = inquiry.told().ok().and_then(|told| told.method);
    method.is_some_and(|method| SAFE.contains(&method)) && !overrides(inquiry.headers)
}

fn overrides(headers: &HeaderMap) -> bool {
    // To many servers behind gateways `_` and `-` are one.
    let is_override = |name: &str| OVERRIDES.contains(&name.replace('_', "-").as_str());
    let mut asked = headers.iter().filter(|(name, _)| is_override(name.as_str()));
    asked.any(|(_, method)| !SAFE.iter().any(|safe| safe.as_bytes() == method.as_bytes()))
}

#[cfg(test)]
mod tests;
