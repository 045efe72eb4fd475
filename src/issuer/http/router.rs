//! All routes of the issuer on one screen; `document.rs` makes the OpenAPI document of them.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, middleware};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reply::not_found;
use super::{
    Web, account, admin_account, admin_keys, admin_users, audit, csrf, discovery, document,
    internal, jwthenticator, keys, paths, permissions, revoke, roles, rules, sessions, sign_up,
    ticket, token,
};

/// The routes for the applications and people behind the gateway.
pub(super) fn public(web: &Arc<Web>) -> Router {
    let (router, document) = public_routes(web).split_for_parts();
    let (_, internal) = internal_routes(web).split_for_parts();
    let document = document::complete(document.merge_from(internal), &web.config);
    let below = format!("{}/{{*path}}", paths::METADATA);
    let router = router
        .route("/", get(discovery::health))
        .route(paths::WELL_KNOWN_JWKS, get(discovery::jwks))
        .route(&below, get(discovery::metadata_of_path));
    let router = router.merge(web.config.pages.router(document)).fallback(not_found);
    let router = router.method_not_allowed_fallback(wrong_method).with_state(Arc::clone(web));
    match &web.config.cors {
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
    let mut router = OpenApiRouter::with_openapi(document::base_document())
        .routes(routes!(token::token))
        .routes(routes!(revoke::revoke))
        .routes(routes!(revoke::introspect))
        .routes(routes!(csrf::token))
        .routes(routes!(sessions::logout))
        .routes(routes!(sessions::list, sessions::end_all))
        .routes(routes!(sessions::end_one))
        .routes(routes!(ticket::ticket))
        .routes(routes!(sign_up::sign_up, account::show, account::change, account::delete))
        .routes(routes!(sign_up::verify))
        .routes(routes!(sign_up::resend))
        .routes(routes!(sign_up::forgot))
        .routes(routes!(sign_up::reset))
        .routes(routes!(sign_up::check_password))
        .routes(routes!(account::change_password))
        .routes(routes!(account::change_email))
        .routes(routes!(keys::list, keys::make, keys::revoke_all))
        .routes(routes!(keys::revoke_one))
        .routes(routes!(keys::refresh))
        .routes(routes!(discovery::metadata))
        .routes(routes!(discovery::jwks))
        .routes(routes!(discovery::health))
        .routes(routes!(discovery::healthcheck))
        .routes(routes!(discovery::ready));
    if web.issuance.audit.is_searchable() {
        router = router.routes(routes!(audit::list_own));
    }
    if web.config.disable_external {
        return router;
    }
    router.routes(routes!(jwthenticator::authenticate)).routes(routes!(jwthenticator::refresh))
}

fn internal_routes(web: &Web) -> OpenApiRouter<Arc<Web>> {
    let mut router = OpenApiRouter::new()
        .routes(routes!(internal::list_all))
        .routes(routes!(internal::end_one))
        .routes(routes!(internal::list_of_user, internal::end_of_user))
        .routes(routes!(roles::list))
        .routes(routes!(roles::grant, roles::revoke))
        .routes(routes!(admin_users::list, admin_users::add))
        .routes(routes!(admin_users::show, admin_users::change, admin_users::delete))
        .routes(routes!(admin_account::lock))
        .routes(routes!(admin_account::unlock))
        .routes(routes!(admin_account::set_password))
        .routes(routes!(admin_account::verify))
        .routes(routes!(admin_account::make_link))
        .routes(routes!(admin_account::invite))
        .routes(routes!(admin_keys::list, admin_keys::make, admin_keys::revoke_all))
        .routes(routes!(admin_keys::revoke_one));
    if web.issuance.rules.are_stored() {
        router = router.routes(routes!(rules::list, rules::add, rules::remove));
    }
    if web.issuance.rules.has_casbin() {
        router = router.routes(routes!(rules::authorize));
    }
    if web.issuance.audit.is_searchable() {
        router = router.routes(routes!(audit::list)).routes(routes!(audit::summary));
    }
    if web.issuance.permissions.has_model() {
        router =
            router.routes(routes!(permissions::check)).routes(routes!(permissions::check_limit));
    }
    if web.config.disable_internal {
        return router;
    }
    router
        .routes(routes!(jwthenticator::register_key))
        .routes(routes!(jwthenticator::is_key_registered))
}

async fn wrong_method() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed").into_response()
}
