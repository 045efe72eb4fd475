//! Issuance over HTTP: one endpoint a file, all routes in `router.rs`, one way to say no in
//! `reply.rs`.
//!
//! A body is read whole before any route sees it, within bounds of size and time, so that no
//! client holds a connection open by sending slowly. From then on a request runs in a task of its
//! own, to its end.

mod account;
mod admin_account;
mod admin_keys;
mod admin_users;
mod audit;
mod cookies;
mod cors;
mod csrf;
mod discovery;
mod document;
mod form;
mod internal;
mod json_body;
mod jwthenticator;
mod keys;
mod pages;
pub mod paths;
mod permissions;
mod reply;
mod revoke;
mod roles;
mod router;
mod rules;
mod sessions;
mod sign_up;
mod ticket;
mod token;
mod user_view;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tower::ServiceExt as _;

pub use cors::{CorsConfig, is_allowed};
pub use internal::InternalConfig;
pub use pages::Pages;
pub use token::API_KEY_GRANT;

use super::Issuance;
use super::caller::Caller;
use crate::opaque::CookiePair;
use crate::policy::ReadOnlyRoles;
use crate::secret::Secret;
use crate::wire::BodyRead;
use crate::wire::body::Bodies;
use crate::wire::networks::Networks;
use crate::wire::security_headers::SecurityHeaders;

/// Configuration of the routes.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// The issuer's URL as clients see it, before its paths, without a slash at its end.
    pub public_url: String,
    /// The path of the token endpoint.
    pub token_path: String,
    /// The cookies that logins set, if any.
    pub cookies: Option<CookiePair>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// The administrator's token.
    pub admin_token: Option<Secret>,
    /// Callers that the internal listener lets through without it.
    pub internal: InternalConfig,
    /// The scheme of the internal listener: `http` or `https`.
    pub internal_scheme: &'static str,
    /// The scheme of the gate's listener.
    pub gate_scheme: &'static str,
    /// True if jwthenticator's external routes are not there.
    pub disable_external: bool,
    /// True if jwthenticator's internal routes are not there.
    pub disable_internal: bool,
    /// The paths of the document and its pages.
    pub pages: Pages,
    /// The other origins whose pages may call.
    pub cors: Option<CorsConfig>,
    /// The roles whose users may only read.
    pub read_only: ReadOnlyRoles,
}

/// Issuance as a web service.
#[derive(Debug)]
pub struct Web {
    issuance: Arc<Issuance>,
    config: WebConfig,
}

/// A listener's routes, ready to answer.
#[derive(Clone, Debug)]
pub struct Routes {
    web: Arc<Web>,
    router: Router,
    bodies: Bodies,
    /// True for the listener that browsers reach by PUBLIC_URL.
    is_public: bool,
}

impl Web {
    /// The routes of `issuance`, with this configuration.
    pub fn new(issuance: Arc<Issuance>, config: WebConfig) -> Arc<Self> {
        Arc::new(Self { issuance, config })
    }

    /// Those for applications and people, behind the gateway.
    pub fn public(self: &Arc<Self>) -> Routes {
        self.routes(router::public(self), true)
    }

    /// Those for other services of this host, and for administrators.
    pub fn internal(self: &Arc<Self>) -> Routes {
        self.routes(router::internal(self), false)
    }

    fn routes(self: &Arc<Self>, router: Router, is_public: bool) -> Routes {
        let bodies = Bodies::new(self.config.trusted_proxies.clone());
        Routes { web: Arc::clone(self), router, bodies, is_public }
    }
}

impl Routes {
    /// True for the two routes that the gate answers on this listener, for
    /// jwthenticator's clients.
    pub fn is_gate_route(&self, path: &str) -> bool {
        !self.web.config.disable_external
            && [paths::VALIDATE, paths::VALIDATE_REQUEST].contains(&path)
    }

    /// Answers one request that came from `peer`; `None` is a peer on a unix socket.
    pub async fn answer(
        &self,
        peer: Option<IpAddr>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let mut response = self.respond(peer, request).await;
        let is_https = self.is_public && self.web.config.public_url.starts_with("https://");
        SecurityHeaders { is_https }.add(&mut response);
        response
    }

    async fn respond(
        &self,
        peer: Option<IpAddr>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let (mut head, body) = request.into_parts();
        // Whoever reads one of two has another opinion than whoever reads the other (RFC 9112,
        // section 3.2).
        if head.headers.get_all(HOST).iter().count() > 1 {
            return empty(StatusCode::BAD_REQUEST);
        }
        // HTTP/2 has the host in the address alone.
        if let Some(host) = head.uri.authority().map(|it| HeaderValue::from_str(it.as_str())) {
            let Ok(host) = host else { return empty(StatusCode::BAD_REQUEST) };
            head.headers.entry(HOST).or_insert(host);
        }
        let body = match self.bodies.read(peer, body).await {
            Ok(body) => body,
            Err(status) => return empty(status),
        };
        if head.uri.path() == self.web.config.token_path {
            head.uri = Uri::from_static(paths::TOKEN);
        } else if head.uri.path() == paths::TOKEN {
            return empty(StatusCode::NOT_FOUND);
        }
        let address = self.web.config.trusted_proxies.client(peer, &head.headers);
        let caller = Caller::new(address, &head.headers);
        head.extensions.insert(caller);
        let response = self.route(Request::from_parts(head, Body::from(body))).await;
        let (mut head, body) = response.into_parts();
        let Ok(body) = body.collect().await else {
            return empty(StatusCode::INTERNAL_SERVER_ERROR);
        };
        head.extensions.insert(BodyRead);
        Response::from_parts(head, Full::new(body.to_bytes()))
    }

    async fn route(&self, request: Request<Body>) -> Response<Body> {
        let tasks = self.web.issuance.tasks();
        let is_safe = request.method().is_safe();
        let answering = self.router.clone().oneshot(request);
        let answer =
            if is_safe { tasks.run_safe(answering).await } else { tasks.run(answering).await };
        match answer {
            Ok(Ok(response)) => response,
            Err(error) => error.into_response(),
        }
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
