//! One route: which requests of its host and path are its own, and what it demands.

use std::sync::Arc;

use super::canonical::{CanonicalRequest, Refusal};
use super::request_limit::RequestLimit;
use super::requirement::Requirement;
use crate::wire::networks::Networks;

/// A route. Where it stands, the index knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name, for logs and explanations.
    pub name: Arc<str>,
    /// The methods; none are all.
    pub(crate) methods: Vec<String>,
    /// The networks of clients; `None` are all, also those of clients that nobody knows.
    pub(crate) networks: Option<Networks>,
    /// Its demands.
    pub(crate) access: Access,
    /// The limit on the requests of each user, if there is one.
    pub(crate) limit: Option<RequestLimit>,
}

/// The demands on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It does not pass.
    Denied,
    /// It passes without a credential, and nobody is told who it is.
    Public,
    /// It passes with a good credential that meets the requirement.
    Required(Requirement),
}

impl Route {
    /// Returns whether a request at this place is one of this route.
    ///
    /// # Errors
    /// [`Refusal::UnknownClient`] where the client decides it, and nobody knows who that is.
    pub(crate) fn fits(&self, request: &CanonicalRequest<'_>) -> Result<bool, Refusal> {
        match &self.networks {
            _ if !self.takes_method(request.method) => Ok(false),
            Some(networks) => {
                request.client.map(|client| networks.holds(client)).ok_or(Refusal::UnknownClient)
            }
            None => Ok(true),
        }
    }

    /// Returns whether it takes this method; what takes GET takes HEAD.
    pub(crate) fn takes_method(&self, method: &str) -> bool {
        let is_own = |own: &String| own == method || (method == "HEAD" && own == "GET");
        self.methods.is_empty() || self.methods.iter().any(is_own)
    }

    /// Returns whether it takes every request that `later` takes, and so leaves it none.
    pub(crate) fn covers(&self, later: &Self) -> bool {
        let methods = if later.methods.is_empty() {
            self.methods.is_empty()
        } else {
            later.methods.iter().all(|method| self.takes_method(method))
        };
        let networks = match (&self.networks, &later.networks) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(later)) => own.hold_all(later),
        };
        methods && networks
    }
}
