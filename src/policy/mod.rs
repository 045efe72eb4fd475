//! Policy by path: which route a request takes, and what that route demands.
//!
//! [`canonical`] brings what a gateway told to one form or refuses it, [`routes`] finds the route
//! that names it, [`requirement`] says what that route demands. All of it is pure: no I/O, no
//! setting, and the time is passed in. A [`Policy`] is compiled once and replaced as a whole.

pub mod canonical;
pub(crate) mod casbin;
pub(crate) mod claim;
pub(crate) mod decision;
mod models;
mod near;
pub mod permissions;
mod read_only;
mod request_limit;
pub mod requirement;
pub mod return_address;
mod route;
pub mod routes;
pub(crate) mod template;

pub use casbin::{
    BadCasbin, BadRule, Casbin, CasbinInForce, CasbinSource, KnownRules, PolicyRule, RulesUnknown,
    SharedCasbin, StoredRules,
};
pub use decision::{DecisionRequest, Decisions};
pub use models::Models;
pub use near::NearMiss;
pub use read_only::ReadOnlyRoles;
pub use request_limit::{Allowance, Period, RequestLimit};
pub use requirement::{Certificates, Facts, Requirement, Unmet, check_all};
pub use route::{Access, Route};

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use canonical::{CanonicalRequest, Refusal};
use claim::ClaimPath;
use routes::{NamedTwice, PathPattern, Place, RouteIndex};

/// The routes, and what holds for a request that none of them names.
#[derive(Debug)]
pub struct Policy {
    index: RouteIndex<Vec<Route>>,
    default: Access,
    /// The claims that hold a user's roles; the first that has a value counts.
    roles: Vec<ClaimPath>,
    /// The models that its conditions ask.
    models: Models,
    allows_preflight: bool,
    /// True where the client's address decides something.
    needs_client: bool,
    routes: usize,
}

/// The route that a request takes.
#[derive(Clone, Copy, Debug)]
pub struct RouteMatch<'p> {
    /// Its name; `None` where no route names the request and the default holds.
    pub name: Option<&'p Arc<str>>,
    /// Its demands.
    pub access: &'p Access,
    /// The limit on the requests of each user, if there is one.
    pub limit: Option<&'p RequestLimit>,
    pattern: Option<&'p PathPattern>,
}

/// A host and a path, and the routes there in the order of the file.
pub(crate) type RoutesOfPlace = (String, PathPattern, Vec<Route>);

impl Policy {
    /// Compiles the routes of all places. `default` holds where none of them names a request.
    ///
    /// # Errors
    /// The first path that two places of one host name.
    pub(crate) fn compile(
        places: Vec<RoutesOfPlace>,
        default: Access,
        allows_preflight: bool,
        roles: Vec<ClaimPath>,
    ) -> Result<Self, NamedTwice> {
        // A route stands at each of its paths, under one name.
        let names = places.iter().flat_map(|(_, _, routes)| routes).map(|route| &route.name);
        let routes = names.map(|name| Arc::as_ptr(name).cast::<u8>()).collect::<HashSet<_>>().len();
        let mut all = places.iter().flat_map(|(_, _, routes)| routes);
        let needs_client = all.any(|route| route.networks.is_some() || route.limit.is_some());
        let index = RouteIndex::compile(places)?;
        let models = Models::default();
        Ok(Self { index, default, roles, models, allows_preflight, needs_client, routes })
    }

    /// The same policy, whose conditions ask these models.
    #[must_use]
    pub(crate) fn with_models(self, models: Models) -> Self {
        Self { models, ..self }
    }

    /// The number of its routes, each of which may have several paths.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Returns whether it has no route at all.
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// The access to what no route names.
    pub fn default_access(&self) -> &Access {
        &self.default
    }

    /// The issuers that conditions name.
    pub(crate) fn named_issuers(&self) -> BTreeSet<&str> {
        let routes = self.index.places().flat_map(|place| &place.value);
        let mut issuers = BTreeSet::new();
        for route in routes {
            if let Access::Required(requirement) = &route.access {
                requirement.add_issuers(&mut issuers);
            }
        }
        issuers
    }

    /// Returns whether a CORS preflight passes where the request that it announces has a route.
    pub fn allows_preflight(&self) -> bool {
        self.allows_preflight
    }

    /// Returns whether the client's address decides something, at whatever route.
    pub fn needs_client(&self) -> bool {
        self.needs_client
    }

    /// Finds the route of a request: at the most specific path of its host, the first whose methods
    /// and networks fit. Where none of those fits, nothing does: a broader path is not looked at.
    /// `None` is a request that may not pass.
    ///
    /// # Errors
    /// The reason why its gateway could take another route.
    pub fn find(&self, request: &CanonicalRequest<'_>) -> Result<Option<RouteMatch<'_>>, Refusal> {
        let Some(place) = self.place(request)? else {
            let access = Some(&self.default).filter(|default| **default != Access::Denied);
            let found = |access| RouteMatch { name: None, access, limit: None, pattern: None };
            return Ok(access.map(found));
        };
        for route in &place.value {
            if route.fits(request)? {
                let (name, access, limit) =
                    (Some(&route.name), &route.access, route.limit.as_ref());
                return Ok(Some(RouteMatch { name, access, limit, pattern: Some(&place.pattern) }));
            }
        }
        Ok(None)
    }

    /// The place in the file that names the path of a request.
    ///
    /// # Errors
    /// The reason why its gateway could take another route.
    pub(crate) fn place(
        &self,
        request: &CanonicalRequest<'_>,
    ) -> Result<Option<&Place<Vec<Route>>>, Refusal> {
        self.index.find(&request.authority, &request.path)
    }

    /// The requests that a limit allows whoever shows no credential.
    pub fn allowance_of_nobody(&self, limit: &RequestLimit) -> Allowance {
        limit.allowance_of_nobody(&self.models)
    }

    /// The facts about a user whose request takes this route.
    pub fn facts_at<'f>(
        &'f self,
        route: &RouteMatch<'f>,
        request: &'f CanonicalRequest<'f>,
        facts: Facts<'f>,
    ) -> Facts<'f> {
        let path = route.pattern.map(|pattern| (pattern, &request.path));
        let (roles, models) = (self.roles.as_slice(), Some(&self.models));
        Facts { roles, models, path, method: request.method, ..facts }
    }
}

impl RouteMatch<'_> {
    /// The same route, where nothing is needed and nothing is counted.
    #[must_use]
    pub fn made_public(self) -> Self {
        Self { access: &Access::Public, limit: None, ..self }
    }
}

#[cfg(test)]
mod tests;
