//! The index against a list that is searched from end to end.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::policy::canonical::{CanonicalRequest, Told, canonical, encode};

fn index(routes: &[(&str, &str)]) -> RouteIndex<String> {
    let route = |(host, path): &(&str, &str)| {
        ((*host).to_owned(), PathPattern::parse(path).unwrap(), format!("{host}{path}"))
    };
    RouteIndex::compile(routes.iter().map(route)).unwrap()
}

fn with<T>(host: &str, target: &str, then: impl FnOnce(&CanonicalRequest<'_>) -> T) -> T {
    let told = Told {
        method: Some("GET"),
        scheme: Some("http"),
        host: Some(host),
        target: Some(target),
        client: None,
    };
    then(&canonical(&told).unwrap())
}

const ROUTES: &[(&str, &str)] = &[
    ("app.test", "/*"),
    ("app.test", "/exact"),
    ("app.test", "/public/*"),
    ("app.test", "/public/secret/*"),
    ("app.test", "/admin/*"),
    ("app.test", "/users/{id}"),
    ("app.test", "/users/{user}/keys"),
    ("app.test", "/users/me"),
    ("app.test", "/café/*"),
    ("app.test", "/@me/*"),
    ("app.test", "/100%/*"),
    ("*.wild.test", "/*"),
    ("*", "/health"),
];

#[test]
fn the_most_specific_route_names_a_request() {
    let index = index(ROUTES);
    for (host, target, expected) in [
        ("app.test", "/", Some("app.test/*")),
        ("app.test", "/exact", Some("app.test/exact")),
        ("app.test", "/exact/a", Some("app.test/*")),
        ("app.test", "/admin/", Some("app.test/admin/*")),
        ("app.test", "/admin/a/b", Some("app.test/admin/*")),
        ("app.test", "/administrator/", Some("app.test/*")),
        ("app.test", "/public/secret/", Some("app.test/public/secret/*")),
        ("app.test", "/public/secrets/a", Some("app.test/public/*")),
        ("app.test", "/users/", Some("app.test/*")),
        ("app.test", "/users/me", Some("app.test/users/me")),
        ("app.test", "/users/me/keys", Some("app.test/users/{user}/keys")),
        ("app.test", "/users/you", Some("app.test/users/{id}")),
        ("app.test", "/users/%79ou", Some("app.test/users/{id}")),
        ("app.test", "/caf%C3%A9/", Some("app.test/café/*")),
        ("app.test", "/100%25/", Some("app.test/100%/*")),
        ("APP.test:81", "/exact", Some("app.test/exact")),
        ("a.wild.test", "/a", Some("*.wild.test/*")),
        ("wild.test", "/a", None),
        ("nobody.test", "/health", Some("*/health")),
        ("nobody.test", "/", None),
    ] {
        with(host, target, |request| {
            let found = index.find(&request.authority, &request.path);
            assert_eq!(
                found.map(|place| place.map(|place| place.value.as_str())),
                Ok(expected),
                "{host} {target}"
            );
        });
    }
}

#[test]
fn a_route_that_only_some_gateways_would_take_is_refused() {
    let index = index(ROUTES);
    for (target, refusal) in [
        ("/ADMIN/a", Refusal::LetterCase),
        ("/Exact", Refusal::LetterCase),
        ("/users/ME", Refusal::LetterCase),
        ("/CAF%C3%89/", Refusal::LetterCase),
        ("/adm%C4%B0n/a", Refusal::LetterCase),
        ("/public/%C5%BFecret/a", Refusal::LetterCase),
        ("/%61dmin/a", Refusal::EscapedWord),
        ("/users/m%65", Refusal::EscapedWord),
        ("/%75sers/you", Refusal::EscapedWord),
        ("/caf%c3%a9/", Refusal::EscapedWord),
        ("/%40me/", Refusal::EscapedWord),
    ] {
        with("app.test", target, |request| {
            let found = index.find(&request.authority, &request.path);
            assert_eq!(found.map(|_| ()), Err(refusal), "{target}");
        });
    }
}

#[test]
fn a_host_further_below_a_wildcard_takes_no_other_routes() {
    let index =
        index(&[("*.a.test", "/*"), ("b.b.a.test", "/*"), ("*.d.c.a.test", "/*"), ("*", "/*")]);
    for (host, expected) in [
        ("a.test", Ok("*/*")),
        ("b.a.test", Ok("*.a.test/*")),
        ("b.b.a.test", Ok("b.b.a.test/*")),
        ("c.b.a.test", Err(Refusal::DeepHost)),
        ("d.c.b.a.test", Err(Refusal::DeepHost)),
        ("e.d.c.a.test", Ok("*.d.c.a.test/*")),
        ("ba.test", Ok("*/*")),
        ("test", Ok("*/*")),
        ("127.0.0.1", Ok("*/*")),
    ] {
        with(host, "/", |request| {
            let found = index.find(&request.authority, &request.path);
            assert_eq!(found.map(|place| place.unwrap().value.as_str()), expected, "{host}");
        });
    }
}

#[test]
fn routes_that_differ_only_in_letters_are_told_apart() {
    let index = index(&[("a.test", "/A/*"), ("a.test", "/a/*")]);
    for (target, expected) in [("/A/x", "a.test/A/*"), ("/a/x", "a.test/a/*")] {
        with("a.test", target, |request| {
            let found = index.find(&request.authority, &request.path).unwrap();
            assert_eq!(found.map(|place| place.value.as_str()), Some(expected));
        });
    }
}

#[test]
fn a_mistake_in_a_path_is_named() {
    for (text, mistake) in [
        ("", BadPattern::NoSlash),
        ("a", BadPattern::NoSlash),
        ("/a*", BadPattern::Sign),
        ("/*/a", BadPattern::Sign),
        ("/{}", BadPattern::Sign),
        ("/a{b}", BadPattern::Sign),
        ("/{B}", BadPattern::Sign),
        ("//", BadPattern::Unreachable),
        ("//*", BadPattern::Unreachable),
        ("/a//b", BadPattern::Unreachable),
        ("/a/../b", BadPattern::Unreachable),
        ("/./*", BadPattern::Unreachable),
        ("/a;b", BadPattern::Unreachable),
        ("/caf%C3%A9", BadPattern::Unreachable),
        ("/{a}/b/{a}", BadPattern::Twice),
    ] {
        assert_eq!(PathPattern::parse(text), Err(mistake), "{text:?}");
    }
    let twice =
        ["/a/{b}", "/a/{c}"].map(|path| ("*".to_owned(), PathPattern::parse(path).unwrap(), ()));
    assert_eq!(RouteIndex::compile(twice).unwrap_err(), NamedTwice("/a/{c}".to_owned()));
}

#[test]
fn a_slash_at_the_end_leads_to_no_broader_route() {
    let routes =
        ["/admin", "/static/*", "/both", "/both/*", "/users/{id}", "/*"].map(|path| ("*", path));
    let index = index(&routes);
    for (path, expected) in [
        ("/admin", Ok("/admin")),
        ("/admin/", Err(Refusal::TrailingSlash)),
        ("/admin/x", Ok("/*")),
        ("/static/", Ok("/static/*")),
        ("/static", Err(Refusal::TrailingSlash)),
        ("/both", Ok("/both")),
        ("/both/", Ok("/both/*")),
        ("/users/1/", Err(Refusal::TrailingSlash)),
        ("/users/", Ok("/*")),
        ("/other/", Ok("/*")),
        ("/", Ok("/*")),
    ] {
        with("a.test", path, |request| {
            let found = index.find(&request.authority, &request.path);
            let found = found.map(|found| found.map_or(String::new(), |it| it.pattern.to_string()));
            assert_eq!(found, expected.map(str::to_owned), "{path}");
        });
    }
}

#[test]
fn parameters_are_decoded() {
    let pattern = PathPattern::parse("/users/{id}/keys/{key}").unwrap();
    with("a.test", "/users/a%20b/keys/%6b", |request| {
        let found: Vec<_> = pattern.parameters(&request.path).collect();
        assert_eq!(found, [("id", "a b"), ("key", "k")]);
    });
}

/// What Go's `unicode.ToLower` makes of a letter, and so Caddy: one letter, whatever stands around it.
fn go_lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

#[test]
fn letters_that_caddy_takes_for_one_are_one() {
    for letter in '\0'..=char::MAX {
        assert_eq!(fold(letter), fold(go_lower(letter)), "{letter:?}");
    }
    for text in ["ΟΣ", "οσ", "ος"] {
        assert_eq!(folded(text), "οσ");
    }
}

/// A gateway's way to compare a word of a route with a segment, given decoded and as it was spelled.
type Compares = fn(&str, &str, &str) -> bool;

/// nginx, which decodes first.
const DECODED: Compares = |word, decoded, _| word == decoded;
/// HAProxy and Envoy, which compare the bytes that were sent.
const SPELLED: Compares = |word, _, spelled| encode(word) == spelled;
/// Caddy, which ignores letter case.
const IN_ANY_CASE: Compares =
    |word, decoded, _| word.chars().map(go_lower).eq(decoded.chars().map(go_lower));

/// The rank of a pattern that matches: segment by segment, a word is before a parameter, and that
/// before all below.
fn rank(pattern: &str, path: &CanonicalPath<'_>, is_same: Compares) -> Option<Vec<u8>> {
    let (pattern, below) = match pattern.strip_suffix("/*") {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let wanted: Vec<_> = pattern.split('/').skip(1).collect();
    let given: Vec<_> = path.segments().collect();
    let fits = if below { given.len() > wanted.len() } else { given.len() == wanted.len() };
    let mut rank = Vec::new();
    for (wanted, (decoded, spelled)) in wanted.iter().zip(&given) {
        let is_parameter = wanted.starts_with('{');
        if !(is_same(wanted, decoded, spelled) || (is_parameter && !decoded.is_empty())) {
            return None;
        }
        rank.push(u8::from(is_parameter));
    }
    rank.push(2);
    fits.then_some(rank)
}

/// The pattern with a name of its own for each parameter.
fn named_by_place(pattern: &str) -> String {
    let segments = pattern.split('/').enumerate();
    let named = segments.map(|(place, segment)| segment.replace("{p}", &format!("{{p{place}}}")));
    named.collect::<Vec<_>>().join("/")
}

/// The best rank of all, by a search from end to end, and the patterns that have it.
fn best<'p>(
    patterns: &'p HashSet<String>,
    path: &CanonicalPath<'_>,
    is_same: Compares,
) -> Vec<&'p str> {
    let ranked: Vec<_> =
        patterns.iter().filter_map(|p| Some((rank(p, path, is_same)?, p.as_str()))).collect();
    let least = ranked.iter().map(|(rank, _)| rank).min();
    ranked.iter().filter(|(rank, _)| Some(rank) == least).map(|(_, pattern)| *pattern).collect()
}

fn patterns(form: &'static str) -> impl Strategy<Value = HashSet<String>> {
    proptest::collection::hash_set(form.prop_map(|pattern| named_by_place(&pattern)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_search_from_end_to_end_finds(
        patterns in patterns("(/(a|b|ab|\\{p\\})){1,4}(/|/\\*)?|/\\*"),
        path in "(/(a|b|ab|c)){0,5}/?",
    ) {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let routes: Vec<_> = patterns.iter().map(|pattern| ("*", pattern.as_str())).collect();
        let index = index(&routes);
        with("a.test", &path, |request| {
            let text = |place: Option<&Place<_>>| place.map(|place| place.pattern.to_string());
            let named = text(index.named(&request.authority, &request.path));
            let expected = best(&patterns, &request.path, DECODED).first().map(ToString::to_string);
            prop_assert_eq!(&named, &expected, "{} in {:?}", path, patterns);
            let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
            let of_other = with("a.test", if other.is_empty() { "/" } else { &other }, |other| {
                best(&patterns, &other.path, DECODED).first().map(ToString::to_string)
            });
            // A route of its own, or a folder that is named itself, needs no look at the other path.
            let is_named = named.as_deref().is_some_and(|named| {
                named.strip_suffix('*').is_none_or(|folder| folder.matches('/').count() == path.matches('/').count() && path.ends_with('/'))
            });
            let is_refused = !is_named && of_other.is_some() && of_other != named;
            match index.find(&request.authority, &request.path) {
                Ok(found) => prop_assert!(!is_refused && text(found) == named, "{path} in {patterns:?}"),
                Err(refusal) => prop_assert!(is_refused && refusal == Refusal::TrailingSlash, "{path} in {patterns:?}"),
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_is_found_is_the_route_of_every_gateway(
        patterns in patterns("(/(a|A|i|k|é|É|\\{p\\})){1,3}(/|/\\*)?|/\\*"),
        path in "(/(a|A|%61|%41|i|%C4%B0|K|%E2%84%AA|%C3%A9|%c3%a9|%C3%89|b)){1,4}/?",
    ) {
        let routes: Vec<_> = patterns.iter().map(|pattern| ("*", pattern.as_str())).collect();
        let index = index(&routes);
        with("a.test", &path, |request| {
            let Ok(found) = index.find(&request.authority, &request.path) else { return Ok(()) };
            let found = found.map(|place| place.pattern.to_string());
            for is_same in [DECODED, SPELLED, IN_ANY_CASE] {
                let best = best(&patterns, &request.path, is_same);
                let agrees = match &found {
                    Some(found) => best.contains(&found.as_str()),
                    None => best.is_empty(),
                };
                prop_assert!(agrees, "{path}: {found:?}, {best:?} in {patterns:?}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn two_spellings_of_one_path_take_one_route_or_are_refused(
        segments in proptest::collection::vec("admin|users|me|é|x", 1..4),
        escapes in any::<[u16; 2]>(),
    ) {
        let index = index(ROUTES);
        let mut found = Vec::new();
        for mut escapes in escapes {
            let path = format!("/{}", segments.join("/")).into_bytes().into_iter().map(|byte| {
                let is_escaped = byte != b'/' && (escapes & 1 == 1 || !byte.is_ascii());
                escapes = escapes.rotate_right(1);
                if is_escaped { format!("%{byte:02X}") } else { char::from(byte).to_string() }
            });
            let path: String = path.collect();
            with("app.test", &path, |request| {
                let place = index.find(&request.authority, &request.path);
                found.extend(place.map(|place| place.map(|place| place.value.clone())));
            });
        }
        prop_assert!(found.windows(2).all(|both| both[0] == both[1]), "{segments:?}: {found:?}");
    }
}
