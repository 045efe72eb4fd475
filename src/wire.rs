//! The parts that services and the server share: notes in the extensions of requests and responses,
//! the detection of a gateway's question, bounds for listeners of all kinds, the dispatch of gRPC
//! calls, threads for long work behind a fair queue, a throttle of warnings, files that are read again,
//! the HTTPS client, and security headers.

pub mod body;
pub mod budget;
pub mod connection;
pub(crate) mod deserialization;
pub(crate) mod fair_queue;
pub mod fields;
pub(crate) mod file;
pub(crate) mod grpc;
pub mod http1;
pub mod https;
pub(crate) mod json;
pub mod known_fields;
pub mod networks;
pub mod request_head;
pub mod security_headers;
pub(crate) mod warning_throttle;
pub mod whole_head;
pub(crate) mod worker_pool;

use http::HeaderMap;

/// The name of log lines about requests that were let in. They have no rate limit: an operator who
/// turns them on wants all of them.
pub const ACCESS_ALLOWED: &str = "access_allowed";
/// The name of log lines about requests that were refused, which anybody can cause.
pub const ACCESS_REFUSED: &str = "access_refused";

/// A note in a response's extensions: the request's body was read to its end.
///
/// Without it, an HTTP/1 connection whose request announced a body is closed after the answer,
/// since the body may never come. A service that ignores bodies need not know of this.
#[derive(Clone, Copy, Debug)]
pub struct BodyRead;

/// Headers with the method of another request. Only gateways that ask send them.
const METHODS: [&str; 2] = ["x-original-method", "x-forwarded-method"];
/// Headers with its URL. Gateways that ask send them, and some proxies that pass a request on.
const URLS: [&str; 4] =
    ["x-original-uri", "x-original-url", "x-forwarded-uri", "x-auth-request-redirect"];

/// Returns whether this may be a forward-auth request of a gateway, as far as its headers show.
/// Only nginx asks without any of them, where its configuration sets none. Use it for refusals
/// only.
pub fn may_be_forward_auth(headers: &HeaderMap) -> bool {
    is_forward_auth(headers) || URLS.iter().any(|name| headers.contains_key(*name))
}

/// Returns whether this is certainly a forward-auth request: other proxies may send the URL, but
/// never the method.
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
