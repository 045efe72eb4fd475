//! Names of headers that mean something to HTTP, gateways, proxies, browsers or frameworks, and so
//! never carry a claim: a value under such a name would be obeyed, changed or dropped on its way.

/// Whole families. nginx obeys `X-Accel-*` of an answer, apps `X-Forwarded-*` and its like.
const FAMILIES: [&str; 23] = [
    "accept-",
    "access-control-",
    "cdn-",
    "cf-",
    "content-",
    "cross-origin-",
    "if-",
    "proxy-",
    "sec-",
    "x-accel-",
    "x-amz-",
    "x-amzn-",
    "x-arr-",
    "x-azure-",
    "x-b3-",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-",
    "x-http-method",
    "x-original-",
    "x-replaced-",
    "x-rewrite-",
    "x-waf-",
];

/// Single names: the field names of HTTP (RFC 9110, 9111, 9112, 6265, 6797, 8470, 9218 and the
/// registry), what tracing uses, and what proxies and frameworks read.
const NAMES: [&str; 90] = [
    "accept",
    "age",
    "allow",
    "alt-svc",
    "alt-used",
    "authentication-info",
    "authorization",
    "b3",
    "baggage",
    "cache-control",
    "cache-status",
    "clear-site-data",
    "client-ip",
    "connection",
    "cookie",
    "date",
    "dnt",
    "dpop",
    "early-data",
    "etag",
    "expect",
    "expires",
    "fastly-client-ip",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "nel",
    "origin",
    "origin-agent-cluster",
    "permissions-policy",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "referrer-policy",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "retry-after",
    "server",
    "server-timing",
    "service-worker-allowed",
    "set-cookie",
    "signature",
    "signature-input",
    "sourcemap",
    "strict-transport-security",
    "te",
    "timing-allow-origin",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "uber-trace-id",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-api-key",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-content-type-options",
    "x-correlation-id",
    "x-csrf-token",
    "x-dns-prefetch-control",
    "x-download-options",
    "x-forwarded",
    "x-frame-options",
    "x-host",
    "x-method-override",
    "x-permitted-cross-domain-policies",
    "x-powered-by",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
    "x-url-scheme",
    "x-wap-profile",
    "x-xss-protection",
];

/// Returns whether a name, in lower case, is one of them.
pub(super) fn is_reserved(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok() || FAMILIES.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_in_order_and_none_is_there_twice() {
        assert!(NAMES.is_sorted_by(|one, next| one < next));
        assert!(FAMILIES.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn what_others_obey_carries_no_claim() {
        for name in [
            "x-forwarded-for",
            "x-forwarded-user",
            "x-original-url",
            "x-rewrite-url",
            "x-replaced-path",
            "x-accel-redirect",
            "x-real-ip",
            "x-host",
            "forwarded",
            "origin",
            "etag",
            "content-security-policy",
            "strict-transport-security",
            "traceparent",
            "sec-fetch-site",
            "transfer-encoding",
            "x-http-method-override",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["x-auth-user", "x-auth-issuer", "x-tenant", "x-user", "remote-user", "roles"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
