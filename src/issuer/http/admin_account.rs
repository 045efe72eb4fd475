//! Endpoints by which administrators change one account: lock, unlock, password, verification, one-time links.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::json_body::{read, secret};
use super::reply::{ErrorBody, json as reply};
use super::sessions::{EndedAnswer, ended};
use super::user_view::{LinkView, UserView, email};
use super::{Web, paths};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::users::links::Purpose;
use crate::issuer::users::{Actor, PolicyCheck};
use crate::secret::Secret;

/// `POST /admin/users/{user}/password`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetPasswordBody {
    /// The new password
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    password: Secret,
}

/// `POST /admin/users/{user}/links`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkBody {
    /// `verify-email`, `reset-password` or `change-email`
    purpose: String,
    /// The new e-mail, for `change-email`, or where the user has none
    email: Option<String>,
    /// True to have it sent by mail; else the answer has its token
    #[serde(default)]
    send: bool,
}

/// `POST /admin/invitations`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InvitationBody {
    /// The e-mail of who is invited, which will be its username
    email: String,
    /// The roles that it will have
    #[serde(default)]
    roles: Vec<String>,
    /// The scopes that it may be granted
    #[serde(default)]
    scopes: Vec<String>,
    /// True to have it sent by mail; else the answer has its token
    #[serde(default)]
    send: bool,
}

/// Lock a user
///
/// It keeps its roles; all its sessions end. One that was never verified stays so.
#[utoipa::path(
    post, path = paths::ADMIN_USER_LOCK, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "It is locked; so many sessions ended", body = EndedAnswer),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn lock(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    let users = &web.issuance.users;
    let id = users.find(&user).await?.id;
    Ok(ended(users.lock(&id, Actor::Administrator(&caller)).await?))
}

/// Unlock a user
///
/// Its failed logins are forgotten too. Whoever signed up and was never verified is not unlocked.
#[utoipa::path(
    post, path = paths::ADMIN_USER_UNLOCK, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "It may log in", body = UserView),
        (status = 400, description = "It was never verified", body = ErrorBody),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn unlock(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    let users = &web.issuance.users;
    let id = users.find(&user).await?.id;
    users.unlock(&id, Actor::Administrator(&caller)).await?;
    Ok(reply(StatusCode::OK, &UserView::for_administrator(&users.get(&id).await?)))
}

/// Set a user's password
///
/// All its sessions end.
#[utoipa::path(
    post, path = paths::ADMIN_USER_PASSWORD, tag = "internal", request_body = SetPasswordBody,
    security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "It is set; so many sessions ended", body = EndedAnswer),
        (status = 400, description = "It is weak", body = ErrorBody),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn set_password(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: SetPasswordBody = read(&headers, &body)?;
    let users = &web.issuance.users;
    let id = users.find(&user).await?.id;
    let (check, actor) = (PolicyCheck::Enforced, Actor::Administrator(&caller));
    Ok(ended(users.set_password(&id, &body.password, check, actor).await?))
}

/// Note that a user's e-mail is its own
///
/// Which lets in who signed up.
#[utoipa::path(
    post, path = paths::ADMIN_USER_VERIFY, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "The user as it is now", body = UserView),
        (status = 404, description = "There is no such user, or it has no e-mail", body = ErrorBody),
    ),
)]
pub(super) async fn verify(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    let users = &web.issuance.users;
    let id = users.find(&user).await?.id;
    let user = users.mark_verified(&id, None, Actor::Administrator(&caller)).await?;
    Ok(reply(StatusCode::OK, &UserView::for_administrator(&user)))
}

/// Make a one-time link for a user
///
/// Good for 15 minutes, and used by /account/verify or /account/reset-password. Without a mail server
/// the application brings its token to the user.
#[utoipa::path(
    post, path = paths::ADMIN_USER_LINKS, tag = "internal", request_body = LinkBody,
    security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 201, description = "It, with its token unless it was sent", body = LinkView),
        (status = 400, description = "The purpose is unknown, or there is no e-mail", body = ErrorBody),
        (status = 404, description = "There is no such user", body = ErrorBody),
        (status = 501, description = "No mail is sent from here", body = ErrorBody),
    ),
)]
pub(super) async fn make_link(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: LinkBody = read(&headers, &body)?;
    let unknown = "purpose is verify-email, reset-password or change-email";
    let purpose = Purpose::of_user(&body.purpose);
    let purpose = purpose.ok_or_else(|| IssueError::invalid_request(unknown))?;
    let email = email(body.email.as_deref())?;
    let user = web.issuance.users.find(&user).await?;
    let self_service = &web.issuance.self_service;
    let link = self_service.make_link(&user, purpose, email, body.send, Some(&caller))?;
    Ok(reply(StatusCode::CREATED, &LinkView::new(&link, body.send)))
}

/// Invite somebody
///
/// To sign up by `POST /account`, where SIGN_UP allows that; good for INVITATION_LIFETIME.
#[utoipa::path(
    post, path = paths::ADMIN_INVITATIONS, tag = "internal", request_body = InvitationBody,
    security(("administrator" = [])),
    responses(
        (status = 201, description = "The invitation, with its token unless it was sent", body = LinkView),
        (status = 400, description = "The e-mail is none", body = ErrorBody),
        (status = 501, description = "No mail is sent from here", body = ErrorBody),
    ),
)]
pub(super) async fn invite(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: InvitationBody = read(&headers, &body)?;
    let email = email(Some(&body.email))?;
    let email = email.ok_or_else(|| IssueError::invalid_request("email is missing"))?;
    let rights = (&body.roles[..], &body.scopes[..]);
    let link = web.issuance.self_service.invite(&email, rights, body.send, Some(&caller))?;
    Ok(reply(StatusCode::CREATED, &LinkView::new(&link, body.send)))
}
