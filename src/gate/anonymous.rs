//! Requests without a credential that pass all the same, where the operator lets them (ANONYMOUS).
//!
//! Such a request passes for nobody: its headers name no user and no issuer, which no credential
//! leaves empty, and say the role `anonymous`. It passes where a good credential would suffice and
//! nothing more is demanded. A credential that is not good is refused as ever.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::credential::{API_KEY, Cookies, carries};
use super::dpop::PROOF;
use super::identity::ROLES;
use super::inquiry::Inquiry;

/// The role of whoever shows no credential.
pub(super) const ROLE: &str = "anonymous";

/// The answer to requests without a credential.
#[derive(Debug)]
pub(super) struct Anonymous {
    headers: Arc<HeaderMap>,
}

impl Anonymous {
    /// The answer with these headers, which name nobody.
    pub(super) fn new(mut of_nobody: HeaderMap) -> Self {
        of_nobody.insert(ROLES, HeaderValue::from_static(ROLE));
        Self { headers: Arc::new(of_nobody) }
    }

    /// The headers of the answer, if this request carries no credential. Whatever may have been meant
    /// for one is one, also of a kind that is not accepted.
    pub(super) fn headers(
        &self,
        inquiry: &Inquiry<'_>,
        cookies: &Cookies,
    ) -> Option<Arc<HeaderMap>> {
        let headers = inquiry.headers;
        let is_sent =
            [AUTHORIZATION.as_str(), API_KEY, PROOF].into_iter().any(|name| headers.contains(name));
        (!is_sent && !carries(headers, cookies)).then(|| Arc::clone(&self.headers))
    }
}

#[cfg(test)]
mod tests;
