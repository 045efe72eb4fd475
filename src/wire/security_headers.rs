//! Headers that keep browsers from doing with our answers what nobody meant: guessing types, framing,
//! running scripts, telling addresses, keeping copies.
//!
//! A page that needs more than nothing has its own Content-Security-Policy, and what may be kept its
//! own Cache-Control; neither is replaced. Verdicts are no answers to browsers, and have none of this.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

/// The other sites that may load an answer without asking by CORS: none.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");
/// The parts of a device that a page may use: none.
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// The headers of every answer.
const ALWAYS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (
        PERMISSIONS_POLICY,
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
         magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
    ),
];
/// The headers of answers that have none of their own.
const UNLESS_THERE: [(HeaderName, &str); 2] = [
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (CACHE_CONTROL, "no-store"),
];
/// A year, for this host alone: what stands beside it is not ours to decide.
const TRANSPORT_SECURITY: &str = "max-age=31536000";

/// Security headers of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecurityHeaders {
    /// True if clients come by https alone, and browsers may be told so (RFC 6797).
    pub is_https: bool,
}

impl SecurityHeaders {
    /// Adds them to an answer.
    pub fn add<B>(self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        let mut set = |name, value| drop(headers.insert(name, HeaderValue::from_static(value)));
        for (name, value) in ALWAYS {
            set(name, value);
        }
        if self.is_https {
            set(STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
        }
        for (name, value) in UNLESS_THERE {
            add_unless_there(headers, name, value);
        }
    }
}

fn add_unless_there(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_decides_itself_stays_and_the_rest_is_decided_for_it() {
        let mut response = Response::new(());
        let own = HeaderValue::from_static("default-src 'self'");
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, own.clone());
        response.headers_mut().insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
        SecurityHeaders::default().add(&mut response);
        let headers = response.headers();
        assert_eq!(headers[CONTENT_SECURITY_POLICY], own);
        assert_eq!(
            (&headers[CACHE_CONTROL], &headers[X_FRAME_OPTIONS]),
            (&HeaderValue::from_static("no-store"), &HeaderValue::from_static("DENY"),)
        );
        assert!(!headers.contains_key(STRICT_TRANSPORT_SECURITY));
        SecurityHeaders { is_https: true }.add(&mut response);
        assert!(response.headers().contains_key(STRICT_TRANSPORT_SECURITY));
    }
}
