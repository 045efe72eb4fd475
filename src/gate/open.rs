//! Documents that the gate's own listener shows to anybody, where the operator opened a path.
//!
//! To a gateway every 2xx is a yes. So the gate answers no path but those at which it judges,
//! unless `OPEN_GATE_PATHS` names it; and there it still refuses a gateway's question.

use std::fmt;

/// A document that may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The liveness of the process.
    Health,
    /// The readiness to judge requests.
    Readiness,
    /// The public keys of our own issuer.
    Keys,
}

/// Each path that can be opened.
const KNOWN: [(&str, Document); 5] = [
    ("/", Document::Health),
    ("/health", Document::Health),
    ("/ready", Document::Readiness),
    ("/jwks", Document::Keys),
    ("/.well-known/jwks.json", Document::Keys),
];

/// The paths that are open; none unless the operator says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenPaths(Vec<(&'static str, Document)>);

impl OpenPaths {
    /// Reads the setting: a comma list of paths.
    ///
    /// # Errors
    /// The first path that cannot be opened, and those that can.
    pub fn parse(list: &str) -> Result<Self, String> {
        let paths = list.split(',').map(str::trim).filter(|path| !path.is_empty());
        let known = paths.map(|path| {
            let found = KNOWN.into_iter().find(|(known, _)| *known == path);
            found.ok_or_else(|| {
                let all = KNOWN.map(|(known, _)| known).join(", ");
                format!("{path:?} cannot be opened, only {all}")
            })
        });
        known.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether no path is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The document at `path`, to the letter.
    pub(super) fn at(&self, path: &str) -> Option<Document> {
        self.0.iter().find(|(open, _)| *open == path).map(|(_, document)| *document)
    }
}

impl fmt::Display for OpenPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.0.iter().map(|(path, _)| *path).collect();
        f.write_str(&paths.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_named_is_open() {
        let none = OpenPaths::parse("").expect("nothing");
        assert!(none.is_empty() && none.at("/health").is_none());
        let some = OpenPaths::parse("/health, /jwks").expect("both are known");
        assert_eq!(some.at("/health"), Some(Document::Health));
        assert_eq!(some.at("/jwks"), Some(Document::Keys));
        for path in ["/", "/ready", "/Health", "/health/", ""] {
            assert_eq!(some.at(path), None, "{path}");
        }
        assert_eq!(some.to_string(), "/health, /jwks");
        for wrong in ["/metrics", "health", "/validate_request", "/health /ready"] {
            let problem = OpenPaths::parse(wrong).expect_err(wrong);
            assert!(problem.contains("/.well-known/jwks.json"), "{problem}");
        }
    }
}
