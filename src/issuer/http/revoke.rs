//! `POST /revoke` (RFC 7009) and `POST /introspect` (RFC 7662).

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::form::Form;
use super::reply::{ErrorBody, forbid_caching, json as reply};
use super::token::content_type;
use super::{Web, paths};
use crate::issuer::audit::Event;
use crate::issuer::caller::{Caller, bearer_token};
use crate::issuer::error::IssueError;

/// The parameters of both.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form, which is read with its secrets kept apart")]
pub(super) struct TokenOnlyForm {
    /// An access token, a handle or a refresh token
    token: String,
    /// Ignored: every kind is recognised
    token_type_hint: Option<String>,
    /// The client, where it does not authenticate by HTTP Basic
    client_id: Option<String>,
    /// The client's secret, where it does not authenticate by HTTP Basic
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// End the session of a token
///
/// A token that belongs to a client is ended by that client alone.
#[utoipa::path(
    post, path = paths::REVOKE, tag = "OAuth 2.0", security(("basic" = []), ()),
    request_body(content = TokenOnlyForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is of no use any more, if it ever was"),
        (status = 400, description = "The token is another client's, or longer than MAX_TOKEN_BYTES and was not read: it may live on", body = ErrorBody),
        (status = 401, description = "The token is a client's, which did not show who it is", body = ErrorBody),
        (status = 503, description = "The store does not answer: the token may live on", body = ErrorBody),
    ),
)]
pub(super) async fn revoke(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let mut form = Form::read(content_type(&headers), &body)?;
    let client = web.client(&headers, &mut form, &caller).await?;
    let token = form.required("token")?;
    let token = token.expose_str().unwrap_or_default();
    web.issuance.revocation.revoke(token, client.as_ref(), &caller).await?;
    let mut response = StatusCode::OK.into_response();
    forbid_caching(&mut response);
    Ok(response)
}

/// Answer of an introspection.
#[derive(serde::Serialize, ToSchema)]
pub(super) struct Introspection {
    /// True if the token is good now; else nothing more is said.
    active: bool,
    /// The claims of the token: `sub`, `scope`, `client_id`, `exp`, `sid` and so on.
    #[serde(flatten)]
    claims: serde_json::Map<String, serde_json::Value>,
}

/// Say what a token is
///
/// For clients with the right to ask, which authenticate as at the token endpoint, and for the
/// administrator.
#[utoipa::path(
    post, path = paths::INTROSPECT, tag = "OAuth 2.0",
    security(("basic" = []), ("administrator" = []), ()),
    request_body(content = TokenOnlyForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What it is, or `active: false`", body = Introspection),
        (status = 401, description = "The caller did not show who it is", body = ErrorBody),
        (status = 403, description = "The caller may not ask", body = ErrorBody),
        (status = 503, description = "The store does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn introspect(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    let mut form = Form::read(content_type(&headers), &body)?;
    if !web.is_administrator(&headers) {
        // Whoever shows a bearer token tries to be the administrator.
        if !matches!(bearer_token(&headers), Ok(None)) {
            let refused = web.issuance.throttle.failure(IssueError::InvalidToken, &caller).await;
            let event = web.issuance.audit.event(Event::AdminRefused).error(&refused);
            event.reason(paths::INTROSPECT).address(caller.address).write();
            return Err(refused);
        }
        let client = web.client(&headers, &mut form, &caller).await?;
        let Some(client) = client else {
            // Nothing was shown that could have been guessed.
            return Err(IssueError::InvalidClient { by_header: false });
        };
        if !client.introspects || !client.is_confidential() {
            let refused = web.issuance.audit.event(Event::ClientRefused).client(Some(&client.id));
            refused.reason("introspection").address(caller.address).write();
            return Err(IssueError::Forbidden("this client may not introspect tokens"));
        }
    }
    let token = form.required("token")?;
    let found =
        web.issuance.introspection.introspect(token.expose_str().unwrap_or_default()).await?;
    Ok(match found {
        Some(claims) => reply(StatusCode::OK, &claims),
        None => reply(StatusCode::OK, &json!({ "active": false })),
    })
}
