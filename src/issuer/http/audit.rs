//! `/admin/audit`: what happened, for the administrator to search; `/account/events`: what happened to
//! one's own account.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use super::reply::{ErrorBody, json};
use super::{Web, paths};
use crate::issuer::audit::search::{EventSearch, Period, page_json, summary_json};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;

/// Search the audit events
///
/// Newest first, of all processes that share the accounts' database; those of this process are among
/// them up to now. Every parameter narrows the search, and one that is unknown or cannot be read is an
/// error. Where AUDIT_HASH_KEY is set, what is looked for is hashed as the events are.
#[utoipa::path(
    get, path = paths::ADMIN_AUDIT, tag = "internal", security(("administrator" = [])),
    params(
        ("user" = Option<String>, Query, description = "The id of the user whose account it is"),
        ("login" = Option<String>, Query, description = "The name that was written at a login, in any spelling"),
        ("address" = Option<String>, Query, description = "The address of the caller"),
        ("kind" = Option<String>, Query, description = "The kind of event"),
        ("from" = Option<String>, Query, description = "Not before this time: 2026-11-22 or 2026-11-22T08:00:00Z"),
        ("to" = Option<String>, Query, description = "Before this time"),
        ("limit" = Option<usize>, Query, description = "So many events at most: 1 to 1000; 100 where it is not said"),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
    ),
    responses(
        (status = 200, description = "A page: its `events`, and where there may be more the cursor `next`", body = serde_json::Value),
        (status = 400, description = "A parameter is unknown or cannot be read", body = ErrorBody),
        (status = 503, description = "The accounts' database does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    search: Result<Query<EventSearch>, QueryRejection>,
) -> Result<Response, IssueError> {
    let page = web.issuance.audit.search(&read(search)?).await?;
    Ok(json(StatusCode::OK, &page_json(&page)))
}

/// Count the audit events of a period
///
/// By kind, with those that were left out of a flood; and the refused logins by the name that was
/// written and by address, the 20 most frequent of each.
#[utoipa::path(
    get, path = paths::ADMIN_AUDIT_SUMMARY, tag = "internal", security(("administrator" = [])),
    params(
        ("from" = Option<String>, Query, description = "Not before this time: 2026-11-22 or 2026-11-22T08:00:00Z"),
        ("to" = Option<String>, Query, description = "Before this time"),
    ),
    responses(
        (status = 200, description = "The counts", body = serde_json::Value),
        (status = 400, description = "A parameter is unknown or cannot be read", body = ErrorBody),
        (status = 503, description = "The accounts' database does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn summary(
    State(web): State<Arc<Web>>,
    period: Result<Query<Period>, QueryRejection>,
) -> Result<Response, IssueError> {
    let summary = web.issuance.audit.summary(&read(period)?).await?;
    Ok(json(StatusCode::OK, &summary_json(&summary)))
}

/// A page of one's own events, as it is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnPage {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// List what happened to my account
///
/// Newest first. For a session that was opened by a password, or a token with the scope SESSIONS_SCOPE.
#[utoipa::path(
    get, path = paths::ACCOUNT_EVENTS, tag = "Sessions",
    security(("bearer" = []), ("cookies" = [])),
    params(
        ("limit" = Option<usize>, Query, description = "So many events at most: 1 to 1000; 100 where it is not said"),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before"),
    ),
    responses(
        (status = 200, description = "A page: its `events`, and where there may be more the cursor `next`", body = serde_json::Value),
        (status = 400, description = "A parameter is unknown or cannot be read", body = ErrorBody),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session was not opened by a password", body = ErrorBody),
        (status = 503, description = "A store does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn list_own(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
    page: Result<Query<OwnPage>, QueryRejection>,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    web.issuance.revocation.check_may_manage_sessions(&bearer)?;
    let OwnPage { limit, cursor } = read(page)?;
    let user = Some(bearer.user.as_str().to_owned());
    let search = EventSearch { user, limit, cursor, ..EventSearch::default() };
    Ok(json(StatusCode::OK, &page_json(&web.issuance.audit.search(&search).await?)))
}

fn read<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, IssueError> {
    query.map(|Query(read)| read).map_err(|error| IssueError::invalid_request(error.body_text()))
}
