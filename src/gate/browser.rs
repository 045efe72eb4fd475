//! Browsers: a page that needs a login becomes a redirect to the login page.
//!
//! Only for navigations: a person who opens a page can log in, and a script, an API's client or a
//! WebSocket cannot; these get the denial as it is. The address to come back to is made of the request
//! as the policy reads it, never of what a client says about itself.

use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, UPGRADE};
use url::Url;

use super::denial::{Class, Denial};
use super::inquiry::Inquiry;
use crate::clock::UnixTime;
use crate::policy::canonical::{CanonicalRequest, Refusal, canonical};
use crate::policy::return_address::{ReturnAddresses, ReturnRefusal};
use crate::wire::fields::{FieldValue, Fields};

const REQUESTED_WITH: &str = "x-requested-with";
const FETCH_MODE: &str = "sec-fetch-mode";
const FETCH_DEST: &str = "sec-fetch-dest";
const FETCH_SITE: &str = "sec-fetch-site";

/// The parameter that says how old a login may be, in seconds (OpenID Connect Core, 3.1.2.1).
const MAX_AGE: &str = "max_age";

/// The headers on which it depends whether a denial becomes a redirect.
pub(super) const VARY: HeaderValue = HeaderValue::from_static(
    "accept, authorization, cookie, sec-fetch-dest, sec-fetch-mode, x-requested-with",
);

/// The login page, and the addresses to which it may send a browser back.
#[derive(Debug)]
pub struct LoginPage {
    url: Url,
    addresses: ReturnAddresses,
}

/// The reason why a denial does not lead to the login page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRedirected {
    /// A login would change nothing.
    #[error("a login would change nothing")]
    NoHelp,
    /// Nothing says that a person opens a page.
    #[error("nothing says that a person opens a page")]
    NoNavigation,
    /// Nobody knows for certain which page.
    #[error("it is not clear which page: {0}")]
    Unclear(Refusal),
    /// It would lead in a circle.
    #[error("it is the login page itself")]
    Itself,
    /// There is no good way back.
    #[error(transparent)]
    NoWayBack(#[from] ReturnRefusal),
}

impl LoginPage {
    /// The page at this address.
    pub fn new(url: Url, addresses: ReturnAddresses) -> Self {
        Self { url, addresses }
    }

    /// The address to which a denial leads the browser.
    ///
    /// # Errors
    /// The reason why the denial stays what it is.
    pub fn location(
        &self,
        inquiry: &Inquiry<'_>,
        denial: &Denial,
        now: UnixTime,
    ) -> Result<HeaderValue, NotRedirected> {
        if !is_helped_by_login(denial.code.class()) {
            return Err(NotRedirected::NoHelp);
        }
        if !is_navigation(inquiry.headers) {
            return Err(NotRedirected::NoNavigation);
        }
        let told = inquiry.told().map_err(NotRedirected::Unclear)?;
        let request = canonical(&told).map_err(NotRedirected::Unclear)?;
        if !matches!(request.method, "GET" | "HEAD") {
            return Err(NotRedirected::NoNavigation);
        }
        if self.is_at(&request) {
            return Err(NotRedirected::Itself);
        }
        let address = self.addresses.offer(&request, now)?;
        let mut page = self.url.clone();
        address.append_to(&mut page);
        if let Some(age) = denial.max_age {
            page.query_pairs_mut().append_pair(MAX_AGE, &age.to_string());
        }
        HeaderValue::from_str(page.as_str()).map_err(|_| ReturnRefusal::Unreadable.into())
    }

    /// Returns whether this request is for the login page itself, which would lead in a circle.
    fn is_at(&self, request: &CanonicalRequest<'_>) -> bool {
        self.url.scheme() == request.scheme.as_str()
            && self.url.host_str() == Some(&*request.authority.host)
            && self.url.port() == request.authority.port
            && self.url.path() == request.path.spelling()
    }
}

fn is_helped_by_login(class: Class) -> bool {
    match class {
        Class::NoCredentials | Class::BadCredentials | Class::BadProof | Class::LoginAgain => true,
        Class::NotEnough
        | Class::Refused
        | Class::Misconfigured
        | Class::TooMany
        | Class::Unavailable => false,
    }
}

/// Returns whether a person opens a page. Browsers say so in Fetch Metadata; of those that do not, and
/// of what is no browser, only what asks for HTML and sends no credential by itself is taken for one.
fn is_navigation(headers: Fields<'_>) -> bool {
    if headers.contains(UPGRADE.as_str()) || headers.contains(REQUESTED_WITH) || is_grpc(headers) {
        return false;
    }
    if [FETCH_MODE, FETCH_DEST, FETCH_SITE].iter().any(|name| headers.contains(name)) {
        return is(headers, FETCH_MODE, "navigate") && is(headers, FETCH_DEST, "document");
    }
    !headers.contains(AUTHORIZATION.as_str()) && accepts_html(headers)
}

/// Returns whether a header stands there once, with this value.
fn is(headers: Fields<'_>, name: &str, expected: &str) -> bool {
    let value = headers.one(name).ok().flatten();
    value.is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

fn is_grpc(headers: Fields<'_>) -> bool {
    headers
        .get(CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Returns whether `Accept` names HTML itself: `*/*` is what programs send.
fn accepts_html(headers: Fields<'_>) -> bool {
    let lines = headers.get_all(ACCEPT.as_str()).filter_map(FieldValue::to_str);
    let mut ranges = lines.flat_map(|line| line.split(','));
    ranges.any(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/html")
    })
}

#[cfg(test)]
mod tests;
