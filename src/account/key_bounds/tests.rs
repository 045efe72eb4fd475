//! Each bound alone by tables, and all of them together by chance.

use proptest::option;
use proptest::prelude::*;

use super::*;

fn range(text: &str) -> AddressRange {
    text.parse().expect(text)
}

#[test]
fn a_path_holds_what_is_below_it_by_whole_segments() {
    for (prefix, path, is_held) in [
        ("/reports", "/reports", true),
        ("/reports", "/reports/", true),
        ("/reports", "/reports/2026/q1", true),
        ("/reports", "/reportsx", false),
        ("/reports", "/Reports", false),
        ("/reports", "/", false),
        ("/reports", "/x/reports", false),
        ("/reports/", "/reports/a", true),
        ("/reports/", "/reports", false),
        ("/", "/", true),
        ("/", "/anything", true),
    ] {
        assert_eq!(is_at_or_below(path, prefix), is_held, "{prefix} {path}");
    }
}

#[test]
fn an_audience_is_a_host_with_or_without_its_port() {
    for (audience, port, is_held) in [
        ("api.example.com", None, true),
        ("API.example.com", None, true),
        ("api.example.com", Some(8443), true),
        ("api.example.com:8443", Some(8443), true),
        ("api.example.com:8443", Some(9443), false),
        ("api.example.com:8443", None, false),
        ("api.example.com:08443", Some(8443), false),
        ("example.com", None, false),
        ("api.example.com.", None, false),
        ("", None, false),
    ] {
        let used = KeyUse { host: Some("api.example.com"), port, ..KeyUse::default() };
        assert_eq!(is_host(audience, &used), is_held, "{audience} {port:?}");
    }
    assert!(!is_host("", &KeyUse::default()), "no host was told");
}

#[test]
fn an_address_is_in_its_network_however_it_is_written() {
    for (text, address, is_held) in [
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "::ffff:192.0.2.7", true),
        ("::ffff:192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false),
        ("192.0.2.9/24", "192.0.2.200", true),
        ("192.0.2.0/24", "192.0.3.1", false),
        ("2001:db8::/32", "2001:db8:1::1", true),
        ("2001:db8::/32", "192.0.2.7", false),
    ] {
        assert_eq!(range(text).holds(address.parse().expect(address)), is_held, "{text} {address}");
    }
    for bad in ["", "example.com", "192.0.2.0/33", "::ffff:192.0.2.0/120", "192.0.2.1,192.0.2.2"] {
        assert_eq!(bad.parse::<AddressRange>(), Err(NoAddress), "{bad}");
    }
    for (text, shown) in [("192.0.2.7/32", "192.0.2.7"), ("192.0.2.9/24", "192.0.2.0/24")] {
        assert_eq!(range(text).to_string(), shown);
    }
}

fn texts(from: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    option::of(proptest::sample::select(from).prop_map(str::to_owned))
}

const ISSUERS: &[&str] = &["us", "them"];
const AUDIENCES: &[&str] = &["a.test", "b.test", "own", "a.test:8443"];
const SUBJECTS: &[&str] = &["alice", "bob", "/", "/a", "/a/", "/a/b", "/ab"];
const ADDRESSES: &[&str] = &["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"];
const CLIENTS: &[&str] = &["192.0.2.1", "192.0.2.9", "198.51.100.1", "2001:db8::1"];
const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c"];

fn bounds() -> impl Strategy<Value = KeyBounds> {
    let parts = (texts(ISSUERS), texts(AUDIENCES), texts(SUBJECTS), texts(ADDRESSES));
    parts.prop_map(|(issuer, audience, subject, address)| KeyBounds {
        issuer,
        audience,
        subject,
        address: address.map(|text| range(&text)),
    })
}

/// The segments of a path without an empty one at its end.
fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// An oracle that is simpler, and may only be wrong in saying yes.
    #[test]
    fn no_key_passes_with_any_bound_unmet(
        bounds in bounds(),
        host in texts(&["a.test", "b.test"]),
        port in option::of(Just(8443_u16)),
        path in texts(PATHS),
        client in texts(CLIENTS),
    ) {
        let client = client.map(|text| text.parse::<IpAddr>().expect("an address"));
        let used = KeyUse { host: host.as_deref(), port, path: path.as_deref(), client };
        let own = ["own".to_owned()];
        let passes = bounds.check_owner("us", "alice").is_ok() && bounds.check_use(&own, &used).is_ok();
        let named: Vec<String> = host.iter().flat_map(|host| {
            port.iter().map(move |port| format!("{host}:{port}")).chain([host.clone()])
        }).chain(own.clone()).collect();
        let is_met = bounds.issuer.as_deref().is_none_or(|issuer| issuer == "us")
            && bounds.audience.as_ref().is_none_or(|audience| named.contains(audience))
            && bounds.subject.as_deref().is_none_or(|subject| match subject.strip_prefix('/') {
                None => subject == "alice",
                Some(_) => path.as_deref().is_some_and(|path| {
                    segments(path).starts_with(&segments(subject))
                }),
            })
            && bounds.address.is_none_or(|range| client.is_some_and(|client| match client {
                IpAddr::V4(v4) => !range.to_string().contains(':')
                    && v4.octets()[..3] == [192, 0, 2]
                    && (range.to_string().contains('/') || v4.octets()[3] == 1),
                IpAddr::V6(_) => range.to_string().contains(':'),
            }));
        prop_assert!(!passes || is_met, "{bounds:?} {used:?}");
        prop_assert!(passes || !is_met || path.as_deref() == Some("/a"), "refused for no reason: {bounds:?} {used:?}");
        if !bounds.needs_request(&own) {
            let unseen = KeyUse { host: None, port: None, path: None, ..used };
            prop_assert_eq!(bounds.check_use(&own, &unseen), bounds.check_use(&own, &used));
        }
    }
}
