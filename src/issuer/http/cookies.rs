//! Cookies for browsers: whose session it is, and the access token; tp-auth's pair.

use axum::response::Response;
use http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method};

use super::cors::CorsConfig;
use crate::issuer::error::IssueError;
use crate::opaque::{CookiePair, cookie_of_user};
use crate::session::DeviceId;

/// Adds the two cookies to an answer.
pub(super) fn set(pair: CookiePair, response: &mut Response, user: &str, token: &str) {
    append(response, pair.user, &cookie_of_user(user), "");
    append(response, pair.token, token, "");
}

/// Has the browser keep the id of its device for a year from now, whoever logs in or out.
pub(super) fn set_device(pair: CookiePair, response: &mut Response, id: &DeviceId) {
    append(response, pair.device, id.as_str(), "; Max-Age=31536000");
}

/// The id of the browser's device, if it sent one.
pub(super) fn device(pair: CookiePair, headers: &HeaderMap) -> Option<DeviceId> {
    DeviceId::parse(&one_of(headers, pair.device)?).ok()
}

/// Has the browser forget them.
pub(super) fn clear(pair: CookiePair, response: &mut Response) {
    append(response, pair.user, "", "; Max-Age=0");
    append(response, pair.token, "", "; Max-Age=0");
}

fn append(response: &mut Response, name: &str, value: &str, more: &str) {
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{more}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// The cookie that names the user, and the access token, if both are there, each once.
pub(super) fn read(pair: CookiePair, headers: &HeaderMap) -> Option<(String, String)> {
    Some((one_of(headers, pair.user)?, one_of(headers, pair.token)?))
}

/// Refuses what another site's page may have sent: browsers add our cookies by themselves.
///
/// # Errors
/// [`IssueError::Forbidden`].
pub(super) fn check_site(
    method: &Method,
    headers: &HeaderMap,
    cors: Option<&CorsConfig>,
) -> Result<(), IssueError> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name: http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let may_send_cookies = cors.filter(|cors| cors.credentials);
    if may_send_cookies.zip(text(ORIGIN)).is_some_and(|(cors, origin)| cors.allows(origin)) {
        return Ok(());
    }
    let is_own = match text(http::HeaderName::from_static("sec-fetch-site")) {
        Some(site) => matches!(site, "same-origin" | "none"),
        None => match text(ORIGIN) {
            None => true,
            Some(origin) => {
                let host = origin.split_once("://").map(|(_, host)| host);
                host.is_some() && host == text(HOST)
            }
        },
    };
    if is_own {
        Ok(())
    } else {
        Err(IssueError::Forbidden("cookies are not accepted from another site's page"))
    }
}

fn one_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found: Option<&str> = None;
    for line in headers.get_all(COOKIE) {
        for pair in line.to_str().ok()?.split(';') {
            let Some(value) = pair.trim().strip_prefix(name).and_then(|p| p.strip_prefix('='))
            else {
                continue;
            };
            if found.is_some_and(|earlier| earlier != value) {
                return None;
            }
            found = Some(value);
        }
    }
    found.filter(|value| !value.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opaque::names_user;

    #[test]
    fn the_pair_is_read_back_as_it_was_set() {
        for user in ["alice", "a b;c=d", "Jürgen", "client:x"] {
            let mut response = Response::default();
            set(CookiePair::HOST, &mut response, user, "token");
            let mut headers = HeaderMap::new();
            for set in response.headers().get_all(SET_COOKIE) {
                let pair = set.to_str().expect("text").split(';').next().expect("a pair");
                headers.append(COOKIE, pair.parse().expect("a header"));
            }
            let (named, token) = read(CookiePair::HOST, &headers).expect("both");
            assert!(names_user(&named, user), "{named}");
            assert_eq!(token, "token");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        for (site, origin, method, is_own) in [
            (Some("same-origin"), None, Method::POST, true),
            (Some("none"), None, Method::DELETE, true),
            (Some("cross-site"), None, Method::POST, false),
            (Some("same-site"), None, Method::POST, false),
            (Some("cross-site"), None, Method::GET, true),
            (None, Some("https://id.example"), Method::POST, true),
            (None, Some("https://evil.example"), Method::POST, false),
            (None, Some("null"), Method::POST, false),
            (None, None, Method::POST, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("id.example"));
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(check_site(&method, &headers, None).is_ok(), is_own, "{site:?} {origin:?}");
        }
    }
}
