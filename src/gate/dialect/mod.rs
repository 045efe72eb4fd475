//! The dialects: the way in which each gateway asks, and the answers that it understands.
//!
//! A dialect is chosen by the path that the operator configured, and never guessed from headers,
//! which clients can send too. It is one thin file: [`Dialect::read`] turns a request into an
//! [`Inquiry`], [`Dialect::render`] turns a [`Verdict`] into a response. Judging happens between.

mod nginx;
mod traefik;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::denial::{Class, Denial};
use super::inquiry::Inquiry;
use super::metrics::EntryPoint;
use super::verdict::{Grant, Verdict};

/// The gateways that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// nginx's `auth_request`.
    Nginx,
    /// Traefik's `forwardAuth`.
    Traefik,
}

/// The operator's settings for denials.
#[derive(Clone, Debug)]
pub struct DenialConfig {
    /// The status where there are no credentials: 401, or jwthenticator's 403.
    pub missing_credentials: StatusCode,
    /// The protection space that challenges name (RFC 7235, section 2.2).
    pub realm: String,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Nginx, Self::Traefik];

    /// The path, below the prefix, at which a gateway of this kind asks.
    pub fn path(self) -> &'static str {
        match self {
            Self::Nginx => "/validate_request",
            Self::Traefik => "/validate_request/traefik",
        }
    }

    /// The kind of gateway that asks at `path`, to the letter.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.path() == path)
    }

    /// Reads the gateway's question.
    pub fn read(self, request: &Parts) -> Inquiry<'_> {
        match self {
            Self::Nginx => nginx::read(request),
            Self::Traefik => traefik::read(request),
        }
    }

    /// The answer in the gateway's language.
    pub fn render(self, verdict: &Verdict, denial_config: &DenialConfig) -> Response<Full<Bytes>> {
        match verdict {
            Verdict::Allow(grant) => allow(grant),
            Verdict::Deny(denial) => match self {
                Self::Nginx => nginx::deny(denial, denial_config),
                Self::Traefik => traefik::deny(denial, denial_config),
            },
        }
    }

    /// The entry point, for logs and metrics.
    pub fn entry_point(self) -> EntryPoint {
        match self {
            Self::Nginx => EntryPoint::Nginx,
            Self::Traefik => EntryPoint::Traefik,
        }
    }
}

/// Exactly 200, nothing in the body, and the identity in headers: every gateway understands it.
fn allow(grant: &Grant) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.headers_mut() = grant.decision.headers.clone();
    response
}

/// The status of a denial, with its challenge.
fn refuse(denial: &Denial, denial_config: &DenialConfig) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status(denial, denial_config);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    if let Some(challenge) = challenge(denial, &denial_config.realm) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn status(denial: &Denial, denial_config: &DenialConfig) -> StatusCode {
    match denial.code.class() {
        Class::NoCredentials => denial_config.missing_credentials,
        Class::BadCredentials => StatusCode::UNAUTHORIZED,
        Class::NotEnough | Class::Misconfigured => StatusCode::FORBIDDEN,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The error codes of RFC 6750, section 3.1. A request without credentials gets none.
fn error_code(denial: &Denial) -> Option<&'static str> {
    match denial.code.class() {
        Class::NoCredentials | Class::Misconfigured | Class::Unavailable => None,
        Class::BadCredentials => Some("invalid_token"),
        Class::NotEnough => Some("insufficient_scope"),
    }
}

/// The challenge of a denial (RFC 6750, section 3); none where credentials would not help.
fn challenge(denial: &Denial, realm: &str) -> Option<HeaderValue> {
    if matches!(denial.code.class(), Class::Misconfigured | Class::Unavailable) {
        return None;
    }
    let mut parameters = vec![format!("realm=\"{realm}\"")];
    if let Some(error) = error_code(denial) {
        parameters.push(format!("error=\"{error}\""));
        parameters.push(format!("error_description=\"{}\"", denial.code.description()));
    }
    parameters.extend(denial.scopes.iter().map(|scopes| format!("scope=\"{scopes}\"")));
    HeaderValue::from_str(&format!("Bearer {}", parameters.join(", "))).ok()
}

/// A denial as a JSON body, for gateways that show it to the client.
fn with_body(mut response: Response<Full<Bytes>>, denial: &Denial) -> Response<Full<Bytes>> {
    let error = error_code(denial).unwrap_or(denial.code.as_str());
    // Both are fixed words without quotes, so there is nothing to escape.
    let body = format!(
        "{{\"error\":\"{error}\",\"error_description\":\"{}\"}}\n",
        denial.code.description()
    );
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    *response.body_mut() = Full::new(Bytes::from(body));
    response
}
