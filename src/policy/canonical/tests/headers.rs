//! What headers tell, and what must not stand beside them.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::headers::{ENVOY, FORWARDED, Family, INGRESS, ORIGINAL};
use super::*;

const NGINX: &[(&str, &str)] = &[
    ("x-original-method", "POST"),
    ("x-original-proto", "http"),
    ("x-original-host", "app.test"),
    ("x-original-uri", "/a,b?c"),
];

fn read(family: Family, headers: &[&[(&str, &str)]]) -> Result<String, Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.concat() {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let line = Told { scheme: None, ..told("/line") };
    let request = family.read(&map, &line)?;
    canonical(&request).map(|request| format!("{} {}", request.method, request.url()))
}

#[test]
fn each_family_tells_the_request() {
    let forwarded = &[
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "wss"),
        ("x-forwarded-host", "APP.test:443"),
        ("x-forwarded-uri", "/a"),
        ("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
    ];
    let ingress = &[("x-original-method", "GET"), ("x-original-url", "http://app.test/a?b")];
    for (family, headers, expected) in [
        (ORIGINAL, NGINX, "POST http://app.test/a,b?c"),
        (FORWARDED, forwarded, "GET https://app.test/a"),
        (INGRESS, ingress, "GET http://app.test/a?b"),
        (ENVOY, &[("x-forwarded-proto", "http")], "GET http://app.test/line"),
    ] {
        assert_eq!(read(family, &[headers]), Ok(expected.to_owned()));
    }
}

#[test]
fn nothing_else_may_be_said_beside_it() {
    for (more, refusal) in [
        (("x-original-uri", "/a,b?c"), Some(Refusal::Duplicate)),
        (("x-original-host", "app.test"), Some(Refusal::Duplicate)),
        (("x_original_uri", "/a,b?c"), Some(Refusal::UnderscoreAlias)),
        (("x-forwarded_uri", "/a,b?c"), Some(Refusal::UnderscoreAlias)),
        (("x-forwarded-uri", "/b"), Some(Refusal::Disagreement)),
        (("x-forwarded-host", "admin.test"), Some(Refusal::Disagreement)),
        (("x-forwarded-method", "GET"), Some(Refusal::Disagreement)),
        (("x-forwarded-proto", "https"), Some(Refusal::Disagreement)),
        (("x-forwarded-proto", "http, https"), Some(Refusal::List)),
        (("x-forwarded-host", "app.test, app.test"), Some(Refusal::List)),
        (("x-original-url", "http://app.test/b"), Some(Refusal::Disagreement)),
        (("x-original-url", "http://admin.test/a,b?c"), Some(Refusal::Disagreement)),
        (("x-forwarded-uri", "/../a"), Some(Refusal::DotSegment)),
        (("x-forwarded-uri", "/é"), Some(Refusal::BadByte)),
        (("x-forwarded-uri", "/%61,b?c"), None),
        (("x-forwarded-host", "APP.test:80"), None),
        (("x-forwarded-proto", "ws"), None),
        (("x-original-url", "http://app.test:80/a,b?c"), None),
        (("x-forwarded-for", "10.0.0.1, 10.0.0.2"), None),
        (("x_custom_header", "1"), None),
        (("x-forwarded-uri", ""), None),
    ] {
        assert_eq!(read(ORIGINAL, &[NGINX, &[more]]).err(), refusal, "{more:?}");
    }
}

#[test]
fn a_header_that_is_missing_is_not_taken_from_another_family() {
    for missing in 0..4 {
        let rest = NGINX.iter().enumerate().filter(|(place, _)| *place != missing);
        let rest: Vec<_> = rest.map(|(_, header)| *header).collect();
        let other = [
            ("x-forwarded-method", "POST"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "app.test"),
            ("x-forwarded-uri", "/a,b?c"),
        ];
        assert!(read(ORIGINAL, &[&rest]).is_err(), "{missing}");
        assert!(read(ORIGINAL, &[&rest, &other]).is_err(), "{missing}");
    }
}

#[test]
fn a_sign_for_a_lost_byte_is_no_sign() {
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("x-forwarded-proto"),
        HeaderValue::from_static("http"),
    )]);
    for (target, is_clear) in [("/a?b!", true), ("/a%21", true), ("/a!", false), ("/!/a?b", false)]
    {
        let line = Told { scheme: None, ..told(target) };
        let refused = ENVOY.read(&headers, &line).err();
        assert_eq!(refused, (!is_clear).then_some(Refusal::BadByte), "{target}");
        assert!(FORWARDED.read(&headers, &line).is_ok());
    }
}
