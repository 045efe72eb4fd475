//! Paths that name the same requests: what an operator should know of before a gateway does.

use super::folded;
use super::pattern::{PathPattern, Segment};

impl PathPattern {
    /// The path without letter case and without the names of its parameters. Equal texts are paths
    /// that a gateway without letter case takes for one.
    pub(crate) fn without_letter_case(&self) -> String {
        let end = if self.is_below() { "/*" } else { "" };
        self.beginning(self.segments().len(), folded) + end
    }

    /// The path without the names of its parameters. Equal texts are one path.
    pub(crate) fn without_names(&self) -> String {
        let end = if self.is_below() { "/*" } else { "" };
        self.beginning(self.segments().len(), str::to_owned) + end
    }

    /// The first segments as a text that parameters of any name share.
    fn beginning(&self, length: usize, word: impl Fn(&str) -> String) -> String {
        let text = |segment: &Segment| match segment {
            Segment::Word(own) => format!("/{}", word(own)),
            Segment::Parameter(_) => "/{}".to_owned(),
        };
        self.segments()[..length].iter().map(text).collect()
    }

    /// What stands before each of its words.
    pub(crate) fn beginnings_before_words(&self) -> impl Iterator<Item = String> {
        self.beginnings(|segment| matches!(segment, Segment::Word(_))).map(|(_, text)| text)
    }

    /// What stands before each of its parameters, and where that is.
    pub(crate) fn beginnings_before_parameters(&self) -> impl Iterator<Item = (usize, String)> {
        self.beginnings(|segment| matches!(segment, Segment::Parameter(_)))
    }

    fn beginnings(
        &self,
        is_wanted: impl Fn(&Segment) -> bool,
    ) -> impl Iterator<Item = (usize, String)> {
        let all = self.segments().iter().enumerate();
        let wanted = all.filter(move |(_, segment)| is_wanted(segment));
        wanted.map(|(at, _)| (at, self.beginning(at, str::to_owned)))
    }

    /// Returns whether there is a request whose path both of them name.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let pairs = self.segments().iter().zip(other.segments());
        let is_shared = |(own, other): (&Segment, &Segment)| match (own, other) {
            (Segment::Word(own), Segment::Word(other)) => own == other,
            (Segment::Word(word), _) | (_, Segment::Word(word)) => !word.is_empty(),
            _ => true,
        };
        let (own, others) = (self.segments().len(), other.segments().len());
        let has_length = match (self.is_below(), other.is_below()) {
            (true, true) => true,
            (true, false) => own < others,
            (false, true) => others < own,
            (false, false) => own == others,
        };
        has_length && pairs.into_iter().all(is_shared)
    }

    /// Returns whether it has a word behind this segment where the other one has none.
    pub(crate) fn says_more_behind(&self, other: &Self, at: usize) -> bool {
        let is_word = |path: &Self, at| matches!(path.segments().get(at), Some(Segment::Word(_)));
        (at + 1..self.segments().len()).any(|at| is_word(self, at) && !is_word(other, at))
    }
}
