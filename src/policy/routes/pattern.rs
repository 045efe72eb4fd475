//! The path of a route, as the operator writes it: decoded.

use std::collections::HashSet;
use std::fmt;

use percent_encoding::percent_decode_str;

use crate::policy::canonical::{CanonicalPath, encode};

/// A path (`/exact`), one with parameters (`/users/{id}`), or all below one (`/admin/*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<Segment>,
    below: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// One text.
    Word(String),
    /// Any text but an empty one, by this name.
    Parameter(String),
}

/// A mistake in the path of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// It does not begin with a slash.
    #[error("a path begins with a slash")]
    NoSlash,
    /// A star or a brace stands where it means nothing.
    #[error("write {{name}} for a whole segment, and * only after the last slash")]
    Sign,
    /// A parameter's name stands in it twice.
    #[error("a parameter's name stands in it twice")]
    Twice,
    /// No request can have this path: it would be refused.
    #[error(
        "a path is written decoded; it has no empty, `.` or `..` segment, no `;`, `\\` or control character"
    )]
    Unreachable,
}

impl PathPattern {
    /// Reads the path of a route.
    ///
    /// # Errors
    /// The mistake in it.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let path = text.strip_prefix('/').ok_or(BadPattern::NoSlash)?;
        let (path, below) = match path.strip_suffix('*') {
            Some("") => return Ok(Self { segments: Vec::new(), below: true }),
            Some(path) => (path.strip_suffix('/').ok_or(BadPattern::Sign)?, true),
            None => (path, false),
        };
        let segments: Vec<_> = path.split('/').map(Segment::parse).collect::<Result<_, _>>()?;
        let is_empty = |segment: &Segment| *segment == Segment::Word(String::new());
        let words = if below { &segments[..] } else { &segments[..segments.len() - 1] };
        if words.iter().any(is_empty) {
            return Err(BadPattern::Unreachable);
        }
        let mut names = HashSet::new();
        let is_new = |segment: &Segment| match segment {
            Segment::Parameter(name) => names.insert(name.clone()),
            Segment::Word(_) => true,
        };
        if !segments.iter().all(is_new) {
            return Err(BadPattern::Twice);
        }
        Ok(Self { segments, below })
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns whether one of its segments is a parameter of this name.
    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        self.segments
            .iter()
            .any(|segment| matches!(segment, Segment::Parameter(own) if own == name))
    }

    /// Returns whether it names all that is below its segments.
    pub(super) fn is_below(&self) -> bool {
        self.below
    }

    /// Returns whether it names this path, which matched, to its end: all of its segments, or all but
    /// the empty one behind the last slash.
    pub(super) fn ends_where(&self, path: &CanonicalPath<'_>) -> bool {
        let is_folder =
            || path.segments().nth(self.segments.len()).is_none_or(|(last, _)| last.is_empty());
        !self.below || is_folder()
    }

    /// Returns whether the words of this path, which matched, stand in the client's path as they
    /// are spelled plainly. How parameters and the rest are spelled decides no route.
    pub(super) fn is_spelled_plainly(&self, path: &CanonicalPath<'_>) -> bool {
        let pairs = || self.segments.iter().zip(path.segments());
        path.is_plain()
            || pairs().all(|(segment, (decoded, spelled))| match segment {
                Segment::Word(_) => encode(decoded) == spelled,
                Segment::Parameter(_) => true,
            })
    }

    /// The values of the parameters in a path that matched, by name.
    pub fn parameters<'p>(
        &'p self,
        path: &'p CanonicalPath<'_>,
    ) -> impl Iterator<Item = (&'p str, &'p str)> {
        let pairs = self.segments.iter().zip(path.segments());
        pairs.filter_map(|(segment, (decoded, _))| match segment {
            Segment::Parameter(name) => Some((name.as_str(), decoded)),
            Segment::Word(_) => None,
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, BadPattern> {
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        if let Some(name) = inner {
            let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            let is_name = !name.is_empty() && name.bytes().all(in_name);
            return if is_name {
                Ok(Self::Parameter(name.to_owned()))
            } else {
                Err(BadPattern::Sign)
            };
        }
        if text.contains(['{', '}', '*']) {
            return Err(BadPattern::Sign);
        }
        let is_refused = |c: char| c.is_control() || c == ';' || c == '\\';
        let is_escape = !percent_decode_str(text).eq(text.bytes());
        if text == "." || text == ".." || text.contains(is_refused) || is_escape {
            return Err(BadPattern::Unreachable);
        }
        Ok(Self::Word(text.to_owned()))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Word(word) => write!(f, "/{word}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        f.write_str(if self.below { "/*" } else { "" })
    }
}
