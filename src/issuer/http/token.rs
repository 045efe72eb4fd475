//! `POST /token` (RFC 6749, section 3.2).

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::form::Form;
use super::reply::{ErrorBody, json};
use super::{Web, cookies, csrf, paths};
use crate::account::Client;
use crate::clock::UnixTime;
use crate::issuer::caller::Caller;
use crate::issuer::client_auth::ClientCredentials;
use crate::issuer::error::IssueError;
use crate::issuer::issued::Issued;
use crate::issuer::login::GrantParams;
use crate::issuer::refresh::RefreshRequest;
use crate::issuer::scopes;
use crate::secret::Secret;
use crate::session::{DeviceId, DeviceName, InvalidDevice};

/// The name of the API-key grant.
pub const API_KEY_GRANT: &str = "urn:portcullis:grant-type:api-key";
/// The grants, as the metadata lists them.
pub(super) const GRANTS: [&str; 4] =
    ["password", "client_credentials", "refresh_token", API_KEY_GRANT];

/// The parameters of `POST /token`. For the OpenAPI document: which of them a grant takes is in
/// their descriptions, and [`token`] reads them one by one.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form, which is read with its secrets kept apart")]
pub(super) struct TokenForm {
    /// `password`, `client_credentials`, `refresh_token` or `urn:portcullis:grant-type:api-key`
    #[schema(example = "password")]
    grant_type: String,
    /// password: the username or the e-mail
    #[schema(example = "alice")]
    username: Option<String>,
    /// password: the password
    #[schema(format = Password)]
    password: Option<String>,
    /// refresh_token: the refresh token
    refresh_token: Option<String>,
    /// api-key: the key
    api_key: Option<String>,
    /// Scopes with blanks between them; at most what user and client may have
    #[schema(example = "user:read")]
    scope: Option<String>,
    /// Whom the token is for (RFC 8707); may be repeated
    resource: Option<String>,
    /// The same, as others call it
    audience: Option<String>,
    /// The client, where it does not authenticate by HTTP Basic
    client_id: Option<String>,
    /// The client's secret, where it does not authenticate by HTTP Basic
    #[schema(format = Password)]
    client_secret: Option<String>,
    /// The id by which the device comes again; where logins set cookies, one is made if there is none
    device_id: Option<String>,
    /// The name of the device, for lists of sessions; else one is made from its User-Agent
    #[schema(example = "Alice's phone")]
    device_name: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`
    client_assertion_type: Option<String>,
    /// A JWT that the client signed (RFC 7523)
    client_assertion: Option<String>,
}

/// The answer to a request for tokens (RFC 6749, section 5.1), with tp-auth's two fields.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenAnswer {
    /// The access token: a JWT, or a handle.
    access_token: String,
    /// The way in which it is used.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// The number of seconds for which it is good.
    expires_in: u64,
    /// The token that gets the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// The scopes that it grants.
    scope: String,
    /// The id of its user.
    user_id: String,
    /// The access token again, as tp-auth calls it.
    token: String,
}

impl TokenAnswer {
    fn of(issued: &Issued, now: UnixTime) -> Self {
        Self {
            access_token: issued.access_token.to_text(),
            token_type: "Bearer",
            expires_in: issued.expires_in(now),
            refresh_token: issued.refresh_token.as_ref().map(Secret::to_text),
            scope: issued.scopes.join(" "),
            user_id: issued.user.as_str().to_owned(),
            token: issued.access_token.to_text(),
        }
    }
}

/// Issue tokens
///
/// A client authenticates by HTTP Basic, or in the form; a public one sends its id alone; a person,
/// or a program with an API key, may come without one.
#[utoipa::path(
    post, path = paths::TOKEN, tag = "OAuth 2.0", security(("basic" = []), ()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Tokens", body = TokenAnswer),
        (status = 400, description = "Refused, by the codes of RFC 6749", body = ErrorBody),
        (status = 401, description = "The client did not show who it is", body = ErrorBody),
        (status = 403, description = "Another site's page asks, where logins set cookies", body = ErrorBody),
        (status = 429, description = "Too many attempts; see Retry-After", body = ErrorBody),
        (status = 500, description = "The user's claims make a token longer than MAX_TOKEN_BYTES", body = ErrorBody),
        (status = 503, description = "A store or the hook does not answer, or too many logins wait", body = ErrorBody),
    ),
)]
pub(super) async fn token(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IssueError> {
    // Another site's page must not log its visitor in as somebody else.
    if web.config.cookies.is_some() {
        web.config.forgery_check().refuse_other_sites(&headers)?;
    }
    let mut form = Form::read(content_type(&headers), &body)?;
    let caller = web.with_device(caller, &headers, &mut form)?;
    let issued = web.grant(&headers, &mut form, &caller).await?;
    let answer = TokenAnswer::of(&issued, web.issuance.clock.now());
    let mut response = json(StatusCode::OK, &answer);
    if let Some(pair) = web.config.cookies {
        cookies::set(pair, &mut response, issued.user.as_str(), &answer.access_token);
        // Without it the login is good all the same: GET /csrf gives another.
        if let Ok(token) = csrf::new_token(&answer.access_token, web.issuance.random.as_ref()) {
            cookies::set_csrf(pair, &mut response, &token);
        }
        if let Some(device) = &caller.device_id {
            cookies::set_device(pair, &mut response, device);
        }
    }
    Ok(response)
}

pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

impl Web {
    /// The caller with the device that the form names, or the browser's cookie. A browser that comes
    /// for the first time is given an id.
    fn with_device(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        form: &mut Form,
    ) -> Result<Caller, IssueError> {
        let invalid = |error: InvalidDevice| IssueError::invalid_request(error.to_string());
        let (id, name) = (form.text("device_id")?, form.text("device_name")?);
        let id = id.as_deref().map(DeviceId::parse).transpose().map_err(invalid)?;
        let name = name.as_deref().map(DeviceName::parse).transpose().map_err(invalid)?;
        let id = match (id, self.config.cookies) {
            (None, Some(pair)) => Some(match cookies::device(pair, headers) {
                Some(known) => known,
                None => DeviceId::generate(self.issuance.random.as_ref())?,
            }),
            (id, _) => id,
        };
        Ok(Caller { device_id: id, device_name: name, ..caller })
    }

    async fn grant(
        &self,
        headers: &HeaderMap,
        form: &mut Form,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        // tp-auth's clients leave it out.
        let grant = match form.text("grant_type")? {
            Some(grant) => grant,
            None if form.has("username") && form.has("password") => "password".to_owned(),
            None => return Err(IssueError::invalid_request("grant_type is missing")),
        };
        let grant = grant.as_str();
        if !GRANTS.contains(&grant) {
            return Err(IssueError::UnsupportedGrantType);
        }
        let client = self.client(headers, form, caller).await?;
        if client.as_ref().is_some_and(|client| !client.may_use(grant)) {
            return Err(IssueError::UnauthorizedClient);
        }
        let scopes = scopes::parse(form.text("scope")?.as_deref())?;
        let mut audiences = form.all("resource");
        audiences.extend(form.all("audience"));
        audiences.dedup();
        let client = client.as_ref();
        if grant == "refresh_token" {
            let token = form.required("refresh_token")?;
            let request = RefreshRequest {
                token: token.expose_str().unwrap_or_default(),
                client,
                scopes: scopes.as_deref(),
                audiences: &audiences,
                caller,
            };
            return self.issuance.refresh.refresh(request).await;
        }
        let params = GrantParams { client, scopes, audiences };
        match grant {
            "password" => {
                let (username, password) = (form.required("username")?, form.required("password")?);
                let username = username.expose_str().unwrap_or_default();
                self.issuance.login.password(username, &password, params, caller).await
            }
            "client_credentials" => {
                // Only a client that can keep a secret may act for itself (RFC 6749, section 4.4).
                let client = client.filter(|client| client.is_confidential());
                let client = client.ok_or(IssueError::InvalidClient { by_header: false })?;
                self.issuance.login.client_credentials(client, params, caller).await
            }
            _ => {
                let key = form.required("api_key")?;
                self.issuance.login.api_key(&key, params, caller).await
            }
        }
    }

    /// The client of a request, where it shows one.
    pub(super) async fn client(
        &self,
        headers: &HeaderMap,
        form: &mut Form,
        caller: &Caller,
    ) -> Result<Option<Client>, IssueError> {
        match ClientCredentials::read(headers, form.client()?)? {
            Some(shown) => self.issuance.clients.authenticate(&shown, caller).await.map(Some),
            None => Ok(None),
        }
    }
}
