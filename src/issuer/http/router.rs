//! All routes of the issuer on one screen, and with them its OpenAPI document.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use axum::{Router, middleware};
use http::StatusCode;
use utoipa::openapi::path::{HttpMethod, Paths};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, openapi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Web, discovery, internal, jwthenticator, revoke, sessions, token};

/// What the document says beside its routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis",
        description = "Issues, refreshes and revokes tokens behind a gateway. Routes tagged \
                       `internal` are on the internal listener only."
    ),
    modifiers(&Schemes),
    paths(gates_validate, gates_validate_request),
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let bearer = || SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", bearer());
        components.add_security_scheme("administrator", bearer());
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("access_token")));
        components.add_security_scheme("cookies", cookie);
    }
}

/// Whether a token is good, as jwthenticator's clients ask
#[utoipa::path(
    post, path = "/validate", tag = "jwthenticator", operation_id = "validate",
    request_body = serde_json::Value,
    responses(
        (status = 200, description = "It is"),
        (status = 400, description = "What is wrong with which field"),
        (status = 401, description = "It is not"),
    ),
)]
#[expect(dead_code, reason = "describes a route that the gate serves on this listener")]
fn gates_validate() {}

/// Whether a request may pass, and who it is: what gateways ask
#[utoipa::path(
    get, path = "/validate_request", tag = "jwthenticator", operation_id = "validate_request",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "It may, and the headers say who it is"),
        (status = 401, description = "It may not: no good credentials"),
        (status = 403, description = "It may not: a scope is missing"),
        (status = 503, description = "That cannot be said now"),
    ),
)]
#[expect(dead_code, reason = "describes a route that the gate serves on this listener")]
fn gates_validate_request() {}

/// The routes for the applications and people behind the gateway.
pub(super) fn public(web: &Arc<Web>) -> Router {
    let (router, document) = public_routes(web).split_for_parts();
    let (_, internal) = internal_routes(web).split_for_parts();
    let mut document = document.merge_from(internal);
    rename_token(&mut document.paths, &web.terms.token_path);
    let router = router.merge(web.terms.pages.router(document)).fallback(not_found);
    let router = router.method_not_allowed_fallback(wrong_method).with_state(Arc::clone(web));
    match &web.terms.cors {
        Some(cors) => router.layer(cors.layer()),
        None => router,
    }
}

/// The routes of the internal listener.
pub(super) fn internal(web: &Arc<Web>) -> Router {
    let (router, _) = internal_routes(web).split_for_parts();
    router
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(web), internal::guard))
        .with_state(Arc::clone(web))
}

fn public_routes(web: &Web) -> OpenApiRouter<Arc<Web>> {
    let router = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(token::token))
        .routes(routes!(revoke::revoke))
        .routes(routes!(revoke::introspect))
        .routes(routes!(sessions::logout))
        .routes(routes!(sessions::list, sessions::end_all))
        .routes(routes!(sessions::end_one))
        .routes(routes!(discovery::metadata))
        .routes(routes!(discovery::jwks))
        .routes(routes!(discovery::well_known_jwks))
        .routes(routes!(discovery::root))
        .routes(routes!(discovery::health))
        .routes(routes!(discovery::healthcheck))
        .routes(routes!(discovery::ready));
    if web.terms.disable_external {
        return router;
    }
    router.routes(routes!(jwthenticator::authenticate)).routes(routes!(jwthenticator::refresh))
}

fn internal_routes(web: &Web) -> OpenApiRouter<Arc<Web>> {
    let router = OpenApiRouter::new()
        .routes(routes!(internal::list_all))
        .routes(routes!(internal::end_one))
        .routes(routes!(internal::list_of_user, internal::end_of_user));
    if web.terms.disable_internal {
        return router;
    }
    router
        .routes(routes!(jwthenticator::register_key))
        .routes(routes!(jwthenticator::is_key_registered))
}

/// The document names the token endpoint as TOKEN_URL has it.
fn rename_token(paths: &mut Paths, token_path: &str) {
    if token_path != "/token"
        && let Some(item) = paths.paths.remove("/token")
    {
        paths.paths.insert(token_path.to_owned(), item);
    }
    debug_assert!(paths.get_path_operation(token_path, HttpMethod::Post).is_some());
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404: Not Found").into_response()
}

async fn wrong_method() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed").into_response()
}
