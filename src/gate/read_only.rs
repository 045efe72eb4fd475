//! Users that may only read: those with one of the roles that the operator names (READ_ONLY_ROLES).
//!
//! It is decided by the method of the client's request: GET, HEAD and OPTIONS are safe (RFC 9110,
//! section 9.2.1). Where the gateway tells no method, or the request names another one beside it,
//! such a user is refused. It holds at every route, whatever the credential is.

use super::denial::{Denial, DenialCode};
use super::inquiry::Inquiry;
use crate::policy::ReadOnlyRoles;
use crate::policy::claim::UserClaims;
use crate::session::Session;
use crate::token::Verified;
use crate::wire::fields::Fields;

/// The methods that are for reading.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// The headers by which many frameworks let a client replace its method.
const OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// Checks that this user may send such a request.
///
/// # Errors
/// [`DenialCode::ReadOnlyUser`].
pub(super) fn check(
    roles: &ReadOnlyRoles,
    token: &Verified,
    session: Option<&Session>,
    inquiry: &Inquiry<'_>,
) -> Result<(), Denial> {
    let is_restricted = || roles.restrict(UserClaims::new(token, session));
    if roles.is_empty() || !is_restricted() || only_reads(inquiry) {
        return Ok(());
    }
    Err(Denial::from(DenialCode::ReadOnlyUser).of(&token.subject))
}

/// Checks the same for a user who has one role and no claims.
///
/// # Errors
/// [`DenialCode::ReadOnlyUser`].
pub(super) fn check_role(
    roles: &ReadOnlyRoles,
    role: &str,
    inquiry: &Inquiry<'_>,
) -> Result<(), Denial> {
    if roles.contains(role) && !only_reads(inquiry) {
        return Err(DenialCode::ReadOnlyUser.into());
    }
    Ok(())
}

/// Returns whether the gateway told a safe method, and the client asks for no other one beside it.
fn only_reads(inquiry: &Inquiry<'_>) -> bool {
    let method = inquiry.told().ok().and_then(|told| told.method);
    method.is_some_and(|method| SAFE.contains(&method)) && !overrides(inquiry.headers)
}

fn overrides(headers: Fields<'_>) -> bool {
    // To many servers behind gateways `_` and `-` are one.
    let like = |name: &str| name.replace('_', "-").to_ascii_lowercase();
    let is_override = |name: &str| OVERRIDES.contains(&like(name).as_str());
    let mut asked = headers.iter().filter(|(name, _)| is_override(name));
    asked.any(|(_, method)| !SAFE.iter().any(|safe| safe.as_bytes() == method.as_bytes()))
}

#[cfg(test)]
mod tests;
