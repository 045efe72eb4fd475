//! The gate over HTTP: its routes, its access log, and all that its answers have in common.

mod answers;
mod head;
mod record;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use tracing::warn;

pub use super::access_log::AccessLog;
pub use answers::health;
use answers::{Answer, json, plain, wrong_method};

use super::browser::{LoginPage, NotRedirected};
use super::client_certificate::ToldCertificates;
use super::denial::{Class, Denial, DenialCode};
use super::dialect::{DenialConfig, Dialect, Endpoint};
use super::gateway_proof::{GatewayProof, Peer};
use super::grpc_denial::{self, is_call};
use super::inquiry::{Inquiry, truncated};
use super::metrics::{EntryPoint, GateMetrics};
use super::open::{Document, OpenPaths};
use super::requester::Origin;
use super::requirement;
use super::verdict::Verdict;
use super::{Gate, Readiness, jwthenticator};
use crate::clock::Clock;
use crate::secret::Random;
use crate::secret::pseudonym::Pseudonyms;
use crate::store::invalidation::InvalidationState;
use crate::token::SigningRing;
use crate::wire::body::Bodies;
use crate::wire::fields::Fields;
use crate::wire::known_fields::KnownField;
use crate::wire::networks::Networks;
use crate::wire::request_head::RequestHead;
use crate::wire::warning_throttle::WarningThrottle;
use crate::wire::{BodyRead, may_be_forward_auth};

/// The name of the field of a request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static(KnownField::REQUEST_ID.name());

/// The operator's settings for the service.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The settings for denials.
    pub denial_config: DenialConfig,
    /// The prefix of every path; empty, or starting with a slash.
    pub prefix: String,
    /// The answers that are logged.
    pub access_log: AccessLog,
    /// The hashes that the log has in place of names and addresses.
    pub pseudonyms: Pseudonyms,
    /// The paths that are open to anybody.
    pub open: OpenPaths,
    /// The networks of gateways that are trusted to name the client without a proof of their own.
    pub gateways: Networks,
    /// The keys that `/jwks` publishes. Keys of other issuers are not published here.
    pub own_keys: Arc<SigningRing>,
    /// The clock that decides which of them are published.
    pub clock: Arc<dyn Clock>,
    /// The page that browsers are led to, where there is one.
    pub login_page: Option<Arc<LoginPage>>,
    /// The proof that a gateway owes.
    pub proof: GatewayProof,
    /// The header in which gateways hand over a client's certificate, if they do. Never `X-Request-Id`: heads that differ in
    /// nothing else are judged as one.
    pub client_certificate_header: Option<HeaderName>,
    /// The state of the invalidation, by which changes of others in the store become known.
    pub invalidation: Arc<InvalidationState>,
}

/// The gate as a web service.
#[derive(Debug)]
pub struct GateService {
    gate: Gate,
    pub(super) config: ServiceConfig,
    metrics: GateMetrics,
    random: Arc<dyn Random>,
    warning_throttle: WarningThrottle,
    bodies: Bodies,
}

impl GateService {
    /// A service for `gate`, with these settings.
    pub fn new(
        gate: Gate,
        config: ServiceConfig,
        metrics: GateMetrics,
        random: Arc<dyn Random>,
    ) -> Self {
        let (warning_throttle, bodies) =
            (WarningThrottle::default(), Bodies::new(config.gateways.clone()));
        Self { gate, config, metrics, random, warning_throttle, bodies }
    }

    /// The gate that judges.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Renders a verdict as an answer of this dialect, counts it and logs it.
    pub(super) fn conclude(
        &self,
        dialect: Dialect,
        entry_point: EntryPoint,
        peer: Option<IpAddr>,
        inquiry: &Inquiry<'_>,
        verdict: &Verdict,
    ) -> Answer {
        let response = self.render(dialect, inquiry, verdict);
        self.recorded(entry_point, peer, inquiry, verdict, response)
    }

    /// Answers one request that came from `peer`.
    pub async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Answer {
        let (request, body) = request.into_parts();
        let head = RequestHead::from(&request);
        if let Some(endpoint) = self.endpoint(&head) {
            return self.answer_inquiry(endpoint, peer, &head).await;
        }
        let path = head.path().strip_prefix(self.config.prefix.as_str());
        // Boxed, as is all that waits for something: an answer from memory stays small.
        Box::pin(self.answer_elsewhere(path, peer, &request, body)).await
    }

    /// Answers at a path where no gateway should ask. Only a good token in a body is a 200 here,
    /// and a path that the operator opened.
    async fn answer_elsewhere(
        &self,
        path: Option<&str>,
        peer: Peer,
        request: &Parts,
        body: Incoming,
    ) -> Answer {
        if let Some(refusal) = self.refuse_wrong_path(peer.address, request, "gate") {
            return refusal;
        }
        match path.map(|path| (path, self.config.open.at(path))) {
            Some(("/validate", _)) if request.method == Method::POST => {
                self.validate(peer, request, body).await
            }
            Some(("/validate", _)) => wrong_method("POST"),
            Some((_, Some(document))) if is_get_or_head(request) => {
                self.serve_document(document).await
            }
            Some((_, Some(_))) => wrong_method("GET, HEAD"),
            Some((_, None)) | None => {
                self.warn_wrong_path(request, "gate");
                plain(StatusCode::NOT_FOUND, "404: Not Found")
            }
        }
    }

    async fn serve_document(&self, document: Document) -> Answer {
        match document {
            Document::Health => health(),
            Document::Readiness => self.ready().await,
            Document::Keys => {
                let keys = self.config.own_keys.key_set_json(self.config.clock.now());
                json(StatusCode::OK, keys.to_string())
            }
        }
    }

    /// Refuses a gateway's question at a path where nothing is judged, on any listener: 403, and
    /// the log says where to ask. `None` where the request is no gateway's question.
    pub fn refuse_wrong_path(
        &self,
        peer: Option<IpAddr>,
        request: &Parts,
        listener: &'static str,
    ) -> Option<Answer> {
        if !may_be_forward_auth(&request.headers) {
            return None;
        }
        self.warn_wrong_path(request, listener);
        let headers = &request.headers;
        let inquiry = Inquiry::plain(headers, Origin::of_connection(0));
        let verdict = Verdict::Deny(Denial::from(DenialCode::WrongPath));
        // With a body: gateways that do not show it to the client ignore it.
        Some(self.conclude(Dialect::Traefik, EntryPoint::Elsewhere, peer, &inquiry, &verdict))
    }

    /// Warns the operator, not for every request, and names the paths at which the gate answers
    /// gateways.
    fn warn_wrong_path(&self, request: &Parts, listener: &'static str) {
        if !self.warning_throttle.is_due() {
            return;
        }
        let path = truncated(request.uri.path());
        let at = |dialect: Dialect| format!("{}{}", self.config.prefix, dialect.path());
        let others =
            Dialect::ALL.iter().skip(1).map(|other| format!("{} ({})", at(*other), other.name()));
        let (nginx, others) = (at(Dialect::Nginx), others.collect::<Vec<_>>().join(", "));
        warn!(
            listener,
            path,
            "no question of a gateway is answered at this path, so nobody gets in by it; it asks on the \
             gate's own listener, at {nginx} (nginx), {others}"
        );
    }

    /// Answers a gateway's question.
    async fn answer_inquiry(
        &self,
        endpoint: Endpoint<'_>,
        peer: Peer,
        request: &RequestHead<'_>,
    ) -> Answer {
        let dialect = endpoint.dialect;
        let mut inquiry = endpoint.read(request);
        let verdict = self.judge(dialect, peer, request, &mut inquiry).await;
        self.concluded(dialect, peer, request, &inquiry, &verdict)
    }

    /// Renders and records the answer to a gateway's question over HTTP.
    fn concluded(
        &self,
        dialect: Dialect,
        peer: Peer,
        request: &RequestHead<'_>,
        inquiry: &Inquiry<'_>,
        verdict: &Verdict,
    ) -> Answer {
        let mut response = self.render(dialect, inquiry, verdict);
        if request.method == Method::HEAD.as_str() && response.body().is_end_stream() {
            // hyper leaves it out here, and some gateways wait for a body without it.
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        self.recorded(dialect.entry_point(), peer.address, inquiry, verdict, response)
    }

    /// Judges a gateway's question; adds to it what is known of its sender.
    async fn judge<'r>(
        &'r self,
        dialect: Dialect,
        peer: Peer,
        request: &RequestHead<'_>,
        inquiry: &mut Inquiry<'r>,
    ) -> Verdict {
        match self.refuse_stranger(dialect, peer, inquiry) {
            Some(refusal) => refusal,
            None => warned(self.gate.check(inquiry).await, request),
        }
    }

    /// The same, where nothing has to be waited for; else `None`.
    fn judge_now<'r>(
        &'r self,
        dialect: Dialect,
        peer: Peer,
        request: &RequestHead<'_>,
        inquiry: &mut Inquiry<'r>,
    ) -> Option<Verdict> {
        match self.refuse_stranger(dialect, peer, inquiry) {
            Some(refusal) => Some(refusal),
            None => Some(warned(self.gate.check_now(inquiry)?, request)),
        }
    }

    /// Adds to a question what is known of its sender; refuses it where he owes a proof to be a gateway.
    fn refuse_stranger<'r>(
        &'r self,
        dialect: Dialect,
        peer: Peer,
        inquiry: &mut Inquiry<'r>,
    ) -> Option<Verdict> {
        let (proof, headers) = (&self.config.proof, inquiry.headers);
        let is_proven = proof.proves(peer, headers);
        inquiry.gateway = peer.address;
        // Whoever proved to be a gateway need not be listed as one.
        let (gateways, unproven) = (&self.config.gateways, peer.address.filter(|_| !is_proven));
        inquiry.origin =
            Origin::of_connection(peer.connection).told_by(gateways, unproven, headers);
        if self.gate.needs_client() {
            inquiry.line.client = inquiry.origin.client();
        }
        if is_proven {
            inquiry.certificates = self.told_certificates(dialect, peer.is_certified, headers);
        }
        let is_heard = is_proven || !proof.is_demanded();
        (!is_heard).then(|| Verdict::Deny(DenialCode::UnknownGateway.into()))
    }

    /// The certificates that a proven gateway tells of.
    pub fn told_certificates(
        &self,
        dialect: Dialect,
        is_gateway_certified: bool,
        headers: Fields<'_>,
    ) -> ToldCertificates {
        let header = self.config.client_certificate_header.as_ref();
        let read = |header| dialect.certificate_form().read(headers, header);
        ToldCertificates { is_gateway_certified, client: header.map_or(Ok(None), read) }
    }

    /// The answer in the gateway's language; a browser that may log in is led to the login page.
    pub fn render(&self, dialect: Dialect, inquiry: &Inquiry<'_>, verdict: &Verdict) -> Answer {
        let denial_config = &self.config.denial_config;
        match (verdict, self.redirect(inquiry, verdict)) {
            (Verdict::Deny(denial), Some(Ok(location))) => {
                dialect.redirect(denial, location, denial_config)
            }
            (Verdict::Deny(denial), _) if dialect.shows_answer() && is_call(inquiry.headers) => {
                grpc_denial::describe(dialect.render(verdict, denial_config), denial)
            }
            _ => dialect.render(verdict, denial_config),
        }
    }

    /// The address of the login page to which a denial leads, or the reason why it does not; `None`
    /// where there is no denial, or no login page.
    pub fn redirect(
        &self,
        inquiry: &Inquiry<'_>,
        verdict: &Verdict,
    ) -> Option<Result<HeaderValue, NotRedirected>> {
        let (Verdict::Deny(denial), Some(page)) = (verdict, &self.config.login_page) else {
            return None;
        };
        Some(page.location(inquiry, denial, self.config.clock.now()))
    }

    /// jwthenticator's `POST /validate`.
    async fn validate(&self, peer: Peer, request: &Parts, body: Incoming) -> Answer {
        let body = match self.bodies.read(peer.address, body).await {
            Ok(body) => body,
            Err(status) => return json(status, jwthenticator::BAD.to_owned()),
        };
        let mut response = match jwthenticator::read(&body) {
            Ok(token) => self.validate_token(peer, request, &token).await,
            Err((status, body)) => json(status, body),
        };
        response.extensions_mut().insert(BodyRead);
        response
    }

    async fn validate_token(&self, peer: Peer, request: &Parts, token: &str) -> Answer {
        let mut headers = HeaderMap::new();
        match HeaderValue::from_str(&format!("Bearer {token}")) {
            Ok(value) => headers.insert(http::header::AUTHORIZATION, value),
            Err(_) => return json(StatusCode::UNAUTHORIZED, jwthenticator::BAD.to_owned()),
        };
        if let Some(id) = request.headers.get(REQUEST_ID) {
            headers.insert(REQUEST_ID, id.clone());
        }
        let inquiry = Inquiry::plain(&headers, Origin::of_connection(peer.connection));
        let verdict = self.gate.check(&inquiry).await;
        let (status, body) = match &verdict {
            Verdict::Allow(_) => (StatusCode::OK, jwthenticator::GOOD),
            Verdict::Deny(denial) if denial.code.class() == Class::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, jwthenticator::BAD)
            }
            Verdict::Deny(_) => (StatusCode::UNAUTHORIZED, jwthenticator::BAD),
        };
        let response = json(status, body.to_owned());
        self.recorded(EntryPoint::Validate, peer.address, &inquiry, &verdict, response)
    }

    /// The readiness: the store answers, and every issuer has keys. Beside that, the way in which
    /// changes by others invalidate the cache.
    pub async fn ready(&self) -> Answer {
        let Readiness { store, keys } = self.gate.readiness().await;
        let word = |good| if good { "ok" } else { "unavailable" };
        let body = format!(
            "{{\"ready\":{},\"store\":\"{}\",\"keys\":\"{}\",\"invalidation\":\"{}\"}}\n",
            store && keys,
            word(store),
            word(keys),
            self.config.invalidation.mode(),
        );
        let status = if store && keys { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, body)
    }
}

/// The same verdict; warns the operator where the gateway's address demands what nobody knows.
fn warned(verdict: Verdict, request: &RequestHead<'_>) -> Verdict {
    if verdict.denied() == Some(DenialCode::UnknownRequirement) {
        // Not the query: a client's own query, with a credential in it, may have got there.
        let parameter = requirement::misread(request.query());
        warn!(parameter, "the gateway's address asks for something else than ?scope=...");
    }
    verdict
}

fn is_get_or_head(request: &Parts) -> bool {
    matches!(request.method, Method::GET | Method::HEAD)
}
