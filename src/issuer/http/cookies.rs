//! Cookies for browsers: whose session it is, and the access token, which is tp-auth's pair; beside
//! them the token against forged requests, and the id of the device.

use axum::response::Response;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use crate::opaque::{CookiePair, cookie_of_user};
use crate::session::DeviceId;

/// Adds the two cookies to an answer.
pub(super) fn set(pair: CookiePair, response: &mut Response, user: &str, token: &str) {
    append(response, pair.user, &cookie_of_user(user), "");
    append(response, pair.token, token, "");
}

/// Adds the cookie with the token against forged requests, which scripts of our pages may read.
pub(super) fn set_csrf(pair: CookiePair, response: &mut Response, token: &str) {
    let text = format!("{}={token}; Path=/; Secure; SameSite=Strict", pair.csrf);
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// The token against forged requests in its cookie, if it is there, once.
pub(super) fn csrf(pair: CookiePair, headers: &HeaderMap) -> Option<String> {
    one_of(headers, pair.csrf)
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
    append(response, pair.csrf, "", "; Max-Age=0");
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
}
