//! The tree of paths: a node a segment, so that a search costs what the path is long.
//!
//! It is our own because a router of the field, `matchit` 0.8, cannot hold `/{name}` beside `/*`.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::pattern::{PathPattern, Segment};

/// The paths below one node, and what they stand for.
#[derive(Clone, Debug)]
pub(super) struct Trie<V> {
    /// A fast hash without a secret key: the words are the operator's, and a client who looks up others
    /// fills no table.
    words: HashMap<String, Trie<V>, FixedState>,
    parameter: Option<Box<Trie<V>>>,
    end: Option<V>,
    below: Option<V>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { words: HashMap::default(), parameter: None, end: None, below: None }
    }
}

impl<V> Trie<V> {
    /// The place of a pattern, with `fold` applied to its words.
    pub(super) fn place(
        &mut self,
        pattern: &PathPattern,
        fold: impl Fn(&str) -> String,
    ) -> &mut Option<V> {
        let node = pattern.segments().iter().fold(self, |node, segment| match segment {
            Segment::Word(word) => node.words.entry(fold(word)).or_default(),
            Segment::Parameter(_) => node.parameter.get_or_insert_default(),
        });
        if pattern.is_below() { &mut node.below } else { &mut node.end }
    }

    /// What stands for a path, given without its first slash: words first, then parameters, then
    /// all below. A branch that ends nowhere is left again.
    pub(super) fn find(&self, path: &str) -> Option<&V> {
        let (segment, rest) = split(path);
        let by_word = self.words.get(segment).and_then(|node| node.at(rest));
        let parameter = || self.parameter.as_deref().filter(|_| !segment.is_empty());
        let by_parameter = || parameter().and_then(|node| node.at(rest));
        by_word.or_else(by_parameter).or(self.below.as_ref())
    }

    /// All that names a path, given without its first slash: what [`find`](Self::find) gives first.
    pub(super) fn all<'t>(&'t self, path: &str) -> Vec<&'t V> {
        let mut found = Vec::new();
        self.collect(path, &mut found);
        found
    }

    fn collect<'t>(&'t self, path: &str, found: &mut Vec<&'t V>) {
        let (segment, rest) = split(path);
        let parameter = self.parameter.as_deref().filter(|_| !segment.is_empty());
        for node in self.words.get(segment).into_iter().chain(parameter) {
            match rest {
                Some(rest) => node.collect(rest, found),
                None => found.extend(&node.end),
            }
        }
        found.extend(&self.below);
    }

    /// What stands for the rest of a path; `None` where it ended before.
    fn at(&self, rest: Option<&str>) -> Option<&V> {
        rest.map_or(self.end.as_ref(), |rest| self.find(rest))
    }
}

/// The first segment, and what follows its slash.
fn split(path: &str) -> (&str, Option<&str>) {
    match path.bytes().position(|byte| byte == b'/') {
        Some(end) => (&path[..end], Some(&path[end + 1..])),
        None => (path, None),
    }
}
