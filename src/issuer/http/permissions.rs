//! The questions of authnzerver's clients, in JSON and in its names.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{ErrorBody, json};
use super::{Web, paths};
use crate::issuer::error::IssueError;
use crate::policy::permissions::AccessQuestion;
use crate::wire::json;

/// The id of a user: authnzerver's are numbers.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "a number or a text")]
enum Id {
    Number(u64),
    Text(String),
}

/// `POST /check`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckBody {
    /// The user who wants to do it
    user_id: Id,
    /// The user's role
    user_role: String,
    /// The action
    action: String,
    /// The kind of item
    target_name: String,
    /// The user who owns the item
    target_owner: Id,
    /// Its visibility
    target_visibility: String,
    /// The users with whom it is shared, separated by commas
    target_sharedwith: Option<String>,
}

/// `POST /check-limit`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckLimitBody {
    /// The user, where it matters that he is there and has the role
    user_id: Option<Id>,
    /// The role
    user_role: String,
    /// The limit
    limit_name: String,
    /// The value
    value_to_check: f64,
}

/// A yes or a no.
#[derive(Serialize, ToSchema)]
pub(super) struct SuccessAnswer {
    /// The answer
    success: bool,
}

impl Id {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// Say whether a user may do something to an item
///
/// By the model in PERMISSIONS_FILE. The user must be there, must not be locked, and must have the
/// role; the item's owner must be there too.
#[utoipa::path(
    post, path = paths::CHECK, tag = "internal", request_body = CheckBody,
    security(("administrator" = [])),
    responses(
        (status = 200, description = "Whether he may", body = SuccessAnswer),
        (status = 400, description = "A field is missing, unknown or of the wrong type", body = ErrorBody),
        (status = 503, description = "The accounts do not answer", body = ErrorBody),
    ),
)]
pub(super) async fn check(
    State(web): State<Arc<Web>>,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: CheckBody = read(&body)?;
    let (user, owner) = (body.user_id.into_text(), body.target_owner.into_text());
    let question = AccessQuestion {
        user: &user,
        role: &body.user_role,
        action: &body.action,
        item: &body.target_name,
        owner: &owner,
        visibility: &body.target_visibility,
        shared_with: body.target_sharedwith.as_deref().unwrap_or_default(),
    };
    Ok(answer(web.issuance.permissions.may(&question).await?))
}

/// Say whether a value is within a role's limit
///
/// By the model in PERMISSIONS_FILE. A value that equals the limit is not within it. A role has no
/// limit that the model does not name.
#[utoipa::path(
    post, path = paths::CHECK_LIMIT, tag = "internal", request_body = CheckLimitBody,
    security(("administrator" = [])),
    responses(
        (status = 200, description = "Whether it is", body = SuccessAnswer),
        (status = 400, description = "A field is missing, unknown or of the wrong type", body = ErrorBody),
        (status = 503, description = "The accounts do not answer", body = ErrorBody),
    ),
)]
pub(super) async fn check_limit(
    State(web): State<Arc<Web>>,
    body: Bytes,
) -> Result<Response, IssueError> {
    let CheckLimitBody { user_id, user_role, limit_name, value_to_check } = read(&body)?;
    let user = user_id.map(Id::into_text);
    let permissions = &web.issuance.permissions;
    let is_within =
        permissions.is_within(user.as_deref(), &user_role, &limit_name, value_to_check).await?;
    Ok(answer(is_within))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, IssueError> {
    json::from_slice(body).map_err(|error| IssueError::invalid_request(error.to_string()))
}

fn answer(success: bool) -> Response {
    json(StatusCode::OK, &SuccessAnswer { success })
}
