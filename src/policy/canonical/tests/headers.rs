//! What headers tell, and what must not stand beside them.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::headers::{ENVOY, FORWARDED, Family, INGRESS, ORIGINAL};
use super::*;

const NGINX: &[(&str, &str)] = &[
    ("x-original-method", "POST"),
    ("x-original-proto", "http"),
    ("x-original-host", "app.test"),
    ("x-original-uri", "/a,b?c"),
];

fn map<'t>(headers: impl IntoIterator<Item = (&'t str, &'t str)>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn read(family: Family, headers: &[&[(&str, &str)]]) -> Result<String, Refusal> {
    let map = map(headers.concat());
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

/// Names that describe a request, and names that look so.
const NAMES: &[&str] = &[
    "x-original-method",
    "x-original-proto",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-for",
    "x_original_uri",
    "x-forwarded_host",
    "x_custom",
    "host",
];

const VALUES: &[&str] = &[
    "GET",
    "POST",
    "http",
    "https",
    "ws",
    "app.test",
    "APP.test:80",
    "admin.test",
    "/a",
    "/%61",
    "/b",
    "http://app.test/a",
    "",
    "/a, /b",
    "é",
];

fn lines() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let value = prop_oneof![4 => select(VALUES).prop_map(str::to_owned), 1 => "\\PC{0,6}"];
    proptest::collection::vec((select(NAMES), value), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_stands_beside_a_familys_headers_changes_nothing_of_what_they_tell(
        family in select(vec![ORIGINAL, FORWARDED, INGRESS, ENVOY]), beside in lines(), is_told in any::<bool>(),
    ) {
        let own = [family.method, family.scheme, family.host, family.target];
        let own = own.map(|field| Some(field?.name()));
        let good = own.into_iter().zip(["GET", "http", "app.test", "/a"]);
        let good = good.filter_map(|(name, value)| Some((name?, value))).filter(|_| is_told);
        let lines: Vec<_> =
            good.chain(beside.iter().map(|(name, value)| (*name, value.as_str()))).collect();
        let line = Told { scheme: None, ..told("/line") };
        let (all, only) = (
            map(lines.iter().copied()),
            map(lines.iter().copied().filter(|(name, _)| own.contains(&Some(*name)))),
        );
        if let Ok(told) = family.read(&all, &line) {
            prop_assert_eq!(family.read(&only, &line), Ok(told));
            prop_assert!(!all.keys().any(|name| ["x_original_uri", "x-forwarded_host"].contains(&name.as_str())));
            let _ = canonical(&told);
        }
    }
}
