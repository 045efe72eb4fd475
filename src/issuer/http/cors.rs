//! Pages of other origins that may call the issuer (the Fetch standard's CORS protocol).

use http::{HeaderName, HeaderValue, Method, request::Parts};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Configuration of CORS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsConfig {
    /// The origins: `https://app.example`, `*.example` for every name below it, or `*`.
    pub origins: Vec<String>,
    /// True if browsers may send cookies along.
    pub credentials: bool,
    /// The methods.
    pub methods: Vec<Method>,
    /// The request headers.
    pub headers: Vec<HeaderName>,
}

impl CorsConfig {
    /// True if pages of this origin may call.
    pub(super) fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|pattern| is_allowed(pattern, origin))
    }

    /// The layer that answers preflights and marks answers.
    pub(super) fn layer(&self) -> CorsLayer {
        let cors = self.clone();
        let allows =
            move |origin: &HeaderValue, _: &Parts| cors.allows(origin.to_str().unwrap_or_default());
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(allows))
            .allow_credentials(self.credentials)
            .allow_methods(self.methods.clone())
            .allow_headers(self.headers.clone())
            .max_age(std::time::Duration::from_secs(600))
    }
}

/// True if a pattern names this origin. A pattern without a scheme holds for https, with the port
/// that it names or none; `*.example` holds for names below `example`, not for itself.
pub fn is_allowed(pattern: &str, origin: &str) -> bool {
    if pattern == "*" {
        return origin != "null";
    }
    let Some((scheme, host)) = origin.split_once("://") else {
        return false;
    };
    let (wanted_scheme, wanted) = pattern.split_once("://").unwrap_or(("https", pattern));
    if !scheme.eq_ignore_ascii_case(wanted_scheme) || host.contains(['/', '@', '\\']) {
        return false;
    }
    match wanted.strip_prefix('*') {
        Some(suffix) => {
            let (host, suffix) = (host.to_ascii_lowercase(), suffix.to_ascii_lowercase());
            host.len() > suffix.len() && host.ends_with(&suffix)
        }
        None => host.eq_ignore_ascii_case(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_allowed_to_the_letter_or_below_a_domain() {
        for (pattern, origin, expected) in [
            ("https://app.example", "https://app.example", true),
            ("https://app.example", "https://APP.example", true),
            ("https://app.example", "http://app.example", false),
            ("https://app.example", "https://app.example:8443", false),
            ("https://app.example:8443", "https://app.example:8443", true),
            ("app.example", "https://app.example", true),
            ("app.example", "http://app.example", false),
            ("http://localhost:3000", "http://localhost:3000", true),
            ("*.example", "https://app.example", true),
            ("*.example", "https://a.b.example", true),
            ("*.example", "https://example", false),
            ("*.example", "https://.example", false),
            ("*.example", "https://evilexample", false),
            ("*.example", "https://app.example.evil", false),
            ("*.example", "http://app.example", false),
            ("http://*.example", "http://app.example", true),
            ("*.app.example", "https://evil.com/.app.example", false),
            ("*.app.example", "https://evil.com@x.app.example", false),
            ("*", "https://anything", true),
            ("*", "null", false),
            ("https://app.example", "null", false),
            ("https://app.example", "", false),
        ] {
            assert_eq!(is_allowed(pattern, origin), expected, "{pattern} {origin}");
        }
    }
}
