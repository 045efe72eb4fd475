//! The route that a request takes, and what it demands there.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};

use super::denial::{Denial, DenialCode};
use crate::policy::canonical::CanonicalRequest;
use crate::policy::{Access, Policy, Requirement, RouteMatch};
use crate::wire::fields::Fields;

/// The route that a request takes. A CORS preflight that passes takes the route of the request that
/// it announces, and needs nothing there (Fetch, section 3.3.2).
pub(super) fn route_of<'p>(
    policy: &'p Policy,
    request: &CanonicalRequest<'_>,
    preflight: Option<&str>,
) -> Result<RouteMatch<'p>, Denial> {
    let route = match preflight {
        None => policy.find(request)?,
        Some(method) => {
            let announced = CanonicalRequest { method, ..request.clone() };
            let is_open = |route: &RouteMatch<'_>| *route.access != Access::Denied;
            let route = policy.find(&announced)?.filter(is_open);
            route.map(RouteMatch::made_public)
        }
    };
    route.ok_or_else(|| DenialCode::NoRoute.into())
}

/// The requirement of a route; `None` where neither it nor the gateway's address demands anything.
pub(super) fn requirement_at<'r>(
    route: &RouteMatch<'r>,
    demanded: &'r Requirement,
) -> Result<Option<&'r Requirement>, DenialCode> {
    match route.access {
        Access::Denied => Err(DenialCode::NoRoute),
        Access::Public if demanded.is_empty() => Ok(None),
        Access::Public => Ok(Some(demanded)),
        Access::Required(requirement) => Ok(Some(requirement)),
    }
}

/// The method of the request that a CORS preflight announces, where the operator lets preflights
/// pass.
pub(super) fn announced_method<'h>(
    policy: &Policy,
    request: &CanonicalRequest<'_>,
    headers: Fields<'h>,
) -> Option<&'h str> {
    let is_preflight = policy.allows_preflight()
        && request.method == "OPTIONS"
        && headers.contains(ORIGIN.as_str());
    let announced = is_preflight.then(|| headers.get(ACCESS_CONTROL_REQUEST_METHOD.as_str()));
    announced.flatten()?.to_str()
}
