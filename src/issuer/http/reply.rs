//! Answers of the issuer: what all have in common, and errors.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::account::policy::PolicyProblem;
use crate::issuer::error::{Cause, IssueError};

/// The answer where nothing is.
pub(super) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404: Not Found").into_response()
}

/// An error of RFC 6749, section 5.2.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// The error, as one word.
    #[schema(example = "invalid_grant")]
    error: &'static str,
    /// The cure.
    error_description: String,
    /// All that is wrong with a new password.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemView>,
}

/// A problem of a new password.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemView {
    /// The problem, as one word.
    #[schema(example = "too_short")]
    code: &'static str,
    /// The cure.
    advice: String,
}

/// The problems of a new password.
pub(super) fn problem_views(problems: &[PolicyProblem]) -> Vec<ProblemView> {
    let view = |it: &PolicyProblem| ProblemView { code: it.code(), advice: it.to_string() };
    problems.iter().map(view).collect()
}

/// The status that goes with an error.
pub(super) fn status_of(error: &IssueError) -> StatusCode {
    match error {
        IssueError::InvalidClient { .. } | IssueError::MissingToken | IssueError::InvalidToken => {
            StatusCode::UNAUTHORIZED
        }
        IssueError::Forbidden(_) => StatusCode::FORBIDDEN,
        IssueError::NotFound => StatusCode::NOT_FOUND,
        IssueError::Taken(_) => StatusCode::CONFLICT,
        IssueError::SlowDown(_) => StatusCode::TOO_MANY_REQUESTS,
        IssueError::Unsupported | IssueError::NoMail => StatusCode::NOT_IMPLEMENTED,
        IssueError::TokenTooLong => StatusCode::INTERNAL_SERVER_ERROR,
        IssueError::Unavailable(_) | IssueError::Busy | IssueError::InProgress(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        IssueError::InvalidRequest(_)
        | IssueError::InvalidGrant
        | IssueError::UnauthorizedClient
        | IssueError::UnsupportedGrantType
        | IssueError::InvalidScope
        | IssueError::InvalidTarget
        | IssueError::WeakPassword(_)
        | IssueError::InvalidLink => StatusCode::BAD_REQUEST,
    }
}

impl IntoResponse for IssueError {
    fn into_response(self) -> Response {
        let problems = match &self {
            Self::WeakPassword(problems) => problem_views(problems),
            _ => Vec::new(),
        };
        let body = ErrorBody { error: self.code(), error_description: self.to_string(), problems };
        let mut response = json(status_of(&self), &body);
        add_error_headers(&self, &mut response);
        response
    }
}

/// The headers that go with an error: when to come again, and which scheme is asked for. Whoever
/// answers it needs them, so this logs what is not told.
pub(super) fn add_error_headers(error: &IssueError, response: &mut Response) {
    error.log();
    if let Some(seconds) = error.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    let scheme = match error {
        IssueError::InvalidClient { .. } => "Basic realm=\"portcullis\", charset=\"UTF-8\"",
        // Who shows nothing is only told what is wanted (RFC 6750, section 3.1).
        IssueError::MissingToken => "Bearer realm=\"portcullis\"",
        IssueError::InvalidToken => "Bearer realm=\"portcullis\", error=\"invalid_token\"",
        _ => return,
    };
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
}

/// A JSON answer that nobody may keep.
pub(super) fn json<B: Serialize>(status: StatusCode, body: &B) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => text_of_json(status, text),
        Err(error) => {
            Cause::from(error).log();
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The same, from text.
pub(super) fn text_of_json(status: StatusCode, text: String) -> Response {
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    forbid_caching(&mut response);
    response
}

/// Forbids caches to keep an answer (RFC 6749, section 5.1).
pub(super) fn forbid_caching(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
}
