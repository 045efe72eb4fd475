//! `/admin/users` on the internal listener: users, for administrators and the application.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::json_body::{optional_secret, present, read};
use super::reply::{ErrorBody, json as reply};
use super::user_view::{UserPage, UserView, email};
use super::{Web, paths};
use crate::account::{User, UserKind, UserState};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::users::{Actor, MAX_PAGE, PolicyCheck, fields};
use crate::secret::Secret;
use crate::session::UserId;

/// The page that is asked for.
#[derive(Deserialize)]
pub(super) struct PageQuery {
    /// The most users of it.
    limit: Option<usize>,
    /// The id after which it begins.
    after: Option<String>,
}

/// `POST /admin/users`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUserBody {
    /// The name to log in with
    username: String,
    /// Its id, where it is not to be a random one
    id: Option<String>,
    /// Its e-mail, with which it logs in too
    email: Option<String>,
    /// True where the e-mail is known to be its own
    #[serde(default)]
    email_verified: bool,
    /// Its password; without one it cannot log in by password
    #[serde(default, deserialize_with = "optional_secret")]
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
    /// The name that people use
    full_name: Option<String>,
    /// `person` (the default), `service` or `anonymous`
    kind: Option<String>,
    /// True where it may log in only once its e-mail is verified
    #[serde(default)]
    unverified: bool,
    /// Its roles
    #[serde(default)]
    roles: Vec<String>,
    /// The most scopes that it may be granted
    #[serde(default)]
    scopes: Vec<String>,
    /// Further claims of its tokens
    #[serde(default)]
    claims: Map<String, Value>,
    /// Free properties
    #[serde(default)]
    properties: Map<String, Value>,
}

/// `PATCH /admin/users/{user}`: what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null, and a value are three things")]
pub(super) struct ChangeUserBody {
    /// Another username
    username: Option<String>,
    /// Another e-mail, which is not verified unless that is said too; null takes it away
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// True where the e-mail is known to be its own
    email_verified: Option<bool>,
    /// Another full name; null takes it away
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    full_name: Option<Option<String>>,
    /// All its roles from now on
    roles: Option<Vec<String>>,
    /// All its scopes from now on
    scopes: Option<Vec<String>>,
    /// Claims to set; one that is null is taken away
    #[serde(default)]
    claims: Map<String, Value>,
    /// Properties to set; one that is null is taken away
    #[serde(default)]
    properties: Map<String, Value>,
}

fn shown(status: StatusCode, user: &User) -> Response {
    reply(status, &UserView::for_administrator(user))
}

fn refuse(problem: impl Into<String>) -> IssueError {
    IssueError::InvalidRequest(problem.into())
}

/// List users
///
/// Page by page: `next` of one is `after` of the next.
#[utoipa::path(
    get, path = paths::ADMIN_USERS, tag = "internal", security(("administrator" = [])),
    params(
        ("limit" = Option<usize>, Query, description = "The most users of the page, at most 1000; usually 100"),
        ("after" = Option<String>, Query, description = "The id after which the page begins"),
    ),
    responses((status = 200, description = "A page of them, by id", body = UserPage)),
)]
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Query(query): Query<PageQuery>,
) -> Result<Response, IssueError> {
    let limit = query.limit.unwrap_or(100).clamp(1, MAX_PAGE);
    let after = query.after.as_deref().map(UserId::parse).transpose();
    let after = after.map_err(|error| refuse(format!("after: {error}")))?;
    let found = web.issuance.users.list(after.as_ref(), limit).await?;
    Ok(reply(StatusCode::OK, &UserPage::new(&found, limit)))
}

/// Add a user
#[utoipa::path(
    post, path = paths::ADMIN_USERS, tag = "internal", request_body = NewUserBody,
    security(("administrator" = [])),
    responses(
        (status = 201, description = "It is there", body = UserView),
        (status = 400, description = "A field is missing or wrong, or the password is weak", body = ErrorBody),
        (status = 409, description = "Its id, username or e-mail is taken", body = ErrorBody),
    ),
)]
pub(super) async fn add(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: NewUserBody = read(&headers, &body)?;
    let users = &web.issuance.users;
    let draft = users.draft(fields::login(&body.username).map_err(refuse)?)?;
    let id = body.id.as_deref().map(fields::user_id).transpose().map_err(refuse)?;
    let kind = body.kind.as_deref().map_or(Some(UserKind::Person), UserKind::parse);
    let user = User {
        id: id.unwrap_or_else(|| draft.id.clone()),
        email: email(body.email.as_deref())?,
        email_verified: body.email_verified,
        full_name: body.full_name,
        kind: kind.ok_or_else(|| refuse("kind is person, service or anonymous"))?,
        state: if body.unverified { UserState::Unverified } else { UserState::Active },
        roles: body.roles,
        scopes: body.scopes,
        claims: body.claims,
        properties: body.properties,
        ..draft
    };
    let password = body.password.as_ref().map(|password| (password, PolicyCheck::Enforced));
    let user = users.add(user, password, Actor::Administrator(&caller)).await?;
    Ok(shown(StatusCode::CREATED, &user))
}

/// Show a user
#[utoipa::path(
    get, path = paths::ADMIN_USER, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "It", body = UserView),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(web): State<Arc<Web>>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    Ok(shown(StatusCode::OK, &web.issuance.users.find(&user).await?))
}

/// Change a user
///
/// A role, a scope or a claim less ends all its sessions, so that no token says otherwise.
#[utoipa::path(
    patch, path = paths::ADMIN_USER, tag = "internal", request_body = ChangeUserBody,
    security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "The user as it is now", body = UserView),
        (status = 400, description = "A field is wrong", body = ErrorBody),
        (status = 404, description = "There is no such user", body = ErrorBody),
        (status = 409, description = "The username or e-mail is taken", body = ErrorBody),
    ),
)]
pub(super) async fn change(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let body: ChangeUserBody = read(&headers, &body)?;
    let username = body.username.as_deref().map(fields::login).transpose().map_err(refuse)?;
    let new_email = match &body.email {
        Some(text) => Some(email(text.as_deref())?),
        None => None,
    };
    let apply = |user: &mut User| {
        if let Some(username) = &username {
            user.username = username.clone();
        }
        if let Some(email) = &new_email {
            user.email_verified &= user.email == *email;
            user.email.clone_from(email);
        }
        if let Some(verified) = body.email_verified {
            user.email_verified = verified && user.email.is_some();
        }
        if let Some(name) = &body.full_name {
            user.full_name.clone_from(name);
        }
        if let Some(roles) = &body.roles {
            user.roles.clone_from(roles);
        }
        if let Some(scopes) = &body.scopes {
            user.scopes.clone_from(scopes);
        }
        fields::merge(&mut user.claims, body.claims.clone());
        fields::merge(&mut user.properties, body.properties.clone());
        Ok(())
    };
    let users = &web.issuance.users;
    let id = users.find(&user).await?.id;
    let changed = users.change(&id, Actor::Administrator(&caller), apply).await?;
    Ok(shown(StatusCode::OK, &changed.user))
}

/// Delete a user
///
/// With its API keys; all its sessions end.
#[utoipa::path(
    delete, path = paths::ADMIN_USER, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "It is deleted", body = Value, example = json!({"ended": 2})),
        (status = 404, description = "There is no such user", body = ErrorBody),
    ),
)]
pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    let users = &web.issuance.users;
    let id = users.find(&user).await?.id;
    let ended = users.delete(&id, Actor::Administrator(&caller)).await?;
    Ok(reply(StatusCode::OK, &json!({ "ended": ended })))
}
