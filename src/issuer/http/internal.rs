//! The internal listener: what other services and administrators may do.
//!
//! Whatever changes or lists anything takes the administrator's token, also on loopback: nobody can
//! tell a proxy of this host, or a page in a browser, from somebody who belongs here. The
//! permissions of a unix socket may stand in for it; and for jwthenticator's clients, which know no
//! token, the operator may open the two routes that they call, on this host alone.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{FORWARDED, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Version};

use super::reply::ErrorBody;
use super::sessions::{EndedAnswer, SessionList, ended, listed};
use super::{Web, paths};
use crate::issuer::audit::Event;
use crate::issuer::caller::{Caller, bearer_token};
use crate::issuer::error::IssueError;
use crate::issuer::revocation::MAX_LISTED;
use crate::secret::Secret;
use crate::session::SessionId;

/// Headers that proxies add, and nobody who belongs here.
const OF_PROXIES: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
    "x-original-uri",
];

impl Web {
    /// True if the request carries the administrator's token.
    pub(super) fn is_administrator(&self, headers: &HeaderMap) -> bool {
        let shown = bearer_token(headers).ok().flatten().map(Secret::new);
        matches!((&self.config.admin_token, shown), (Some(token), Some(shown)) if *token == shown)
    }
}

/// Callers that the internal listener lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InternalConfig {
    /// True if this host alone reaches it, so that nobody has another name for it.
    pub is_local_only: bool,
    /// True if it is a unix socket whose permissions stand in for the administrator's token.
    pub socket_is_guarded: bool,
    /// True if jwthenticator's two routes need no token.
    pub open_registration: bool,
}

/// Lets through whoever may use the internal listener.
pub(super) async fn guard(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match web.authorize(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let error = web.issuance.throttle.failure(error, &caller).await;
            let refused = web.issuance.audit.event(Event::AdminRefused).error(&error);
            refused.reason(route(&request)).address(caller.address).write();
            error.into_response()
        }
    }
}

/// The route that was asked for, as it stands in the documents: a path may name a person.
fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("no such route", MatchedPath::as_str)
}

impl Web {
    fn authorize(&self, request: &Request) -> Result<(), IssueError> {
        let config = self.config.internal;
        let headers = request.headers();
        if config.is_local_only {
            check_name(request)?;
        }
        if self.is_administrator(headers) {
            return Ok(());
        }
        let is_open = config.open_registration && is_jwthenticators(request.uri().path());
        if config.socket_is_guarded || is_open {
            return check_is_direct(request);
        }
        match bearer_token(headers) {
            Ok(None) => Err(IssueError::MissingToken),
            _ => Err(IssueError::InvalidToken),
        }
    }
}

fn is_jwthenticators(path: &str) -> bool {
    [paths::REGISTER_KEY, paths::IS_KEY_REGISTERED].contains(&path)
}

/// Checks that the listener is called by a name of its own, wherever the request says one: somebody
/// else's DNS may lead any other name here.
fn check_name<B>(request: &http::Request<B>) -> Result<(), IssueError> {
    let in_header = request.headers().get_all(HOST).iter();
    let in_header = in_header.map(|host| host.to_str().unwrap_or("?"));
    let in_uri = request.uri().authority().map(Authority::as_str);
    let mut names = in_header.chain(in_uri).peekable();
    if names.peek().is_some() && names.all(is_own_name) {
        Ok(())
    } else {
        Err(IssueError::Forbidden("call this listener by its address or as localhost"))
    }
}

/// Checks that nobody stands between, as far as it shows: what came by accident through a proxy, or
/// from a browser's page, belongs to somebody else.
fn check_is_direct<B>(request: &http::Request<B>) -> Result<(), IssueError> {
    let forbidden = |why| Err(IssueError::Forbidden(why));
    let headers = request.headers();
    // What nginx speaks to those behind it where nobody says otherwise, and nobody else any more.
    if request.version() < Version::HTTP_11 {
        return forbidden("this came through a proxy, by HTTP/1.0; send the administrator's token");
    }
    if headers.contains_key(FORWARDED) || OF_PROXIES.iter().any(|name| headers.contains_key(*name))
    {
        return forbidden("this came through a proxy; send the administrator's token");
    }
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return forbidden("this came from a browser; send the administrator's token");
    }
    Ok(())
}

/// A loopback address, or this host's own name for it, with any port: a tunnel has another.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

/// List the sessions of all users
#[utoipa::path(
    get, path = paths::ADMIN_SESSIONS, tag = "internal", security(("administrator" = [])),
    responses(
        (status = 200, description = "At most 1000 live ones", body = SessionList),
        (status = 501, description = "Sessions are in memcached, which cannot list them", body = ErrorBody),
    ),
)]
pub(super) async fn list_all(State(web): State<Arc<Web>>) -> Result<Response, IssueError> {
    Ok(listed(&web.issuance.revocation.list(None, MAX_LISTED).await?, None))
}

/// List the sessions of a user
#[utoipa::path(
    get, path = paths::ADMIN_USER_SESSIONS, tag = "internal", security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "The live ones", body = SessionList),
        (status = 404, description = "There is no such user, and no session of one", body = ErrorBody),
        (status = 501, description = "Sessions are in memcached, which cannot list them", body = ErrorBody),
    ),
)]
pub(super) async fn list_of_user(
    State(web): State<Arc<Web>>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    Ok(listed(&web.issuance.revocation.list_of(&user).await?, None))
}

/// End all sessions of a user
#[utoipa::path(
    delete, path = paths::ADMIN_USER_SESSIONS, tag = "internal",
    security(("administrator" = [])),
    params(("user" = String, Path, description = "The user's id, username or e-mail")),
    responses(
        (status = 200, description = "So many have ended", body = EndedAnswer),
        (status = 404, description = "There is no such user, and no session of one", body = ErrorBody),
    ),
)]
pub(super) async fn end_of_user(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
) -> Result<Response, IssueError> {
    Ok(ended(web.issuance.revocation.end_all_of(&user, &caller).await?))
}

/// End a session
#[utoipa::path(
    delete, path = paths::ADMIN_SESSION, tag = "internal", security(("administrator" = [])),
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
    if !web.issuance.revocation.end(&id, "administrator", &caller).await? {
        return Err(IssueError::NotFound);
    }
    Ok(ended(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> http::Request<()> {
        http::Request::get("/").header(name, value).body(()).expect("a request")
    }

    #[test]
    fn it_is_called_by_its_own_names_alone() {
        for (host, is_own) in [
            ("127.0.0.1:8082", true),
            ("127.0.0.1", true),
            ("localhost:8082", true),
            ("LOCALHOST", true),
            ("[::1]:8082", true),
            ("[::1]", true),
            ("evil.example:8082", false),
            ("localhost.evil.example", false),
            ("localhost.", false),
            ("192.0.2.1", false),
            ("[::1", false),
            ("", false),
        ] {
            assert_eq!(check_name(&with("host", host)).is_ok(), is_own, "{host}");
        }
        let of_http2 = |uri: &str| http::Request::get(uri).body(()).expect("a request");
        assert!(check_name(&of_http2("http://127.0.0.1:8082/")).is_ok());
        assert!(check_name(&of_http2("http://evil.example/")).is_err());
        assert!(check_name(&of_http2("/")).is_err(), "no name at all");
        let two = http::Request::get("http://evil.example/").header("host", "localhost").body(());
        assert!(check_name(&two.expect("a request")).is_err(), "two names");
    }

    #[test]
    fn what_came_by_accident_is_refused() {
        for (name, value, is_welcome) in [
            ("origin", "http://localhost:3000", false),
            ("sec-fetch-site", "none", false),
            ("x-forwarded-for", "127.0.0.1", false),
            ("forwarded", "for=127.0.0.1", false),
            ("via", "1.1 proxy", false),
            ("user-agent", "curl", true),
        ] {
            assert_eq!(check_is_direct(&with(name, value)).is_ok(), is_welcome, "{name}: {value}");
        }
        let old = http::Request::get("/").version(Version::HTTP_10).header("host", "127.0.0.1");
        assert!(check_is_direct(&old.body(()).expect("a request")).is_err());
    }
}
