//! `/admin/roles`: who has which role, for administrators.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::{ErrorBody, json};
use super::{Web, paths};
use crate::account::RoleName;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::roles::RoleChange;
use crate::issuer::users::Actor;

/// A role.
#[derive(Serialize, ToSchema)]
pub(super) struct RoleView {
    /// Its name
    role: String,
    /// The number of users who have it
    users: u64,
}

/// All roles.
#[derive(Serialize, ToSchema)]
pub(super) struct RoleList {
    /// By name
    roles: Vec<RoleView>,
}

/// The roles of a user after a change.
#[derive(Serialize, ToSchema)]
pub(super) struct UserRoles {
    /// The user's id
    user_id: String,
    /// The roles
    roles: Vec<String>,
    /// True where the request changed something
    changed: bool,
    /// The number of sessions that were ended
    ended: u64,
}

/// List all roles that users have
#[utoipa::path(
    get, path = paths::ADMIN_ROLES, tag = "internal", security(("administrator" = [])),
    responses((status = 200, description = "Each with the number of its users", body = RoleList)),
)]
pub(super) async fn list(State(web): State<Arc<Web>>) -> Result<Response, IssueError> {
    let counts = web.issuance.roles.list().await?;
    let roles = counts.into_iter().map(|(role, users)| RoleView { role, users }).collect();
    Ok(json(StatusCode::OK, &RoleList { roles }))
}

/// Give a user a role
///
/// It is in the next token.
#[utoipa::path(
    put, path = paths::ADMIN_USER_ROLE, tag = "internal", security(("administrator" = [])),
    params(
        ("user" = String, Path, description = "The user's id, username or e-mail"),
        ("role" = String, Path, description = "The role"),
    ),
    responses(
        (status = 200, description = "The user has it", body = UserRoles),
        (status = 400, description = "This is no name of a role, or the id of a user", body = ErrorBody),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn grant(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path((user, role)): Path<(String, String)>,
) -> Result<Response, IssueError> {
    let role = RoleName::parse(&role);
    let role = role.map_err(|problem| IssueError::invalid_request(problem.to_string()))?;
    let change = web.issuance.roles.grant(&user, &role, Actor::Administrator(&caller)).await?;
    Ok(changed(change))
}

/// Take a role from a user
///
/// All sessions of the user end, so that no token says otherwise.
#[utoipa::path(
    delete, path = paths::ADMIN_USER_ROLE, tag = "internal", security(("administrator" = [])),
    params(
        ("user" = String, Path, description = "The user's id, username or e-mail"),
        ("role" = String, Path, description = "The role"),
    ),
    responses(
        (status = 200, description = "The user does not have it any more", body = UserRoles),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn revoke(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path((user, role)): Path<(String, String)>,
) -> Result<Response, IssueError> {
    let change = web.issuance.roles.revoke(&user, &role, Actor::Administrator(&caller)).await?;
    Ok(changed(change))
}

fn changed(change: RoleChange) -> Response {
    let RoleChange { user, is_changed, ended } = change;
    let user_id = user.id.as_str().to_owned();
    json(StatusCode::OK, &UserRoles { user_id, roles: user.roles, changed: is_changed, ended })
}
