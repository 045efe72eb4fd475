//! The internal listener: what other services and administrators may do.
//!
//! On a loopback address or a unix socket whoever reaches it belongs to this host, and only what
//! came by accident is refused: through a proxy, or from a browser's page. On any other address,
//! and for whoever prefers it, an administrator's token is demanded.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{FORWARDED, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Version};

use super::Web;
use super::reply::{ErrorBody, json as reply};
use super::sessions::{EndedAnswer, SessionList, SessionView, bearer_token};
use crate::issuer::audit::Event;
use crate::issuer::ending::MOST_LISTED;
use crate::issuer::error::IssueError;
use crate::issuer::terms::Caller;
use crate::secret::Secret;
use crate::session::{SessionId, UserId};

/// What proxies add, and nobody who belongs here.
const OF_PROXIES: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
    "x-original-uri",
];

impl Web {
    /// Whether the request carries the administrator's token.
    pub(super) fn is_administrator(&self, headers: &HeaderMap) -> bool {
        let shown = bearer_token(headers).ok().flatten().map(Secret::new);
        matches!((&self.terms.admin_token, shown), (Some(token), Some(shown)) if *token == shown)
    }
}

/// Lets through whoever may use the internal listener.
pub(super) async fn guard(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    // Those of jwthenticator are called by its clients, which know no token.
    let is_administrators = request.uri().path().starts_with("/admin/");
    let has_token = web.terms.admin_token.is_some();
    let verdict = if web.is_administrator(headers) {
        Ok(())
    } else if web.terms.internal_needs_token || (has_token && is_administrators) {
        Err(web.issuance.throttle.failure(IssueError::InvalidToken, &caller).await)
    } else {
        check_is_of_this_host(&request)
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let refused = web.issuance.audit.event(Event::AdminRefused).error(&error);
            refused.reason(request.uri().path()).address(caller.address).write();
            error.into_response()
        }
    }
}

fn check_is_of_this_host<B>(request: &http::Request<B>) -> Result<(), IssueError> {
    let forbidden = |why| Err(IssueError::Forbidden(why));
    let headers = request.headers();
    // What nginx speaks to those behind it where nobody says otherwise, and nobody else any more.
    if request.version() < Version::HTTP_11 {
        return forbidden("this came through a proxy, by HTTP/1.0; set ADMIN_TOKEN and send it");
    }
    if headers.contains_key(FORWARDED) || OF_PROXIES.iter().any(|name| headers.contains_key(*name))
    {
        return forbidden("this came through a proxy; set ADMIN_TOKEN and send it");
    }
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return forbidden("this came from a browser; set ADMIN_TOKEN and send it");
    }
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
    if host.or(request.uri().authority().map(Authority::as_str)).is_some_and(is_plain_host) {
        Ok(())
    } else {
        forbidden("call this listener by its address or as localhost")
    }
}

/// An address, or this host's own name: no name that somebody else's DNS could lead here.
fn is_plain_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// List the sessions of all users
#[utoipa::path(
    get, path = "/admin/sessions", tag = "internal", security(("administrator" = [])),
    responses(
        (status = 200, description = "At most 1000 live ones", body = SessionList),
        (status = 501, description = "Sessions are in memcached, which cannot list them", body = ErrorBody),
    ),
)]
pub(super) async fn list_all(State(web): State<Arc<Web>>) -> Result<Response, IssueError> {
    let found = web.issuance.list(None, MOST_LISTED).await?;
    let sessions = found.iter().map(|session| SessionView::of(session, None)).collect();
    Ok(reply(StatusCode::OK, &SessionList { sessions }))
}

/// List the sessions of a user
#[utoipa::path(
    get, path = "/admin/users/{user}/sessions", tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id")),
    responses(
        (status = 200, description = "The live ones", body = SessionList),
        (status = 501, description = "Sessions are in memcached, which cannot list them", body = ErrorBody),
    ),
)]
pub(super) async fn list_of_user(
    State(web): State<Arc<Web>>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    let user = UserId::parse(&user).map_err(|_| IssueError::NotFound)?;
    let found = web.issuance.list(Some(&user), MOST_LISTED).await?;
    let sessions = found.iter().map(|session| SessionView::of(session, None)).collect();
    Ok(reply(StatusCode::OK, &SessionList { sessions }))
}

/// End all sessions of a user
#[utoipa::path(
    delete, path = "/admin/users/{user}/sessions", tag = "internal",
    security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id")),
    responses((status = 200, description = "So many have ended", body = EndedAnswer)),
)]
pub(super) async fn end_of_user(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    let user = UserId::parse(&user).map_err(|_| IssueError::NotFound)?;
    let ended = web.issuance.end_all(&user, &caller).await?;
    Ok(reply(StatusCode::OK, &EndedAnswer { ended }))
}

/// End a session
#[utoipa::path(
    delete, path = "/admin/sessions/{id}", tag = "internal", security(("administrator" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "It has ended", body = EndedAnswer),
        (status = 404, description = "There is none", body = ErrorBody),
    ),
)]
pub(super) async fn end_one(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, IssueError> {
    let id = SessionId::parse(&id).map_err(|_| IssueError::NotFound)?;
    if !web.issuance.end(&id, "administrator", &caller).await? {
        return Err(IssueError::NotFound);
    }
    Ok(reply(StatusCode::OK, &EndedAnswer { ended: 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_by_accident_is_refused() {
        for (name, value, is_welcome) in [
            ("host", "127.0.0.1:8082", true),
            ("host", "localhost:8082", true),
            ("host", "LOCALHOST", true),
            ("host", "[::1]:8082", true),
            ("host", "[::1]", true),
            ("host", "evil.example:8082", false),
            ("host", "localhost.evil.example", false),
            ("origin", "http://localhost:3000", false),
            ("sec-fetch-site", "none", false),
            ("x-forwarded-for", "127.0.0.1", false),
            ("forwarded", "for=127.0.0.1", false),
            ("via", "1.1 proxy", false),
            ("user-agent", "curl", true),
        ] {
            let request = http::Request::get("/");
            let request = if name == "host" { request } else { request.header("host", "[::1]") };
            let request = request.header(name, value).body(()).expect("a request");
            assert_eq!(check_is_of_this_host(&request).is_ok(), is_welcome, "{name}: {value}");
        }
        let old = http::Request::get("/").version(Version::HTTP_10).header("host", "127.0.0.1");
        assert!(check_is_of_this_host(&old.body(()).expect("a request")).is_err());
        let of_http2 = |uri: &str| http::Request::get(uri).body(()).expect("a request");
        assert!(check_is_of_this_host(&of_http2("http://127.0.0.1:8082/")).is_ok());
        assert!(check_is_of_this_host(&of_http2("http://evil.example/")).is_err());
        assert!(check_is_of_this_host(&of_http2("/")).is_err(), "no name at all");
    }
}
