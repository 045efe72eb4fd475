//! Any routes and any path: the index finds what a search from end to end finds, however a gateway compares, or it
//! refuses the path.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use portcullis::policy::canonical::{CanonicalPath, Told, canonical, encode};
use portcullis::policy::routes::{PathPattern, RouteIndex};

/// A gateway's way to compare a word of a route with a segment, given decoded and as it was spelled.
type Compares = fn(&str, &str, &str) -> bool;

const WAYS: [Compares; 3] = [
    |word, decoded, _| word == decoded,
    |word, _, spelled| encode(word) == spelled,
    |word, decoded, _| word.chars().map(lower).eq(decoded.chars().map(lower)),
];

fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

/// The rank of a pattern that matches: segment by segment, a word is before a parameter, and that before all below.
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

fuzz_target!(|input: (Vec<String>, String)| {
    let (patterns, target) = input;
    let told = Told {
        method: Some("GET"),
        scheme: Some("http"),
        host: Some("app.test"),
        target: Some(&target),
        client: None,
    };
    let Ok(request) = canonical(&told) else { return };
    let patterns = patterns.iter().filter_map(|pattern| PathPattern::parse(pattern).ok());
    let patterns: BTreeMap<_, _> = patterns.map(|it| (it.to_string(), it)).collect();
    let routes = patterns.iter().map(|(text, it)| ("*".to_owned(), it.clone(), text.as_str()));
    // Two paths may differ in the names of parameters alone.
    let Ok(index) = RouteIndex::compile(routes) else { return };
    let named = index.named(&request.authority, &request.path).map(|place| place.value);
    for (way, is_same) in WAYS.into_iter().enumerate() {
        let ranked: Vec<_> = patterns
            .keys()
            .filter_map(|text| Some((rank(text, &request.path, is_same)?, text.as_str())))
            .collect();
        let least = ranked.iter().map(|(rank, _)| rank).min();
        let is_best =
            |found: &str| ranked.iter().any(|(rank, text)| Some(rank) == least && *text == found);
        let agrees = |found: Option<&str>| found.map_or(ranked.is_empty(), is_best);
        assert!(way > 0 || agrees(named), "{named:?} {ranked:?}");
        if let Ok(found) = index.find(&request.authority, &request.path) {
            assert!(agrees(found.map(|place| place.value)), "way {way}: {ranked:?}");
        }
    }
});
