//! `/account`: the own account of somebody who is logged in.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::json_body::{present, read, secret};
use super::reply::{ErrorBody, json as reply};
use super::sessions::{EndedAnswer, ended};
use super::user_view::UserView;
use super::{Web, paths};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::self_service::ProfileChange;
use crate::secret::Secret;

/// `PATCH /account`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null, and a value are three things")]
pub(super) struct ProfileBody {
    /// The name that people use; null takes it away
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    full_name: Option<Option<String>>,
    /// Properties to set; one that is null is taken away
    #[serde(default)]
    properties: Map<String, Value>,
}

/// `POST /account/password`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordBody {
    /// The present password
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    current_password: Secret,
    /// The new one
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    new_password: Secret,
}

/// `POST /account/email`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEmailBody {
    /// The new e-mail
    email: String,
    /// The password
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    password: Secret,
}

/// `DELETE /account`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteBody {
    /// The password
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    password: Secret,
}

/// Show my account
#[utoipa::path(
    get, path = paths::ACCOUNT, tag = "Accounts", security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "It", body = UserView),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 404, description = "It is none of the built-in accounts", body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    let user = web.issuance.self_service.profile(&bearer).await?;
    Ok(reply(StatusCode::OK, &UserView::for_owner(&user)))
}

/// Change my profile
///
/// Like all that changes the account, for a session that was opened by a password.
#[utoipa::path(
    patch, path = paths::ACCOUNT, tag = "Accounts", request_body = ProfileBody,
    security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "The account as it is now", body = UserView),
        (status = 400, description = "A field is wrong, or too long", body = ErrorBody),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session was not opened by a password, or another site's page sent the cookies", body = ErrorBody),
    ),
)]
pub(super) async fn change(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    let ProfileBody { full_name, properties } = read(&headers, &body)?;
    let change = ProfileChange { full_name, properties };
    let user = web.issuance.self_service.change_profile(&bearer, &change, &caller).await?;
    Ok(reply(StatusCode::OK, &UserView::for_owner(&user)))
}

/// Delete my account
///
/// With its API keys; all sessions end.
#[utoipa::path(
    delete, path = paths::ACCOUNT, tag = "Accounts", request_body = DeleteBody,
    security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "It is deleted; so many sessions ended", body = EndedAnswer),
        (status = 400, description = "The password is wrong", body = ErrorBody),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session was not opened by a password, or another site's page sent the cookies", body = ErrorBody),
    ),
)]
pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    let DeleteBody { password } = read(&headers, &body)?;
    let count = web.issuance.self_service.delete(&bearer, &password, &caller).await?;
    let mut response = ended(count);
    web.clear_cookies(&mut response, &method, &headers);
    Ok(response)
}

/// Change my password
///
/// All other sessions end; with memcached, which cannot list them, this one too.
#[utoipa::path(
    post, path = paths::ACCOUNT_PASSWORD, tag = "Accounts", request_body = PasswordBody,
    security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "It is changed; so many sessions ended", body = EndedAnswer),
        (status = 400, description = "The present password is wrong, or the new one is weak", body = ErrorBody),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session was not opened by a password, or another site's page sent the cookies", body = ErrorBody),
    ),
)]
pub(super) async fn change_password(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    let PasswordBody { current_password, new_password } = read(&headers, &body)?;
    let self_service = &web.issuance.self_service;
    let count =
        self_service.change_password(&bearer, &current_password, &new_password, &caller).await?;
    Ok(ended(count))
}

/// Ask for another e-mail
///
/// The new one is sent a link, and is the user's once that is used. The answer is the same where it
/// has an account already.
#[utoipa::path(
    post, path = paths::ACCOUNT_EMAIL, tag = "Accounts", request_body = NewEmailBody,
    security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 202, description = "Its owner is sent a mail", body = Value, example = json!({"status": 202})),
        (status = 400, description = "It is no e-mail, or the password is wrong", body = ErrorBody),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session was not opened by a password, or another site's page sent the cookies", body = ErrorBody),
        (status = 501, description = "No mail is sent from here", body = ErrorBody),
    ),
)]
pub(super) async fn change_email(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    let NewEmailBody { email, password } = read(&headers, &body)?;
    web.issuance.self_service.request_email(&bearer, &password, &email, &caller).await?;
    Ok(reply(StatusCode::ACCEPTED, &json!({ "status": 202 })))
}
