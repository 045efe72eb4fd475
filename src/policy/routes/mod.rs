//! The index of routes: which one names a request.
//!
//! A search costs no more with more routes, but where parameters stand beside words: it may then look
//! at both, and how often is for the operator's file to say, not for a client's path. The host is found first, by
//! name and then by wildcard; there the most specific path: words before parameters before all
//! that is below.
//!
//! Gateways do not compare paths alike. HAProxy and Envoy compare them as they are spelled, Traefik
//! does so for reserved characters, and Caddy ignores letter case. So a path that is a route's only
//! after decoding, or only in other letters, is refused: its gateway may have taken another route. So
//! is a host two labels or more below a wildcard's.
//!
//! Applications do not agree on a slash at the end: many serve `/admin/` as `/admin`. So a path that a
//! route names but for that slash is refused where it would fall to a broader route.

mod near;
mod overlap;
mod pattern;
mod trie;

use std::borrow::Cow;
use std::collections::HashMap;
use std::iter::successors;

use foldhash::fast::FixedState;
pub use near::Difference;
pub use pattern::{BadPattern, PathPattern};

use super::canonical::{Authority, CanonicalPath, Refusal};
use pattern::Segment;
use trie::Trie;

/// The routes of all hosts. `T` is what a route stands for.
#[derive(Clone, Debug)]
pub struct RouteIndex<T> {
    hosts: Hosts,
    /// By what follows `*.`; one label stands for the star, as in certificates.
    wildcards: Hosts,
    any_host: Option<PathIndex>,
    places: Vec<Place<T>>,
}

/// What the routes of one place stand for, and the path that they name.
#[derive(Clone, Debug)]
pub struct Place<T> {
    /// The path.
    pub pattern: PathPattern,
    /// What its routes stand for.
    pub value: T,
}

/// A fast hash without a secret key: the names are the operator's, and a client who looks up others fills
/// no table.
type Hosts = HashMap<String, PathIndex, FixedState>;

/// The routes of one host, by number.
#[derive(Clone, Debug, Default)]
struct PathIndex {
    exact: Trie<usize>,
    /// The same without letter case; routes that differ only in it are one here.
    folded: Trie<Vec<usize>>,
    /// True where a word of a route is not in small letters of ASCII. Where none is, a path in such letters
    /// is read alike by everybody.
    has_other_letters: bool,
}

/// Two routes of one host name the same path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path {0} is named twice")]
pub struct NamedTwice(pub String);

impl<T> RouteIndex<T> {
    /// Compiles routes of a host (`*` is any, `*.name` is one label more) and a path.
    ///
    /// # Errors
    /// The first path that is named twice.
    pub fn compile(
        routes: impl IntoIterator<Item = (String, PathPattern, T)>,
    ) -> Result<Self, NamedTwice> {
        let mut index = Self {
            hosts: Hosts::default(),
            wildcards: Hosts::default(),
            any_host: None,
            places: Vec::new(),
        };
        for (host, pattern, value) in routes {
            let number = index.places.len();
            index.paths_of(&host).add(number, &pattern)?;
            index.places.push(Place { pattern, value });
        }
        Ok(index)
    }

    /// All places, in the order of the file.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place<T>> {
        self.places.iter()
    }

    fn paths_of(&mut self, host: &str) -> &mut PathIndex {
        match host.strip_prefix("*.") {
            Some(parent) => self.wildcards.entry(parent.to_owned()).or_default(),
            None if host == "*" => self.any_host.get_or_insert_default(),
            None => self.hosts.entry(host.to_owned()).or_default(),
        }
    }

    /// The route that names this path of this host.
    ///
    /// # Errors
    /// The reason why a gateway could take another route.
    pub fn find(
        &self,
        authority: &Authority<'_>,
        path: &CanonicalPath<'_>,
    ) -> Result<Option<&Place<T>>, Refusal> {
        let Some(paths) = self.paths(&authority.host)? else { return Ok(None) };
        let found = paths.exact(path.as_str());
        let has_letters = paths.has_other_letters || !path.is_small();
        if has_letters && !paths.is_same_in_other_letters(path.as_str(), found) {
            return Err(Refusal::LetterCase);
        }
        let place = found.map(|number| &self.places[number]);
        let is_named_itself = place.is_some_and(|place| place.pattern.ends_where(path));
        if !is_named_itself && paths.is_other_but_for_a_slash(path.as_str(), found) {
            return Err(Refusal::TrailingSlash);
        }
        let Some(place) = place else { return Ok(None) };
        if !place.pattern.is_spelled_plainly(path) {
            return Err(Refusal::EscapedWord);
        }
        Ok(Some(place))
    }

    /// The route that names the decoded path, whatever a gateway may do. For tests, and for
    /// showing which route was meant.
    pub fn named(&self, authority: &Authority<'_>, path: &CanonicalPath<'_>) -> Option<&Place<T>> {
        let number = self.paths(&authority.host).ok()??.exact(path.as_str())?;
        Some(&self.places[number])
    }

    /// The routes of a host. For a star nginx and Envoy take any number of labels, and others one: so
    /// a host that is further below a wildcard's belongs to no other routes either.
    fn paths(&self, host: &str) -> Result<Option<&PathIndex>, Refusal> {
        if let Some(paths) = self.hosts.get(host) {
            return Ok(Some(paths));
        }
        let parent = |host: &str| host.find('.').map(|dot| dot + 1);
        let mut parents = successors(parent(host), |start| Some(start + parent(&host[*start..])?));
        let below = parents.next().and_then(|start| self.wildcards.get(&host[start..]));
        if below.is_some() {
            return Ok(below);
        }
        if parents.any(|start| self.wildcards.contains_key(&host[start..])) {
            return Err(Refusal::DeepHost);
        }
        Ok(self.any_host.as_ref())
    }
}

impl PathIndex {
    fn add(&mut self, number: usize, pattern: &PathPattern) -> Result<(), NamedTwice> {
        if self.exact.place(pattern, str::to_owned).replace(number).is_some() {
            return Err(NamedTwice(pattern.to_string()));
        }
        self.folded.place(pattern, folded).get_or_insert_default().push(number);
        let is_other =
            |segment: &Segment| matches!(segment, Segment::Word(word) if !is_small(word));
        self.has_other_letters |= pattern.segments().iter().any(is_other);
        Ok(())
    }

    fn exact(&self, path: &str) -> Option<usize> {
        self.exact.find(path.strip_prefix('/')?).copied()
    }

    /// Returns whether a gateway that ignores letter case takes the same route.
    fn is_same_in_other_letters(&self, path: &str, found: Option<usize>) -> bool {
        match (self.in_any_letters(path), found) {
            (Some(folded), Some(found)) => folded.contains(&found),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// Returns whether the path with a slash more or less at its end takes another route.
    fn is_other_but_for_a_slash(&self, path: &str, found: Option<usize>) -> bool {
        let other = match path.strip_suffix('/') {
            Some("") => return false,
            Some(shorter) => Cow::Borrowed(shorter),
            None => Cow::Owned(format!("{path}/")),
        };
        !self.is_same_in_other_letters(&other, found)
    }

    fn in_any_letters(&self, path: &str) -> Option<&Vec<usize>> {
        let small = if is_small(path) { Cow::Borrowed(path) } else { Cow::Owned(folded(path)) };
        self.folded.find(small.strip_prefix('/').unwrap_or_default())
    }
}

/// Returns whether all letters of a text are small ones of ASCII.
fn is_small(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase())
}

/// A text without letter case.
fn folded(text: &str) -> String {
    text.chars().map(fold).collect()
}

/// The one letter for all that somebody takes for this one. It is not `str::to_lowercase`, which
/// reads the letters around and makes two of `İ`: Caddy takes that for an `i`.
fn fold(letter: char) -> char {
    let mut capital = letter.to_uppercase();
    let capital = match (capital.next(), capital.next()) {
        (Some(capital), None) => capital,
        _ => letter,
    };
    capital.to_lowercase().next().unwrap_or(letter)
}

#[cfg(test)]
mod tests;
