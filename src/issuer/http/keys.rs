//! `/keys`: what somebody may do with his own API keys, and what a program does that refreshes one.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{ErrorBody, json as reply};
use super::{Web, paths};
use crate::account::{ApiKey, KeyBounds};
use crate::clock::UnixTime;
use crate::issuer::api_keys::{IssuedKey, KeyRequest, KeyTerms, RefreshTerms};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::throttle::Success;
use crate::secret::Secret;
use crate::session::SessionId;
use crate::wire::json;

/// A key to make. Times are in seconds from now.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewKeyBody {
    /// A name for people.
    #[schema(example = "nightly build")]
    label: Option<String>,
    /// The most scopes that it may be granted. Empty: all that whoever asks may grant.
    #[schema(example = json!(["user:read"]))]
    scopes: Vec<String>,
    /// The time until its end; without one it is good until it is revoked.
    #[schema(example = 7_776_000)]
    expires_in: Option<u64>,
    /// The time before it may be used.
    not_before: u64,
    /// The service that it is for: a name in JWT_AUDIENCE, or the host of the requests.
    audience: Option<String>,
    /// The path that it is for, with all that is below; or the id of its user.
    #[schema(example = "/reports")]
    subject: Option<String>,
    /// The address or the network that it may be used from.
    #[schema(example = "192.0.2.0/24")]
    address: Option<String>,
    /// The issuer that must be the one of the accounts.
    issuer: Option<String>,
    /// The version of the application's interface; nothing is decided by it.
    version: Option<String>,
    /// The time until the end of its refresh token; without one it has none.
    refresh_expires_in: Option<u64>,
    /// The time before its refresh token works.
    refresh_not_before: u64,
    /// The session that it ends with: for one's own `current`, for an administrator its id.
    session: Option<String>,
}

/// The refresh token of a key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshKeyBody {
    /// The token; it works once.
    refresh_token: String,
}

/// An API key, without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyView {
    /// Its id.
    id: String,
    /// The id of its user.
    user_id: String,
    /// The name that people use for it.
    label: Option<String>,
    /// The most scopes that it may be granted; empty: all of its user's.
    scopes: Vec<String>,
    /// The session that it ends with.
    session: Option<String>,
    /// The issuer that it is bound to.
    issuer: Option<String>,
    /// The service that it is bound to.
    audience: Option<String>,
    /// The path, or the user, that it is bound to.
    subject: Option<String>,
    /// The addresses that it is bound to.
    address: Option<String>,
    /// The version of the application's interface.
    version: Option<String>,
    /// The time at which it was made.
    #[schema(example = "2026-11-27T08:00:00Z")]
    created: String,
    /// The time from which it may be used.
    not_before: Option<String>,
    /// The time at which it ends.
    expires: Option<String>,
    /// The time of its last use, to a minute.
    last_used: Option<String>,
    /// The time from which its refresh token works.
    refresh_not_before: Option<String>,
    /// The time at which its refresh token ends; null where it has none.
    refresh_expires: Option<String>,
}

/// A key that was made. Its secrets are shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedKeyAnswer {
    /// The key itself.
    key: String,
    /// The token that gets the next key.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(flatten)]
    view: KeyView,
}

/// A list of keys.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    /// The newest first; at most 1000.
    keys: Vec<KeyView>,
}

/// Number of keys that were revoked.
#[derive(Serialize, ToSchema)]
pub(super) struct RevokedAnswer {
    /// The number.
    revoked: u64,
}

impl NewKeyBody {
    /// Reads a body; an empty one asks for a key without bounds.
    pub(super) fn read(body: &[u8]) -> Result<Self, IssueError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        // serde takes an array for an object too, by the order of the fields.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(IssueError::invalid_request("send an object"));
        }
        json::from_slice(body).map_err(|error| IssueError::invalid_request(error.to_string()))
    }

    /// The session that is named, and the rest.
    pub(super) fn into_request(self) -> (Option<String>, KeyRequest) {
        let seconds = Duration::from_secs;
        let not_before = seconds(self.refresh_not_before);
        let refresh = self.refresh_expires_in.map(seconds);
        let terms = KeyTerms {
            not_before: seconds(self.not_before),
            lifetime: self.expires_in.map(seconds),
            refresh: refresh.map(|lifetime| RefreshTerms { not_before, lifetime }),
        };
        let request = KeyRequest {
            label: self.label,
            scopes: self.scopes,
            issuer: self.issuer,
            audience: self.audience,
            subject: self.subject,
            address: self.address,
            version: self.version,
            terms,
        };
        (self.session, request)
    }
}

impl KeyView {
    fn of(key: ApiKey) -> Self {
        let KeyBounds { issuer, audience, subject, address } = key.bounds;
        let text = |time: Option<UnixTime>| time.map(|time| time.to_string());
        let refresh = key.refresh.as_ref();
        Self {
            refresh_not_before: text(refresh.and_then(|refresh| refresh.not_before)),
            refresh_expires: text(refresh.map(|refresh| refresh.expires)),
            id: key.id,
            user_id: key.user.as_str().to_owned(),
            label: key.label,
            scopes: key.scopes,
            session: key.session.as_ref().map(SessionId::to_string),
            issuer,
            audience,
            subject,
            address: address.map(|range| range.to_string()),
            version: key.version,
            created: key.created.to_string(),
            not_before: text(key.not_before),
            expires: text(key.expires),
            last_used: text(key.last_used),
        }
    }
}

/// Answers with a key that was made.
pub(super) fn issued(status: StatusCode, issued: IssuedKey) -> Response {
    let IssuedKey { key, refresh_token, record } = issued;
    let refresh_token = refresh_token.as_ref().map(Secret::to_text);
    reply(status, &IssuedKeyAnswer { key: key.to_text(), refresh_token, view: KeyView::of(record) })
}

/// Answers with these keys.
pub(super) fn listed(found: Vec<ApiKey>) -> Response {
    reply(StatusCode::OK, &KeyList { keys: found.into_iter().map(KeyView::of).collect() })
}

/// Answers that so many keys were revoked.
pub(super) fn revoked(revoked: u64) -> Response {
    reply(StatusCode::OK, &RevokedAnswer { revoked })
}

/// List my API keys
///
/// For a session that was opened by a password, or a token with the scope SESSIONS_SCOPE; no key has
/// a say about keys. Those that ended with their sessions are left out.
#[utoipa::path(
    get, path = paths::KEYS, tag = "API keys", security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "The keys, without their secrets", body = KeyList),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session has no say about keys, or another site's page sent the cookies", body = ErrorBody),
        (status = 503, description = "A store does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    Ok(listed(web.issuance.api_keys.list_own(&bearer).await?))
}

/// Make an API key of mine
///
/// It has at most the scopes of the token that asks. With `"session": "current"` it ends with the
/// session that asks. There may be 100 keys.
#[utoipa::path(
    post, path = paths::KEYS, tag = "API keys", security(("bearer" = []), ("cookies" = [])),
    request_body = NewKeyBody,
    responses(
        (status = 201, description = "The key, which is shown this once", body = IssuedKeyAnswer),
        (status = 400, description = "What is asked for makes no sense, or no such scope may be granted", body = ErrorBody),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session has no say about keys, there are too many, or another site's page sent the cookies", body = ErrorBody),
        (status = 429, description = "Too many requests; see Retry-After", body = ErrorBody),
        (status = 503, description = "A store does not answer; no key was made", body = ErrorBody),
    ),
)]
pub(super) async fn make(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    let (session, request) = NewKeyBody::read(&body)?.into_request();
    let is_bound = match session.as_deref() {
        None => false,
        Some("current") => true,
        Some(id) if id == bearer.session.as_str() => true,
        Some(_) => return Err(IssueError::invalid_request("session can only be `current`")),
    };
    let make = web.issuance.api_keys.issue_own(&bearer, is_bound, request, &caller);
    let made = web.issuance.throttle.within_budget(&caller, Success::Costs, make).await?;
    Ok(issued(StatusCode::CREATED, made))
}

/// Revoke all my API keys
#[utoipa::path(
    delete, path = paths::KEYS, tag = "API keys", security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "So many were revoked", body = RevokedAnswer),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session has no say about keys, or another site's page sent the cookies", body = ErrorBody),
        (status = 503, description = "A store does not answer: some may live on", body = ErrorBody),
    ),
)]
pub(super) async fn revoke_all(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    Ok(revoked(web.issuance.api_keys.revoke_all_own(&bearer, &caller).await?))
}

/// Revoke one of my API keys
///
/// All that were refreshed from one with it end too.
#[utoipa::path(
    delete, path = paths::KEY, tag = "API keys",
    params(("id" = String, Path, description = "Its id, as the list has it")),
    security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "It is revoked", body = RevokedAnswer),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session has no say about keys, or another site's page sent the cookies", body = ErrorBody),
        (status = 404, description = "It is not one of mine", body = ErrorBody),
        (status = 503, description = "A store does not answer: it may live on", body = ErrorBody),
    ),
)]
pub(super) async fn revoke_one(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    web.issuance.api_keys.revoke_own(&bearer, &id, &caller).await?;
    Ok(revoked(1))
}

/// Refresh an API key
///
/// Another key takes its place, with the same bounds, and with the same times from now on. A refresh
/// token works once, also where its key has expired; whoever shows a used one ends all keys that were
/// refreshed from one with it.
#[utoipa::path(
    post, path = paths::REFRESH_KEY, tag = "API keys",
    request_body = RefreshKeyBody,
    responses(
        (status = 200, description = "The key that took its place, which is shown this once", body = IssuedKeyAnswer),
        (status = 400, description = "The token is unknown, used, too early or over, or not for this address", body = ErrorBody),
        (status = 429, description = "Too many attempts; see Retry-After", body = ErrorBody),
        (status = 503, description = "A store does not answer; the token may be used", body = ErrorBody),
    ),
)]
pub(super) async fn refresh(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, IssueError> {
    // What serde says of a mistake may quote the token.
    let shape = |_| IssueError::invalid_request("send {\"refresh_token\": \"pr_..\"} as JSON");
    let RefreshKeyBody { refresh_token } = json::from_slice(&body).map_err(shape)?;
    let token = Secret::new(refresh_token);
    let refreshed = web.issuance.api_keys.refresh(&token, None, &caller).await?;
    Ok(issued(StatusCode::OK, refreshed))
}
