//! `/account` for those who are not logged in: sign-up, links, forgotten passwords.
//!
//! Whatever is asked about an e-mail, the answer is the same: 202, and a mail to its owner.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::json_body::{optional_secret, read, secret};
use super::reply::{ErrorBody, ProblemView, json as reply, problem_views};
use super::user_view::UserView;
use super::{Web, paths};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::self_service::{SignUpRequest, SignedUp};
use crate::secret::Secret;

/// `POST /account`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignUpBody {
    /// The e-mail, which is the username too; may be left out with an invitation
    email: Option<String>,
    /// The token of an invitation
    #[serde(default, deserialize_with = "optional_secret")]
    #[schema(value_type = Option<String>)]
    invitation: Option<Secret>,
    /// The password
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    password: Secret,
    /// The name that people use
    full_name: Option<String>,
    /// Free properties
    #[serde(default)]
    properties: Map<String, Value>,
}

/// `POST /account/verify`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyBody {
    /// The token of the link
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    token: Secret,
    /// After a sign-up: the password that was chosen
    #[serde(default, deserialize_with = "optional_secret")]
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
}

/// An e-mail that a mail is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailBody {
    /// The e-mail
    email: String,
}

/// `POST /account/reset-password`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetBody {
    /// The token of the link
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    token: Secret,
    /// The new password
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    password: Secret,
}

/// `POST /account/password/check`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckBody {
    /// The password that is to be
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    password: Secret,
    /// The username of its owner
    username: Option<String>,
    /// The e-mail of its owner
    email: Option<String>,
    /// The name of its owner
    full_name: Option<String>,
}

/// The problems of a password.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckAnswer {
    /// True where it would be taken.
    acceptable: bool,
    /// All that is wrong with it.
    problems: Vec<ProblemView>,
}

/// The answer that says nothing.
fn accepted() -> Response {
    reply(StatusCode::ACCEPTED, &json!({ "status": 202 }))
}

/// Sign up
///
/// Without an invitation the answer is the same whether the e-mail has an account: its owner is sent
/// a link that verifies it, or is told that there is one.
#[utoipa::path(
    post, path = paths::ACCOUNT, tag = "Accounts", request_body = SignUpBody,
    responses(
        (status = 201, description = "Who was invited has an account, and may log in", body = UserView),
        (status = 202, description = "A mail says how to go on", body = Value, example = json!({"status": 202})),
        (status = 400, description = "A field is missing or wrong, the password is weak, or the invitation is over", body = ErrorBody),
        (status = 403, description = "An account takes an invitation (SIGN_UP)", body = ErrorBody),
        (status = 404, description = "Nobody can sign up (SIGN_UP)", body = ErrorBody),
        (status = 409, description = "Who was invited has an account already", body = ErrorBody),
    ),
)]
pub(super) async fn sign_up(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: SignUpBody = read(&headers, &body)?;
    let request = SignUpRequest {
        email: body.email.as_deref(),
        invitation: body.invitation.as_ref(),
        password: &body.password,
        full_name: body.full_name,
        properties: body.properties,
    };
    Ok(match web.issuance.self_service.sign_up(request, &caller).await? {
        SignedUp::Accepted => accepted(),
        SignedUp::Added(user) => reply(StatusCode::CREATED, &UserView::for_owner(&user)),
    })
}

/// Use a link that verifies an e-mail
///
/// After a sign-up it takes the password too, so that nobody has his account confirmed by the owner
/// of another's e-mail. A link to a new e-mail makes it the user's.
#[utoipa::path(
    post, path = paths::ACCOUNT_VERIFY, tag = "Accounts", request_body = VerifyBody,
    responses(
        (status = 200, description = "The e-mail is the user's", body = UserView),
        (status = 400, description = "The link is not valid, too old or used, or the password is wrong", body = ErrorBody),
        (status = 409, description = "The new e-mail is another user's by now", body = ErrorBody),
    ),
)]
pub(super) async fn verify(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: VerifyBody = read(&headers, &body)?;
    let self_service = &web.issuance.self_service;
    let user = self_service.verify(&body.token, body.password.as_ref(), &caller).await?;
    Ok(reply(StatusCode::OK, &UserView::for_owner(&user)))
}

/// Ask for another link that verifies an e-mail
#[utoipa::path(
    post, path = paths::ACCOUNT_RESEND, tag = "Accounts", request_body = EmailBody,
    responses(
        (status = 202, description = "Its owner, if any, is sent one", body = Value, example = json!({"status": 202})),
        (status = 501, description = "No mail is sent from here", body = ErrorBody),
    ),
)]
pub(super) async fn resend(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: EmailBody = read(&headers, &body)?;
    web.issuance.self_service.resend(&body.email, &caller).await?;
    Ok(accepted())
}

/// Ask for a link that sets another password
#[utoipa::path(
    post, path = paths::ACCOUNT_FORGOT, tag = "Accounts", request_body = EmailBody,
    responses(
        (status = 202, description = "Its owner, if any, is sent one", body = Value, example = json!({"status": 202})),
        (status = 501, description = "No mail is sent from here", body = ErrorBody),
    ),
)]
pub(super) async fn forgot(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: EmailBody = read(&headers, &body)?;
    web.issuance.self_service.forgot_password(&body.email, &caller).await?;
    Ok(accepted())
}

/// Use a link that sets another password
///
/// All sessions of the user end. A password that is refused leaves the link good.
#[utoipa::path(
    post, path = paths::ACCOUNT_RESET, tag = "Accounts", request_body = ResetBody,
    responses(
        (status = 200, description = "The password is set", body = Value, example = json!({"status": 200})),
        (status = 400, description = "The link is not valid, too old or used, or the password is weak", body = ErrorBody),
    ),
)]
pub(super) async fn reset(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: ResetBody = read(&headers, &body)?;
    web.issuance.self_service.reset_password(&body.token, &body.password, &caller).await?;
    Ok(reply(StatusCode::OK, &json!({ "status": 200 })))
}

/// Say whether a new password would be taken
#[utoipa::path(
    post, path = paths::ACCOUNT_PASSWORD_CHECK, tag = "Accounts", request_body = CheckBody,
    responses((status = 200, description = "Whether, and all reasons why not", body = CheckAnswer)),
)]
pub(super) async fn check_password(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let CheckBody { password, username, email, full_name } = read(&headers, &body)?;
    let names = [username, email, full_name];
    let names: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
    let found = web.issuance.self_service.check_password(&password, &names, &caller).await?;
    let problems = problem_views(&found);
    Ok(reply(StatusCode::OK, &CheckAnswer { acceptable: problems.is_empty(), problems }))
}
