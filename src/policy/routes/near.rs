//! The places that nearly name a request: for the explanation of a verdict, never for the verdict.

use std::collections::HashSet;
use std::iter::successors;

use super::pattern::Segment;
use super::{PathIndex, Place, RouteIndex, folded};

/// The difference between a request and a place that nearly names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The place names the path in other letters.
    LetterCase,
    /// The place names the path with a slash more or less at its end.
    Slash,
    /// The place names the path too, and a more specific one comes before it.
    LessSpecific,
    /// The place names a path above this one.
    Above,
    /// The place names the path of another host.
    Host,
}

impl<T> RouteIndex<T> {
    /// The places that nearly name a path of a host, those of the same host first. Each comes once,
    /// and the place that names the request is not among them. This looks at every host.
    pub fn nearly(&self, host: &str, path: &str) -> Vec<(Difference, &Place<T>)> {
        let own = self.paths(host).ok().flatten();
        let others = self.of_other_hosts(own, path).into_iter().map(|at| (Difference::Host, at));
        let near =
            own.map(|paths| paths.nearly(path)).unwrap_or_default().into_iter().chain(others);
        let mut seen: HashSet<usize> =
            own.and_then(|paths| paths.exact(path)).into_iter().collect();
        near.filter(|(difference, at)| {
            *difference == Difference::LessSpecific || self.has_word(*at)
        })
        .filter(|(_, at)| seen.insert(*at))
        .map(|(difference, at)| (difference, &self.places[at]))
        .collect()
    }

    /// The places of this path at other hosts, in the order of the file.
    fn of_other_hosts(&self, own: Option<&PathIndex>, path: &str) -> Vec<usize> {
        let all = self.hosts.values().chain(self.wildcards.values()).chain(&self.any_host);
        let others = all.filter(|paths| own.is_none_or(|own| !std::ptr::eq(own, *paths)));
        let mut numbers: Vec<_> = others.filter_map(|paths| paths.exact(path)).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns whether a place names a word. One without is for the rest of its host, and says
    /// nothing about a path.
    fn has_word(&self, number: usize) -> bool {
        let segments = self.places[number].pattern.segments();
        segments.iter().any(|segment| matches!(segment, Segment::Word(word) if !word.is_empty()))
    }
}

/// The path above this one, without a slash at its end.
fn parent(path: &str) -> Option<&str> {
    path.rfind('/').map(|end| &path[..end])
}

impl PathIndex {
    fn nearly(&self, path: &str) -> Vec<(Difference, usize)> {
        let trimmed = path.strip_prefix('/').unwrap_or(path);
        let letters = self.folded.find(&folded(trimmed)).into_iter().flatten().copied();
        let slashed = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        let parents = successors(parent(path), |path| parent(path));
        let of = |difference| move |number| (difference, number);
        let letters = letters.map(of(Difference::LetterCase));
        let slashed = self.exact(&slashed).map(of(Difference::Slash));
        let less = self.exact.all(trimmed).into_iter().copied().map(of(Difference::LessSpecific));
        let above = parents.filter_map(|path| self.exact(path)).map(of(Difference::Above));
        letters.chain(slashed).chain(less).chain(above).collect()
    }
}
