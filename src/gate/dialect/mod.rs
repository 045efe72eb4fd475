//! The dialects: the way in which each gateway asks, and the answers that it understands.
//!
//! A dialect is chosen by the path that the operator configured, and never guessed from headers,
//! which clients can send too. It is one thin file: it says where a gateway describes the client's
//! request, and whether the client gets to see our answer. [`Endpoint::read`] turns a request into
//! an [`Inquiry`], [`Dialect::render`] turns a [`Verdict`] into a response. Judging happens between.

mod caddy;
mod challenge;
mod envoy;
mod haproxy;
mod ingress;
mod nginx;
mod traefik;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;

use challenge::{challenge, error_code};

use super::browser;
use super::client_certificate::{CertificateForm, ToldCertificates};
use super::denial::{Class, Denial};
use super::inquiry::Inquiry;
use super::metrics::EntryPoint;
use super::requester::Origin;
use super::requirement;
use super::verdict::{Grant, Verdict};
use crate::policy::canonical::Told;
use crate::policy::canonical::headers::Family;
use crate::wire::fields::FieldValue;
use crate::wire::known_fields::KnownField;
use crate::wire::request_head::RequestHead;

/// The gateways that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// nginx's `auth_request`.
    Nginx,
    /// ingress-nginx' `auth-url`.
    Ingress,
    /// Traefik's `forwardAuth`.
    Traefik,
    /// Caddy's `forward_auth`.
    Caddy,
    /// HAProxy with a script in Lua.
    HaProxy,
    /// Envoy's `ext_authz` over HTTP.
    Envoy,
}

/// The ways of one kind of gateway.
#[derive(Debug)]
struct Gateway {
    /// Its name, in paths, logs and metrics.
    name: &'static str,
    entry_point: EntryPoint,
    /// The headers in which it describes the client's request.
    family: &'static Family,
    /// The place of the operator's demands in the address.
    demands: Demands,
    /// The form in which it hands over the certificate that a client showed.
    certificate: CertificateForm,
    /// True where it appends the client's path to the address.
    appends_path: bool,
    /// True where it hands our answer to the client, so that a denial is written for his eyes.
    shows_answer: bool,
}

/// The place of the operator's demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demands {
    /// In the query, which this kind of gateway never takes from the client.
    Query,
    /// Behind a comma in the path. The query may be the client's, and is not read.
    Path,
}

/// A dialect, and what the path of the address says besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'p> {
    /// The dialect.
    pub dialect: Dialect,
    /// The demands in the path.
    demands: Option<&'p str>,
    /// The length of the client's path, which ends the path.
    appended: usize,
}

/// The operator's settings for denials.
#[derive(Clone, Debug)]
pub struct DenialConfig {
    /// The status where there are no credentials: 401, or jwthenticator's 403.
    pub missing_credentials: StatusCode,
    /// The protection space that challenges name (RFC 7235, section 2.2).
    pub realm: String,
    /// True where names and passwords are accepted, so that challenges say so.
    pub accepts_basic: bool,
}

/// The path, below the prefix, at which nginx asks; the others ask below it, by their names.
const PATH: &str = "/validate_request";
/// The host of the gateway's own request.
const OWN_HOST: KnownField = KnownField::of("host");

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nginx, Self::Ingress, Self::Traefik, Self::Caddy, Self::HaProxy, Self::Envoy];

    fn gateway(self) -> &'static Gateway {
        match self {
            Self::Nginx => &nginx::GATEWAY,
            Self::Ingress => &ingress::GATEWAY,
            Self::Traefik => &traefik::GATEWAY,
            Self::Caddy => &caddy::GATEWAY,
            Self::HaProxy => &haproxy::GATEWAY,
            Self::Envoy => &envoy::GATEWAY,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.gateway().name
    }

    /// The dialect of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The path, below the prefix, at which a gateway of this kind asks.
    pub fn path(self) -> String {
        match self {
            Self::Nginx => PATH.to_owned(),
            other => format!("{PATH}/{}", other.name()),
        }
    }

    /// The address, below the prefix, that demands these scopes.
    pub fn address(self, scopes: &[String]) -> String {
        let mut demands = form_urlencoded::Serializer::new(String::new());
        demands.extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
        let (path, demands) = (self.path(), demands.finish());
        match self.gateway().demands {
            _ if demands.is_empty() => path,
            Demands::Query => format!("{path}?{demands}"),
            Demands::Path => format!("{path},{demands}"),
        }
    }

    /// Returns whether a gateway of this kind appends the client's path to the address.
    pub fn appends_path(self) -> bool {
        self.gateway().appends_path
    }

    /// Returns whether a gateway of this kind hands a denial to the client as it is.
    pub(super) fn shows_answer(self) -> bool {
        self.gateway().shows_answer
    }

    /// The headers in which a gateway of this kind describes the client's request.
    pub fn family(self) -> &'static Family {
        self.gateway().family
    }

    /// The form in which a gateway of this kind hands over a client's certificate.
    pub(super) fn certificate_form(self) -> CertificateForm {
        self.gateway().certificate
    }

    /// The question that a gateway of this kind asks about such a request of a client, at the
    /// address that demands these scopes. The client's headers are not in it.
    ///
    /// # Errors
    /// [`http::Error`], where a part cannot stand in a request.
    pub fn question(self, told: &Told<'_>, scopes: &[String]) -> http::Result<Request<()>> {
        let (gateway, family) = (self.gateway(), self.family());
        let appended = told.target.filter(|_| gateway.appends_path);
        let own = |part, header: Option<_>| if header.is_none() { part } else { None };
        let method = own(told.method, family.method).unwrap_or("GET");
        let mut question = Request::builder()
            .method(method)
            .uri(self.address(scopes) + appended.unwrap_or_default());
        // A gateway that tells no host of its own tells the whole address, or makes it its own.
        let url = |target| Some(format!("{}://{}{target}", told.scheme?, told.host?));
        let target = match (family.target, family.host) {
            (Some(_), None) => told.target.and_then(url).map(Cow::Owned),
            _ => told.target.map(Cow::Borrowed),
        };
        let host = own(told.host, family.host).filter(|_| gateway.appends_path);
        for (field, value) in [
            (family.method, told.method),
            (family.scheme, told.scheme),
            (family.host, told.host),
            (family.target, target.as_deref()),
            (Some(OWN_HOST), host),
        ] {
            if let Some((field, value)) = field.zip(value) {
                question = question.header(field.name(), value);
            }
        }
        question.body(())
    }

    /// Reads the question of a gateway whose address demands nothing.
    pub fn read(self, request: &Parts) -> Inquiry<'_> {
        Endpoint { dialect: self, demands: None, appended: 0 }.read(&request.into())
    }

    /// The answer in the gateway's language.
    pub fn render(self, verdict: &Verdict, denial_config: &DenialConfig) -> Response<Full<Bytes>> {
        match verdict {
            Verdict::Allow(grant) => allow(grant),
            Verdict::Deny(denial) if self.gateway().shows_answer => show(denial, denial_config),
            Verdict::Deny(denial) => {
                let mut response = refuse(denial, denial_config);
                // nginx relays no 429: it would make 500 of it, and a line in its error log.
                if denial.code.class() == Class::TooMany {
                    *response.status_mut() = StatusCode::FORBIDDEN;
                }
                response
            }
        }
    }

    /// The answer that leads a browser to the login page: a redirect where the client gets to see it,
    /// else a 401 with the address, which the gateway's configuration makes one of.
    pub(super) fn redirect(
        self,
        denial: &Denial,
        location: HeaderValue,
        denial_config: &DenialConfig,
    ) -> Response<Full<Bytes>> {
        let mut response = refuse(denial, denial_config);
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        if self.gateway().shows_answer {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().remove(WWW_AUTHENTICATE);
        }
        response.headers_mut().insert(LOCATION, location);
        response.headers_mut().insert(VARY, browser::VARY);
        response
    }

    /// The entry point, for logs and metrics.
    pub fn entry_point(self) -> EntryPoint {
        self.gateway().entry_point
    }
}

impl<'p> Endpoint<'p> {
    /// The endpoint at `path`, below the prefix and to the letter.
    pub fn at(path: &'p str) -> Option<Self> {
        let below = path.strip_prefix(PATH)?;
        if below.is_empty() {
            return Some(Self { dialect: Dialect::Nginx, demands: None, appended: 0 });
        }
        let below = below.strip_prefix('/')?;
        let end = below.find('/').unwrap_or(below.len());
        let (own, appended) = below.split_at(end);
        let (name, demands) = match own.split_once(',') {
            Some((name, demands)) => (name, Some(demands)),
            None => (own, None),
        };
        let dialect = Dialect::named(name).filter(|dialect| *dialect != Dialect::Nginx)?;
        let gateway = dialect.gateway();
        let is_right = (demands.is_none() || gateway.demands == Demands::Path)
            && appended.is_empty() != gateway.appends_path;
        is_right.then_some(Self { dialect, demands, appended: appended.len() })
    }

    /// Reads the gateway's question.
    pub fn read<'r>(&self, request: &RequestHead<'r>) -> Inquiry<'r> {
        let gateway = self.dialect.gateway();
        let demands = match gateway.demands {
            Demands::Query => request.query(),
            Demands::Path => self.demands,
        };
        Inquiry {
            headers: request.fields,
            requirement: requirement::from_query(demands),
            family: Some(gateway.family),
            line: if gateway.appends_path { self.line(request) } else { Told::default() },
            gateway: None,
            origin: Origin::of_connection(0),
            certificates: ToldCertificates::default(),
        }
    }

    /// The client's request line, where the gateway makes it its own, below the address.
    fn line<'r>(&self, request: &RequestHead<'r>) -> Told<'r> {
        let host = request.fields.known(OWN_HOST).and_then(FieldValue::to_str);
        let start = request.path().len() - self.appended;
        Told {
            method: Some(request.method),
            host: host.or(request.authority),
            target: request.target.get(start..),
            ..Told::default()
        }
    }
}

/// Exactly 200, nothing in the body, and the identity in headers: every gateway understands it.
fn allow(grant: &Grant) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.headers_mut() = grant.headers();
    response
}

/// The status of a denial, with its challenge.
fn refuse(denial: &Denial, denial_config: &DenialConfig) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status(denial, denial_config);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    if let Some(seconds) = denial.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if let Some(challenge) = challenge(denial, denial_config) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn status(denial: &Denial, denial_config: &DenialConfig) -> StatusCode {
    match denial.code.class() {
        Class::NoCredentials => denial_config.missing_credentials,
        Class::BadCredentials | Class::BadProof | Class::LoginAgain => StatusCode::UNAUTHORIZED,
        Class::NotEnough | Class::Refused | Class::Misconfigured => StatusCode::FORBIDDEN,
        Class::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
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

/// A denial for the client's eyes: with a body, and with the time after which asking again may help.
fn show(denial: &Denial, denial_config: &DenialConfig) -> Response<Full<Bytes>> {
    let mut response = with_body(refuse(denial, denial_config), denial);
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests;
