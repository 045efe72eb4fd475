//! `/admin/policy/rules` and `/admin/authorize`: Casbin's rules in the database, and what it says.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{ErrorBody, json};
use super::{Web, paths};
use crate::account::{RuleSet, StoredRule};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::users::Actor;
use crate::policy::PolicyRule;
use crate::wire::json;

/// A rule of the database.
#[derive(Serialize, ToSchema)]
pub(super) struct RuleView {
    /// Its kind and its values
    #[schema(example = json!(["p", "editor", "article:*", "GET", "allow"]))]
    rule: Vec<String>,
    /// The time at which it was added
    #[schema(example = "2026-11-23T08:00:00Z")]
    created: String,
    /// The administrator's way, as `command`
    created_by: String,
}

/// All rules of the database.
#[derive(Serialize, ToSchema)]
pub(super) struct RuleList {
    /// The version, which every change advances
    version: u64,
    /// In the order in which they were added
    rules: Vec<RuleView>,
}

/// `POST /admin/policy/rules`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RulesBody {
    /// The rules, each as its kind and its values
    #[schema(example = json!([["p", "editor", "article:*", "GET", "allow"], ["g", "admin", "editor"]]))]
    rules: Vec<Vec<String>>,
}

/// Number of rules that were added or removed.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangedAnswer {
    /// The number
    changed: u64,
}

/// `POST /admin/authorize`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizeBody {
    /// The user, as X-Auth-User names him
    subject: String,
    /// The object
    object: String,
    /// The action
    action: String,
}

/// A yes or a no.
#[derive(Serialize, ToSchema)]
pub(super) struct AllowedAnswer {
    /// The answer
    allowed: bool,
}

impl RuleView {
    fn of(stored: StoredRule) -> Self {
        let rule = std::iter::once(stored.kind).chain(stored.fields).collect();
        Self { rule, created: stored.created.to_string(), created_by: stored.created_by }
    }
}

/// List Casbin's rules in the database
#[utoipa::path(
    get, path = paths::ADMIN_RULES, tag = "internal", security(("administrator" = [])),
    responses((status = 200, description = "All of them", body = RuleList)),
)]
pub(super) async fn list(State(web): State<Arc<Web>>) -> Result<Response, IssueError> {
    let RuleSet { version, rules } = web.issuance.rules.list().await?;
    let rules = rules.into_iter().map(RuleView::of).collect();
    Ok(json(StatusCode::OK, &RuleList { version, rules }))
}

/// Add rules of Casbin to the database
///
/// All of them, or none. Every gate decides by them within SESSION_STALENESS.
#[utoipa::path(
    post, path = paths::ADMIN_RULES, tag = "internal", request_body = RulesBody,
    security(("administrator" = [])),
    responses(
        (status = 200, description = "So many were not there yet", body = ChangedAnswer),
        (status = 400, description = "The model does not understand one of them", body = ErrorBody),
    ),
)]
pub(super) async fn add(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, IssueError> {
    let RulesBody { rules } = read(&body)?;
    let rules: Result<Vec<_>, _> = rules.into_iter().map(PolicyRule::new).collect();
    let rules = rules.map_err(|problem| IssueError::invalid_request(problem.to_string()))?;
    let changed = web.issuance.rules.add(rules, Actor::Administrator(&caller)).await?;
    Ok(json(StatusCode::OK, &ChangedAnswer { changed }))
}

/// Remove rules of Casbin from the database
#[utoipa::path(
    delete, path = paths::ADMIN_RULES, tag = "internal", security(("administrator" = [])),
    params((
        "rule" = String, Query, example = "p, editor, article:*, GET, allow",
        description = "The rule, as a line of Casbin's policy; may be repeated",
    )),
    responses(
        (status = 200, description = "So many were there", body = ChangedAnswer),
        (status = 400, description = "There is no rule in the query, or one that is none", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, IssueError> {
    let query = query.unwrap_or_default();
    let rules = form_urlencoded::parse(query.as_bytes()).map(|(name, value)| {
        if name != "rule" {
            return Err(IssueError::invalid_request("write the rules as rule=.."));
        }
        PolicyRule::parse(&value).map_err(|bad| IssueError::invalid_request(bad.to_string()))
    });
    let rules = rules.collect::<Result<Vec<_>, _>>()?;
    let changed = web.issuance.rules.remove(&rules, Actor::Administrator(&caller)).await?;
    Ok(json(StatusCode::OK, &ChangedAnswer { changed }))
}

/// Say whether Casbin lets a subject do something
///
/// As a gate would, of the same user: with the roles that the accounts have. A user who is locked may
/// do nothing.
#[utoipa::path(
    post, path = paths::ADMIN_AUTHORIZE, tag = "internal", request_body = AuthorizeBody,
    security(("administrator" = [])),
    responses(
        (status = 200, description = "Whether he may", body = AllowedAnswer),
        (status = 400, description = "A field is missing, unknown or of the wrong type", body = ErrorBody),
        (status = 503, description = "The rules or the accounts were not read lately", body = ErrorBody),
    ),
)]
pub(super) async fn authorize(
    State(web): State<Arc<Web>>,
    body: Bytes,
) -> Result<Response, IssueError> {
    let AuthorizeBody { subject, object, action } = read(&body)?;
    let allowed = web.issuance.rules.authorize(&subject, &object, &action).await?;
    Ok(json(StatusCode::OK, &AllowedAnswer { allowed }))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, IssueError> {
    json::from_slice(body).map_err(|error| IssueError::invalid_request(error.to_string()))
}
