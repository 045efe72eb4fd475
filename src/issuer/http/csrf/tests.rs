//! Which requests that act by cookies come from a page of ours, as far as they show.

use http::HeaderValue;
use http::header::COOKIE;

use super::*;
use crate::secret::SystemRandom;

const CREDENTIAL: &str = "the access token of the session";

/// The check of a listener that is known by this URL, and lets one other page call with cookies.
fn check(public_url: &str, method: &Method, headers: &HeaderMap) -> bool {
    let origins = vec!["https://app.example".to_owned()];
    let cors = CorsConfig { origins, credentials: true, ..CorsConfig::default() };
    let cookies = Some(CookiePair::HOST);
    ForgeryCheck { public_url, cookies, cors: Some(&cors) }.check(method, headers).is_ok()
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("id.example"));
    for (name, value) in lines {
        headers.append(*name, value.parse().expect("a value"));
    }
    headers
}

fn is_let_in(method: &Method, lines: &[(&'static str, &str)]) -> bool {
    check("https://id.example", method, &headers(lines))
}

#[test]
fn only_a_page_of_ours_changes_anything_by_cookies() {
    const SITE: &str = "sec-fetch-site";
    const FROM: &str = "origin";
    for (lines, is_own) in [
        (&[(SITE, "same-origin")][..], true),
        (&[(SITE, "none")], true),
        (&[(SITE, "cross-site")], false),
        (&[(SITE, "same-site")], false),
        (&[(SITE, "nonsense")], false),
        (&[(SITE, "same-origin"), (SITE, "same-origin")], false),
        (&[(FROM, "https://id.example")], true),
        (&[(FROM, "http://id.example")], false),
        (&[(FROM, "https://id.example:8443")], false),
        (&[(FROM, "https://evil.example")], false),
        (&[(FROM, "https://id.example.evil.example")], false),
        (&[(FROM, "null")], false),
        (&[(FROM, "")], false),
        (&[(FROM, "https://id.example"), (FROM, "https://evil.example")], false),
        (&[(FROM, "https://id.example"), (SITE, "cross-site")], false),
        (&[(FROM, "https://evil.example"), (SITE, "same-origin")], true),
        (&[(FROM, "https://app.example"), (SITE, "same-site")], true),
        (&[(FROM, "http://app.example"), (SITE, "same-site")], false),
        (&[], false),
        (&[("referer", "https://id.example/")], false),
    ] {
        for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
            assert_eq!(is_let_in(&method, lines), is_own, "{method} {lines:?}");
        }
        assert!(is_let_in(&Method::GET, lines), "GET changes nothing: {lines:?}");
    }
}

#[test]
fn our_own_origin_is_that_of_public_url_or_of_the_host_that_was_asked() {
    for (public, asked, origin, is_own) in [
        // The gateway rewrites the host that it asks.
        ("https://id.example/auth", "127.0.0.1:8081", "https://id.example", true),
        ("https://id.example:443", "127.0.0.1:8081", "https://id.example", true),
        ("https://id.example", "login.example", "https://login.example", true),
        ("https://id.example", "login.example", "http://login.example", false),
        ("https://id.example", "login.example", "https://other.example", false),
        // PUBLIC_URL is not set, and a gateway ends TLS.
        ("http://127.0.0.1:8081", "id.example", "https://id.example", true),
        ("http://127.0.0.1:8081", "127.0.0.1:8081", "http://127.0.0.1:8081", true),
        ("http://127.0.0.1:8081", "127.0.0.1:8081", "http://127.0.0.1:8082", false),
        ("nonsense", "id.example", "https://id.example", false),
        ("data:x", "y", "null", false),
    ] {
        let mut headers = headers(&[("origin", origin)]);
        headers.insert(HOST, asked.parse().expect("a host"));
        let is_let_in = check(public, &Method::POST, &headers);
        assert_eq!(is_let_in, is_own, "{public} {asked} {origin}");
    }
}

/// The cookies of a session with this CSRF token in one of them.
fn with_cookies(token: &str) -> String {
    format!("__Host-user_id=alice; __Host-access_token={CREDENTIAL}; __Host-csrf_token={token}")
        .replace(' ', "-")
        .replace(";-", "; ")
}

#[test]
fn a_token_is_good_in_header_and_cookie_and_for_its_own_session_alone() {
    let credential = CREDENTIAL.replace(' ', "-");
    let new = |of: &str| new_token(of, &SystemRandom).expect("random");
    let (good, other, foreign) = (new(&credential), new(&credential), new("another session's"));
    assert_ne!(good, other);
    let cut = &good[..good.len() - 2];
    let (_, tag) = good.split_once('.').expect("two parts");
    let moved = format!("x.{tag}");
    let unsigned = good.split_once('.').expect("two parts").0.to_owned() + ".";
    for (shown, kept, is_good) in [
        (Some(&*good), &*good, true),
        (Some(&*other), &*other, true),
        (None, &*good, false),
        (Some(&*good), "", false),
        (Some(&*good), &*other, false),
        // Planted: whoever does not know the session makes none, in whatever cookie it stands.
        (Some(&*foreign), &*foreign, false),
        (Some("x.y"), "x.y", false),
        (Some(""), "", false),
        (Some(cut), cut, false),
        (Some(&*moved), &*moved, false),
        (Some(&*unsigned), &*unsigned, false),
    ] {
        let mut headers = headers(&[]);
        headers.insert(COOKIE, with_cookies(kept).parse().expect("cookies"));
        if let Some(shown) = shown {
            headers.insert(TOKEN_HEADER, shown.parse().expect("a token"));
        }
        let is_let_in = check("https://id.example", &Method::POST, &headers);
        assert_eq!(is_let_in, is_good, "{shown:?} {kept}");
    }
    let mut headers = headers(&[("sec-fetch-site", "cross-site")]);
    headers.insert(COOKIE, with_cookies(&good).parse().expect("cookies"));
    headers.insert(TOKEN_HEADER, good.parse().expect("a token"));
    let is_let_in = check("https://id.example", &Method::POST, &headers);
    assert!(!is_let_in, "what says that it is another site's is");
}

#[test]
fn a_login_is_refused_to_other_sites_and_to_nobody_who_says_nothing() {
    let (public_url, cookies) = ("https://id.example", Some(CookiePair::HOST));
    let check = ForgeryCheck { public_url, cookies, cors: None };
    for (lines, is_let_in) in [
        (&[][..], true),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("origin", "https://evil.example")], false),
        (&[("origin", "https://id.example")], true),
    ] {
        assert_eq!(check.refuse_other_sites(&headers(lines)).is_ok(), is_let_in, "{lines:?}");
    }
}
