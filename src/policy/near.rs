//! The routes that nearly took a request, and what was missing: for explanations.

use super::canonical::CanonicalRequest;
use super::routes::Difference;
use super::{Policy, Route};

/// The most routes that are named.
const MAX_NEAR: usize = 5;

/// A route that nearly took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearMiss<'p> {
    /// The name of the route.
    pub route: &'p str,
    /// The reason why it did not, in words.
    pub reason: &'static str,
}

impl Policy {
    /// The routes that nearly took this request: first those of its place, then those of its host,
    /// then those of others. Five at most.
    pub fn near_misses(&self, request: &CanonicalRequest<'_>) -> Vec<NearMiss<'_>> {
        let (host, path) = (&request.authority.host, request.path.as_str());
        let there = self.index.named(&request.authority, &request.path);
        let there = there.map(|place| place.value.as_slice()).unwrap_or_default();
        let is_taken = there.iter().any(|route| route.fits(request).unwrap_or(false));
        let of_place = there.iter().filter_map(|route| {
            unfit(route, request).map(|reason| NearMiss { route: &route.name, reason })
        });
        let elsewhere = self.index.nearly(host, path).into_iter();
        let elsewhere = elsewhere.filter_map(|(difference, place)| {
            let reason = why(difference, is_taken)?;
            let route = place.value.iter().find(|route| route.fits(request).unwrap_or(false))?;
            Some(NearMiss { route: &route.name, reason })
        });
        of_place.chain(elsewhere).take(MAX_NEAR).collect()
    }
}

/// The reason why a route of the right place does not take a request.
fn unfit(route: &Route, request: &CanonicalRequest<'_>) -> Option<&'static str> {
    if !route.takes_method(request.method) {
        return Some("another method");
    }
    match route.fits(request) {
        Ok(true) => None,
        Ok(false) => Some("a client of another network"),
        Err(_) => Some("a client that nobody knows"),
    }
}

/// The reason why a place is not the right one; `None` where nobody asks, because another route took
/// the request and is meant to.
fn why(difference: Difference, is_taken: bool) -> Option<&'static str> {
    match difference {
        Difference::LetterCase => Some("the path in other letters"),
        Difference::Slash => Some("a slash more or less at the end"),
        Difference::LessSpecific => (!is_taken).then_some("a more specific path comes before it"),
        Difference::Above => (!is_taken).then_some("a path above this one"),
        Difference::Host => (!is_taken).then_some("another host"),
    }
}
