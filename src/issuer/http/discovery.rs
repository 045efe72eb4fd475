//! Discovery: the server's metadata (RFC 8414), its keys, its health.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use serde_json::json;
use url::Url;
use utoipa::ToSchema;

use super::reply::{json as reply, not_found, text_of_json};
use super::token::GRANTS;
use super::{Web, paths};
use crate::token::algorithm;

/// Authorization Server Metadata (RFC 8414, section 2).
#[derive(Serialize, ToSchema)]
pub(super) struct Metadata {
    /// The name of this server, to the letter the `iss` of its tokens.
    issuer: String,
    /// The token endpoint.
    token_endpoint: String,
    /// The revocation endpoint (RFC 7009).
    revocation_endpoint: String,
    /// The introspection endpoint (RFC 7662).
    introspection_endpoint: String,
    /// The URL of the public keys.
    jwks_uri: String,
    /// None: nobody logs in here by a browser's redirection.
    response_types_supported: Vec<&'static str>,
    /// The grants.
    grant_types_supported: Vec<&'static str>,
    /// The ways in which clients may authenticate.
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// The algorithms by which they may sign assertions.
    token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// The ways, at the revocation endpoint.
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// The algorithms, there.
    revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// The ways, at the introspection endpoint.
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    /// The algorithms, there.
    introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// The scopes that exist, where AUTH_SCOPES lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes_supported: Option<Vec<String>>,
    /// The page about this API.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_documentation: Option<String>,
}

const WITH_SECRET: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

impl Metadata {
    fn of(web: &Web) -> Self {
        let base = &web.config.public_url;
        let at = |path: &str| format!("{base}{path}");
        let algorithms = || {
            let asymmetric = algorithm::all().filter(|name| !algorithm::is_symmetric(*name));
            asymmetric.map(algorithm::name).collect()
        };
        let with_none = || WITH_SECRET.into_iter().chain(["none"]).collect();
        Self {
            issuer: web.issuance.policy().iss.clone(),
            token_endpoint: at(&web.config.token_path),
            revocation_endpoint: at(paths::REVOKE),
            introspection_endpoint: at(paths::INTROSPECT),
            jwks_uri: at(paths::JWKS),
            response_types_supported: Vec::new(),
            grant_types_supported: GRANTS.to_vec(),
            token_endpoint_auth_methods_supported: with_none(),
            token_endpoint_auth_signing_alg_values_supported: algorithms(),
            revocation_endpoint_auth_methods_supported: with_none(),
            revocation_endpoint_auth_signing_alg_values_supported: algorithms(),
            introspection_endpoint_auth_signing_alg_values_supported: algorithms(),
            introspection_endpoint_auth_methods_supported: WITH_SECRET.to_vec(),
            scopes_supported: web.issuance.policy().scopes.clone(),
            service_documentation: web.config.pages.docs.as_deref().map(at),
        }
    }
}

/// Get the metadata of this server
///
/// For an issuer whose URL has a path, the same with that path behind it (RFC 8414, section 3.1).
#[utoipa::path(
    get, path = paths::METADATA, tag = "Discovery",
    responses((status = 200, description = "Authorization Server Metadata (RFC 8414)", body = Metadata)),
)]
pub(super) async fn metadata(State(web): State<Arc<Web>>) -> Response {
    let mut response = reply(StatusCode::OK, &Metadata::of(&web));
    keep_for_minutes(&mut response);
    response
}

/// The same, where an issuer has the path `/tenant`: at that path and nowhere else below it.
pub(super) async fn metadata_of_path(
    State(web): State<Arc<Web>>,
    Path(path): Path<String>,
) -> Response {
    let issuer = Url::parse(&web.issuance.policy().iss).ok();
    let own = issuer.as_ref().map(|issuer| issuer.path().trim_matches('/'));
    if own.is_some_and(|own| !own.is_empty() && own == path) {
        metadata(State(web)).await
    } else {
        not_found().await
    }
}

/// Get the public keys
#[utoipa::path(
    get, path = paths::JWKS, tag = "Discovery",
    responses((status = 200, description = "A JWK Set (RFC 7517)", body = serde_json::Value)),
)]
pub(super) async fn jwks(State(web): State<Arc<Web>>) -> Response {
    let keys = web.issuance.signers.key_set_json(web.issuance.clock.now());
    let mut response = text_of_json(StatusCode::OK, keys.to_string());
    keep_for_minutes(&mut response);
    response
}

/// Long enough to matter, shorter than a new key is published ahead of its use.
fn keep_for_minutes(response: &mut Response) {
    let value = http::HeaderValue::from_static("public, max-age=300");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, value);
    headers.remove(http::header::PRAGMA);
}

/// Say that the process lives
#[utoipa::path(
    get, path = paths::HEALTH, tag = "Health",
    responses((status = 200, description = "It does", body = serde_json::Value)),
)]
pub(super) async fn health() -> Response {
    text_of_json(StatusCode::OK, "{\"result\": true, \"message\": null}".to_owned())
}

/// Say whether all stores answer, at tp-auth's path
#[utoipa::path(
    get, path = paths::HEALTHCHECK, tag = "Health",
    responses(
        (status = 200, description = "All stores answer", body = serde_json::Value),
        (status = 503, description = "One of them does not", body = serde_json::Value),
    ),
)]
pub(super) async fn healthcheck(State(web): State<Arc<Web>>) -> Response {
    let readiness = web.readiness().await;
    let status = readiness.status();
    reply(status, &json!({ "status": status.as_u16() }))
}

/// Say whether tokens can be issued
#[utoipa::path(
    get, path = paths::READY, tag = "Health",
    responses(
        (status = 200, description = "All stores answer", body = Readiness),
        (status = 503, description = "One of them does not", body = Readiness),
    ),
)]
pub(super) async fn ready(State(web): State<Arc<Web>>) -> Response {
    let readiness = web.readiness().await;
    reply(readiness.status(), &readiness)
}

/// State of the stores.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// True if all stores answer.
    ready: bool,
    /// `ok` or `unavailable`.
    sessions: &'static str,
    /// `ok` or `unavailable`.
    accounts: &'static str,
    /// `ok` or `unavailable`.
    limits: &'static str,
}

impl Readiness {
    fn status(&self) -> StatusCode {
        if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }
}

impl Web {
    async fn readiness(&self) -> Readiness {
        let word = |good| if good { "ok" } else { "unavailable" };
        let (sessions, accounts, limits) = self.issuance.readiness.probe().await;
        Readiness {
            ready: sessions && accounts && limits,
            sessions: word(sessions),
            accounts: word(accounts),
            limits: word(limits),
        }
    }
}
