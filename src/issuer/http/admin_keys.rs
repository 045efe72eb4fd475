//! API keys on the internal listener: of any user, for administrators.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use super::keys::{IssuedKeyAnswer, KeyList, NewKeyBody, RevokedAnswer, issued, listed, revoked};
use super::reply::ErrorBody;
use super::{Web, paths};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::session::SessionId;

/// List the API keys of a user
#[utoipa::path(
    get, path = paths::ADMIN_USER_KEYS, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "The keys, without their secrets", body = KeyList),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    let user = web.issuance.users.find(&user).await?;
    Ok(listed(web.issuance.api_keys.list(&user.id).await?))
}

/// Make an API key of a user
///
/// A session is named by its id, and must be the user's.
#[utoipa::path(
    post, path = paths::ADMIN_USER_KEYS, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    request_body = NewKeyBody,
    responses(
        (status = 201, description = "The key, which is shown this once", body = IssuedKeyAnswer),
        (status = 400, description = "What is asked for makes no sense", body = ErrorBody),
        (status = 403, description = "The user may not log in", body = ErrorBody),
        (status = 404, description = "There is no such user, or it has no such session", body = ErrorBody),
    ),
)]
pub(super) async fn make(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    body: Bytes,
) -> Result<Response, IssueError> {
    let user = web.issuance.users.find(&user).await?;
    let (session, request) = NewKeyBody::read(&body)?.into_request();
    let session = session.map(|id| SessionId::parse(&id)).transpose();
    let session = session.map_err(|_| IssueError::NotFound)?;
    let keys = &web.issuance.api_keys;
    let made = keys.issue(&user.id, session.as_ref(), &request, &caller).await?;
    Ok(issued(StatusCode::CREATED, made))
}

/// Revoke all API keys of a user
#[utoipa::path(
    delete, path = paths::ADMIN_USER_KEYS, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "So many were revoked", body = RevokedAnswer),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn revoke_all(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    let user = web.issuance.users.find(&user).await?;
    Ok(revoked(web.issuance.api_keys.revoke_all(&user.id, &caller).await?))
}

/// Revoke an API key
#[utoipa::path(
    delete, path = paths::ADMIN_KEY, tag = "internal", security(("administrator" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "It is revoked, with all that were refreshed from one with it", body = RevokedAnswer),
        (status = 404, description = "There is none", body = ErrorBody),
    ),
)]
pub(super) async fn revoke_one(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, IssueError> {
    web.issuance.api_keys.revoke(&id, None, &caller).await?;
    Ok(revoked(1))
}
