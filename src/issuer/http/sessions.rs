//! `/logout` and `/sessions`: what somebody may do with his own sessions.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::reply::{ErrorBody, json as reply};
use super::{Web, cookies, paths};
use crate::issuer::caller::{Caller, bearer_token};
use crate::issuer::error::IssueError;
use crate::issuer::read_only;
use crate::issuer::revocation::Bearer;
use crate::opaque::names_user;
use crate::session::{Device, Session, SessionId};

/// A session, for people to recognise.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionView {
    /// Its name.
    id: String,
    /// The id of its user.
    user_id: String,
    /// True for the session that asks.
    current: bool,
    /// The device that it was opened from.
    device: DeviceView,
    /// The time at which it was opened.
    #[schema(example = "2026-11-23T08:00:00Z")]
    created: String,
    /// The time at which it was last seen.
    last_seen: String,
    /// The time at which it ends.
    expires: String,
}

/// A device.
#[derive(Serialize, ToSchema)]
pub(super) struct DeviceView {
    /// The id by which it comes again, where its login said one.
    id: Option<String>,
    /// The name that its login gave it, or one made from its user agent.
    #[schema(example = "Firefox on Windows 10")]
    name: Option<String>,
    /// The name that the browser or program gives itself.
    user_agent: Option<String>,
    /// Its address.
    address: Option<String>,
}

/// A list of sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionList {
    /// The newest first; at most 1000.
    sessions: Vec<SessionView>,
}

/// Number of sessions that were ended.
#[derive(Serialize, ToSchema)]
pub(super) struct EndedAnswer {
    /// The number.
    ended: u64,
}

/// The sessions to end.
#[derive(Deserialize)]
pub(super) struct EndQuery {
    /// `current`: all but the one that asks.
    except: Option<String>,
}

impl DeviceView {
    fn of(device: &Device) -> Self {
        Self {
            id: device.id.as_ref().map(|id| id.as_str().to_owned()),
            name: device.readable_name(),
            user_agent: device.user_agent.clone(),
            address: device.address.map(|address| address.to_string()),
        }
    }
}

impl SessionView {
    fn of(session: &Session, current: Option<&SessionId>) -> Self {
        Self {
            id: session.id.to_string(),
            user_id: session.user.as_str().to_owned(),
            current: current == Some(&session.id),
            device: DeviceView::of(&session.device),
            created: session.created.to_string(),
            last_seen: session.last_seen.to_string(),
            expires: session.expires.to_string(),
        }
    }
}

impl Web {
    /// Finds the user who calls, by a bearer token or by cookies. The caller must be the client to
    /// which sessions are bound. Everybody who acts by cookies comes through here, and owes a proof that
    /// a page of ours sent the request, unless it changes nothing. Who may only read changes nothing.
    pub(super) async fn bearer(
        &self,
        method: &Method,
        headers: &HeaderMap,
        caller: &Caller,
    ) -> Result<Bearer, IssueError> {
        let bearer = self.reading_bearer(method, headers, caller).await?;
        if !method.is_safe() {
            read_only::check(&self.config.read_only, &self.issuance.users, &bearer).await?;
        }
        Ok(bearer)
    }

    /// Finds him likewise, also who may only read: for what concerns the session that asks alone.
    pub(super) async fn reading_bearer(
        &self,
        method: &Method,
        headers: &HeaderMap,
        caller: &Caller,
    ) -> Result<Bearer, IssueError> {
        let bearer = self.unbound_bearer(method, headers).await?;
        self.issuance.revocation.check_binding(&bearer, caller)?;
        Ok(bearer)
    }

    async fn unbound_bearer(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Bearer, IssueError> {
        if let Some(token) = bearer_token(headers)? {
            return self.issuance.revocation.bearer(token).await;
        }
        let both = self.config.cookies.and_then(|pair| cookies::read(pair, headers));
        let (user, token) = both.ok_or(IssueError::MissingToken)?;
        self.config.forgery_check().check(method, headers)?;
        let bearer = self.issuance.revocation.bearer(&token).await?;
        if names_user(&user, bearer.user.as_str()) {
            Ok(bearer)
        } else {
            Err(IssueError::InvalidToken)
        }
    }

    /// Has the browser forget cookies that are of no use any more, where its own page asks.
    pub(super) fn clear_cookies(
        &self,
        response: &mut Response,
        method: &Method,
        headers: &HeaderMap,
    ) {
        let is_own = || self.config.forgery_check().check(method, headers).is_ok();
        if let Some(pair) = self.config.cookies.filter(|_| is_own()) {
            cookies::clear(pair, response);
        }
    }

    /// The refusal of a request that was to end the session that it came with. Where that is over
    /// already, its cookies go all the same.
    fn refused_to_end(&self, error: IssueError, method: &Method, headers: &HeaderMap) -> Response {
        let is_over = matches!(error, IssueError::InvalidToken | IssueError::MissingToken);
        let mut response = error.into_response();
        if is_over {
            self.clear_cookies(&mut response, method, headers);
        }
        response
    }
}

/// Answers with these sessions, of which one may be the one that asks.
pub(super) fn listed(found: &[Session], current: Option<&SessionId>) -> Response {
    let sessions = found.iter().map(|session| SessionView::of(session, current)).collect();
    reply(StatusCode::OK, &SessionList { sessions })
}

/// Answers that so many sessions have ended.
pub(super) fn ended(ended: u64) -> Response {
    reply(StatusCode::OK, &EndedAnswer { ended })
}

/// End this session
///
/// Where cookies are set they are deleted, also those of a session that was over already.
#[utoipa::path(
    post, path = paths::LOGOUT, tag = "Sessions", security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "It has ended, and the cookies are deleted", body = serde_json::Value, example = json!({"status": 200})),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "Cookies came without a proof that a page of ours sent them", body = ErrorBody),
        (status = 503, description = "The store does not answer: the session may live on", body = ErrorBody),
    ),
)]
pub(super) async fn logout(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let bearer = match web.reading_bearer(&method, &headers, &caller).await {
        Ok(bearer) => bearer,
        Err(error) => return Ok(web.refused_to_end(error, &method, &headers)),
    };
    web.issuance.revocation.end(&bearer.session, "logout", &caller).await?;
    let mut response = reply(StatusCode::OK, &json!({ "status": 200 }));
    web.clear_cookies(&mut response, &method, &headers);
    Ok(response)
}

/// List my sessions
///
/// For a session that was opened by a password, or a token with the scope SESSIONS_SCOPE.
#[utoipa::path(
    get, path = paths::SESSIONS, tag = "Sessions", security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "The live ones", body = SessionList),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session was not opened by a password, or cookies came without a proof that a page of ours sent them", body = ErrorBody),
        (status = 501, description = "Sessions are in memcached, which cannot list them", body = ErrorBody),
        (status = 503, description = "The store does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    let found = web.issuance.revocation.list_own(&bearer).await?;
    Ok(listed(&found, Some(&bearer.session)))
}

/// End all my sessions, or all but this one
///
/// For a session that was opened by a password, or a token with the scope SESSIONS_SCOPE.
#[utoipa::path(
    delete, path = paths::SESSIONS, tag = "Sessions",
    params(("except" = Option<String>, Query, description = "`current`: all but the one that asks")),
    security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "So many have ended; with memcached, which cannot count them, 1", body = EndedAnswer),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session was not opened by a password, or cookies came without a proof that a page of ours sent them", body = ErrorBody),
        (status = 503, description = "The store does not answer: some may live on", body = ErrorBody),
        (status = 501, description = "All but this one, and sessions are in memcached, which cannot list them", body = ErrorBody),
    ),
)]
pub(super) async fn end_all(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<EndQuery>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let ends_itself = query.except.is_none();
    let bearer = match web.bearer(&method, &headers, &caller).await {
        Ok(bearer) => bearer,
        Err(error) if ends_itself => return Ok(web.refused_to_end(error, &method, &headers)),
        Err(error) => return Err(error),
    };
    let count = match query.except.as_deref() {
        None => web.issuance.revocation.end_all_own(&bearer, &caller).await?,
        Some("current") => web.issuance.revocation.end_others(&bearer, &caller).await?,
        Some(_) => return Err(IssueError::invalid_request("except can only be `current`")),
    };
    let mut response = ended(count);
    if ends_itself {
        web.clear_cookies(&mut response, &method, &headers);
    }
    Ok(response)
}

/// End one of my sessions
///
/// Another than the one that asks takes what the list takes.
#[utoipa::path(
    delete, path = paths::SESSION, tag = "Sessions",
    params(("id" = String, Path, description = "Its id, as the list has it")),
    security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "It has ended", body = EndedAnswer),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "The session was not opened by a password, or cookies came without a proof that a page of ours sent them", body = ErrorBody),
        (status = 404, description = "It is not one of mine", body = ErrorBody),
        (status = 503, description = "The store does not answer: it may live on", body = ErrorBody),
    ),
)]
pub(super) async fn end_one(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let bearer = web.bearer(&method, &headers, &caller).await?;
    let id = SessionId::parse(&id).map_err(|_| IssueError::NotFound)?;
    web.issuance.revocation.end_own(&bearer, &id, &caller).await?;
    let mut response = ended(1);
    if id == bearer.session {
        web.clear_cookies(&mut response, &method, &headers);
    }
    Ok(response)
}
