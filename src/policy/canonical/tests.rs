//! Tables of spellings, and properties that hold for all of them.

mod headers;
mod properties;

use super::*;

fn told(target: &str) -> Told<'_> {
    Told {
        method: Some("GET"),
        scheme: Some("https"),
        host: Some("app.test"),
        target: Some(target),
        client: None,
    }
}

fn path_of(target: &str) -> Result<String, Refusal> {
    canonical(&told(target)).map(|request| request.path.as_str().to_owned())
}

#[test]
fn a_path_ends_at_the_first_question_mark_and_is_decoded_once() {
    for (target, path) in [
        ("/", "/"),
        ("/a?b", "/a"),
        ("/a??", "/a"),
        ("/a?/../b", "/a"),
        ("/a?x=%00;\\//", "/a"),
        ("/a%3fb", "/a?b"),
        ("/a%23b", "/a#b"),
        ("/%61%62", "/ab"),
        ("/caf%c3%a9", "/café"),
        ("/caf%C3%A9", "/café"),
        ("/a%20b+c", "/a b+c"),
        ("/%25g1%25", "/%g1%"),
        ("/100%25", "/100%"),
        ("/.a/..b/c../...", "/.a/..b/c../..."),
        ("/a/", "/a/"),
        ("/a?b=http://c.test", "/a"),
        ("https://app.test/a", "/a"),
        ("HTTPS://APP.test:443/a?b", "/a"),
        ("wss://app.test/a", "/a"),
    ] {
        assert_eq!(path_of(target), Ok(path.to_owned()), "{target}");
    }
}

#[test]
fn what_others_read_differently_is_refused() {
    for (target, refusal) in [
        ("/%2561", Refusal::DoubleEscape),
        ("/%25%36%31", Refusal::DoubleEscape),
        ("/%252e%252e/a", Refusal::DoubleEscape),
        ("/a#b", Refusal::Fragment),
        ("/a?b#c", Refusal::Fragment),
        ("", Refusal::NoPath),
        ("*", Refusal::NoPath),
        ("?x", Refusal::NoPath),
        ("a/b", Refusal::NoPath),
        ("%2fa", Refusal::NoPath),
        ("\\a", Refusal::NoPath),
        ("https://app.test", Refusal::NoPath),
        ("https://app.test?x", Refusal::NoPath),
        ("https:/app.test/a", Refusal::NoPath),
        ("https:///a", Refusal::MissingHost),
        ("ftp://app.test/a", Refusal::BadScheme),
        ("http://app.test/a", Refusal::Disagreement),
        ("https://admin.test/a", Refusal::Disagreement),
        ("https://app.test:8443/a", Refusal::Disagreement),
        ("https://u@app.test/a", Refusal::UserInfo),
        ("https://app.test\\@admin.test/a", Refusal::UserInfo),
        ("https://app.test\\a/b", Refusal::BadHost),
        ("//admin.test/a", Refusal::EmptySegment),
        ("/a//b", Refusal::EmptySegment),
        ("/http://b.test/", Refusal::EmptySegment),
        ("/a//", Refusal::EmptySegment),
        ("/.", Refusal::DotSegment),
        ("/a/..", Refusal::DotSegment),
        ("/a/%2e%2E/b", Refusal::DotSegment),
        ("/a/.%2e/b", Refusal::DotSegment),
        ("/a%2fb", Refusal::EncodedSlash),
        ("/a%2Fb", Refusal::EncodedSlash),
        ("/a\\b", Refusal::Backslash),
        ("/a%5cb", Refusal::Backslash),
        ("/a%5Cb", Refusal::Backslash),
        ("/a;b", Refusal::Semicolon),
        ("/a%3Bb", Refusal::Semicolon),
        ("/a%00", Refusal::ControlCharacter),
        ("/a%0d%0a", Refusal::ControlCharacter),
        ("/a%7f", Refusal::ControlCharacter),
        ("/a%c2%85", Refusal::ControlCharacter),
        ("/a%ff", Refusal::NotUtf8),
        ("/%c0%ae%c0%ae/a", Refusal::NotUtf8),
        ("/a%", Refusal::BadEscape),
        ("/a%4", Refusal::BadEscape),
        ("/a%zz", Refusal::BadEscape),
        ("/a%+1", Refusal::BadEscape),
        ("/a%u0061", Refusal::BadEscape),
        ("/a b", Refusal::BadByte),
        ("/a\tb", Refusal::BadByte),
        ("/a\u{7f}", Refusal::BadByte),
        ("/café", Refusal::BadByte),
        ("/a?é", Refusal::BadByte),
    ] {
        assert_eq!(path_of(target), Err(refusal), "{target:?}");
    }
}

#[test]
fn a_host_has_one_form() {
    for (scheme, host, expected) in [
        ("http", "APP.Test", Ok("app.test")),
        ("http", "app.test:80", Ok("app.test")),
        ("ws", "app.test:80", Ok("app.test")),
        ("https", "app.test:443", Ok("app.test")),
        ("wss", "app.test:443", Ok("app.test")),
        ("https", "app.test:80", Ok("app.test:80")),
        ("http", "app.test:8080", Ok("app.test:8080")),
        ("http", "my_app.test", Ok("my_app.test")),
        ("http", "XN--BCHER-KVA.test", Ok("xn--bcher-kva.test")),
        ("http", "127.0.0.1", Ok("127.0.0.1")),
        ("http", "[::1]:80", Ok("[::1]")),
        ("http", "[2001:DB8::1]:81", Ok("[2001:db8::1]:81")),
        ("http", "localhost", Ok("localhost")),
        ("http", "", Err(Refusal::MissingHost)),
        ("http", "app.test.", Err(Refusal::TrailingDot)),
        ("http", "app.test.:80", Err(Refusal::TrailingDot)),
        ("http", "127.0.0.1.", Err(Refusal::TrailingDot)),
        ("http", "app.test..", Err(Refusal::BadHost)),
        ("http", ".app.test", Err(Refusal::BadHost)),
        ("http", "a..b", Err(Refusal::BadHost)),
        ("http", ".", Err(Refusal::BadHost)),
        ("http", "app.test, admin.test", Err(Refusal::List)),
        ("http", "app.test,admin.test", Err(Refusal::List)),
        ("http", "u@app.test", Err(Refusal::UserInfo)),
        ("http", "app.test:", Err(Refusal::BadPort)),
        ("http", "app.test:080", Err(Refusal::BadPort)),
        ("http", "app.test:0", Err(Refusal::BadPort)),
        ("http", "app.test:+80", Err(Refusal::BadPort)),
        ("http", "app.test:65536", Err(Refusal::BadPort)),
        ("http", "app.test:80:80", Err(Refusal::BadPort)),
        ("http", "::1", Err(Refusal::BadHost)),
        ("http", "[::1", Err(Refusal::BadHost)),
        ("http", "[::1]x", Err(Refusal::BadHost)),
        ("http", "[0:0::1]", Err(Refusal::BadHost)),
        ("http", "[::ffff:7f00:1]", Err(Refusal::BadHost)),
        ("http", "[fe80::1%25lo]", Err(Refusal::BadHost)),
        ("http", "[v1.x]", Err(Refusal::BadHost)),
        ("http", "127.1", Err(Refusal::BadHost)),
        ("http", "2130706433", Err(Refusal::BadHost)),
        ("http", "0x7f000001", Err(Refusal::BadHost)),
        ("http", "127.0.0.01", Err(Refusal::BadHost)),
        ("http", "app%2etest", Err(Refusal::BadHost)),
        ("http", "bücher.test", Err(Refusal::BadHost)),
        ("http", "app。test", Err(Refusal::BadHost)),
        ("http", "app.test/admin", Err(Refusal::BadHost)),
        ("http", "app.test\\x", Err(Refusal::BadHost)),
        ("http", " app.test", Err(Refusal::BadHost)),
        ("http", "*.test", Err(Refusal::BadHost)),
    ] {
        let told = Told { scheme: Some(scheme), host: Some(host), ..told("/") };
        let authority = canonical(&told).map(|request| request.authority.to_string());
        assert_eq!(authority, expected.map(str::to_owned), "{scheme} {host:?}");
    }
}

#[test]
fn a_scheme_is_one_of_the_web_in_any_letters() {
    for (scheme, expected) in [
        ("http", Ok("http://app.test/")),
        ("HTTP", Ok("http://app.test/")),
        ("Ws", Ok("http://app.test/")),
        ("https", Ok("https://app.test/")),
        ("hTTps", Ok("https://app.test/")),
        ("WSS", Ok("https://app.test/")),
        ("", Err(Refusal::BadScheme)),
        ("https:", Err(Refusal::BadScheme)),
        ("httpſ", Err(Refusal::BadScheme)),
        ("http, https", Err(Refusal::BadScheme)),
        ("file", Err(Refusal::BadScheme)),
    ] {
        let request = canonical(&Told { scheme: Some(scheme), ..told("/") });
        let url = request.map(|request| request.url());
        assert_eq!(url, expected.map(str::to_owned), "{scheme:?}");
    }
}

#[test]
fn a_method_is_in_capital_letters_and_has_a_path() {
    for (method, is_good) in [
        ("GET", true),
        ("M-SEARCH", true),
        ("VERSION-CONTROL", true),
        ("get", false),
        ("Get", false),
        ("", false),
        ("CONNECT", false),
        ("1GET", false),
        ("GE T", false),
        ("G.T", false),
        ("GÉT", false),
        ("A234567890123456789012345678901", true),
        ("A23456789012345678901234567890123", false),
    ] {
        let outcome = canonical(&Told { method: Some(method), ..told("/") });
        assert_eq!(outcome.err(), (!is_good).then_some(Refusal::BadMethod), "{method:?}");
    }
}

#[test]
fn what_was_not_told_is_not_guessed() {
    let all = told("/");
    for (told, refusal) in [
        (Told { method: None, ..all }, Refusal::MissingMethod),
        (Told { scheme: None, ..all }, Refusal::MissingScheme),
        (Told { host: None, ..all }, Refusal::MissingHost),
        (Told { target: None, ..all }, Refusal::MissingTarget),
    ] {
        assert_eq!(canonical(&told), Err(refusal));
    }
    let whole = Told { scheme: None, host: None, ..told("wss://app.test:443/a?b") };
    assert_eq!(canonical(&whole).unwrap().url(), "https://app.test/a?b");
}
