//! The index against a list that is searched from end to end.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::policy::canonical::{CanonicalRequest, Told, canonical};

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
        ("app.test", "/exact/", Some("app.test/*")),
        ("app.test", "/exact/a", Some("app.test/*")),
        ("app.test", "/admin", Some("app.test/*")),
        ("app.test", "/admin/", Some("app.test/admin/*")),
        ("app.test", "/admin/a/b", Some("app.test/admin/*")),
        ("app.test", "/administrator/", Some("app.test/*")),
        ("app.test", "/public/secret", Some("app.test/public/*")),
        ("app.test", "/public/secret/", Some("app.test/public/secret/*")),
        ("app.test", "/public/secrets/a", Some("app.test/public/*")),
        ("app.test", "/users/", Some("app.test/*")),
        ("app.test", "/users/me", Some("app.test/users/me")),
        ("app.test", "/users/me/keys", Some("app.test/users/{user}/keys")),
        ("app.test", "/users/you", Some("app.test/users/{id}")),
        ("app.test", "/users/you/", Some("app.test/*")),
        ("app.test", "/users/%79ou", Some("app.test/users/{id}")),
        ("app.test", "/caf%C3%A9/", Some("app.test/café/*")),
        ("app.test", "/100%25/", Some("app.test/100%/*")),
        ("APP.test:81", "/exact", Some("app.test/exact")),
        ("a.wild.test", "/a", Some("*.wild.test/*")),
        ("a.b.wild.test", "/health", Some("*/health")),
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
fn parameters_are_decoded() {
    let pattern = PathPattern::parse("/users/{id}/keys/{key}").unwrap();
    with("a.test", "/users/a%20b/keys/%6b", |request| {
        let found: Vec<_> = pattern.parameters(&request.path).collect();
        assert_eq!(found, [("id", "a b"), ("key", "k")]);
    });
}

/// The rank of a pattern that matches: segment by segment, a word is before a parameter, and that
/// before all below.
fn rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let (pattern, below) = match pattern.strip_suffix("/*") {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let wanted: Vec<_> = pattern.split('/').collect();
    let given: Vec<_> = path.split('/').collect();
    let fits = if below { given.len() > wanted.len() } else { given.len() == wanted.len() };
    let mut rank = Vec::new();
    for (wanted, given) in wanted.iter().zip(&given) {
        let is_parameter = wanted.starts_with('{');
        if !(wanted == given || (is_parameter && !given.is_empty())) {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_search_from_end_to_end_finds(
        patterns in proptest::collection::hash_set("(/(a|b|ab|\\{p\\})){1,4}(/|/\\*)?|/\\*", 1..12),
        path in "(/(a|b|ab|c)){0,5}/?",
    ) {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let patterns: HashSet<_> = patterns.iter().map(|pattern| named_by_place(pattern)).collect();
        let routes: Vec<_> = patterns.iter().map(|pattern| ("a.test", pattern.as_str())).collect();
        let index = index(&routes);
        let best = patterns.iter().filter_map(|p| Some((rank(p, &path)?, p))).min();
        let expected = best.map(|(_, pattern)| format!("a.test{pattern}"));
        let found = with("a.test", &path, |request| {
            index.find(&request.authority, &request.path).unwrap().map(|place| place.value.clone())
        });
        prop_assert_eq!(found, expected, "{} in {:?}", path, patterns);
    }
}
