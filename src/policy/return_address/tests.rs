//! Addresses that browsers are sent to, and the spellings by which others try to be among them.

use proptest::prelude::*;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_000_000);

fn hosts(listed: &[&str]) -> Vec<ReturnHost> {
    listed.iter().map(|host| ReturnHost::parse(host).unwrap()).collect()
}

fn listed(names: &[&str]) -> ReturnAddresses {
    ReturnAddresses::new(hosts(names), None).unwrap()
}

fn signed(secret: &str) -> ReturnAddresses {
    let hosts = hosts(&["good.test", "anywhere.test"]);
    ReturnAddresses::new(hosts, Some(&Secret::new(secret))).unwrap()
}

/// What a login page needs, that lists no hosts.
fn by_signature(secret: &str) -> ReturnAddresses {
    ReturnAddresses::new(Vec::new(), Some(&Secret::new(secret))).unwrap()
}

fn unsigned(url: &str) -> ReturnAddress {
    ReturnAddress { url: url.to_owned(), signature: None }
}

fn offer(addresses: &ReturnAddresses, url: &str) -> Result<ReturnAddress, ReturnRefusal> {
    let told = Told::of_url("GET", url).unwrap();
    addresses.offer(&canonical(&told).unwrap(), NOW)
}

#[test]
fn the_address_of_a_page_is_its_one_spelling_and_passes_its_own_check() {
    let addresses = listed(&["good.test", ".below.test", "good.test:8443", "bücher.test"]);
    for (asked, offered) in [
        ("https://good.test", "https://good.test/"),
        (
            "HTTPS://GOOD.test:443/a%62?c=%2F&d=//evil.test",
            "https://good.test/ab?c=%2F&d=//evil.test",
        ),
        ("wss://good.test/%c3%a9", "https://good.test/%C3%A9"),
        ("https://good.test/a|b^{}", "https://good.test/a|b^{}"),
        ("https://a.below.test/x", "https://a.below.test/x"),
        ("https://a.b.below.test/x", "https://a.b.below.test/x"),
        ("https://good.test:8443/x", "https://good.test:8443/x"),
        ("https://xn--bcher-kva.test/", "https://xn--bcher-kva.test/"),
    ] {
        let address =
            offer(&addresses, asked).unwrap_or_else(|refusal| panic!("{asked}: {refusal}"));
        assert_eq!(address.url, offered, "{asked}");
        assert_eq!(addresses.check(&address, NOW), Ok(()), "{asked}");
    }
    for (asked, refusal) in [
        ("https://below.test/", ReturnRefusal::UnlistedHost),
        ("https://evilbelow.test/", ReturnRefusal::UnlistedHost),
        ("https://good.test.evil.test/", ReturnRefusal::UnlistedHost),
        ("https://good.test:444/", ReturnRefusal::UnlistedHost),
        ("https://a.good.test/", ReturnRefusal::UnlistedHost),
        ("http://good.test/", ReturnRefusal::Insecure),
    ] {
        assert_eq!(offer(&addresses, asked), Err(refusal), "{asked}");
    }
    let long = format!("https://good.test/{}", "a".repeat(2_048));
    assert_eq!(offer(&addresses, &long), Err(ReturnRefusal::TooLong));
}

#[test]
fn without_encryption_only_this_host_itself_is_good() {
    let names = ["localhost", "app.localhost", "127.0.0.1", "127.0.0.1:8088", "[::1]"];
    for name in names {
        assert!(offer(&listed(&names), &format!("http://{name}/x")).is_ok(), "{name}");
    }
    let names = ["10.0.0.1", "localhost.test", "[::2]", "127.0.0.1.test"];
    for name in names {
        let found = offer(&listed(&names), &format!("http://{name}/x"));
        assert_eq!(found, Err(ReturnRefusal::Insecure), "{name}");
    }
}

/// Spellings of open redirects, from advisories and from lists of testers. `good.test` is listed.
///
/// Among them are those of oauth2-proxy (CVE-2020-4037, CVE-2020-5233, CVE-2020-11053,
/// CVE-2021-21291): two slashes, a backslash, tabs and line ends, a suffix without its dot.
const OPEN_REDIRECTS: &[&str] = &[
    // No address at all, or one that goes on from the login page's own.
    "",
    " ",
    "/",
    "/path",
    "//evil.test",
    "///evil.test",
    "////evil.test",
    "/\\evil.test",
    "\\/evil.test",
    "\\\\evil.test",
    "/\t/evil.test",
    "/%09/evil.test",
    "/%5cevil.test",
    "/%2f%2fevil.test",
    ".evil.test",
    "evil.test",
    "good.test",
    "good.test/",
    "?x",
    "#x",
    // Schemes.
    "https:evil.test",
    "https:/evil.test",
    "https:///evil.test",
    "https:////evil.test",
    "https:good.test",
    "http:https://good.test/",
    "javascript:alert(1)",
    "javascript://good.test/%0aalert(1)",
    "data:text/html,x",
    "ftp://good.test/",
    "file:///etc/passwd",
    "wss://good.test/",
    "HTTPS://good.test/",
    "hTTps://good.test/",
    "://good.test/",
    "view-source:https://good.test/",
    // Slashes that browsers turn.
    "https:\\\\evil.test",
    "https:/\\evil.test",
    "https://\\evil.test",
    "https://good.test\\@evil.test/",
    "https://good.test\\.evil.test/",
    "https://evil.test\\good.test/",
    "https://good.test/\\evil.test",
    "https://good.test/..\\evil.test",
    // Users before the host.
    "https://good.test@evil.test/",
    "https://good.test:x@evil.test/",
    "https://good.test%40evil.test/",
    "https://@evil.test/",
    "https://@good.test/",
    "https://u:p@good.test/",
    "https://evil.test#@good.test/",
    "https://evil.test?@good.test/",
    "https://evil.test/@good.test/",
    "https://evil.test;@good.test/",
    // Names that look like ours.
    "https://good.test.evil.test/",
    "https://good.testevil.test/",
    "https://evilgood.test/",
    "https://xgood.test/",
    "https://good.tes/",
    "https://good.test./",
    "https://good.test../",
    "https://.good.test/",
    "https://good..test/",
    "https://good%2etest/",
    "https://good.test%00.evil.test/",
    "https://good.test%2f.evil.test/",
    "https://good.test%23.evil.test/",
    "https://good.test%0d%0a/",
    "https://good,test/",
    "https://good.test,evil.test/",
    "https://good.test evil.test/",
    "https://GOOD.test/",
    "https://gооd.test/",
    "https://xn--gd-0bba.test/",
    "https://ｇｏｏｄ.test/",
    "https://good。test/",
    "https://good․test/",
    "https://good.test\u{ad}/",
    "https://good\u{200b}.test/",
    "https://ɢood.test/",
    // Ports.
    "https://good.test:443/",
    "https://good.test:/",
    "https://good.test:0443/",
    "https://good.test:+443/",
    "https://good.test:80/",
    "https://good.test:8443@evil.test/",
    "https://good.test:99999/",
    // Addresses in other forms.
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://[::ffff:127.0.0.1]/",
    "https://[good.test]/",
    "https://[::1]evil.test/",
    // Control characters, which browsers drop.
    "https://good.test\t.evil.test/",
    "https://good.test\n.evil.test/",
    "https://good.test\r\nLocation: https://evil.test/",
    "ht\ntps://evil.test/",
    "\thttps://good.test/",
    " https://good.test/",
    "\u{1}https://good.test/",
    "https://good.test/ ",
    "https://good.test/\u{7f}",
    "https://good.test/\0",
    "\u{feff}https://good.test/",
    // Other spellings of paths on the right host.
    "https://good.test",
    "https://good.test?x",
    "https://good.test#x",
    "https://good.test/#//evil.test",
    "https://good.test//evil.test",
    "https://good.test//evil.test/%2e%2e",
    "https://good.test/.//evil.test",
    "https://good.test/../evil.test",
    "https://good.test/%2e%2e//evil.test",
    "https://good.test/%2f/evil.test",
    "https://good.test/%5cevil.test",
    "https://good.test/%0d%0aLocation:https://evil.test",
    "https://good.test/%61",
    "https://good.test/%c3%a9",
    "https://good.test/é",
    "https://good.test/a;b",
    "https://good.test/%252e",
    "https://good.test/%",
    "https://good.test/%u002f",
    // Twice escaped, and with something around it.
    "https%3a%2f%2fgood.test/",
    "https%3A//good.test/",
    "\"https://good.test/\"",
    "<https://good.test/>",
    "url=https://good.test/",
    "https://good.test/,https://evil.test/",
    "https://evil.test/https://good.test/",
    "https://evil.test/?good.test",
    "https://evil.test/good.test",
];

#[test]
fn no_spelling_leads_elsewhere() {
    let addresses = listed(&["good.test", ".good.test"]);
    let signer = by_signature("0123456789abcdef0123456789abcdef");
    assert_eq!(addresses.check(&unsigned("https://good.test/"), NOW), Ok(()));
    for url in OPEN_REDIRECTS {
        assert!(addresses.check(&unsigned(url), NOW).is_err(), "{url:?}");
        assert!(signer.check(&unsigned(url), NOW).is_err(), "{url:?}");
    }
}

#[test]
fn a_signature_is_good_for_one_address_of_one_key_and_for_an_hour() {
    let ours = signed("0123456789abcdef0123456789abcdef");
    let address = offer(&ours, "https://anywhere.test/x?y").unwrap();
    let expires = address.signature.as_ref().unwrap().expires;
    assert_eq!(expires, NOW.after(Duration::from_secs(3_600)));
    let page = by_signature("0123456789abcdef0123456789abcdef");
    let at = |now| page.check(&address, now);
    assert_eq!(at(expires.before(Duration::from_millis(1))), Ok(()));
    assert_eq!(at(expires), Err(ReturnRefusal::Expired));

    let with = |change: &dyn Fn(&mut ReturnAddress)| {
        let mut changed = address.clone();
        change(&mut changed);
        page.check(&changed, NOW)
    };
    let bad = Err(ReturnRefusal::BadSignature);
    assert_eq!(with(&|it| it.url = "https://evil.test/x?y".to_owned()), bad);
    assert_eq!(with(&|it| it.url.push('z')), bad);
    assert_eq!(with(&|it| it.signature = None), bad);
    let signature = |change: &dyn Fn(&mut ReturnSignature)| {
        with(&|it| it.signature.iter_mut().for_each(change))
    };
    assert_eq!(signature(&|it| it.expires = expires.after(Duration::from_secs(1))), bad);
    assert_eq!(signature(&|it| it.mac.clear()), bad);
    assert_eq!(signature(&|it| it.mac.push('=')), bad);
    let other = by_signature("another secret of 32 bytes or so");
    assert_eq!(other.check(&address, NOW), bad);
    assert_eq!(listed(&["anywhere.test"]).check(&address, NOW), Ok(()), "by its host alone");
}

#[test]
fn where_hosts_are_listed_and_addresses_signed_both_must_hold() {
    let secret = Secret::new("0123456789abcdef0123456789abcdef");
    let both = ReturnAddresses::new(hosts(&["good.test"]), Some(&secret)).unwrap();
    let good = offer(&both, "https://good.test/").unwrap();
    assert_eq!(both.check(&good, NOW), Ok(()));
    assert_eq!(both.check(&unsigned("https://good.test/"), NOW), Err(ReturnRefusal::BadSignature));
    assert_eq!(offer(&both, "https://other.test/"), Err(ReturnRefusal::UnlistedHost));
    assert!(ReturnAddresses::new(Vec::new(), None).is_none(), "neither is no rule at all");
}

/// Anybody can ask a gateway for any host. A signature for it would be good at the login page.
#[test]
fn nothing_is_signed_for_a_host_that_is_not_listed() {
    let secret = "0123456789abcdef0123456789abcdef";
    for addresses in [signed(secret), by_signature(secret)] {
        let found = offer(&addresses, "https://evil.test/");
        assert_eq!(found, Err(ReturnRefusal::UnlistedHost));
    }
}

#[test]
fn the_signature_is_one_that_others_can_compute() {
    // key=$(printf 'portcullis return address v1' | openssl dgst -sha256 -hmac SECRET)
    // printf '1003600\nhttps://good.test/' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$key
    let address = offer(&signed("0123456789abcdef0123456789abcdef"), "https://good.test/").unwrap();
    assert_eq!(address.signature.unwrap().mac, "e7KBacEyyBEnoktQxuH0ifHx3dqgJ0UEnlrLAnUfwcE");
}

#[test]
fn an_address_survives_the_query_of_a_login_page() {
    let ours = signed("0123456789abcdef0123456789abcdef");
    for asked in ["https://good.test/a%20b?c=d&rd=https://evil.test/&e=%26", "https://good.test/é+"]
    {
        let asked = asked.replace('é', "%C3%A9");
        let address = offer(&ours, &asked).unwrap();
        let mut page = Url::parse("https://login.test/?lang=de").unwrap();
        address.append_to(&mut page);
        assert!(
            page.as_str().starts_with("https://login.test/?lang=de&rd=https%3A%2F%2Fgood.test%2F")
        );
        assert_eq!(page.host_str(), Some("login.test"));
        assert_eq!(ReturnAddress::from_query(page.query().unwrap()), Ok(address));
    }
    for query in [
        "",
        "x=y",
        "rd=a&rd=b",
        "rd=a&rd_expires=1",
        "rd=a&rd_signature=x",
        "RD=a",
        "rd=a&rd_expires=x&rd_signature=y",
        "rd=a&rd_expires=1&rd_expires=2&rd_signature=y",
    ] {
        assert_eq!(ReturnAddress::from_query(query), Err(ReturnRefusal::Unreadable), "{query}");
    }
}

#[test]
fn hosts_are_listed_to_the_letter() {
    for text in [
        "",
        ".",
        "*.example.org",
        "*",
        ".org",
        ".localhost",
        "a b",
        "a/b",
        "a@b",
        "a%62",
        "example.org.",
        ".127.0.0.1",
        "a:b",
        "a:",
        "a:99999",
        "https://a.test",
        "a.test/",
        ".[::1]",
    ] {
        assert!(ReturnHost::parse(text).is_err(), "{text}");
    }
    assert_eq!(ReturnHost::parse("A.Test:443"), ReturnHost::parse("a.test"));
}

proptest! {
    /// Whatever a gateway tells: what is offered is accepted, and only on a listed host.
    #[test]
    fn what_is_offered_is_accepted(host in "(good|evil)\\.test(:[0-9]{1,5})?", target in "/[ -~é]{0,20}") {
        let url = format!("https://{host}{target}");
        let told = Told::of_url("GET", &url).unwrap();
        if let Ok(request) = canonical(&told) {
            let addresses = listed(&["good.test"]);
            if let Ok(address) = addresses.offer(&request, NOW) {
                prop_assert_eq!(addresses.check(&address, NOW), Ok(()));
                let read = Url::parse(&address.url).unwrap();
                prop_assert_eq!((read.host_str(), read.port()), (Some("good.test"), None));
            }
        }
    }

    /// Any text: what is accepted leads a browser to a listed host over https.
    #[test]
    fn what_is_accepted_is_on_a_listed_host(url in "(https://good\\.test)?[ -~\\\\/@:.#?]{0,24}") {
        if listed(&["good.test"]).check(&unsigned(&url), NOW).is_ok() {
            let read = Url::parse(&url).unwrap();
            prop_assert_eq!((read.scheme(), read.host_str(), read.port()), ("https", Some("good.test"), None));
        }
    }
}
