//! Things that services and the server share: what they tell each other beside requests and
//! responses, how a gateway's question is known, bounds of listeners of all kinds, and the client
//! of HTTPS.

pub mod body;
pub mod budget;
pub mod https;
pub mod networks;

use http::HeaderMap;

/// The name of log lines about requests that were let in: who asks for these wants all of them.
pub const ACCESS_ALLOWED: &str = "access_allowed";
/// The name of log lines about requests that were refused, which anybody can cause.
pub const ACCESS_REFUSED: &str = "access_refused";

/// Put by a service into the extensions of its response: the request's body was read to its end.
///
/// Without it, an HTTP/1 connection whose request announced a body is closed after the answer,
/// since the body may never come. A service that ignores bodies need not know of this.
#[derive(Clone, Copy, Debug)]
pub struct BodyRead;

/// What tells of the method of another request: of gateways that ask, and of nobody else.
const METHODS: [&str; 2] = ["x-original-method", "x-forwarded-method"];
/// What tells of its URL: of gateways that ask, and of some proxies that pass a request on.
const URLS: [&str; 4] =
    ["x-original-uri", "x-original-url", "x-forwarded-uri", "x-auth-request-redirect"];

/// True where this may be a forward-auth request of a gateway, as far as its headers show. nginx
/// alone asks without any of them, where its configuration sets none. Nothing but a refusal may
/// depend on it.
pub fn may_be_forward_auth(headers: &HeaderMap) -> bool {
    is_forward_auth(headers) || URLS.iter().any(|name| headers.contains_key(*name))
}

/// True where this is a forward-auth request for certain: other proxies may tell of the URL, but
/// never of the method.
pub fn is_forward_auth(headers: &HeaderMap) -> bool {
    METHODS.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_gateway_is_known_by_what_it_tells_and_a_proxy_is_none() {
        for (name, may_be, surely) in [
            ("x-original-method", true, true),
            ("x-forwarded-method", true, true),
            ("x-original-uri", true, false),
            ("x-original-url", true, false),
            ("x-forwarded-uri", true, false),
            ("x-forwarded-for", false, false),
            ("x-forwarded-proto", false, false),
            ("x-real-ip", false, false),
            ("authorization", false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(""));
            assert_eq!(may_be_forward_auth(&headers), may_be, "{name}");
            assert_eq!(is_forward_auth(&headers), surely, "{name}");
        }
    }
}
